"""What PNG, JPEG, GIF and WebP have in common: Pillow between files and pictures."""

from io import BytesIO
from typing import Any

import numpy as np
import PIL.Image

from softsort_cli.errors import CommandError
from softsort_cli.images import declared_size, formats, memory
from softsort_cli.images.picture import Picture

MODES = ("1", "L", "LA", "RGB", "RGBA", "CMYK")
CHANNELS = {"P": 3, "PA": 4}  # of colours that a palette says
EXIF_START = b"Exif\0\0"  # what JPEG, and some WebP, put before the EXIF itself


def opened(data: bytes, name: str) -> Any:
    """An image of Pillow out of a file of the format of this name."""
    PIL.Image.MAX_IMAGE_PIXELS = None  # see declared_size.check_claim
    return PIL.Image.open(BytesIO(data), formats=[name])


def picture(
    image: PIL.Image.Image, data: bytes, source: str, name: str, count: int = 1
) -> Picture:
    """So many frames of a file, and what it says beside them."""
    pixels = image.width * image.height * count
    declared_size.check_claim(source, pixels, len(data))
    memory.claim(source, pixels * CHANNELS.get(image.mode, len(image.getbands())))
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
    told = metadata(image)
    if count > 1:
        told |= {"duration": durations, "loop": image.info.get("loop", 0)}
    frames = [np.array(frame) for frame in plain]
    return Picture(source, name, frames, plain[0].mode.endswith("A"), metadata=told)


def _plain(image: PIL.Image.Image, source: str) -> PIL.Image.Image:
    """A frame without palette, with transparency as a channel."""
    transparent = image.has_transparency_data
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if transparent else "RGB")
    if image.mode not in MODES:
        raise CommandError(
            f"{source} has pixels of mode {image.mode}; {formats.WAY_OUT}"
        )
    if transparent and not image.mode.endswith("A"):
        colours = image.convert("RGBA")
        return colours if image.mode == "RGB" else colours.convert("LA")
    return image


def metadata(image: PIL.Image.Image) -> dict[str, Any]:
    """What a file says beside its pixels."""
    names = ("icc_profile", "dpi", "xmp", "comment")
    told = {name: image.info[name] for name in names if image.info.get(name)}
    exif = image.info.get("exif", b"")
    if not exif and "Raw profile type exif" in image.info:
        # An empty line, its kind, its length, and the rest in hexadecimal.
        _, _, _, *rest = image.info["Raw profile type exif"].split("\n")
        exif = bytes.fromhex("".join(rest))
    exif = exif.removeprefix(EXIF_START)
    return told | ({"exif": exif} if exif else {})


def unchanged(picture: Picture) -> bytes | None:
    """The file that a picture comes from, if that has loss and all pixels are the same.

    To code them once more would change them.
    """
    data, frames = picture.encoding.get("coded", (None, []))
    same = map(np.array_equal, picture.frames, frames)
    return data if data and all(same) else None


def saved(frames: list[PIL.Image.Image], name: str, settings: dict[str, Any]) -> bytes:
    """A file of the format of this name, with what `settings` say in Pillow's words."""
    first, *rest = frames
    several = {"save_all": True, "append_images": rest} if rest else {}
    buffer = BytesIO()
    first.save(buffer, name, **several, **settings)
    return buffer.getvalue()
