"""Frames as the PNG that they come from stored them: palettes, few bits, key colours.

A key is the one colour that is transparent, where no channel says it.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from softsort_cli.images import palette

SIGNATURE = b"\x89PNG\r\n\x1a\n"
START = 33  # bytes of it, and of the header
END = b"\0\0\0\0IEND\xaeB`\x82"
LONGEST = 10**6  # pixels of a side, to libpng
GREY, RGB, PALETTE, GREY_WITH_OPACITY, RGB_WITH_OPACITY = 0, 2, 3, 4, 6  # kinds
KINDS = {1: GREY, 2: GREY_WITH_OPACITY, 3: RGB, 4: RGB_WITH_OPACITY}  # of channels
# Bytes of a colour, as a chunk says it.
COLOUR = {PALETTE: 1, GREY: 2, GREY_WITH_OPACITY: 2, RGB: 6, RGB_WITH_OPACITY: 6}
DRAWING = 4  # times smaller it becomes than its pixels are
LEVEL = 9  # of the compression of palettes and few bits, which are small


class Layout(NamedTuple):
    """How the pixels of a PNG are stored."""

    bits: int  # a channel
    kind: int
    palette: bytes = b""  # its colours
    transparency: bytes = b""  # of the palette, or the key
    background: bytes = b""  # a colour, in the same way

    @property
    def chunks(self) -> bytes:
        """What comes before the pixels."""
        parts = (b"PLTE", self.palette), (b"tRNS", self.transparency)
        parts += ((b"bKGD", self.background),)
        return b"".join(chunk(kind, body) for kind, body in parts if body)


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG, each after its kind."""
    place = len(SIGNATURE)
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4])
        yield data[place + 4 : place + 8], data[place:end]
        place = end


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    check = zlib.crc32(kind + body).to_bytes(4)
    return struct.pack(">I", len(body)) + kind + body + check


def layout(data: bytes) -> Layout:
    """How the pixels of a file are stored."""
    bits, kind = data[24], data[25]
    bodies = {name: part[8:-4] for name, part in chunks(data) if name != b"IDAT"}
    colours, transparency = bodies.get(b"PLTE", b""), bodies.get(b"tRNS", b"")
    background = bodies.get(b"bKGD", b"")
    if len(background) != COLOUR[kind]:
        background = b""
    if kind == PALETTE:
        count = min(len(colours) // 3, 2**bits)
        colours, transparency = colours[: 3 * count], transparency[:count]
        return Layout(bits, kind, colours, transparency, background)
    transparency = transparency[: {GREY: 2, RGB: 6}.get(kind, 0)]
    return Layout(bits, kind, b"", transparency, background)


def stored(
    frames: Sequence[np.ndarray], wanted: Layout | None
) -> tuple[list[np.ndarray], Layout]:
    """Frames as they are written, by the layout that is wanted if it has them all."""
    if wanted is not None:
        kept = [_stored(frame, wanted) for frame in frames]
        if all(each is not None for each in kept):
            return [each for each in kept if each is not None], wanted
    first = frames[0]
    bits = 1 if first.dtype == bool else 8 * first.itemsize
    plain = Layout(bits, KINDS[first.shape[2] if first.ndim > 2 else 1])
    return list(frames), plain._replace(background=_background(wanted, bits))


def _background(wanted: Layout | None, bits: int) -> bytes:
    """The colour behind a picture, without its palette, of so many bits a channel."""
    if wanted is None or not wanted.background:
        return b""
    if wanted.kind != PALETTE:
        most, few = 2**bits - 1, 2**wanted.bits - 1
        levels = np.frombuffer(wanted.background, ">u2").astype(int) * most // few
        return levels.astype(">u2").tobytes()
    colour = wanted.palette[3 * wanted.background[0] :][:3]
    return np.frombuffer(colour, np.uint8).astype(">u2").tobytes()


def _stored(frame: np.ndarray, layout: Layout) -> np.ndarray | None:
    """A frame as a layout has it, or None."""
    bits, kind, colours, transparency, _ = layout
    if kind == PALETTE:
        return palette.places(frame, _colours(colours, transparency))
    if kind == GREY and bits < 8 and frame.dtype != bool:
        levels = np.arange(2**bits) * (255 // (2**bits - 1))
        ramp = levels.astype(np.uint8)[:, None]
        if transparency:
            opacity = np.full_like(ramp, 255)
            opacity[int.from_bytes(transparency) % 2**bits] = 0
            ramp = np.hstack([ramp, opacity])
        return palette.places(frame, ramp)
    if kind in (GREY, RGB) and transparency:
        key = np.frombuffer(transparency, ">u2")
        return _keyed(frame, key.astype(frame.dtype))
    return None  # no more than the pixels say


def _colours(colours: bytes, transparency: bytes) -> np.ndarray:
    table = np.frombuffer(colours, np.uint8).reshape(-1, 3)
    if not transparency:
        return table
    opacity = np.frombuffer(transparency.ljust(len(table), b"\xff"), np.uint8)
    return np.hstack([table, opacity[:, None]])


def _keyed(frame: np.ndarray, key: np.ndarray) -> np.ndarray | None:
    """A frame without opacity, its invisible pixels of the key's colour."""
    if frame.shape[2:] != (len(key) + 1,):
        return None
    colours, opacity = frame[..., :-1], frame[..., -1:]
    most = np.iinfo(frame.dtype).max
    visible = opacity == most
    if ((opacity > 0) & ~visible).any() or (visible & (colours == key)).all(2).any():
        return None
    keyed = np.where(visible, colours, key)
    return keyed if len(key) > 1 else keyed[..., 0]


def encoded(samples: np.ndarray, layout: Layout) -> bytes:
    """A file of samples, but for its palette."""
    if layout.bits < 8 or layout.kind == PALETTE or max(samples.shape) > LONGEST:
        return _encoded_plainly(samples, layout)
    import imagecodecs

    pixels, kinds = np.ascontiguousarray(samples), imagecodecs.PNG
    fast = kinds.COMPRESSION.SPEED, kinds.STRATEGY.RLE
    thorough = kinds.COMPRESSION.DEFAULT, kinds.STRATEGY.DEFAULT
    paeth, plain = kinds.FILTER.PAETH, kinds.FILTER.NONE

    def coded(level: int, strategy: int, filtering: int) -> bytes:
        settings = {"level": level, "strategy": strategy, "filter": filtering}
        return bytes(imagecodecs.png_encode(pixels, **settings))

    # What the Paeth filter leaves of photographs is noise and runs of zeros: to look
    # for anything else takes three times as long, and gains nothing. Drawings, which
    # become small, repeat themselves.
    first = coded(*fast, paeth)
    if len(first) >= pixels.nbytes / DRAWING:
        return first
    return min(first, coded(*thorough, paeth), coded(*thorough, plain), key=len)


def _encoded_plainly(samples: np.ndarray, layout: Layout) -> bytes:
    """A file of samples of any bits and sides, without filters."""
    rows, columns = samples.shape[:2]
    if layout.bits < 8:
        places = np.arange(layout.bits - 1, -1, -1, dtype=np.uint8)
        bits = samples.astype(np.uint8)[..., None] >> places & 1
        coded = np.packbits(bits.reshape(rows, -1), axis=1)
    else:
        wide = samples.astype(f">u{layout.bits // 8}")
        coded = wide.reshape(rows, -1).view(np.uint8)
    # Each begins with its filter, none.
    lines = np.pad(coded, ((0, 0), (1, 0))).tobytes()
    header = struct.pack(">IIBBBBB", columns, rows, layout.bits, layout.kind, 0, 0, 0)
    pixels = zlib.compress(lines, LEVEL)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + END


def animated(
    frames: Sequence[np.ndarray],
    layout: Layout,
    delays: Sequence[tuple[int, int]],
    plays: int,
) -> bytes:
    """A file of frames, each but the first stored where it differs from the last.

    Delays are in seconds, as fractions. Frames before those that have one are no part
    of the animation.
    """
    hidden = len(frames) - len(delays)
    parts = [SIGNATURE, b"", chunk(b"acTL", struct.pack(">II", len(delays), plays))]
    number, before = 0, None
    for index, frame in enumerate(frames):
        down, across = slice(0, frame.shape[0]), slice(0, frame.shape[1])
        if index >= hidden:
            if before is not None:
                differ = before != frame
                down, across = palette.box(differ if frame.ndim < 3 else differ.any(2))
            place = across.stop - across.start, down.stop - down.start
            place += across.start, down.start
            # It is left there, and takes the place of what was there.
            control = struct.pack(">5I", number, *place)
            control += struct.pack(">2H2B", *delays[index - hidden], 0, 0)
            parts.append(chunk(b"fcTL", control))
            number, before = number + 1, frame
        for kind, part in chunks(encoded(frame[down, across], layout)):
            if kind == b"IHDR" and not index:
                parts[1] = part
            elif kind == b"IDAT" and not index:
                parts.append(part)
            elif kind == b"IDAT":
                parts.append(chunk(b"fdAT", struct.pack(">I", number) + part[8:-4]))
                number += 1
    return b"".join([*parts, END])
