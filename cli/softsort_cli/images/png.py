"""PNG files <-> pictures, with what Pillow does not see: chunks, and 16 bits a colour.

Single pictures are written without Pillow, several times faster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from softsort_cli.errors import CommandError
from softsort_cli.images import declared_size, pillow
from softsort_cli.images.picture import Picture

if TYPE_CHECKING:
    import numpy as np

LONGEST = 10**6  # pixels of a side, to libpng
START = 33  # bytes of the signature and the header
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
            picture = _read_16(data, source, count)
        else:
            picture = pillow.picture(image, data, source, "PNG", count)
        encoding = {"default_image": image.default_image}
    metadata = picture.metadata | {"chunks": describing_chunks(data)}
    return replace(picture, metadata=metadata, own=_own(data), encoding=encoding)


def _read_16(data: bytes, source: str, count: int) -> Picture:
    """Read a file of 16 bits a channel; transparency becomes a channel."""
    import imagecodecs

    if count > 1:
        raise CommandError(
            f"{source} is animated with 16 bits a channel: only 8 are handled; "
            "take the frames apart first"
        )
    frame = imagecodecs.png_decode(data)
    alpha = frame.ndim == 3 and frame.shape[2] in (2, 4)
    # Pillow loads what comes behind the pixels only with them.
    described = data[:START] + describing_chunks(data) + END
    with pillow.opened(described, "PNG") as image:
        return Picture(source, "PNG", [frame], alpha, metadata=pillow.metadata(image))


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
    place = 8
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
