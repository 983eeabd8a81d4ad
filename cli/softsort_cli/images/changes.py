"""What filtering changed of an image: shown as another one, and told in words."""

from pathlib import Path

import numpy as np

from softsort_cli import console, jax_setup
from softsort_cli.images import alpha, image_file, precision
from softsort_cli.images.filters import BITS
from softsort_cli.images.picture import Picture, to_pixels
from softsort_cli.options.images import ImageWriting
from softsort_cli.options.softness import Computing


def write_mask(
    path: Path, before: Picture, after: Picture, writing: ImageWriting
) -> None:
    """Write how far each pixel was moved, the farthest channel, in grey of 8 bits.

    White is the range that whole numbers have, or that floats of the frame take.
    """
    frames = []
    pairs = [alpha.colours(each, finite=False) for each in (before, after)]
    for old, new, frame in zip(*pairs, before.frames, strict=True):
        span = np.nanmax(old) - np.nanmin(old) if frame.dtype.kind == "f" else 1
        moved = np.nan_to_num(np.abs(new - old) / (span or 1))
        moved = moved if moved.ndim == 2 else moved.max(axis=2)
        frames.append(to_pixels(moved, np.dtype(np.uint8)))
    mask = Picture(before.source, before.format, frames)
    form = image_file.output_format(mask, path)
    image_file.write(mask, form, path, ImageWriting(path, writing.force), finest=True)


def explain(before: Picture, after: Picture, solver: Computing) -> None:
    """Tell which noise the first frame seems to have, and had."""
    words = [_noise(picture, solver) for picture in (before, after)]
    console.note(f"{before.source}: before: {words[0]}; after: {words[1]}")


def _noise(picture: Picture, solver: Computing) -> str:
    jax_setup.start(solver, BITS)
    from softsort_filters import estimate_noise

    values, *_ = alpha.colours(picture, finite=False)
    with precision.of(values.dtype):
        deviation, impulses = estimate_noise(values)
    shares = (100 * np.mean(share) for share in impulses[2:])
    dark, bright, other = (f"{share:.1f} %" for share in shares)
    return (
        f"noise of deviation {np.mean(deviation):.3g} in all pixels, {dark} turned "
        f"dark, {bright} bright, {other} anything"
    )
