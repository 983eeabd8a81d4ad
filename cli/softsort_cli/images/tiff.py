"""TIFF files <-> pictures, through tifffile; each page is a frame."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import TYPE_CHECKING, Any

from softsort_cli import console
from softsort_cli.errors import CommandError
from softsort_cli.images import memory, tiff_checks, tiff_pixels, tiff_tags
from softsort_cli.images.picture import Picture

if TYPE_CHECKING:
    import tifffile

MOST_SAMPLE, NODATA = 281, 42113  # tags
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
    memory.claim(source, sum(page.nbytes for page in pages))
    for page, place in zip(pages, places, strict=True):
        tiff_checks.check_segments(page, data, place)
    samples, *others = {tiff_checks.extra_samples(page) for page in pages}
    if others:
        raise CommandError(f"{source} has pages with and without alpha; split it first")
    return Picture(
        source,
        "TIFF",
        [tiff_pixels.frame(page) for page in pages],
        lab=any(page.photometric in tiff_checks.LAB for page in pages),
        alpha=samples in ((tiff_checks.PREMULTIPLIED,), (tiff_checks.ALPHA,)),
        premultiplied=samples == (tiff_checks.PREMULTIPLIED,),
        metadata=tiff_tags.metadata(pages, data),
        own=tiff_tags.own(pages),
        encoding={
            "white": _white(pages[0]),
            "nodata": _nodata(pages[0]),
            "pages": [tiff_pixels.layout(page) for page in pages],
            "palettes": [tiff_pixels.colormap(page) for page in pages],
            "bigtiff": file.is_bigtiff,
            "byteorder": file.byteorder,
        },
    )


def _white(page: Any) -> int | None:
    """The largest value that a page says to hold."""
    tag = page.tags.get(MOST_SAMPLE)
    values = (
        (tag.value if isinstance(tag.value, tuple) else (tag.value,)) if tag else ()
    )
    return max((each for each in values if isinstance(each, int)), default=None)


def _nodata(page: Any) -> float | None:
    """The value that a page says to be none, as GDAL writes it."""
    tag = page.tags.get(NODATA)
    with suppress(ValueError):
        return float(str(tag.value).strip("\0 ")) if tag else None
    return None


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
    import tifffile

    frames, encoding, metadata = picture.frames, picture.encoding, picture.metadata
    if encoding:
        byteorder, tags = encoding["byteorder"], metadata.get("tags", [])
    else:
        byteorder, first = tiff_tags.from_metadata(metadata)
        tags = [first]
    layouts = encoding.get("pages") or [_default_layout(picture)] * len(frames)
    palettes = encoding.get("palettes") or [None] * len(frames)
    bigtiff = encoding.get("bigtiff", False)
    tags = tags + [tiff_tags.Tags()] * (len(frames) - len(tags))
    indexed = list(map(tiff_pixels.in_palette, frames, palettes))
    for number, (page, colormap) in enumerate(zip(indexed, palettes, strict=True)):
        if page is not None:
            tags[number] = tiff_tags.with_colormap(tags[number], colormap)
        elif colormap is not None:
            tags[number] = tiff_tags.without_palette(tags[number], picture.source)

    def written(tags: Sequence[tiff_tags.Tags]) -> bytes:
        buffer = BytesIO()
        with tifffile.TiffWriter(buffer, bigtiff=bigtiff, byteorder=byteorder) as file:
            pages = zip(frames, layouts, indexed, tags, strict=True)
            for frame, stored, places, told in pages:
                page = places or {"data": tiff_pixels.stored(frame, stored)}
                file.write(**(stored | page), **beside(told))
        return buffer.getvalue()

    data = written(tags)
    if _is_taken_for_one_block(data):
        console.note(
            f"note: {picture.source}: its description, the shape of all pages, is left "
            "out: readers would look for so small pages in the wrong places"
        )
        data = written([tiff_tags.without_shape(each) for each in tags])
    return tiff_tags.with_exif(data, metadata["exif"]) if "exif" in metadata else data


def _is_taken_for_one_block(data: bytes) -> bool:
    """Whether tifffile would read pages as if one followed the other without a gap.

    By their description, the shape of all, and if they are so small that what is
    between them is larger.
    """
    import tifffile

    with tifffile.TiffFile(BytesIO(data)) as file:
        return file.is_shaped and any(
            series.dataoffset is not None
            and page.dataoffsets[0] != series.dataoffset + number * page.nbytes
            for series in file.series
            for number, page in enumerate(series.pages)
            if page
        )


def _default_layout(picture: Picture) -> dict[str, Any]:
    first = picture.frames[0]
    channels = (first.shape[2] if first.ndim == 3 else 1) - picture.alpha
    return {
        "photometric": {
            1: tiff_checks.BLACK_IS_ZERO,
            3: tiff_checks.RGB,
            4: tiff_checks.CMYK,
        }[channels],
        "compression": tiff_pixels.DEFLATE,
        "predictor": 1 if first.dtype == bool else 2,
        "extrasamples": [tiff_checks.ALPHA] if picture.alpha else None,
    }
