"""Files <-> arrays of 8-bit pixels, with what else the file says about its picture."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import files
from cli.errors import CommandError

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG"}
PNG_COLOURS = {0: "L", 2: "RGB", 4: "LA", 6: "RGBA"}
WAY_OUT = "convert it first, as in `magick IN -depth 8 PNG32:OUT.png`"


@dataclass(frozen=True)
class Picture:
    """The pixels of an image, and what is written beside them."""

    source: str
    format: str  # PNG or JPEG
    pixels: np.ndarray  # uint8, (h, w) or (h, w, channels), channels L A or R G B [A]
    metadata: dict[str, Any]  # EXIF, ICC profile, resolution
    compression: dict[str, Any]  # for JPEG, that of the file

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is opacity."""
        return self.pixels.ndim == 3 and self.pixels.shape[2] in (2, 4)


def read(path: Path | None) -> Picture:
    """Read an 8-bit PNG or JPEG; what would be lost is refused."""
    import numpy as np
    import PIL.Image

    source = files.label(path)
    data = files.read_bytes(path)
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images, and refuses huge ones.
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
            with PIL.Image.open(BytesIO(data)) as image:
                _check(image, data, source)
                image.load()
                pixels = np.array(image)
                metadata, compression = _metadata(image), _compression(image)
                form = str(image.format)
    except PIL.UnidentifiedImageError:
        what = "empty" if not data else "not an image"
        raise CommandError(f"{source} is {what}: expected a PNG or JPEG file") from None
    except PIL.Image.DecompressionBombError as error:
        raise CommandError(
            f"{source} claims more pixels than a file of {len(data)} bytes should be "
            "trusted with; cut it into pieces, or scale it down"
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise CommandError(f"{source} is damaged: {error}") from error
    return Picture(source, form, pixels, metadata, compression)


def _check(image: PIL.Image.Image, data: bytes, source: str) -> None:
    """Refuse what Pillow would silently turn into something else."""
    if image.format == "MPO":
        raise CommandError(
            f"{source} holds several pictures: take the first one out, as in "
            "`magick IN[0] OUT.jpg`"
        )
    if image.format not in ("PNG", "JPEG"):
        raise CommandError(
            f"{source} is a {image.format} file: only PNG and JPEG are read; {WAY_OUT}"
        )
    if getattr(image, "n_frames", 1) > 1:
        raise CommandError(
            f"{source} is animated: only single pictures are read; take the frames "
            "apart first, as in `ffmpeg -i IN frame%03d.png`"
        )
    if image.format == "JPEG":
        known = image.mode in ("L", "RGB")
        what = f"a {image.mode} JPEG"
    else:
        # The header tells the depth and the colours; Pillow's mode does not.
        depth, colours = data[24], PNG_COLOURS.get(data[25])
        known = depth == 8 and colours is not None and "transparency" not in image.info
        what = f"a PNG of {depth} bits" if colours else "a PNG with a palette"
        if known is False and depth == 8 and colours:
            what = "a PNG with one transparent colour"
    if not known:
        raise CommandError(
            f"{source} is {what}: only 8-bit grey and RGB, with or without alpha, are "
            f"handled; {WAY_OUT}"
        )


def _metadata(image: PIL.Image.Image) -> dict[str, Any]:
    kept = {key: image.info[key] for key in ("icc_profile", "dpi") if key in image.info}
    exif = image.getexif()
    return kept | ({"exif": exif} if len(exif) else {})


def _compression(image: PIL.Image.Image) -> dict[str, Any]:
    if image.format != "JPEG":
        return {}
    from PIL.JpegImagePlugin import JpegImageFile, get_sampling

    assert isinstance(image, JpegImageFile)
    kept = {"qtables": image.quantization, "progressive": "progressive" in image.info}
    sampling = get_sampling(image)
    return kept | ({"subsampling": sampling} if sampling >= 0 else {})


def format_for(picture: Picture, path: Path | None) -> str:
    """The format of an output: by its extension, else that of the picture."""
    if path is None or files.is_stream(path):
        return picture.format
    if path.suffix.lower() not in FORMATS:
        raise CommandError(f"cannot write {path}: name it .png or .jpg")
    form = FORMATS[path.suffix.lower()]
    if form == "JPEG" and picture.has_alpha:
        raise CommandError(
            f"cannot write {path}: JPEG has no transparency; name it .png"
        )
    return form


def encode(picture: Picture, pixels: np.ndarray, form: str, *, finest: bool) -> bytes:
    """The file that shows other pixels with the metadata of a picture.

    A JPEG keeps the quantization and the colour sampling of the JPEG that it came
    from, or gets quality 95; `finest` is as near to the pixels as JPEG can come.
    """
    import PIL.Image

    settings: dict[str, Any] = {}
    if form == "JPEG":
        settings = {"quality": 95, "subsampling": 0}
        if finest:
            settings["quality"] = 100
        elif picture.format == "JPEG":
            settings = picture.compression
    buffer = BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, form, **picture.metadata, **settings)
    return buffer.getvalue()


def to_unit(pixels: np.ndarray, dtype: str) -> np.ndarray:
    """Pixels as numbers from 0 to 1."""
    return pixels.astype(dtype) / 255


def to_pixels(values: np.ndarray) -> np.ndarray:
    """Numbers from 0 to 1 as pixels, rounded half to even."""
    import numpy as np

    return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
