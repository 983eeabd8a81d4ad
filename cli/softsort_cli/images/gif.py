"""GIF files <-> pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from softsort_cli.errors import CommandError
from softsort_cli.images import declared_size, pillow
from softsort_cli.images.picture import Picture

if TYPE_CHECKING:
    import PIL.Image

NOTHING = 255  # the place in the palette for pixels that are not there
# What frames that reach beyond the others may make of the picture.
MOST_GROWTH = 4


def read(data: bytes, source: str) -> Picture:
    """Read all frames of a file."""
    _check_reach(data, source)
    with pillow.opened(data, "GIF") as image:
        picture = pillow.picture(image, data, source, "GIF", image.n_frames)
    if extensions := declared_size.gif_extensions(data):
        picture.metadata["extensions"] = extensions
        picture = replace(picture, own=["application data"])
    if len(picture.frames) > 1:  # plays after the first are counted; 0 is for ever
        loop = image.info.get("loop")
        picture.metadata["loop"] = 1 if loop is None else loop and loop + 1
    return picture


def _check_reach(data: bytes, source: str) -> None:
    """Refuse a frame far outside of the picture: Pillow makes it all one."""
    width = height = most = 0
    for number, reach in enumerate(declared_size.gif(data)):
        width, height = max(width, reach.width), max(height, reach.height)
        if number < 2:  # the screen, and the first frame, which may widen it
            declared_size.check_claim(source, width * height, len(data))
            most = MOST_GROWTH * width * height
        elif width * height > most:
            raise CommandError(
                f"{source}, frame {number}, reaches to {reach.width} x {reach.height} "
                f"pixels, far outside of the picture; cut it off first, as in `magick "
                "IN -coalesce OUT.gif`"
            )


def encode(picture: Picture) -> bytes:
    """A file of the frames, each in the 256 colours that suit it best."""
    settings = picture.metadata | pillow.rounded_timing(picture)
    if plays := settings.get("loop"):  # those after the first are counted, if any
        settings["loop"] = plays - 1 or None
    if picture.alpha:
        # In the palette even of frames that are opaque: what these leave behind is then
        # nothing to every reader, and not some colour.
        settings |= {"transparency": NOTHING, "disposal": 2, "optimize": False}
    images = [_quantized(image) for image in pillow.images(picture)]
    extensions = settings.pop("extensions", b"")
    data = pillow.saved(images, "GIF", settings)
    start = declared_size.gif_start(data)
    # Before Pillow's, and in a file of the version that has them.
    return b"GIF89a" + data[6:start] + extensions + data[start:] if extensions else data


def _quantized(image: PIL.Image.Image) -> PIL.Image.Image:
    """A frame with the 256 colours that suit it best; dithering would be noise."""
    import PIL.Image

    if image.mode == "L":
        return image
    colours = np.array(image.convert("RGB"))
    alpha = image.mode.endswith("A")
    gone = np.array(image.getchannel("A")) == 0 if alpha else None
    if gone is not None:
        colours[gone] = 0
    quantized = PIL.Image.fromarray(colours).quantize(
        NOTHING if alpha else 256,
        PIL.Image.Quantize.MEDIANCUT,
        kmeans=1,  # three decibels nearer to the picture
        dither=PIL.Image.Dither.NONE,
    )
    if gone is None:
        return quantized
    palette = (quantized.getpalette() or []) + [0] * 768
    quantized.putpalette(palette[:768])
    quantized.paste(NOTHING, mask=PIL.Image.fromarray(gone))
    quantized.info["transparency"] = NOTHING
    return quantized
