"""What Pillow does not see of a PNG, chunks and 16 bits a colour, and a fast writer."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

LONGEST = 10**6  # pixels of a side, to libpng
START = 33  # bytes of the signature and the header
END = b"\0\0\0\0IEND\xaeB`\x82"
# These describe the picture, whatever its pixels; others describe how it is stored.
KEPT = {
    b"cHRM",
    b"cICP",
    b"cLLI",
    b"eXIf",
    b"gAMA",
    b"iCCP",
    b"iTXt",
    b"mDCV",
    b"oFFs",
    b"pHYs",
    b"sRGB",
    b"tEXt",
    b"zTXt",
}


class Header(NamedTuple):
    """What the first chunk of a PNG says."""

    width: int
    height: int
    depth: int  # bits a channel


def header(data: bytes) -> Header:
    """Read the header of a PNG."""
    return Header(*struct.unpack(">IIB", data[16:25]))


def kept_chunks(data: bytes) -> bytes:
    """The chunks of a PNG that describe its picture, one after the other."""
    return b"".join(chunk for kind, chunk in _chunks(data) if kind in KEPT)


def with_chunks(data: bytes, chunks: bytes) -> bytes:
    """A PNG with these chunks in it."""
    return data[:START] + chunks + data[START:]


def without_pixels(data: bytes) -> bytes:
    """The header of a PNG, and what describes its picture, even behind the pixels."""
    return data[:START] + kept_chunks(data) + END


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 8
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4])
        yield data[place + 4 : place + 8], data[place:end]
        place = end


def decode_16(data: bytes) -> np.ndarray:
    """The pixels of a PNG of 16 bits a channel; transparency becomes a channel."""
    import imagecodecs

    return imagecodecs.png_decode(data)


def fits(pixels: np.ndarray) -> bool:
    """Whether `encode` takes these pixels; it does all of 16 bits."""
    return pixels.dtype == "uint16" or (
        pixels.dtype == "uint8" and max(pixels.shape) <= LONGEST
    )


def encode(pixels: np.ndarray) -> bytes:
    """A PNG of 8 or 16 bits a channel."""
    import imagecodecs
    import numpy as np

    if max(pixels.shape) > LONGEST:
        raise ValueError(f"a side is longer than {LONGEST} pixels")
    # What the Paeth filter leaves of photographs is noise and runs of zeros: to look
    # for anything else takes three times as long, and gains nothing.
    kinds = imagecodecs.PNG
    coded = imagecodecs.png_encode(
        np.ascontiguousarray(pixels),
        level=kinds.COMPRESSION.SPEED,
        strategy=kinds.STRATEGY.RLE,
        filter=kinds.FILTER.PAETH,
    )
    return bytes(coded)
