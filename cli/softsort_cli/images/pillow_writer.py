"""PNG, JPEG, GIF and WebP files of pictures, through Pillow."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import TYPE_CHECKING, Any

from softsort_cli.images import picture as images
from softsort_cli.images import png

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image

PNG_LEVEL = 1  # of animations; higher ones take several times longer
NOTHING = 255  # the place in the palette of a GIF for pixels that are not there
EXIF_START = b"Exif\0\0"


def encode(
    picture: images.Picture,
    frames: list[np.ndarray],
    form: str,
    metadata: dict[str, Any],
    *,
    finest: bool = False,
) -> bytes:
    """A file of these frames, and of nothing about them that is not in `metadata`."""
    described = {n: m for n, m in metadata.items() if n not in images.TIMING}
    timing = _timing(metadata, form) if len(frames) > 1 else {}
    try:
        if form == "PNG":
            data = _png(picture, frames, timing)
            # The chunks of a PNG are carried over as they are, even if unknown here.
            chunks = described.get("chunks")
            if chunks is None:
                chunks = _chunks(described)
            return png.with_chunks(data, chunks)
        plain = [_image(frame, alpha=picture.alpha) for frame in frames]
        settings = described | timing
        if form == "JPEG":
            return _saved(
                plain, form, settings | _jpeg(picture, described, finest=finest)
            )
        if form == "WEBP":
            lossless = picture.encoding.get("lossless", picture.format != "JPEG")
            settings |= {"lossless": lossless or finest, "quality": 95, "exact": True}
            return _saved(plain, form, settings)
        if picture.alpha:
            settings |= {"transparency": NOTHING, "disposal": 2}
        return _saved([_few_colours(p) for p in plain], form, settings)
    except (OSError, ValueError, RuntimeError, struct.error) as error:
        raise images.not_kept(picture, form, error, metadata) from error


def _image(frame: np.ndarray, *, alpha: bool) -> PIL.Image.Image:
    import numpy as np
    import PIL.Image

    if frame.ndim == 3 and frame.shape[2] == 4 and not alpha:
        size = frame.shape[1], frame.shape[0]
        return PIL.Image.frombuffer("CMYK", size, np.ascontiguousarray(frame))
    return PIL.Image.fromarray(frame)


def _saved(frames: list[PIL.Image.Image], form: str, settings: dict[str, Any]) -> bytes:
    first, *rest = frames
    several = {"save_all": True, "append_images": rest} if rest else {}
    buffer = BytesIO()
    first.save(buffer, form, **several, **settings)
    return buffer.getvalue()


def _timing(metadata: dict[str, Any], form: str) -> dict[str, Any]:
    durations, plays = metadata["duration"], metadata["loop"]
    if form != "PNG":
        durations = [round(duration) for duration in durations]
    if form == "GIF" and plays:
        # A GIF counts the plays after the first.
        return {"duration": durations} | ({"loop": plays - 1} if plays > 1 else {})
    return {"duration": durations, "loop": plays}


def _png(
    picture: images.Picture, frames: list[np.ndarray], timing: dict[str, Any]
) -> bytes:
    if len(frames) == 1 and png.fits(frames[0]):
        return png.encode(frames[0])
    if timing and picture.format == "PNG" and picture.encoding.get("default_image"):
        timing = timing | {"default_image": True, "duration": timing["duration"][1:]}
    plain = [_image(frame, alpha=picture.alpha) for frame in frames]
    return _saved(plain, "PNG", timing | {"compress_level": PNG_LEVEL})


def _chunks(described: dict[str, Any]) -> bytes:
    """What Pillow writes of metadata into a PNG."""
    import PIL.Image
    from PIL.PngImagePlugin import PngInfo

    info, buffer = PngInfo(), BytesIO()
    if "xmp" in described:
        info.add_itxt("XML:com.adobe.xmp", described["xmp"].decode())
    settings = {n: m for n, m in described.items() if n != "xmp"}
    PIL.Image.new("L", (1, 1)).save(buffer, "PNG", pnginfo=info, **settings)
    return png.kept_chunks(buffer.getvalue())


def _jpeg(
    picture: images.Picture, described: dict[str, Any], *, finest: bool
) -> dict[str, Any]:
    exif = described.get("exif")
    settings = {"exif": EXIF_START + exif} if exif else {}
    if picture.format == "JPEG" and not finest:
        return settings | picture.encoding
    return settings | {"quality": 100 if finest else 95, "subsampling": 0}


def _few_colours(frame: PIL.Image.Image) -> PIL.Image.Image:
    """A frame with the 256 colours that suit it best; dithering would be noise."""
    import numpy as np
    import PIL.Image

    if frame.mode == "L":
        return frame
    alpha = frame.mode.endswith("A")
    colours = np.array(frame.convert("RGB"))
    gone = np.array(frame.getchannel("A")) == 0 if alpha else None
    if gone is not None:
        colours[gone] = 0
    few = PIL.Image.fromarray(colours).quantize(
        NOTHING if alpha else 256,
        PIL.Image.Quantize.MEDIANCUT,
        dither=PIL.Image.Dither.NONE,
    )
    if gone is None:
        return few
    palette = (few.getpalette() or []) + [0] * 768
    few.putpalette(palette[:768])
    few.paste(NOTHING, mask=PIL.Image.fromarray(gone))
    few.info["transparency"] = NOTHING
    return few
