"""GIF files <-> pictures."""

import struct
from dataclasses import replace

import numpy as np
import PIL.Image

from softsort_cli import console
from softsort_cli.errors import CommandError
from softsort_cli.images import declared_size, gif_frames, pillow
from softsort_cli.images.declared_size import APPLICATION, COMMENT, LOOPS
from softsort_cli.images.picture import Picture

HUNDREDTH = 10  # of a second, in milliseconds
CONTROL = 0xF9  # the extension that says how a frame is shown
KEPT, CLEARED = 1 << 2, 2 << 2  # what is left of a frame: all, or nothing
DISPOSAL = 7 << 2  # the flags that say so
LONGEST = 255  # bytes of a piece of an extension
# What frames that reach beyond the others may make of the picture.
MOST_GROWTH = 4


def read(data: bytes, source: str) -> Picture:
    """Read all frames of a file."""
    _check_reach(data, source)
    with pillow.opened(data, "GIF") as image:
        picture = pillow.picture(image, data, source, "GIF", image.n_frames)
    if _shows_background(data):
        console.note(
            f"note: {source}: where it draws nothing, its background colour is "
            "filtered; most viewers show nothing there"
        )
    extensions = declared_size.gif_extensions(data)
    picture.metadata["extensions"] = extensions
    if len(picture.frames) > 1:  # plays after the first are counted; 0 is for ever
        loop = image.info.get("loop")
        picture.metadata["loop"] = 1 if loop is None else loop and loop + 1
    own = ["application data"] if extensions else []
    return replace(picture, own=own, encoding={"coded": (data, picture.frames)})


def _check_reach(data: bytes, source: str) -> None:
    """Tell of frames beyond the picture; refuse one far outside.

    Pillow makes it all one.
    """
    width = height = most = 0
    shown = width, height
    for number, reach in enumerate(declared_size.gif(data)):
        width, height = max(width, reach.width), max(height, reach.height)
        if number < 2:  # the screen, and the first frame, which may widen it
            declared_size.check_claim(source, width * height, len(data))
            most, shown = MOST_GROWTH * width * height, (width, height)
        elif width * height > most:
            raise CommandError(
                f"{source}, frame {number}, reaches to {reach.width} x {reach.height} "
                f"pixels, far outside of the picture; cut it off first, as in `magick "
                "IN -coalesce OUT.gif`"
            )
    if (width, height) != shown:
        console.note(
            f"note: {source}: what is beyond the picture is not filtered, and is left "
            "out if anything changes"
        )


def _shows_background(data: bytes) -> bool:
    """Whether Pillow fills with a colour what no frame draws, or one has cleared."""
    flags, frames = 0, []
    for start, end in declared_size.gif_blocks(data):
        if end > len(data):  # it is cut off
            continue
        if data[start : start + 2] == bytes([ord("!"), CONTROL]):
            flags = data[start + 3]
        elif data[start] == ord(","):
            left, top, width, height = struct.unpack_from("<4H", data, start + 1)
            frames.append((flags, (left, top, left + width, top + height)))
            flags = 0
    empty: tuple[int, ...] = 0, 0, *struct.unpack_from("<2H", data, 6)
    for number, (flags, sides) in enumerate(frames):
        is_opaque = not flags & 1
        is_behind = bool(empty) and (is_opaque or number > 0)
        outer = *map(min, sides[:2], empty[:2]), *map(max, sides[2:], empty[2:])
        if is_behind and not (is_opaque and outer == sides):
            return True
        empty = sides if is_opaque and flags & DISPOSAL == CLEARED else ()
    return False


def encode(picture: Picture) -> bytes:
    """A file of the frames, each in its colours, or in 256 that suit it best."""
    told = picture.metadata
    if (coded := pillow.unchanged(picture)) is not None:
        return coded if "extensions" in told else declared_size.gif_pictures(coded)
    height, width = picture.frames[0].shape[:2]
    parts, shared = gif_frames.drawn(picture.frames, alpha=picture.alpha)
    flags, table = _palette(shared)
    several = len(parts) > 1
    delays = [round(time / HUNDREDTH) for time in told.get("duration", ())]
    blocks = [b"GIF89a", struct.pack("<2H3B", width, height, flags, 0, 0), table]
    if several and told["loop"] != 1:  # plays after the first are counted
        plays = struct.pack("<BH", 1, max(told["loop"] - 1, 0))
        blocks.append(_extension(APPLICATION, LOOPS[0], plays))
    if comment := told.get("comment"):
        text = comment.encode() if isinstance(comment, str) else comment
        cut = range(0, len(text), LONGEST)
        pieces = [text[start : start + LONGEST] for start in cut]
        blocks.append(_extension(COMMENT, *pieces))
    blocks.append(told.get("extensions", b""))
    for part, delay in zip(parts, delays if several else [0], strict=True):
        nothing = part.pixels.nothing
        if several or nothing is not None:
            flags = (CLEARED if part.clears else KEPT) | (nothing is not None)
            told = flags, min(delay, 2**16 - 1), nothing or 0
            control = struct.pack("<BHB", *told)
            blocks.append(_extension(CONTROL, control))
        height, width = part.pixels.places.shape
        flags, table = _palette(part.pixels.own) if part.pixels.own else (0, b"")
        place = struct.pack("<4HB", part.left, part.top, width, height, flags)
        blocks += [b",", place, table, _compressed(part.pixels.places)]
    return b"".join([*blocks, b";"])


def _extension(kind: int, *pieces: bytes) -> bytes:
    sized = [bytes([len(piece)]) + piece for piece in pieces]
    return b"".join([b"!", bytes([kind]), *sized, b"\0"])


def _palette(colours: gif_frames.Palette) -> tuple[int, bytes]:
    """A palette as flags, which say its size, and bytes: of a power of two colours."""
    power = max((len(colours) - 1).bit_length(), 1)
    flat = np.array(colours, np.uint8).tobytes()
    return 128 | power - 1, flat.ljust(3 << power, b"\0")


def _compressed(places: np.ndarray) -> bytes:
    """The bytes of pixels, as Pillow compresses them, without its palette."""
    image = PIL.Image.fromarray(np.ascontiguousarray(places))
    data = pillow.saved([image], "GIF", {"optimize": False, "interlace": False})
    ((start, end),) = declared_size.gif_blocks(data)
    return data[start + 10 : end]
