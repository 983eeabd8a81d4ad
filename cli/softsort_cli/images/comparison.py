"""What filters make of noise, side by side in one picture."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from softsort_cli import jax_setup
from softsort_cli.errors import CommandError, UsageError
from softsort_cli.images import (
    cost,
    exact,
    formats,
    image_file,
    levels,
    orientation,
    precision,
)
from softsort_cli.images.alpha import FrameRows
from softsort_cli.images.filters import quantile_filter
from softsort_cli.images.noising import check_colours, spoilt
from softsort_cli.images.picture import Picture, floats_of, to_pixels, to_unit
from softsort_cli.io import files
from softsort_cli.options.images import Noise
from softsort_cli.options.output import Writing
from softsort_cli.options.softness import Computing, Device

SUFFIXES = (".png", ".jpg", ".pdf", ".svg")
COLUMNS, WIDTH, CAPTION = 3, 3.4, 0.5  # panels, and their inches
SSIM_SIDE = 7  # of its windows
FLATTEST, STEEPEST = 0.1, 2.0  # height over width; other panels have empty sides


@dataclass(frozen=True)
class Panel:
    """A part of the picture, and how near it is to the original."""

    name: str
    values: np.ndarray
    noise: str = ""  # its kind and amount
    psnr: float = math.nan
    ssim: float = math.nan  # also of what is smaller than its windows


def compare(
    image: Path,
    size: tuple[int, ...],
    epsilons: Sequence[float],
    noises: Sequence[Noise],
    where: Device,
    writing: Writing,
) -> list[Panel]:
    """Draw the original, the same with noise, and what filters make of that.

    Several noises have a row each. All but the originals are returned.
    """
    output = _output(image, writing)
    picture = _plain(image_file.read(image))
    dtype = floats_of(picture, where.precision)
    (original,) = picture.frames
    low, high = levels.levels(picture, noises[0])
    if low == high:
        raise CommandError(
            f"{picture.source} has one value everywhere, and no black and white: no "
            "scores can be given"
        )
    runs = len(noises) * (len(epsilons) + 1)
    cost.check(picture.source, original.shape, math.prod(size), runs)
    filters = _filters(size, epsilons, where, dtype.removeprefix("float"))
    filters |= _others(high - low)
    reference, panels = to_unit(original, dtype), []
    for noise in noises:
        (noisy,) = spoilt(picture, noise, (low, high), multiplies=False).frames
        unit, pixels = to_unit(noisy, dtype), {"noisy": noisy}
        for name, apply in filters.items():
            pixels[name] = to_pixels(apply(unit), original.dtype)
        told = f"{noise.kind} {noise.amount:g}"
        panels.append(Panel("original", reference, told))
        for name, each in pixels.items():
            panel = Panel(name, to_unit(each, dtype), told)
            panels.append(_scored(panel, reference, high - low))
    held = orientation.of(picture)
    shown = [
        replace(panel, values=orientation.upright(panel.values, held))
        for panel in panels
    ]
    columns = COLUMNS if len(noises) == 1 else len(filters) + 2
    with files.open_output(output, force=writing.force) as stream:
        stream.write(drawn(shown, (low, high), output.suffix.lower(), columns))
    return [panel for panel in panels if panel.name != "original"]


def _output(image: Path, writing: Writing) -> Path:
    output = writing.output or files.beside(image, "_compare")
    if output is None or files.is_stream(output):
        raise UsageError("the table goes to standard output: name the picture with -o")
    if writing.output is None:
        output = output.with_suffix(".png")
    if output.suffix.lower() not in SUFFIXES:
        raise UsageError(f"cannot write {output}: name it {', '.join(SUFFIXES)}")
    files.check_output(output, force=writing.force)
    return output


def _plain(picture: Picture) -> Picture:
    """The first frame of a picture without its opacity."""
    check_colours(picture)
    frame = picture.frames[0]
    if picture.premultiplied:
        values = FrameRows(frame, picture, floats_of(picture))[:]
        frame = to_pixels(values, frame.dtype)
    frame = frame[..., :-1] if picture.alpha else frame
    if frame.ndim == 3 and frame.shape[2] == 1:
        frame = frame[..., 0]
    if frame.ndim == 3 and frame.shape[2] != 3:
        raise CommandError(
            f"{picture.source} has {frame.shape[2]} channels: only grey and RGB can be "
            f"shown; {formats.TO_RGB}"
        )
    return replace(picture, frames=[frame], alpha=False, premultiplied=False)


def _filters(
    size: tuple[int, ...], epsilons: Sequence[float], where: Device, bits: str
) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    from scipy.ndimage import uniform_filter

    jax_setup.start(where, bits)
    settings = {"q": 0.5, "size": size, "border": "reflect"}
    filters = {"median": partial(exact.quantile_filter, **settings)}
    for epsilon in epsilons:
        solver = Computing(epsilon=epsilon, device=where.device)
        soft = partial(quantile_filter(solver, bits), **settings)
        filters[f"soft median (epsilon {epsilon:g})"] = soft

    def mean(image: np.ndarray) -> np.ndarray:
        sides: Any = (*size, *(1 for _ in image.shape[2:]))
        return uniform_filter(image, sides)

    return filters | {"mean": mean}


def _others(span: float) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Filters that tell noise from the picture, and those of scikit-image, if it is.

    Non-local means are told the deviation of the noise in all pixels, as auto is.
    """
    from softsort_filters import denoise, estimate_noise

    def ours(image: np.ndarray, **settings: Any) -> np.ndarray:
        with precision.of(image.dtype):
            return np.asarray(denoise(image, **settings))

    filters = {"keep": partial(ours, deviation=0), "auto": ours}
    if find_spec("skimage") is None:
        return filters
    from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

    def variation(image: np.ndarray) -> np.ndarray:
        axis = -1 if image.ndim == 3 else None
        return span * denoise_tv_chambolle(image / span, channel_axis=axis)

    def means(image: np.ndarray) -> np.ndarray:
        axis, scaled = -1 if image.ndim == 3 else None, image / span
        with precision.of(image.dtype):
            deviation = max(float(np.mean(estimate_noise(scaled).deviation)), 0.01)
        settings: Any = {"patch_size": 5, "patch_distance": 6, "channel_axis": axis}
        settings |= {"h": 0.8 * deviation, "sigma": deviation}
        return span * denoise_nl_means(scaled, **settings)

    return filters | {"total variation": variation, "non-local means": means}


def _scored(panel: Panel, original: np.ndarray, span: float) -> Panel:
    from softsort_filters import psnr, ssim

    values = panel.values
    panel = replace(panel, psnr=float(psnr(values, original, span)))
    if min(original.shape[:2]) < SSIM_SIDE:
        return panel
    return replace(panel, ssim=float(ssim(values, original, span)))


def drawn(
    panels: Sequence[Panel],
    levels: tuple[float, float],
    suffix: str,
    columns: int = COLUMNS,
) -> bytes:
    """The panels side by side, under their names and scores, an original its noise."""
    from matplotlib.figure import Figure

    low, high = levels
    original = panels[0].values
    rows = -(-len(panels) // columns)
    steepness = original.shape[0] / original.shape[1]
    height = WIDTH * min(max(steepness, FLATTEST), STEEPEST) + CAPTION
    figure = Figure((columns * WIDTH, rows * height), dpi=200, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, panel in zip(axes, panels, strict=False):
        shown = ((panel.values - low) / (high - low)).clip(0, 1)
        axis.imshow(shown, cmap="gray", vmin=0, vmax=1)
        scores = f"PSNR {panel.psnr:.2f} dB, SSIM {panel.ssim:.3f}"
        if math.isnan(panel.ssim):
            scores, *_ = scores.split(",")
        if math.isnan(panel.psnr):
            scores = f"for {panel.noise}" if panel.noise else ""
        axis.set_title(f"{panel.name}\n{scores}", fontsize=10)
    buffer = BytesIO()
    figure.savefig(buffer, format=suffix.removeprefix("."))
    return buffer.getvalue()
