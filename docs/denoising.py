"""How near to clean pictures filters come: the tables of `denoising.md`.

Run as `python docs/denoising.py`, with scikit-image and scikit-learn installed, whose
pictures it takes. The tables go to standard output; pictures are reported as they are
done.
"""

import sys
from collections.abc import Iterator

import numpy as np
import skimage.data
from scipy.ndimage import median_filter
from sklearn.datasets import load_sample_image
from softsort_filters import soft_median, soft_switching_median

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
SIDE = 384


def picture(name: str) -> np.ndarray:
    """Return the middle of a picture in grey, from 0 to 1."""
    pixels = np.asarray(PICTURES[name](), np.float32) / 255
    grey = pixels if pixels.ndim == 2 else pixels[..., :3] @ [0.299, 0.587, 0.114]
    starts = [max(side - SIDE, 0) // 2 for side in grey.shape]
    rows, columns = (slice(start, start + SIDE) for start in starts)
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
        )
        rows.append([psnr(result, clean) for result in results])
    print(name, file=sys.stderr)
    return np.array(rows)


def tables() -> Iterator[str]:
    """Yield the lines of both tables."""
    every = np.stack([scores(name) for name in PICTURES])
    yield "| noise | noisy | median 3x3 | median 5x5 | soft median 3x3 | keep |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for noise, row in zip(NOISES, every.mean(0), strict=True):
        yield f"| {noise} | " + " | ".join(f"{value:.1f}" for value in row) + " |"
    yield ""
    gains = every[..., -1] - every[..., 1:3].max(-1)
    yield "| gain of keep | mean | " + " | ".join(PICTURES) + " |"
    yield "| --- |" + " ---: |" * (1 + len(PICTURES))
    for noise, row in zip(NOISES, gains.T, strict=True):
        values = " | ".join(f"{value:.1f}" for value in (row.mean(), *row))
        yield f"| {noise} | {values} |"


if __name__ == "__main__":
    for line in tables():
        print(line, flush=True)
