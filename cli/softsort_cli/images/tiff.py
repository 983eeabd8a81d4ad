"""TIFF files <-> pictures, through tifffile; each page is a frame."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

from softsort_cli.errors import CommandError
from softsort_cli.images import tiff_checks, tiff_tags
from softsort_cli.images.picture import Picture

if TYPE_CHECKING:
    import numpy as np
    import tifffile

# None, LZW, Deflate, PackBits, LZMA, Zstandard: no loss. Others become Deflate.
COMPRESSIONS = (1, 5, DEFLATE := 8, 32773, 34925, 50000)

LOGGER = logging.getLogger("tifffile")
LOGGER.propagate = False
LOGGER.addHandler(logging.NullHandler())


def read(data: bytes, source: str) -> Picture:
    """Read all pages of a file."""
    import tifffile

    tiff_tags.check_shared(data)
    with _complaints(), tifffile.TiffFile(BytesIO(data)) as file:
        return _read(file, data, source)


@contextmanager
def _complaints() -> Iterator[None]:
    """Raise what tifffile only logs, such as pages that it cannot find."""
    thread = threading.get_ident()
    complaints: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread and record.levelno >= logging.ERROR:
                complaints.append(record.getMessage())

    collector = Collector()
    LOGGER.addHandler(collector)
    try:
        yield
    finally:
        LOGGER.removeHandler(collector)
    if complaints:
        raise ValueError(complaints[0])


def _read(file: tifffile.TiffFile, data: bytes, source: str) -> Picture:
    pages: list[Any] = list(file.pages)
    if not pages:
        raise CommandError(f"{source} is damaged: it has no pages")
    places = [f"{source}, page {number + 1}," for number in range(len(pages))]
    for page, place in zip(pages, places, strict=True):
        tiff_checks.check_page(page, len(data), place)
    tiff_checks.note_copies(pages, source)
    listed = (file.imagej_metadata or {}).get("images", 1)
    if listed > len(pages):
        raise CommandError(
            f"{source} lists {len(pages)} of its {listed} images as pages: save it as "
            "another kind of TIFF first, such as OME-TIFF"
        )
    tiff_checks.check_claim(pages, len(data), source)
    for page, place in zip(pages, places, strict=True):
        tiff_checks.check_segments(page, data, place)
    samples, *others = {tuple(page.extrasamples) for page in pages}
    if others:
        raise CommandError(f"{source} has pages with and without alpha; split it first")
    return Picture(
        source,
        "TIFF",
        [_frame(page) for page in pages],
        alpha=samples in ((tiff_checks.PREMULTIPLIED,), (tiff_checks.ALPHA,)),
        premultiplied=samples == (tiff_checks.PREMULTIPLIED,),
        metadata=tiff_tags.metadata(pages, data),
        encoding={
            "pages": [layout(page) for page in pages],
            "bigtiff": file.is_bigtiff,
            "byteorder": file.byteorder,
        },
    )


def _frame(page: Any) -> np.ndarray:
    """The pixels of a page: channels last, white high, and no palette."""
    import numpy as np

    pixels = page.asarray()
    if page.axes == "SYX":
        pixels = np.moveaxis(pixels, 0, -1)
    if page.photometric != tiff_checks.PALETTE:
        return _upright(pixels, page.photometric)
    colours = np.asarray(page.colormap).T
    if page.dtype.itemsize == 1:  # whose colours may be of 8 bits in one of two ways
        if not (colours & 255).any():
            colours = (colours >> 8).astype(np.uint8)
        elif not (colours % 257).any():
            colours = (colours // 257).astype(np.uint8)
    return colours[pixels.astype(np.intp)]


def _upright(pixels: np.ndarray, photometric: int) -> np.ndarray:
    """Pixels with white high, and back."""
    if photometric != tiff_checks.WHITE_IS_ZERO or pixels.dtype.kind == "f":
        return pixels
    return ~pixels  # also of signed numbers


def layout(page: Any) -> dict[str, Any]:
    """How a page is stored, in tifffile's words for `write`."""
    lossless = page.compression in COMPRESSIONS
    compression = int(page.compression) if lossless else DEFLATE
    predicts = lossless and compression > 1
    colours = (
        tiff_checks.RGB
        if page.photometric in (tiff_checks.PALETTE, tiff_checks.YCBCR)
        else int(page.photometric)
    )
    stored: dict[str, Any] = {
        "photometric": colours,
        "planarconfig": int(page.planarconfig) if page.ndim == 3 else None,
        "compression": compression,
        "predictor": int(page.predictor) if predicts else None,
        "subfiletype": int(page.subfiletype),
        "extrasamples": [int(sample) for sample in page.extrasamples] or None,
    }
    if page.is_tiled:
        stored["tile"] = (page.tilelength, page.tilewidth)
    elif page.rowsperstrip:
        stored["rowsperstrip"] = min(page.rowsperstrip, page.imagelength)
    return stored


def beside(tags: tiff_tags.Tags) -> dict[str, Any]:
    """What is written beside the pixels of a page, in tifffile's words."""
    return {
        "resolution": tags.resolution,
        "resolutionunit": tags.unit,
        "extratags": tags.others,
        "metadata": None,
        "software": False,
    }


def encode(picture: Picture) -> bytes:
    """A file of the frames, each stored as its page was in the TIFF they come from."""
    import numpy as np
    import tifffile

    frames, encoding, metadata = picture.frames, picture.encoding, picture.metadata
    if encoding:
        byteorder, tags = encoding["byteorder"], metadata.get("tags", [])
    else:
        byteorder, first = tiff_tags.from_metadata(metadata)
        tags = [first]
    layouts = encoding.get("pages") or [_default_layout(picture)] * len(frames)
    bigtiff = encoding.get("bigtiff", False)
    tags = tags + [tiff_tags.Tags()] * (len(frames) - len(tags))
    buffer = BytesIO()
    with tifffile.TiffWriter(buffer, bigtiff=bigtiff, byteorder=byteorder) as file:
        for frame, stored, told in zip(frames, layouts, tags, strict=True):
            pixels = _upright(frame, stored["photometric"])
            if stored.get("planarconfig") == tiff_checks.SEPARATE:
                pixels = np.moveaxis(pixels, -1, 0)
            file.write(pixels, **stored, **beside(told))
    data = buffer.getvalue()
    return tiff_tags.with_exif(data, metadata["exif"]) if "exif" in metadata else data


def _default_layout(picture: Picture) -> dict[str, Any]:
    first = picture.frames[0]
    channels = (first.shape[2] if first.ndim == 3 else 1) - picture.alpha
    return {
        "photometric": {
            1: tiff_checks.BLACK_IS_ZERO,
            3: tiff_checks.RGB,
            4: tiff_checks.CMYK,
        }[channels],
        "compression": DEFLATE,
        "predictor": 1 if first.dtype == bool else 2,
        "extrasamples": [tiff_checks.ALPHA] if picture.alpha else None,
    }
