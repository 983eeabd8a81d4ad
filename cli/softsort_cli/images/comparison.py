"""What filters make of noise, side by side in one picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from softsort_cli import jax_setup
from softsort_cli.errors import CommandError, UsageError
from softsort_cli.images import exact, image_file
from softsort_cli.images.denoising import BITS, quantile_filter
from softsort_cli.images.noising import spoilt
from softsort_cli.images.picture import (
    Picture,
    check_precision,
    extremes,
    to_pixels,
    to_unit,
)
from softsort_cli.io import files
from softsort_cli.options.images import Noise
from softsort_cli.options.output import Writing
from softsort_cli.options.softness import Computing, Device

if TYPE_CHECKING:
    import numpy as np

SUFFIXES = (".png", ".jpg", ".pdf", ".svg")
COLUMNS, WIDTH, CAPTION = 3, 3.4, 0.5  # panels, and their inches
ORIENTATION = 274  # a tag of EXIF
FLATTEST, STEEPEST = 0.1, 2.0  # height over width; other panels have empty sides


@dataclass(frozen=True)
class Panel:
    """A part of the picture, and how near it is to the original."""

    name: str
    pixels: np.ndarray
    psnr: float = 0.0
    ssim: float = 0.0


def compare(
    image: Path,
    size: tuple[int, int],
    epsilons: Sequence[float],
    noise: Noise,
    where: Device,
    writing: Writing,
) -> list[Panel]:
    """Draw the original, the same with noise, and what filters make of that.

    All but the original are returned.
    """
    output = _output(image, writing)
    bits = where.precision or BITS
    dtype = f"float{bits}"
    picture = _plain(image_file.read(image))
    check_precision(picture, bits)
    (original,) = picture.frames
    if original.dtype.kind == "f" and original.min() == original.max():
        raise CommandError(
            f"{picture.source} has one value everywhere, and no black and white: no "
            "scores can be given"
        )
    filters = _filters(size, epsilons, where)
    (noisy,) = spoilt(picture, noise, dtype).frames
    unit = to_unit(noisy, dtype)
    pixels = {"noisy": noisy}
    for name, apply in filters.items():
        pixels[name] = to_pixels(apply(unit), original.dtype)
    panels = [_scored(name, each, original, dtype) for name, each in pixels.items()]
    held = orientation(picture)
    shown = [
        replace(panel, pixels=upright(panel.pixels, held))
        for panel in (Panel("original", original), *panels)
    ]
    with files.open_output(output, force=writing.force) as stream:
        stream.write(drawn(shown, output.suffix.lower()))
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
    frame = picture.frames[0][..., :-1] if picture.alpha else picture.frames[0]
    if frame.ndim == 3 and frame.shape[2] == 1:
        frame = frame[..., 0]
    if frame.ndim == 3 and frame.shape[2] != 3:
        raise CommandError(
            f"{picture.source} has {frame.shape[2]} channels: only grey and RGB can be "
            "shown"
        )
    return replace(picture, frames=[frame], alpha=False)


def _filters(
    size: tuple[int, int], epsilons: Sequence[float], where: Device
) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    jax_setup.start(where, BITS)
    settings = {"q": 0.5, "size": size, "border": "reflect"}
    filters = {"median": partial(exact.quantile_filter, **settings)}
    for epsilon in epsilons:
        solver = Computing(
            epsilon=epsilon, device=where.device, precision=where.precision
        )
        soft = partial(quantile_filter(solver), **settings)
        filters[f"soft median (epsilon {epsilon:g})"] = soft
    return filters | {"mean": partial(exact.mean_filter, size=size)}


def _scored(name: str, pixels: np.ndarray, original: np.ndarray, dtype: str) -> Panel:
    from softsort_filters import psnr, ssim

    image, reference = to_unit(pixels, dtype), to_unit(original, dtype)
    low, high = extremes(reference, original.dtype)
    scores = (float(score(image, reference, high - low)) for score in (psnr, ssim))
    return Panel(name, pixels, *scores)


def orientation(picture: Picture) -> int:
    """How EXIF says that a picture was held, from 1 to 8; 1 if nothing can be read."""
    import PIL.Image

    exif = PIL.Image.Exif()
    try:
        exif.load(picture.metadata.get("exif", b""))
        held = exif.get(ORIENTATION, 1)
    except Exception:  # broken EXIF can break Pillow anywhere, and matters little here
        return 1
    return held if held in range(1, 9) else 1


def upright(pixels: np.ndarray, held: int) -> np.ndarray:
    """Pixels as they are to be seen, of a picture that was held so."""
    if held >= 5:
        pixels = pixels.swapaxes(0, 1)
    if held in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels[:, ::-1] if held in (2, 3, 6, 7) else pixels


def drawn(panels: Sequence[Panel], suffix: str) -> bytes:
    """The panels side by side, under their names and, but for the first, scores."""
    import numpy as np
    from matplotlib.figure import Figure

    original = to_unit(panels[0].pixels, "float64")
    low, high = extremes(original, panels[0].pixels.dtype)
    rows = -(-len(panels) // COLUMNS)
    steepness = original.shape[0] / original.shape[1]
    height = WIDTH * min(max(steepness, FLATTEST), STEEPEST) + CAPTION
    figure = Figure((COLUMNS * WIDTH, rows * height), dpi=200, layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for number, (axis, panel) in enumerate(zip(axes, panels, strict=False)):
        values = to_unit(panel.pixels, "float64") - low
        shown = np.clip(values / ((high - low) or 1), 0, 1)
        axis.imshow(shown, cmap="gray", vmin=0, vmax=1)
        scores = f"PSNR {panel.psnr:.2f} dB, SSIM {panel.ssim:.3f}" if number else ""
        axis.set_title(f"{panel.name}\n{scores}", fontsize=10)
    buffer = BytesIO()
    figure.savefig(buffer, format=suffix.removeprefix("."))
    return buffer.getvalue()
