"""What filtering changed of an image: shown as another one, and told in words."""

from pathlib import Path

import numpy as np

from softsort_cli import console, jax_setup
from softsort_cli.images import image_file, precision
from softsort_cli.images.alpha import FrameRows
from softsort_cli.images.filters import BITS
from softsort_cli.images.picture import Picture, floats_of, to_pixels
from softsort_cli.options.images import ImageWriting
from softsort_cli.options.softness import Computing


def write_mask(
    path: Path, before: Picture, after: Picture, writing: ImageWriting
) -> None:
    """Write how far each pixel was moved, the farthest channel, in grey of 8 bits.

    White is the range that whole numbers have, or that floats of the frame take.
    """
    frames = []
    pairs = zip(_colours(before), _colours(after), strict=True)
    for (old, new), frame in zip(pairs, before.frames, strict=True):
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

    (values, *_), dtype = _colours(picture), floats_of(picture, finite=False)
    with precision.of(dtype):
        deviation, impulses = estimate_noise(values)
    shares = (100 * np.mean(share) for share in impulses[2:])
    dark, bright, other = (f"{share:.1f} %" for share in shares)
    return (
        f"noise of deviation {np.mean(deviation):.3g} in all pixels, {dark} turned "
        f"dark, {bright} bright, {other} anything"
    )


def _colours(picture: Picture) -> list[np.ndarray]:
    """Frames from 0 to 1, or floats as they are, without opacity."""
    dtype = floats_of(picture, finite=False)
    values = [FrameRows(frame, picture, dtype)[:] for frame in picture.frames]
    return [each[..., :-1] if picture.alpha else each for each in values]
