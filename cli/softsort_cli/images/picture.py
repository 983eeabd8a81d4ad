"""A picture: frames of pixels, and what else its file says about them.

Pixels keep their type; what is done to them is done to numbers from 0 to 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from softsort_cli.errors import CommandError

IN_CACHE = 2**16  # numbers


@dataclass(frozen=True)
class Picture:
    """The pixels of an image file, and what is written beside them."""

    source: str
    format: str  # a key of formats.FORMATS
    # (h, w) or (h, w, channels): grey, RGB or CMYK, and the opacity. Boolean for one
    # bit a pixel, whole numbers, or floats.
    frames: list[np.ndarray]
    alpha: bool = False  # the last channel is opacity
    premultiplied: bool = False  # the colours are multiplied by it
    lab: bool = False  # the colours are lightness and two of opponents, not RGB
    metadata: dict[str, Any] = field(default_factory=dict)  # see formats.Format
    own: Sequence[str] = ()  # the names of what only a file of the format can say
    # How the file was written, for another one of the same format.
    encoding: dict[str, Any] = field(default_factory=dict)


def floats_for(dtype: np.dtype, source: str, precision: str | None = None) -> str:
    """The floats that hold pixels of a type, unless others are asked for."""
    is_wide = dtype.itemsize > (4 if dtype.kind == "f" else 2)
    if precision == "32" and is_wide:
        raise CommandError(
            f"{source} has {dtype} pixels, which need 64 bits: leave out --precision 32"
        )
    return f"float{precision or ('64' if is_wide else '32')}"


def floats_of(
    picture: Picture, precision: str | None = None, *, finite: bool = True
) -> str:
    """The floats that hold all pixels of a picture; those of no value are refused."""
    for frame in picture.frames if finite else ():
        check_finite(frame, picture.source)
    types = [floats_for(f.dtype, picture.source, precision) for f in picture.frames]
    return max(types)


def check_finite(values: np.ndarray, source: str, where: str = "") -> None:
    """Refuse floats of no value, `where` in an image if these are not all of it."""
    count = count_not_finite(values) if values.dtype.kind == "f" else 0
    if count:
        raise CommandError(
            f"{source} has {count} values that are NaN or infinite{where}: "
            "replace them first, or denoise with --nodata keep"
        )


def count_not_finite(values: np.ndarray) -> int:
    """How many of the floats are NaN or infinite."""
    finite = (np.count_nonzero(np.isfinite(values[rows])) for rows in blocks(values))
    return values.size - int(sum(finite))


def to_unit(pixels: np.ndarray, dtype: str) -> np.ndarray:
    """Pixels as numbers from 0 to 1, or floats as they are."""
    if pixels.dtype.kind == "f":
        return pixels.astype(dtype)
    low, high = pixel_range(pixels.dtype)
    values = np.empty(pixels.shape, dtype)
    for rows in blocks(pixels):
        block = pixels[rows].astype(dtype)
        block -= low
        np.divide(block, high - low, out=values[rows])
    return values


def to_pixels(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Numbers from 0 to 1 as pixels of this type, rounded half to even."""
    if dtype.kind == "f":
        return values.astype(dtype)
    low, high = pixel_range(dtype)
    pixels = np.empty(values.shape, dtype)
    for rows in blocks(values):
        block = values[rows] * (high - low)
        block += low
        np.rint(block, out=block)
        pixels[rows] = np.clip(block, low, high, out=block)
    return pixels


def blocks(image: np.ndarray) -> Iterator[slice]:
    """The rows of an image, as many at a time as the processor's cache holds."""
    rows = max(IN_CACHE // max(image[:1].size, 1), 1)
    return (slice(start, start + rows) for start in range(0, len(image), rows))


def pixel_range(dtype: np.dtype) -> tuple[int, int]:
    """The least and the largest whole number of a type."""
    if dtype.kind == "b":
        return 0, 1
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
