"""WebP files <-> pictures."""

import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

import PIL.Image
import PIL.ImageChops

from softsort_cli.images import declared_size, pillow
from softsort_cli.images.picture import Picture

START = 12  # of the chunks
EXTENDED, OPACITY = b"VP8X", 16  # the header of a file that has more than pixels
FRAME = b"ANMF"
PIXELS = b"ANIM", FRAME, b"ALPH", b"VP8 ", b"VP8L"
# What is said beside them, by which name, and the flag of the header for it.
SAYING = {b"ICCP": ("icc_profile", 32), b"EXIF": ("exif", 8), b"XMP ": ("xmp", 4)}
SHOWN = OPACITY | 2  # the flags for opacity, and for several frames
TIMING = 20  # where it says for how long it is shown, and what is left of it
MOST = 2**24 - 1  # milliseconds of a frame
DISPOSED = 1  # the flag of frames of which nothing is left


def read(data: bytes, source: str) -> Picture:
    """Read all frames of a file."""
    if sides := declared_size.webp(data):  # Pillow takes memory when it opens it
        declared_size.check_claim(source, sides.width * sides.height, len(data))
    with pillow.opened(data, "WEBP") as image:
        picture = pillow.picture(image, data, source, "WEBP", image.n_frames)
    if _is_lossless(data):
        return replace(picture, encoding={"lossless": True})
    coded = data, picture.frames
    return replace(picture, encoding={"lossless": False, "coded": coded})


def encode(picture: Picture) -> bytes:
    """A file of the frames: without loss, unless they come from a lossy one."""
    if coded := pillow.unchanged(picture):
        return _described(coded, picture.metadata)
    lossless = picture.encoding.get("lossless", picture.format != "JPEG")
    settings = {"lossless": lossless, "quality": 95, "exact": True}
    settings |= picture.metadata
    several = len(picture.frames) > 1
    if several:  # by which those that are joined can be told
        settings["duration"] = 1
    images = list(map(PIL.Image.fromarray, picture.frames))
    data = pillow.saved(images, "WEBP", settings)
    if several and not any(kind == FRAME for kind, _ in _chunks(data)):
        # All are the same: one more that is not makes it an animation.
        images.append(PIL.ImageChops.invert(images[-1]))
        data = pillow.saved(images, "WEBP", settings)
    if not several:
        return data
    return _one_by_one(data, picture.metadata["duration"], alpha=picture.alpha)


def _described(data: bytes, metadata: Collection[str]) -> bytes:
    """A file of the same pixels that says no more beside them than this."""
    says = {kind: flag for kind, (name, flag) in SAYING.items() if name in metadata}
    parts = []
    for kind, chunk in _chunks(data):
        if kind == EXTENDED:
            flags = chunk[8] & SHOWN | sum(says.values())
            parts.append(chunk[:8] + bytes([flags]) + chunk[9:])
        elif kind in PIXELS or kind in says:
            parts.append(chunk)
    return _file(parts)


def _one_by_one(data: bytes, durations: Sequence[float], *, alpha: bool) -> bytes:
    """A file whose frames were shown for a millisecond each, with their own durations.

    One that is shown for longer stands for several that are the same. It is shown once
    for each of them: where it was, so that the last leaves behind what it left. A frame
    without a duration is left out.
    """
    times, parts = iter(durations), []
    for kind, chunk in _chunks(data):
        if kind == EXTENDED and alpha:
            # Of opaque frames, too, what is disposed of is nothing.
            parts += [chunk[:8], bytes([chunk[8] | OPACITY]), chunk[9:]]
            continue
        if kind != FRAME:
            parts.append(chunk)
            continue
        (told,) = struct.unpack_from("<I", chunk, TIMING)
        joined, flags = told & MOST, told >> 24
        for left, time in zip(reversed(range(joined)), times, strict=False):
            kept = flags & ~DISPOSED if left else flags
            told = min(round(time), MOST) | kept << 24
            parts += [chunk[:TIMING], struct.pack("<I", told), chunk[TIMING + 4 :]]
    return _file(parts)


def _file(parts: Sequence[bytes]) -> bytes:
    chunks = b"".join(parts)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a file, each after its kind."""
    place = START
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, place)
        end = place + 8 + size + size % 2
        yield kind, data[place:end]
        place = end


def _is_lossless(data: bytes) -> bool:
    """Whether the first frame of a file is coded without loss."""
    # An animation's frame has a header of 24 bytes, and chunks of its own.
    kinds = (
        chunk[24:28] if kind == FRAME else kind
        for kind, chunk in _chunks(data)
        if kind in PIXELS and kind != b"ANIM"
    )
    return next(kinds, b"") == b"VP8L"
