"""PNG files <-> pictures, with what Pillow does not see: chunks, and 16 bits a colour.

They are written without Pillow, several times faster, and frame for frame.
"""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import PIL.Image
from PIL.PngImagePlugin import PngInfo

from softsort_cli.errors import CommandError
from softsort_cli.images import declared_size, memory, pillow, png_pixels
from softsort_cli.images.picture import Picture
from softsort_cli.images.png_pixels import END, GREY, START, chunks

CONTROL = b"fcTL"  # what comes before each frame
DELAY = slice(28, 32)  # where a frame says for how long it is shown
HUNDREDTHS = 100  # of seconds, if it says no other share
DEEP = 8  # bytes a pixel of 16 bits and of four channels has
DEPTH = 24  # where the header says how many bits a channel has
COLOURS = b"cHRM cICP cLLI gAMA iCCP mDCV sRGB".split()  # what they mean
SMALL = 1 << 5  # the bit of a letter
CARRIED = b"eXIf iCCP pHYs".split()  # to other formats, and some texts
KNOWN_TEXTS = b"XML:com.adobe.xmp", b"comment\0", b"Comment\0"


def read(data: bytes, source: str) -> Picture:
    """Read all frames of a file."""
    with pillow.opened(data, "PNG") as image:
        count, layout = image.n_frames, png_pixels.layout(data)
        if layout.kind == GREY and layout.bits in (2, 4) and layout.transparency:
            # Pillow looks for this number among those scaled to 8 bits.
            image.info["transparency"] *= 255 // (2**layout.bits - 1)
        if data[DEPTH] == 16:
            pixels = image.width * image.height * count
            declared_size.check_claim(source, pixels, len(data))
            memory.claim(source, pixels * DEEP)
            picture = _read_16(data, source, image)
        else:
            picture = pillow.picture(image, data, source, "PNG", count)
        encoding = {"default_image": image.default_image, "layout": layout}
        metadata = picture.metadata | {"chunks": describing_chunks(data)}
        if count == 1 and {"duration", "loop"} <= image.info.keys():  # of one frame
            metadata |= {"duration": [image.info["duration"]]}
            metadata |= {"loop": image.info["loop"]}
        elif count == 1:  # of an animation that is none
            metadata["chunks"] += b"".join(c for k, c in chunks(data) if k == CONTROL)
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
    shares = [chunk[DELAY] for kind, chunk in chunks(data) if kind == CONTROL]
    pairs = [(int.from_bytes(each[:2]), int.from_bytes(each[2:])) for each in shares]
    return [1000 * some / (parts or HUNDREDTHS) for some, parts in pairs]


def describing_chunks(data: bytes) -> bytes:
    """The chunks of a PNG that describe its picture, one after the other."""
    return b"".join(chunk for kind, chunk in chunks(data) if _describes(kind))


def _describes(kind: bytes) -> bool:
    """Whether a chunk describes the picture, whatever its pixels.

    Most say so, by two small letters. Others describe how it is stored.
    """
    return kind in COLOURS or bool(kind[0] & kind[3] & SMALL)


def _own(data: bytes) -> list[str]:
    """The kinds of chunks that say what no other format can."""
    own = set()
    for kind, chunk in chunks(data):
        text = chunk[8:].startswith(KNOWN_TEXTS) or b"Raw profile type" in chunk[8:32]
        if _describes(kind) and kind not in CARRIED and not text:
            own.add(kind)
    if b"sRGB" in own:  # which is what others take for granted
        own -= {b"sRGB", b"gAMA", b"cHRM"}
    return sorted(kind.decode() for kind in own)


def encode(picture: Picture) -> bytes:
    """A file of the frames, and the chunks of the PNG that they come from."""
    wanted = picture.encoding.get("layout")
    frames, layout = png_pixels.stored(picture.frames, wanted)
    if "duration" in picture.metadata:
        hidden = bool(picture.encoding.get("default_image"))
        delays = [_delay(time) for time in picture.metadata["duration"][hidden:]]
        loop = picture.metadata["loop"]
        data = png_pixels.animated(frames, layout, delays, loop)
    else:
        data = png_pixels.encoded(frames[0], layout)
    told = picture.metadata.get("chunks")
    if told is None:
        told = _chunks_of(picture.metadata)
    return data[:START] + told + layout.chunks + data[START:]


def _delay(milliseconds: float) -> tuple[int, int]:
    """How long a frame is shown, as a fraction of seconds."""
    share = Fraction(milliseconds / 1000).limit_denominator(2**16 - 1)
    if share.numerator >= 2**16:  # a minute: whole seconds, up to 18 hours
        share = Fraction(min(round(share), 2**16 - 1))
    return share.numerator, share.denominator


def _chunks_of(metadata: dict[str, Any]) -> bytes:
    """What Pillow writes of the metadata of another format."""
    info = PngInfo()
    if "xmp" in metadata:
        info.add_itxt("XML:com.adobe.xmp", metadata["xmp"].decode())
    names = {"exif", "icc_profile", "dpi"} & metadata.keys()
    settings = {"pnginfo": info} | {name: metadata[name] for name in names}
    return describing_chunks(
        pillow.saved([PIL.Image.new("L", (1, 1))], "PNG", settings)
    )
