"""Files <-> frames of pixels, with what else a file says about its picture.

Pillow reads and writes PNG, JPEG, GIF and WebP, tifffile all TIFF. Pixels keep their
type, and what would not survive is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softsort_cli import console
from softsort_cli.errors import CommandError
from softsort_cli.io import files

if TYPE_CHECKING:
    import numpy as np

FORMATS = {
    ".png": "PNG",
    ".apng": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".gif": "GIF",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# What each format has a place for, beside pixels.
PLACES = {
    # The chunks of a PNG and the tags of a TIFF say the same as the rest, in full.
    "PNG": {"exif", "icc_profile", "dpi", "xmp", "duration", "loop", "chunks"},
    "JPEG": {"exif", "icc_profile", "dpi", "xmp", "comment"},
    "GIF": {"comment", "duration", "loop"},
    "WEBP": {"exif", "icc_profile", "xmp", "duration", "loop"},
    "TIFF": {"exif", "icc_profile", "dpi", "xmp", "tags"},
}
TIMING = {"duration", "loop"}
# No compression of a picture gets beyond about 1,000 pixels a byte; a file that claims
# this many and does is not read. Smaller lies do no harm.
MOST_PIXELS = 2**27
MOST_PIXELS_A_BYTE = 1100
IN_CACHE = 2**16  # numbers


@dataclass(frozen=True)
class Picture:
    """The pixels of an image file, and what is written beside them."""

    source: str
    format: str  # a key of PLACES
    # (h, w) or (h, w, channels): grey, RGB or CMYK, and the opacity. Boolean for one
    # bit a pixel, whole numbers, or floats.
    frames: list[np.ndarray]
    alpha: bool = False  # the last channel is opacity
    premultiplied: bool = False  # the colours are multiplied by it
    metadata: dict[str, Any] = field(default_factory=dict)  # see PLACES
    # How the file was written, for another one of the same format.
    encoding: dict[str, Any] = field(default_factory=dict)


def read(path: Path | None) -> Picture:
    """Read an image file; what would be lost is refused."""
    from softsort_cli.images import pillow_reader, tiff

    console.silence_libraries()
    source = files.label(path)
    if path is not None and path.is_dir():
        raise CommandError(f"{path} is a folder: add -r for the images in it")
    data = files.read_bytes(path)
    if not data:
        raise CommandError(f"{source} is empty: expected an image")
    if data[:4] in TIFF_STARTS:
        return tiff.read(data, source)
    return pillow_reader.read(data, source)


def check_claim(source: str, pixels: int, size: int) -> None:
    """Refuse a file that claims to hold more than its bytes can."""
    if pixels > max(MOST_PIXELS, MOST_PIXELS_A_BYTE * size):
        raise CommandError(
            f"{source} claims {pixels} pixels, more than a file of {size} bytes should "
            "be trusted with; cut it into pieces, or scale it down"
        )


def needs_64_bits(picture: Picture) -> bool:
    """Whether floats of 32 bits cannot hold its pixels."""
    return any(_is_wide(frame.dtype) for frame in picture.frames)


def _is_wide(dtype: np.dtype) -> bool:
    return dtype.itemsize > (4 if dtype.kind == "f" else 2)


def check_type(dtype: np.dtype, source: str, bits: str) -> None:
    """Refuse pixels that floats of so many bits cannot hold."""
    if bits == "32" and _is_wide(dtype):
        raise CommandError(f"{source} has {dtype} pixels: add --precision 64")


def check_precision(picture: Picture, bits: str) -> None:
    """Refuse pixels that floats of so many bits cannot hold, and floats of no value."""
    for frame in picture.frames:
        check_type(frame.dtype, picture.source, bits)
        check_finite(frame, picture.source)


def check_finite(values: np.ndarray, source: str, where: str = "") -> None:
    """Refuse floats of no value, `where` in an image if not all of it is given."""
    import numpy as np

    if values.dtype.kind != "f":
        return
    count = values.size - sum(
        np.count_nonzero(np.isfinite(values[rows])) for rows in blocks(values)
    )
    if count:
        raise CommandError(
            f"{source} has {count} values that are NaN or infinite{where}: replace "
            "them first"
        )


def format_for(picture: Picture, path: Path | None) -> str:
    """The format of an output: by its extension, else that of the picture."""
    if path is None or files.is_stream(path) or files.is_device(path):
        return picture.format
    if path.suffix.lower() not in FORMATS:
        raise CommandError(
            f"cannot write {path}: name it .png, .jpg, .gif, .webp or .tif"
        )
    form = FORMATS[path.suffix.lower()]
    if form != picture.format:
        _check_conversion(picture, form, path)
    return form


def _check_conversion(picture: Picture, form: str, path: Path) -> None:
    """Refuse a format that cannot hold the pixels of a picture."""
    first = picture.frames[0]
    channels = first.shape[2] if first.ndim == 3 else 1
    shapes = {frame.shape for frame in picture.frames}
    reason, remedy = None, ".tif"
    if form == "TIFF":
        return
    if channels - picture.alpha not in (1, 3) and (form != "JPEG" or channels != 4):
        reason = f"{form} cannot hold {channels} channels"
    elif first.dtype.kind == "f" or first.dtype.name not in ("bool", "uint8", "uint16"):
        reason = f"{form} cannot hold {first.dtype} pixels"
    elif first.dtype != "uint8" and form != "PNG":
        reason, remedy = f"{form} cannot hold {first.dtype} pixels", ".png or .tif"
    elif len(shapes) > 1 or (len(picture.frames) > 1 and first.dtype == "uint16"):
        reason = f"{form} cannot hold {len(picture.frames)} such frames"
    elif len(picture.frames) > 1 and form == "JPEG":
        reason, remedy = "JPEG holds a single frame", ".png, .webp or .tif"
    elif picture.alpha and form == "JPEG":
        reason, remedy = "JPEG has no transparency", ".png"
    elif picture.alpha and form == "GIF" and _is_translucent(picture):
        reason, remedy = "GIF pixels are either opaque or not there", ".png"
    if reason:
        raise CommandError(f"cannot write {path}: {reason}; name it {remedy}")


def _is_translucent(picture: Picture) -> bool:
    return any(((f[..., -1] > 0) & (f[..., -1] < 255)).any() for f in picture.frames)


def encode(
    picture: Picture,
    frames: list[np.ndarray],
    form: str,
    *,
    finest: bool = False,
    strip: bool = False,
) -> bytes:
    """The file that shows other frames with the metadata of a picture.

    A JPEG keeps the quantization and the colour sampling of the JPEG that it came
    from, or gets quality 95; `finest` is as near to the pixels as JPEG and WebP can
    come. `strip` leaves out all but the timing of frames.
    """
    from softsort_cli.images import pillow_writer, tiff

    places = TIMING if strip else PLACES[form]
    lost = sorted(picture.metadata.keys() - places - {"chunks", "tags"})
    if lost and not strip:
        console.note(
            f"note: {picture.source}: {form} has no place for its {', '.join(lost)}"
        )
    metadata = {name: m for name, m in picture.metadata.items() if name in places}
    if form == "TIFF":
        return tiff.encode(picture, frames, metadata)
    return pillow_writer.encode(picture, frames, form, metadata, finest=finest)


def not_kept(
    picture: Picture, form: str, error: Exception, metadata: dict[str, Any]
) -> CommandError:
    """What there is to say when a format cannot hold a picture and its metadata."""
    remedy = "; --strip leaves its metadata out" if metadata.keys() - TIMING else ""
    return CommandError(f"{picture.source} cannot be kept as {form}: {error}{remedy}")


def to_unit(pixels: np.ndarray, dtype: str) -> np.ndarray:
    """Pixels as numbers from 0 to 1, or floats as they are."""
    import numpy as np

    if pixels.dtype.kind == "f":
        return pixels.astype(dtype)
    low, high = _range(pixels.dtype)
    values = np.empty(pixels.shape, dtype)
    for rows in blocks(pixels):
        part = pixels[rows].astype(dtype)
        part -= low
        np.divide(part, high - low, out=values[rows])
    return values


def to_pixels(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Numbers from 0 to 1 as pixels of this type, rounded half to even."""
    import numpy as np

    if dtype.kind == "f":
        return values.astype(dtype)
    low, high = _range(dtype)
    pixels = np.empty(values.shape, dtype)
    for rows in blocks(values):
        part = values[rows] * (high - low)
        part += low
        np.rint(part, out=part)
        pixels[rows] = np.clip(part, low, high, out=part)
    return pixels


def blocks(image: np.ndarray) -> Iterator[slice]:
    """The rows of an image, as many at a time as the processor's cache holds."""
    rows = max(IN_CACHE // max(image[:1].size, 1), 1)
    return (slice(start, start + rows) for start in range(0, len(image), rows))


def extremes(values: np.ndarray, dtype: np.dtype) -> tuple[float, float]:
    """Black and white among the values of pixels of a type."""
    if dtype.kind == "f":
        return float(values.min()), float(values.max())
    return 0.0, 1.0


def _range(dtype: np.dtype) -> tuple[int, int]:
    import numpy as np

    if dtype.kind == "b":
        return 0, 1
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
