"""Pictures out of PNG, JPEG, GIF and WebP files, through Pillow."""

from __future__ import annotations

import struct
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any

from softsort_cli import console
from softsort_cli.errors import CommandError
from softsort_cli.images import declared_size, picture, png

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image

READ = ("PNG", "JPEG", "GIF", "WEBP")  # to Pillow MPO is a kind of JPEG
MODES = ("1", "L", "LA", "RGB", "RGBA", "CMYK")
EXIF_START = b"Exif\0\0"  # what JPEG, and some WebP, put before the EXIF itself
WAY_OUT = "convert it first, as in `magick IN OUT.tif`"
# What frames of a GIF that reach beyond the others may make of the picture.
MOST_GROWTH = 4


def read(data: bytes, source: str) -> picture.Picture:
    """Read all frames of a file."""
    import PIL.Image

    # Claims are judged here, by the size of the file; others than these formats would
    # be opened without that.
    PIL.Image.MAX_IMAGE_PIXELS = None
    try:
        _check_claims(data, source)
        with PIL.Image.open(BytesIO(data), formats=READ) as image:
            return _read(image, data, source)
    except PIL.UnidentifiedImageError:
        raise CommandError(_unknown(data, source)) from None
    except (CommandError, MemoryError):
        raise
    except Exception as error:  # a broken file can break the reader anywhere
        raise CommandError(f"{source} is damaged: {error}") from error


def _read(image: PIL.Image.Image, data: bytes, source: str) -> picture.Picture:
    import PIL.Image

    form, count = str(image.format), getattr(image, "n_frames", 1)
    if form == "MPO" or (form == "JPEG" and "mp" in image.info):
        # A preview, a map of brightness or depth, or another view, each a JPEG.
        form, count = "JPEG", 1
        console.note(f"note: {source} holds several pictures: only the first is kept")
    picture.check_claim(source, image.width * image.height * count, len(data))
    if form == "PNG" and png.header(data).depth == 16:
        if count > 1:
            raise CommandError(
                f"{source} is animated with 16 bits a channel: only 8 are handled; "
                "take the frames apart first"
            )
        frames = [png.decode_16(data)]
        alpha = frames[0].ndim == 3 and frames[0].shape[2] in (2, 4)
        durations: list[float] = []
    else:
        frames, alpha, durations = _frames(image, count, source)
    if form == "PNG" and frames[0].dtype == "uint16":
        # Pillow has not loaded it, nor seen what comes behind the pixels.
        with PIL.Image.open(BytesIO(png.without_pixels(data))) as described:
            metadata = _metadata(described)
    else:
        metadata = _metadata(image)
    if form == "PNG":
        metadata["chunks"] = png.kept_chunks(data)
    if count > 1:
        metadata["duration"] = durations
        metadata["loop"] = _plays(image)
    return picture.Picture(
        source, form, frames, alpha, metadata=metadata, encoding=_encoding(image, data)
    )


def _check_claims(data: bytes, source: str) -> None:
    """Refuse what would take too much memory as soon as Pillow opens it."""
    if data[:4] == b"GIF8":
        _check_reach(data, source)
    elif data[8:12] == b"WEBP" and (sides := declared_size.webp(data)):
        picture.check_claim(source, sides.width * sides.height, len(data))
    elif data[:2] == b"\xff\xd8" and declared_size.has_shared_tags(
        declared_size.jpeg_exif(data)
    ):
        raise CommandError(f"{source} is damaged: the tags of its EXIF overlap")


def _check_reach(data: bytes, source: str) -> None:
    """Refuse a frame of a GIF far outside of the picture: Pillow makes it all one."""
    width = height = most = 0
    for number, reach in enumerate(declared_size.gif(data)):
        width, height = max(width, reach.width), max(height, reach.height)
        if number < 2:  # the screen, and the first frame, which may widen it
            picture.check_claim(source, width * height, len(data))
            most = MOST_GROWTH * width * height
        elif width * height > most:
            raise CommandError(
                f"{source}, frame {number}, reaches to {reach.width} x {reach.height} "
                f"pixels, far outside of the picture; cut it off first, as in `magick "
                "IN -coalesce OUT.gif`"
            )


def _unknown(data: bytes, source: str) -> str:
    """What there is to say of a file that is none of those that are read."""
    import PIL.Image

    for name, (_, accepts) in PIL.Image.OPEN.items():
        with suppress(IndexError, struct.error):
            if accepts and name not in READ and accepts(data[:16]) is True:
                return (
                    f"{source} is a {name} file: PNG, JPEG, GIF, WebP and TIFF are "
                    f"read; {WAY_OUT}"
                )
    return f"{source} is not an image: expected PNG, JPEG, GIF, WebP or TIFF"


def _frames(
    image: PIL.Image.Image, count: int, source: str
) -> tuple[list[np.ndarray], bool, list[float]]:
    """The pixels of each frame, if they have opacity, and how long each is shown."""
    import numpy as np

    plain, durations, size = [], [], image.size
    for index in range(count):
        image.seek(index)
        image.load()
        frame = _plain(image, source)
        if frame.size != size:  # a frame of a GIF that reaches beyond the picture
            frame = frame.crop((0, 0, *size))
        plain.append(frame.copy() if frame is image and count > 1 else frame)
        durations.append(image.info.get("duration", 0))
    modes = {frame.mode for frame in plain}
    if len(modes) > 1:
        # The first frame of a GIF may be grey, or opaque, and others not.
        mode = "RGB" if modes & {"RGB", "RGBA"} else "L"
        mode += "A" if modes & {"LA", "RGBA"} else ""
        plain = [frame.convert(mode) for frame in plain]
    return [np.array(frame) for frame in plain], plain[0].mode.endswith("A"), durations


def _plain(image: PIL.Image.Image, source: str) -> PIL.Image.Image:
    """A frame without palette, with transparency as a channel."""
    transparent = image.has_transparency_data
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if transparent else "RGB")
    if image.mode not in MODES:
        raise CommandError(f"{source} has pixels of mode {image.mode}; {WAY_OUT}")
    if transparent and not image.mode.endswith("A"):
        colours = image.convert("RGBA")
        return colours if image.mode == "RGB" else colours.convert("LA")
    return image


def _plays(image: PIL.Image.Image) -> int:
    """How often an animation is shown; 0 is for ever."""
    if image.format != "GIF":
        return image.info.get("loop", 0)
    loop = image.info.get("loop")
    return 1 if loop is None else loop + 1 if loop else 0


def _metadata(image: PIL.Image.Image) -> dict[str, Any]:
    names = ("icc_profile", "dpi", "xmp", "comment")
    kept = {name: image.info[name] for name in names if image.info.get(name)}
    exif = image.info.get("exif", b"")
    if not exif and "Raw profile type exif" in image.info:
        # An empty line, its kind, its length, and the rest in hexadecimal.
        _, _, _, *rest = image.info["Raw profile type exif"].split("\n")
        exif = bytes.fromhex("".join(rest))
    exif = exif.removeprefix(EXIF_START)
    return kept | ({"exif": exif} if exif else {})


def _encoding(image: PIL.Image.Image, data: bytes) -> dict[str, Any]:
    """How a file was encoded, in Pillow's words for `save` where it has them."""
    if image.format == "PNG":
        return {"default_image": getattr(image, "default_image", False)}
    if image.format == "WEBP":
        return {"lossless": _is_lossless(data)}
    if image.format == "GIF":
        return {}
    from PIL.JpegImagePlugin import JpegImageFile, get_sampling

    assert isinstance(image, JpegImageFile)
    kept = {
        "qtables": image.quantization,
        "progressive": "progressive" in image.info,
        "keep_rgb": image.info.get("adobe_transform") == 0 and image.mode == "RGB",
    }
    if image.layers == 3:
        # Pillow writes 4:4:4, 4:2:2 and 4:2:0: of others, such as 4:4:0, all is kept.
        kept["subsampling"] = max(get_sampling(image), 0)
    return kept


def _is_lossless(data: bytes) -> bool:
    """Whether the first frame of a WebP file is coded without loss."""
    place = 12
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, place)
        if kind in (b"VP8L", b"VP8 "):
            return kind == b"VP8L"
        # An animation's frame has a header of 16 bytes, and chunks of its own.
        place += 24 if kind == b"ANMF" else 8 + size + size % 2
    return False
