"""What filters make of noise, side by side in one picture."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np

from softsort_cli import jax_setup
from softsort_cli.errors import CommandError, UsageError
from softsort_cli.images import cost, exact, formats, image_file, levels, orientation
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
    psnr: float = math.nan
    ssim: float = math.nan  # also of what is smaller than its windows


def compare(
    image: Path,
    size: tuple[int, ...],
    epsilons: Sequence[float],
    noise: Noise,
    where: Device,
    writing: Writing,
) -> list[Panel]:
    """Draw the original, the same with noise, and what filters make of that.

    All but the original are returned.
    """
    output = _output(image, writing)
    picture = _plain(image_file.read(image))
    dtype = floats_of(picture, where.precision)
    (original,) = picture.frames
    low, high = levels.levels(picture, noise)
    if low == high:
        raise CommandError(
            f"{picture.source} has one value everywhere, and no black and white: no "
            "scores can be given"
        )
    cost.check(picture.source, original.shape, math.prod(size), len(epsilons) + 1)
    filters = _filters(size, epsilons, where, dtype.removeprefix("float"))
    (noisy,) = spoilt(picture, noise, (low, high), multiplies=False).frames
    unit = to_unit(noisy, dtype)
    pixels = {"noisy": noisy}
    for name, apply in filters.items():
        pixels[name] = to_pixels(apply(unit), original.dtype)
    reference = to_unit(original, dtype)
    panels = [
        _scored(name, to_unit(each, dtype), reference, high - low)
        for name, each in pixels.items()
    ]
    held = orientation.of(picture)
    shown = [
        replace(panel, values=orientation.upright(panel.values, held))
        for panel in (Panel("original", reference), *panels)
    ]
    with files.open_output(output, force=writing.force) as stream:
        stream.write(drawn(shown, (low, high), output.suffix.lower()))
    return panels


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
    jax_setup.start(where, bits)
    settings = {"q": 0.5, "size": size, "border": "reflect"}
    filters = {"median": partial(exact.quantile_filter, **settings)}
    for epsilon in epsilons:
        solver = Computing(epsilon=epsilon, device=where.device)
        soft = partial(quantile_filter(solver, bits), **settings)
        filters[f"soft median (epsilon {epsilon:g})"] = soft
    return filters | {"mean": partial(exact.mean_filter, size=size)}


def _scored(name: str, values: np.ndarray, original: np.ndarray, span: float) -> Panel:
    from softsort_filters import psnr, ssim

    panel = Panel(name, values, float(psnr(values, original, span)))
    if min(original.shape[:2]) < SSIM_SIDE:
        return panel
    return replace(panel, ssim=float(ssim(values, original, span)))


def drawn(panels: Sequence[Panel], levels: tuple[float, float], suffix: str) -> bytes:
    """The panels side by side, under their names and, but for the first, scores."""
    from matplotlib.figure import Figure

    low, high = levels
    original = panels[0].values
    rows = -(-len(panels) // COLUMNS)
    steepness = original.shape[0] / original.shape[1]
    height = WIDTH * min(max(steepness, FLATTEST), STEEPEST) + CAPTION
    figure = Figure((COLUMNS * WIDTH, rows * height), dpi=200, layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for number, (axis, panel) in enumerate(zip(axes, panels, strict=False)):
        shown = ((panel.values - low) / (high - low)).clip(0, 1)
        axis.imshow(shown, cmap="gray", vmin=0, vmax=1)
        scores = f"PSNR {panel.psnr:.2f} dB, SSIM {panel.ssim:.3f}" if number else ""
        if math.isnan(panel.ssim):
            scores, *_ = scores.split(",")
        axis.set_title(f"{panel.name}\n{scores}", fontsize=10)
    buffer = BytesIO()
    figure.savefig(buffer, format=suffix.removeprefix("."))
    return buffer.getvalue()
