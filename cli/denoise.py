"""`softsort denoise`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cli import console, files
from cli.errors import CommandError, UsageError
from cli.options import Solver, Writing, command, option

if TYPE_CHECKING:
    import numpy as np

BITS = "32"  # pixels have 8 bits


@command
def denoise(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGES", help="PNG or JPEG; - for standard input."),
    ],
    *,
    size: Annotated[
        str,
        option("--size", metavar="N|WxH", help="The window in pixels, odd: 3, or 5x3."),
    ] = "3",
    quantile: Annotated[
        float,
        option("--quantile", min=0, max=1, help="Which quantile; 0.5 is the median."),
    ] = 0.5,
    border: Annotated[
        Literal["reflect", "nearest", "mirror", "wrap", "constant"],
        option("--border", help="What lies beyond the border, as in scipy.ndimage."),
    ] = "reflect",
    out_dir: Annotated[
        Path | None,
        option(
            "--out-dir", metavar="FOLDER", help="Write here, under the same file names."
        ),
    ] = None,
    solver: Solver,
    writing: Writing,
) -> None:
    """Take noise out of images with a soft median filter.

    Each pixel becomes the soft median of the window around it, channel by channel.
    x.png becomes x_soft.png beside it, unless -o or --out-dir says otherwise. PNG and
    JPEG of 8 bits a channel, grey or RGB, with or without alpha, are handled. A JPEG
    is written with the quantization of the original; EXIF, ICC profile and resolution
    are kept. If one of several images fails, the others are still done, and the exit
    code is 3.

    Examples:
      softsort denoise photo.png --size 5 --epsilon 0.001
      softsort denoise scans/*.jpg --out-dir clean
    """
    from cli import runtime

    window = _window(size)
    outputs = _outputs(images, writing, out_dir)
    start = runtime.filter_operator(solver, BITS)

    def apply(values):
        return start(values, q=quantile, size=window, border=border)

    failures = 0
    with console.progress("images", len(images)) as step:
        for path, output in zip(images, outputs, strict=True):
            try:
                _one(path, output, apply, solver, force=writing.force)
            except (CommandError, ValueError, MemoryError) as error:
                if len(images) == 1:
                    raise
                console.error(_with_name(error, path))
                failures += 1
            step()
    if failures:
        console.error(f"{failures} of {len(images)} images failed")
        raise typer.Exit(1 if failures == len(images) else 3)


def _with_name(error: Exception, path: Path) -> str:
    text = str(error) or type(error).__name__
    return text if str(path) in text else f"{path}: {text}"


def _window(size: str) -> tuple[int, int]:
    """Height and width of the window."""
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", size, re.ASCII)
    if match is None or not all(int(side or 1) % 2 for side in match.groups()):
        raise UsageError(f"--size {size!r}: give odd numbers of pixels, as in 3 or 5x3")
    return int(match[2] or match[1]), int(match[1])


def _outputs(
    images: list[Path], writing: Writing, out_dir: Path | None
) -> list[Path | None]:
    """Where each image goes."""
    if writing.output is not None:
        if len(images) > 1 or out_dir is not None:
            raise UsageError("-o names one file: use --out-dir for several, not both")
        return [writing.output]
    if out_dir is not None:
        try:
            out_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CommandError(f"cannot make {out_dir}: {error.strerror}") from error
    outputs = [files.beside(path, "_soft", out_dir) for path in images]
    named = [output for output in outputs if output is not None]
    if len(set(named)) < len(named):
        raise UsageError("several images would be written under one name")
    return outputs


def _one(
    path: Path, output: Path | None, apply, solver: Solver, *, force: bool
) -> None:
    from cli import images

    files.check_output(output, force=force)
    picture = images.read(path)
    form = images.format_for(picture, output)
    values = images.to_unit(picture.pixels, f"float{solver.precision or BITS}")
    result = _filtered(values, apply, alpha=picture.has_alpha)
    _check_converged(result, solver, picture.source)
    data = images.encode(picture, images.to_pixels(result), form, finest=False)
    with files.open_output(output, force=force) as stream:
        stream.write(data)


def _filtered(values: np.ndarray, apply, *, alpha: bool) -> np.ndarray:
    """The filtered image. Transparency stays as it is.

    Colours count by their opacity: the premultiplied colours are filtered, and divided
    by the opacity filtered likewise, so that what cannot be seen adds nothing.
    """
    if not alpha:
        return apply(values)
    import numpy as np

    colours, opacity = values[..., :-1], values[..., -1:]
    filtered = apply(np.concatenate([colours * opacity, opacity], axis=-1))
    around = filtered[..., -1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        visible = np.where(around == 0, colours, filtered[..., :-1] / around)
    return np.concatenate([visible, opacity], axis=-1)


def _check_converged(result: np.ndarray, solver: Solver, source: str) -> None:
    import numpy as np

    bad = int((~np.isfinite(result)).sum())
    if bad:
        remedy = "" if solver.precision == "64" else " or --precision 64"
        raise CommandError(
            f"{source}: the solver did not converge at epsilon {solver.epsilon:g} for "
            f"{bad} of {result.size} values; choose a larger --epsilon{remedy}"
        )
