"""PNG files <-> pictures, with what Pillow does not see: chunks, and 16 bits a colour.

Single pictures are written without Pillow, several times faster.
"""

import zlib
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from softsort_cli.errors import CommandError
from softsort_cli.images import declared_size, pillow
from softsort_cli.images.picture import Picture

LONGEST = 10**6  # pixels of a side, to libpng
SIGNATURE, START = 8, 33  # bytes of it, and with the header
DELAY = slice(28, 32)  # where a frame says for how long it is shown
HUNDREDTHS = 100  # of seconds, if it says no other share
DEPTH = 24  # where the header says how many bits a channel has
END = b"\0\0\0\0IEND\xaeB`\x82"
# These describe the picture, whatever its pixels; others describe how it is stored.
DESCRIBING = b"cHRM cICP cLLI eXIf gAMA iCCP iTXt mDCV oFFs pHYs sRGB tEXt zTXt".split()
CARRIED = b"eXIf iCCP pHYs".split()  # to other formats, and some texts
KNOWN_TEXTS = b"XML:com.adobe.xmp", b"comment\0", b"Comment\0"
ANIMATION_LEVEL = 1  # of compression; higher ones take several times longer


def read(data: bytes, source: str) -> Picture:
    """Read all frames of a file."""
    with pillow.opened(data, "PNG") as image:
        count = image.n_frames
        if data[DEPTH] == 16:
            pixels = image.width * image.height * count
            declared_size.check_claim(source, pixels, len(data))
            picture = _read_16(data, source, image)
        else:
            picture = pillow.picture(image, data, source, "PNG", count)
        encoding = {"default_image": image.default_image}
    metadata = picture.metadata | {"chunks": describing_chunks(data)}
    return replace(picture, metadata=metadata, own=_own(data), encoding=encoding)


def _read_16(data: bytes, source: str, image: Any) -> Picture:
    """Read a file of 16 bits a channel; transparency becomes a channel."""
    import imagecodecs

    timing = {}
    if image.n_frames == 1:
        frames = [imagecodecs.png_decode(data)]
    elif image.default_image:
        raise CommandError(
            f"{source} is animated with 16 bits a channel, and its first picture is "
            "not shown, which is handled with 8 alone; take the frames apart first"
        )
    else:
        frames = list(imagecodecs.apng_decode(data))
        timing = {"duration": _durations(data), "loop": image.info.get("loop", 0)}
    alpha = frames[0].ndim == 3 and frames[0].shape[2] in (2, 4)
    # Pillow loads what comes behind the pixels only with them.
    described = data[:START] + describing_chunks(data) + END
    with pillow.opened(described, "PNG") as image:
        told = pillow.metadata(image) | timing
    return Picture(source, "PNG", frames, alpha, metadata=told)


def _durations(data: bytes) -> list[float]:
    """How many milliseconds each frame is shown."""
    shares = [chunk[DELAY] for kind, chunk in _chunks(data) if kind == b"fcTL"]
    pairs = [(int.from_bytes(each[:2]), int.from_bytes(each[2:])) for each in shares]
    return [1000 * some / (parts or HUNDREDTHS) for some, parts in pairs]


def describing_chunks(data: bytes) -> bytes:
    """The chunks of a PNG that describe its picture, one after the other."""
    return b"".join(chunk for kind, chunk in _chunks(data) if kind in DESCRIBING)


def _own(data: bytes) -> list[str]:
    """The kinds of chunks that say what no other format can."""
    own = set()
    for kind, chunk in _chunks(data):
        text = chunk[8:].startswith(KNOWN_TEXTS) or b"Raw profile type" in chunk[8:32]
        if kind in DESCRIBING and kind not in CARRIED and not text:
            own.add(kind)
    if b"sRGB" in own:  # which is what others take for granted
        own -= {b"sRGB", b"gAMA", b"cHRM"}
    return sorted(kind.decode() for kind in own)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = SIGNATURE
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4])
        yield data[place + 4 : place + 8], data[place:end]
        place = end


def encode(picture: Picture) -> bytes:
    """A file of the frames, and the chunks of the PNG that they come from."""
    first, *rest = picture.frames
    fits = first.dtype == "uint8" and max(first.shape) <= LONGEST
    if not rest and (fits or first.dtype == "uint16"):
        data = _encoded(first)
    elif first.dtype == "uint16":
        data = _animated_16(picture)
    else:
        timing = pillow.timing(picture)
        if rest and picture.encoding.get("default_image"):  # which is not shown
            timing |= {"default_image": True, "duration": timing["duration"][1:]}
        settings = timing | {"compress_level": ANIMATION_LEVEL}
        data = pillow.saved(pillow.images(picture), "PNG", settings)
    chunks = picture.metadata.get("chunks")
    if chunks is None:
        chunks = _chunks_of(picture.metadata)
    return data[:START] + chunks + data[START:]


def _encoded(pixels: np.ndarray) -> bytes:
    """A file of 8 or 16 bits a channel."""
    import imagecodecs

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


def _animated_16(picture: Picture) -> bytes:
    """A file of frames of 16 bits a channel, which Pillow does not write."""
    import imagecodecs

    data = imagecodecs.apng_encode(np.stack(picture.frames), level=ANIMATION_LEVEL)
    durations, parts = iter(picture.metadata["duration"]), [data[:SIGNATURE]]
    for kind, chunk in _chunks(bytes(data)):
        body = chunk[8:-4]
        if kind == b"acTL":
            body = body[:4] + picture.metadata["loop"].to_bytes(4)
        elif kind == b"fcTL":
            share = Fraction(next(durations) / 1000).limit_denominator(2**16 - 1)
            if share.numerator >= 2**16:  # a minute: whole seconds, up to 18 hours
                share = Fraction(min(round(share), 2**16 - 1))
            delay = share.numerator.to_bytes(2) + share.denominator.to_bytes(2)
            body = body[:20] + delay + body[24:]
        check = zlib.crc32(kind + body).to_bytes(4)
        parts.append(chunk[:8] + body + check)
    return b"".join(parts)


def _chunks_of(metadata: dict[str, Any]) -> bytes:
    """What Pillow writes of the metadata of another format."""
    import PIL.Image
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    if "xmp" in metadata:
        info.add_itxt("XML:com.adobe.xmp", metadata["xmp"].decode())
    names = {"exif", "icc_profile", "dpi"} & metadata.keys()
    settings = {"pnginfo": info} | {name: metadata[name] for name in names}
    return describing_chunks(
        pillow.saved([PIL.Image.new("L", (1, 1))], "PNG", settings)
    )
