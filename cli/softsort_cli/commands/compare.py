"""`softsort compare`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softsort_cli.commands.denoise import BITS
from softsort_cli.errors import CommandError, UsageError
from softsort_cli.images import window as windows
from softsort_cli.io import files
from softsort_cli.options.declare import command, option
from softsort_cli.options.images import Noise
from softsort_cli.options.output import Writing
from softsort_cli.options.softness import Device, Solver

if TYPE_CHECKING:
    import numpy as np

    from softsort_cli.images.picture import Picture

SHOWN = (".png", ".jpg", ".pdf", ".svg")
COLUMNS, WIDTH, CAPTION = 3, 3.4, 0.5  # panels, and their inches
ORIENTATION = 274  # a tag of EXIF
FLATTEST, STEEPEST = 0.1, 2.0  # height over width; other panels have empty sides


@command
def compare(
    image: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGE",
            help="PNG, JPEG, GIF, WebP or TIFF, grey or RGB; - for standard input.",
        ),
    ],
    *,
    size: Annotated[
        str,
        option("--size", metavar="N|WxH", help="The window in pixels, odd: 3, or 5x3."),
    ] = "3",
    epsilons: Annotated[
        str,
        option(
            "--epsilons",
            metavar="LIST",
            help="Of the soft medians, separated by commas.",
        ),
    ] = "0.01,0.1",
    spoiling: Noise,
    where: Device,
    writing: Writing,
) -> None:
    """Show what filters make of noise, in one picture and one table.

    Side by side: the original, the same with noise, the median, soft medians, and the
    mean. An image x.png gets a picture x_compare.png beside it, unless -o names another
    .png, .jpg, .pdf or .svg. The table on standard output has the PSNR in dB and the
    SSIM of each against the original, both of the pixels that `noise` and `denoise`
    write. Of several frames the first is taken; opacity is left out.

    Example:
      softsort compare photo.jpg --amount 0.2 --size 5 --epsilons 0.001,0.01,0.1
    """
    from softsort_cli.commands.noise import spoilt
    from softsort_cli.images import picture as images

    window, chosen = windows.size_of(size), _numbers(epsilons)
    output = writing.output or files.beside(image, "_compare")
    if output is None or files.is_stream(output):
        raise UsageError("the table goes to standard output: name the picture with -o")
    if writing.output is None:
        output = output.with_suffix(".png")
    if output.suffix.lower() not in SHOWN:
        raise UsageError(f"cannot write {output}: name it {', '.join(SHOWN)}")
    files.check_output(output, force=writing.force)
    picture = _plain(images.read(image))
    bits = where.precision or BITS
    images.check_precision(picture, bits)
    if is_flat(picture):
        raise CommandError(
            f"{picture.source} has one value everywhere, and no black and white: no "
            "scores can be given"
        )
    turn = orientation(picture)
    filters = _filters(window, chosen, where)
    (noisy,) = spoilt(picture, spoiling, f"float{bits}")
    unit = images.to_unit(noisy, f"float{bits}")
    original = picture.frames[0]
    panels = [Panel("original", original), Panel("noisy", noisy)]
    for name, apply in filters.items():
        panels.append(Panel(name, images.to_pixels(apply(unit), original.dtype)))
    panels[1:] = [_scored(panel, original, bits) for panel in panels[1:]]
    shown = [replace(each, pixels=upright(each.pixels, turn)) for each in panels]
    data = _drawn(shown, output.suffix.lower())
    with files.open_output(output, force=writing.force) as stream:
        stream.write(data)
    typer.echo("picture,psnr,ssim")
    for panel in panels[1:]:
        typer.echo(f"{panel.name},{panel.psnr:.3f},{panel.ssim:.5f}")


@dataclass(frozen=True)
class Panel:
    """A part of the picture, and how near it is to the original."""

    name: str
    pixels: np.ndarray
    psnr: float = 0.0
    ssim: float = 0.0


def _numbers(text: str) -> list[float]:
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number < math.inf for number in numbers):
        raise UsageError(f"--epsilons {text!r}: give positive numbers, as in 0.01,0.1")
    return numbers


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


def is_flat(picture: Picture) -> bool:
    """Whether an image of floats, whose extremes are its black and white, has none."""
    (frame,) = picture.frames
    return frame.dtype.kind == "f" and frame.min() == frame.max()


def orientation(picture: Picture) -> int:
    """How EXIF says that a picture was held, from 1 to 8; 1 if nothing can be read."""
    import PIL.Image

    exif = PIL.Image.Exif()
    try:
        exif.load(picture.metadata.get("exif", b""))
        found = exif.get(ORIENTATION, 1)
    except Exception:  # broken EXIF can break Pillow anywhere, and matters little here
        found = 1
    return found if found in range(1, 9) else 1


def upright(pixels: np.ndarray, turn: int) -> np.ndarray:
    """Pixels as they are to be seen."""
    if turn >= 5:
        pixels = pixels.swapaxes(0, 1)
    if turn in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels[:, ::-1] if turn in (2, 3, 6, 7) else pixels


def _filters(
    window: tuple[int, int], epsilons: Sequence[float], where: Device
) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    from softsort_cli import jax_setup
    from softsort_cli.operate import exact

    settings = {"q": 0.5, "size": window, "border": "reflect"}
    jax_setup.start(where, BITS)
    found = {"median": partial(exact.quantile_filter, **settings)}
    for epsilon in epsilons:
        solver = Solver(epsilon=epsilon, device=where.device, precision=where.precision)
        operator = jax_setup.filter_operator(solver, BITS)
        found[f"soft median (epsilon {epsilon:g})"] = partial(operator, **settings)
    return found | {"mean": partial(exact.mean_filter, size=window)}


def _scored(panel: Panel, original: np.ndarray, bits: str) -> Panel:
    from softsort_filters import psnr, ssim

    from softsort_cli.images import picture as images

    image, reference = (
        images.to_unit(each, f"float{bits}") for each in (panel.pixels, original)
    )
    low, high = images.extremes(reference, original.dtype)
    scores = (float(score(image, reference, high - low)) for score in (psnr, ssim))
    return Panel(panel.name, panel.pixels, *scores)


def _drawn(panels: Sequence[Panel], suffix: str) -> bytes:
    """The panels side by side, under their names and scores."""
    import numpy as np
    from matplotlib.figure import Figure

    from softsort_cli.images import picture as images

    original = images.to_unit(panels[0].pixels, "float64")
    low, high = images.extremes(original, panels[0].pixels.dtype)
    rows = -(-len(panels) // COLUMNS)
    steepness = original.shape[0] / original.shape[1]
    height = WIDTH * min(max(steepness, FLATTEST), STEEPEST) + CAPTION
    figure = Figure((COLUMNS * WIDTH, rows * height), dpi=200, layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axis in axes:
        axis.set_axis_off()
    for number, (axis, panel) in enumerate(zip(axes, panels, strict=False)):
        values = images.to_unit(panel.pixels, "float64") - low
        shown = np.clip(values / ((high - low) or 1), 0, 1)
        axis.imshow(shown, cmap="gray", vmin=0, vmax=1)
        scores = f"PSNR {panel.psnr:.2f} dB, SSIM {panel.ssim:.3f}" if number else ""
        axis.set_title(f"{panel.name}\n{scores}", fontsize=10)
    buffer = BytesIO()
    figure.savefig(buffer, format=suffix.removeprefix("."))
    return buffer.getvalue()
