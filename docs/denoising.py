"""How near to clean pictures filters come: the tables of `denoising.md`.

Run as `python docs/denoising.py`, with scikit-image and scikit-learn installed, whose
pictures it takes. The tables go to standard output; pictures are reported as they are
done.
"""

import sys
from collections.abc import Iterable, Iterator

import numpy as np
import skimage.data
from scipy.ndimage import gaussian_filter, median_filter, uniform_filter
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle
from sklearn.datasets import load_sample_image
from softsort_filters import (
    beginning,
    denoise,
    learn_filter,
    soft_median,
    soft_switching_median,
)

NAMES = ("camera", "coins", "moon", "astronaut", "text", "brick", "chelsea", "coffee")
PICTURES = {name: getattr(skimage.data, name) for name in (*NAMES, "page")}
PICTURES["china"] = lambda: load_sample_image("china.jpg")
NOISES = {
    "none": ("salt and pepper", 0.0),
    "salt and pepper 5 %": ("salt and pepper", 0.05),
    "salt and pepper 10 %": ("salt and pepper", 0.1),
    "salt and pepper 30 %": ("salt and pepper", 0.3),
    "salt and pepper 50 %": ("salt and pepper", 0.5),
    "random values 10 %": ("random values", 0.1),
    "random values 30 %": ("random values", 0.3),
}
# The deviation of Gaussian noise, and the share of salt and pepper.
MIXED = {
    "none": (0.0, 0.0),
    "Gaussian 0.05": (0.05, 0.0),
    "Gaussian 0.1": (0.1, 0.0),
    "Gaussian 0.05, salt and pepper 5 %": (0.05, 0.05),
    "Gaussian 0.1, salt and pepper 5 %": (0.1, 0.05),
    "salt and pepper 10 %": (0.0, 0.1),
}
WIDTHS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 2.5)
SIDE, SMALLER = 384, 256
STEPS = 40  # of learning, as many as `denoise --learn` takes


def picture(name: str, side: int = SIDE) -> np.ndarray:
    """Return the middle of a picture in grey, from 0 to 1."""
    pixels = np.asarray(PICTURES[name](), np.float32) / 255
    grey = pixels if pixels.ndim == 2 else pixels[..., :3] @ [0.299, 0.587, 0.114]
    starts = [max(length - side, 0) // 2 for length in grey.shape]
    rows, columns = (slice(start, start + side) for start in starts)
    return grey[rows, columns].astype(np.float32)


def spoilt(clean: np.ndarray, kind: str, share: float) -> np.ndarray:
    """Replace a share of the pixels by black or white, or by any value."""
    rng = np.random.default_rng(0)
    values = rng.uniform(size=clean.shape)
    values = np.round(values) if kind == "salt and pepper" else values
    chosen = rng.uniform(size=clean.shape) < share
    return np.where(chosen, values, clean).astype(np.float32)


def psnr(image: np.ndarray, clean: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in dB, at most 100."""
    error = np.mean((np.clip(image, 0, 1) - clean) ** 2, dtype=float)
    return float(-10 * np.log10(max(error, 1e-10)))


def learned(noisy: np.ndarray, deviation: float | None = None) -> np.ndarray:
    """Denoise an image by what is learned from it alone."""
    start = beginning()
    *_, last = learn_filter([noisy], start=start, deviation=deviation, steps=STEPS)
    return np.asarray(denoise(noisy, deviation=deviation, **last.filter._asdict()))


def scores(name: str) -> np.ndarray:
    """Return what each method makes of each noise: one row a noise."""
    clean, rows = picture(name), []
    for kind, share in NOISES.values():
        noisy = spoilt(clean, kind, share)
        results = (
            noisy,
            median_filter(noisy, 3),
            median_filter(noisy, 5),
            np.asarray(soft_median(noisy)),
            np.asarray(soft_switching_median(noisy)),
            learned(noisy, deviation=0),
        )
        rows.append([psnr(result, clean) for result in results])
    print(name, file=sys.stderr)
    return np.array(rows)


def tables() -> Iterator[str]:
    """Yield the lines of the tables of single pixels."""
    every = np.stack([scores(name) for name in PICTURES])
    methods = "median 3x3 | median 5x5 | soft median 3x3 | keep | learned"
    yield from mean_table(NOISES, methods, every)
    yield from gain_table(NOISES, "keep", every[..., -2] - every[..., 1:3].max(-1))
    yield from gain_table(NOISES, "learned over keep", every[..., -1] - every[..., -2])


def mean_table(noises: Iterable[str], methods: str, every: np.ndarray) -> Iterator[str]:
    """Yield the lines of a table of what methods make of noises in the mean."""
    yield f"| noise | noisy | {methods} |"
    yield "| --- |" + " ---: |" * every.shape[-1]
    for noise, row in zip(noises, every.mean(0), strict=True):
        yield f"| {noise} | " + " | ".join(f"{value:.1f}" for value in row) + " |"
    yield ""


def gain_table(noises: Iterable[str], of: str, gains: np.ndarray) -> Iterator[str]:
    """Yield the lines of a table of what is gained for each picture."""
    yield f"| gain of {of} | mean | " + " | ".join(PICTURES) + " |"
    yield "| --- |" + " ---: |" * (1 + len(PICTURES))
    for noise, row in zip(noises, gains.T, strict=True):
        values = " | ".join(f"{value:.1f}" for value in (row.mean(), *row))
        yield f"| {noise} | {values} |"
    yield ""


def mixed(clean: np.ndarray, deviation: float, share: float) -> np.ndarray:
    """Add Gaussian noise, cut to [0, 1], and then salt and pepper."""
    noise = deviation * np.random.default_rng(1).normal(size=clean.shape)
    noisy = np.clip(clean + noise, 0, 1).astype(np.float32)
    return spoilt(noisy, "salt and pepper", share)


def mixed_scores(name: str) -> np.ndarray:
    """Return what each method makes of each mixed noise: one row a noise.

    The first after the noisy picture is the best of medians and means of 3 x 3 and
    5 x 5 pixels and of Gaussian filters of some widths.
    """
    clean, rows = picture(name, SMALLER), []
    for deviation, share in MIXED.values():
        noisy = mixed(clean, deviation, share)
        simple = [median_filter(noisy, size) for size in (3, 5)]
        simple += [uniform_filter(noisy, size) for size in (3, 5)]
        simple += [gaussian_filter(noisy, width) for width in WIDTHS]
        variation = [denoise_tv_chambolle(noisy, weight) for weight in (0.05, 0.1, 0.2)]
        known = max(deviation, 0.01)
        means = denoise_nl_means(
            noisy, patch_size=5, patch_distance=6, h=0.8 * known, sigma=known
        )
        filtered = means, soft_switching_median(noisy), denoise(noisy), learned(noisy)
        scores = [psnr(np.asarray(each), clean) for each in filtered]
        best = (max(psnr(x, clean) for x in each) for each in (simple, variation))
        rows.append([psnr(noisy, clean), *best, *scores])
    print(name, file=sys.stderr)
    return np.array(rows)


def mixed_tables() -> Iterator[str]:
    """Yield the lines of the tables of mixed noise."""
    every = np.stack([mixed_scores(name) for name in PICTURES])
    methods = "best simple | total variation | non-local means | keep | auto | learned"
    yield from mean_table(MIXED, methods, every)
    yield from gain_table(MIXED, "auto", every[..., -2] - every[..., 1])
    yield from gain_table(MIXED, "learned over auto", every[..., -1] - every[..., -2])


if __name__ == "__main__":
    for line in [*tables(), *mixed_tables()]:
        print(line, flush=True)
