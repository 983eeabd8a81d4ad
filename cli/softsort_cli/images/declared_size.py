"""What image files say of their size, read before anything is decoded.

Decoders take memory for what a file says, some of them as soon as it is opened. Files
that are cut off are left to the decoders, which tell.
"""

import mmap
import re
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from softsort_cli.errors import CommandError

# Markers of JPEG: frame headers of each kind, and those that stand alone.
START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
START_OF_SCAN, END, EXIF = 0xDA, 0xD9, 0xE1
ALONE = {0x01, *range(0xD0, 0xD9)}
MARKER = re.compile(rb"\xff[^\x00\xff]")
COMMENT, APPLICATION = 0xFE, 0xFF  # extensions of GIF
LOOPS = b"NETSCAPE2.0", b"ANIMEXTS1.0"
# The bytes of a value of each type of TIFF.
TYPES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
TYPES |= {13: 4, 16: 8, 17: 8, 18: 8}
SUB_DIRECTORIES = {330, 34665, 34853, 40965}  # inside a page, EXIF, GPS, and in EXIF
MOST_SHARED = 2**26  # bytes
# No compression of a picture gets beyond about 1,000 pixels a byte; a file that claims
# this many and does is not read. Smaller lies do no harm.
MOST_PIXELS = 2**27
MOST_PIXELS_A_BYTE = 1100


class Sides(NamedTuple):
    """The size of a picture, in pixels."""

    width: int
    height: int
    channels: int = 1


def check_claim(source: str, pixels: int, size: int) -> None:
    """Refuse a file that claims to hold more than its bytes can."""
    if pixels > max(MOST_PIXELS, MOST_PIXELS_A_BYTE * size):
        raise CommandError(
            f"{source} claims {pixels} pixels, more than a file of {size} bytes should "
            "be trusted with; cut it into pieces, or scale it down"
        )


def gif(data: bytes) -> Iterator[Sides]:
    """The screen of a GIF, and how far each frame reaches from its top left corner.

    Raises ValueError for an extension without content: Pillow would look for its end in
    what follows.
    """
    if len(data) < 13:
        return
    yield Sides(*struct.unpack_from("<2H", data, 6))
    for start, _ in gif_blocks(data):
        if data[start] == ord(","):
            left, top, width, height = struct.unpack_from("<4H", data, start + 1)
            yield Sides(left + width, top + height)
            continue
        first, length = start + 3, data[start + 2 : start + 3]
        loop = data.startswith(b"NETSCAPE2.0", first)
        needed = data[first + length[0] :][:1] if loop and length else length
        if needed == b"\0" and data[start + 1] != COMMENT:
            raise ValueError("an extension has no content")


def gif_extensions(data: bytes) -> bytes:
    """What a GIF holds for applications, such as XMP, but for how often it plays."""
    return b"".join(
        data[start:end]
        for start, end in gif_blocks(data)
        if _gif_says(data, start, APPLICATION) and end <= len(data)
    )


def gif_pictures(data: bytes) -> bytes:
    """A GIF without comments, and without what it holds for applications."""
    blocks = list(gif_blocks(data))
    kept = [
        data[start:end]
        for start, end in blocks
        if not _gif_says(data, start, APPLICATION, COMMENT)
    ]
    return b"".join([data[: blocks[0][0]], *kept, b";"])


def _gif_says(data: bytes, start: int, *kinds: int) -> bool:
    """Whether a block of a GIF is of these kinds, and not how often it plays."""
    is_one = data[start] == ord("!") and data[start + 1] in kinds
    return is_one and data[start + 3 : start + 14] not in LOOPS


def gif_blocks(data: bytes) -> Iterator[tuple[int, int]]:
    """Where each frame and extension of a GIF begins and ends."""
    place = 13 + _palette(data[10])
    while place < len(data) and data[place] != ord(";"):
        start = place
        if data[place] == ord(","):
            if place + 10 > len(data):
                return
            place = _behind_blocks(data, place + 11 + _palette(data[place + 9]))
        elif data[place] == ord("!"):
            place = _behind_blocks(data, place + 2)
        else:
            place += 1
            continue
        yield start, place


def _palette(flags: int) -> int:
    """The bytes of a palette of a GIF."""
    return 6 << (flags & 7) if flags & 128 else 0


def _behind_blocks(data: bytes, place: int) -> int:
    while place < len(data) and data[place]:
        place += 1 + data[place]
    return place + 1


def webp(data: bytes) -> Sides | None:
    """The size of all frames of a WebP."""
    kind = data[12:16]
    with suppress(struct.error):
        if kind == b"VP8X":
            across, more, down, most = struct.unpack_from("<HBHB", data, 24)
            return Sides(1 + across + (more << 16), 1 + down + (most << 16))
        if kind == b"VP8L":
            (bits,) = struct.unpack_from("<I", data, 21)
            return Sides(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
        if kind == b"VP8 ":
            across, down = struct.unpack_from("<HH", data, 26)
            return Sides(across & 0x3FFF, down & 0x3FFF)
    return None


def png(data: bytes) -> Sides | None:
    """The size of a PNG."""
    if len(data) < 26:
        return None
    width, height, _, kind = struct.unpack_from(">IIBB", data, 16)
    return Sides(width, height, {2: 3, 4: 2, 6: 4}.get(kind, 1))


def jpeg(data: bytes) -> Sides | None:
    """The size of a JPEG."""
    for marker, body in jpeg_segments(data):
        if marker in START_OF_FRAME and len(body) >= 6:
            height, width, channels = struct.unpack_from(">HHB", body, 1)
            return Sides(width, height, channels)
    return None


def jpeg_exif(data: bytes) -> bytes:
    """The EXIF of a JPEG, which may be cut into several segments."""
    segments = (body for marker, body in jpeg_segments(data) if marker == EXIF)
    return b"".join(body[6:] for body in segments if body[:6] == b"Exif\0\0")


def jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The markers of a JPEG, before its pixels, and what belongs to them."""
    for marker, start, end in jpeg_markers(data):
        if marker in (START_OF_SCAN, END):
            return
        if marker not in ALONE:
            yield marker, data[start + 4 : end]


def jpeg_markers(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The markers of a JPEG, and where each begins and what belongs to it ends."""
    end = 2
    while match := MARKER.search(data, end):
        (start, end), marker = match.span(), match[0][-1]
        if marker != END and marker not in ALONE:
            end += int.from_bytes(data[end : end + 2])
        yield marker, start, end


def jpeg_2000(data: bytes) -> Sides | None:
    """The size of a JPEG 2000 picture, alone or in the boxes of a file."""
    place = 0
    with suppress(struct.error):
        while data[place : place + 4] != b"\xff\x4f\xff\x51":
            length, kind = struct.unpack_from(">I4s", data, place)
            start = place + 8
            if length == 1:
                (length,) = struct.unpack_from(">Q", data, start)
                start += 8
            if kind != b"jp2c" and length < 8:
                return None
            place = start if kind == b"jp2c" else place + length
        right, down, left, top = struct.unpack_from(">4I", data, place + 8)
        (channels,) = struct.unpack_from(">H", data, place + 40)
        return Sides(right - left, down - top, channels)
    return None


def has_shared_tags(data: bytes | mmap.mmap) -> bool:
    """Whether the tags of a TIFF, or of EXIF, hold far more than there is of it.

    Tags can share what they hold, and readers take it once for each of them.
    """
    order = "<" if data[:1] == b"I" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    wide, count = ("Q", "Q") if big else ("I", "H")
    entry = struct.Struct(f"{order}HH{2 * wide}")
    most = max(len(data), MOST_SHARED)
    total, seen, todo = 0, {0}, []
    with suppress(struct.error):
        todo += struct.unpack_from(order + wide, data, 8 if big else 4)
    while todo:
        place = todo.pop()
        if place in seen:
            continue
        seen.add(place)
        with suppress(struct.error):
            (entries,) = struct.unpack_from(order + count, data, place)
            place += struct.calcsize(order + count)
            end = place + entries * entry.size
            for at in range(place, end, entry.size):
                code, kind, number, value = entry.unpack_from(data, at)
                size = number * TYPES.get(kind, 1)
                # More than the whole file is refused by whoever reads it.
                total += entry.size + (size if size <= len(data) else 0)
                if total > most:
                    return True
                if code in SUB_DIRECTORIES and number == 1:
                    todo.append(value)
                elif code in SUB_DIRECTORIES and size <= len(data):
                    each = "Q" if TYPES.get(kind) == 8 else "I"
                    todo += struct.unpack_from(f"{order}{number}{each}", data, value)
            todo += struct.unpack_from(order + wide, data, end)
    return False
