"""JPEG files <-> pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from softsort_cli import console
from softsort_cli.errors import CommandError
from softsort_cli.images import declared_size, pillow
from softsort_cli.images.picture import Picture

if TYPE_CHECKING:
    import PIL.Image


def read(data: bytes, source: str) -> Picture:
    """Read the first picture of a file."""
    if declared_size.has_shared_tags(declared_size.jpeg_exif(data)):
        raise CommandError(f"{source} is damaged: the tags of its EXIF overlap")
    with pillow.opened(data, "JPEG") as image:
        if image.format == "MPO" or "mp" in image.info:
            # A preview, a map of brightness or depth, or another view, each a JPEG.
            console.note(
                f"note: {source} holds several pictures: only the first is kept"
            )
        picture = pillow.picture(image, data, source, "JPEG")
        return replace(picture, encoding=_encoding(image))


def encode(picture: Picture) -> bytes:
    """A file of a frame, in quality 95 if its encoding does not say otherwise."""
    import numpy as np
    import PIL.Image

    encoding = picture.encoding or {"quality": 95, "subsampling": 0}
    settings = picture.metadata | encoding
    if "exif" in settings:
        settings["exif"] = pillow.EXIF_START + settings["exif"]
    images = pillow.images(picture)
    if picture.frames[0].shape[2:] == (4,):
        frame = np.ascontiguousarray(picture.frames[0])
        images = [PIL.Image.frombuffer("CMYK", images[0].size, frame)]
    return pillow.saved(images, "JPEG", settings)


def _encoding(image: PIL.Image.Image) -> dict[str, Any]:
    """How a file was encoded, in Pillow's words for `save`."""
    from PIL.JpegImagePlugin import JpegImageFile, get_sampling

    assert isinstance(image, JpegImageFile)
    encoding = {
        "qtables": image.quantization,
        "progressive": "progressive" in image.info,
        "keep_rgb": image.info.get("adobe_transform") == 0 and image.mode == "RGB",
    }
    if image.layers == 3:
        # Pillow writes 4:4:4, 4:2:2 and 4:2:0: of others, such as 4:4:0, all is kept.
        encoding["subsampling"] = max(get_sampling(image), 0)
    return encoding
