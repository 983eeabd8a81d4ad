"""WebP files <-> pictures."""

import struct
from dataclasses import replace

from softsort_cli.images import declared_size, pillow
from softsort_cli.images.picture import Picture


def read(data: bytes, source: str) -> Picture:
    """Read all frames of a file."""
    if sides := declared_size.webp(data):  # Pillow takes memory when it opens it
        declared_size.check_claim(source, sides.width * sides.height, len(data))
    with pillow.opened(data, "WEBP") as image:
        picture = pillow.picture(image, data, source, "WEBP", image.n_frames)
    return replace(picture, encoding={"lossless": _is_lossless(data)})


def encode(picture: Picture) -> bytes:
    """A file of the frames: without loss, unless they come from a lossy one."""
    lossless = picture.encoding.get("lossless", picture.format != "JPEG")
    settings = {"lossless": lossless, "quality": 95, "exact": True}
    settings |= picture.metadata | pillow.rounded_timing(picture)
    return pillow.saved(pillow.images(picture), "WEBP", settings)


def _is_lossless(data: bytes) -> bool:
    """Whether the first frame of a file is coded without loss."""
    place = 12
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, place)
        if kind in (b"VP8L", b"VP8 "):
            return kind == b"VP8L"
        # An animation's frame has a header of 16 bytes, and chunks of its own.
        place += 24 if kind == b"ANMF" else 8 + size + size % 2
    return False
