"""TIFF files <-> pictures, through tifffile; each page is a frame."""

from __future__ import annotations

import logging
import math
import operator
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

from softsort_cli import console
from softsort_cli.errors import CommandError
from softsort_cli.images import declared_size, tiff_tags
from softsort_cli.images import picture as images

if TYPE_CHECKING:
    import numpy as np
    import tifffile

DTYPES = (
    *("bool", "uint8", "uint16", "uint32", "int8", "int16", "int32"),
    *("float16", "float32", "float64"),
)
# Photometric interpretations.
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
JPEG, OLD_JPEG = 7, 6
STRIP_OFFSETS = 273
# Compressions whose strips and tiles are pictures that say how large they are.
READERS: dict[int, Any] = dict.fromkeys(
    (JPEG, OLD_JPEG, 33007, 34892), declared_size.jpeg
)
READERS |= dict.fromkeys((33003, 33004, 33005, 34712), declared_size.jpeg_2000)
READERS |= dict.fromkeys((50001, 34927), declared_size.webp) | {
    34933: declared_size.png
}
# Others, whose decoders refuse another size than they are told.
TOLD = {50002: "jpegxl", 52546: "jpegxl", 34934: "jpegxr", 22610: "jpegxr"}
TOLD[34887] = "lerc"
BLOCK = 16  # pixels of a side of a block of JPEG, at most
# None, LZW, Deflate, PackBits, LZMA, Zstandard: no loss. Others become Deflate.
COMPRESSIONS = (1, 5, DEFLATE := 8, 32773, 34925, 50000)
PREMULTIPLIED, ALPHA = 1, 2  # kinds of extra samples
SEPARATE = 2  # planes of colours one after the other
WAY_OUT = "convert it first, as in `magick IN OUT.tif`"

LOGGER = logging.getLogger("tifffile")
LOGGER.propagate = False
LOGGER.addHandler(logging.NullHandler())


def read(data: bytes, source: str) -> images.Picture:
    """Read all pages of a file."""
    import tifffile

    try:
        tiff_tags.check_shared(data)
        with _complaints(), tifffile.TiffFile(BytesIO(data)) as file:
            return _read(file, data, source)
    except (CommandError, MemoryError):
        raise
    except Exception as error:  # a broken file can break the reader anywhere
        raise CommandError(f"{source} is damaged: {error}") from error


@contextmanager
def _complaints() -> Iterator[None]:
    """Raise what tifffile only logs, such as pages that it cannot find."""
    thread = threading.get_ident()
    found: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread and record.levelno >= logging.ERROR:
                found.append(record.getMessage())

    collector = Collector()
    LOGGER.addHandler(collector)
    try:
        yield
    finally:
        LOGGER.removeHandler(collector)
    if found:
        raise ValueError(found[0])


def _read(file: tifffile.TiffFile, data: bytes, source: str) -> images.Picture:
    pages: list[Any] = list(file.pages)
    if not pages:
        raise CommandError(f"{source} is damaged: it has no pages")
    for number, page in enumerate(pages):
        check_page(page, len(data), f"{source}, page {number + 1},")
    note_copies(pages, source)
    listed = (file.imagej_metadata or {}).get("images", 1)
    if listed > len(pages):
        raise CommandError(
            f"{source} lists {len(pages)} of its {listed} images as pages: save it as "
            "another kind of TIFF first, such as OME-TIFF"
        )
    check_claim(pages, len(data), source)
    view = memoryview(data)
    for number, page in enumerate(pages):
        where = f"{source}, page {number + 1},"
        if page.jpegheader is not None:  # its tiles are parts of one JPEG
            whole = declared_size.jpeg(data[page.tags[STRIP_OFFSETS].value[0] :])
            _check_sides(whole, page, (page.imagelength, page.imagewidth), where)
        for index, start in enumerate(page.dataoffsets):
            part = view[start : start + page.databytecounts[index]]
            check_part(page, index, part, where)
    extra = {tuple(page.extrasamples) for page in pages}
    if len(extra) > 1:
        raise CommandError(f"{source} has pages with and without alpha; split it first")
    frames = [_frame(page) for page in pages]
    samples = extra.pop()
    return images.Picture(
        source,
        "TIFF",
        frames,
        alpha=samples in ((PREMULTIPLIED,), (ALPHA,)),
        premultiplied=samples == (PREMULTIPLIED,),
        metadata=tiff_tags.metadata(pages, data),
        encoding={
            "pages": [layout(page) for page in pages],
            "bigtiff": file.is_bigtiff,
            "byteorder": file.byteorder,
        },
    )


def check_page(page: Any, size: int, source: str) -> None:
    """Refuse a page that would not come back as it was."""
    reason = None
    jpeg = page.compression in (JPEG, OLD_JPEG)
    if page.dtype is None or page.dtype.name not in DTYPES:
        reason = f"has {page.bitspersample} bits of an unusual kind a pixel"
    elif page.bitspersample != (8 * page.dtype.itemsize if page.dtype != bool else 1):
        reason = f"has {page.bitspersample} bits a pixel"
    elif page.axes not in ("YX", "YXS", "SYX"):
        reason = f"has axes {page.axes}"
    elif page.photometric not in (0, 1, RGB, PALETTE, CMYK) and not (
        page.photometric == YCBCR and jpeg
    ):
        reason = f"has colours of kind {int(page.photometric)}"
    elif PREMULTIPLIED in page.extrasamples[1:] or ALPHA in page.extrasamples[1:]:
        reason = "has other channels before its opacity"
    elif not all(inside.is_reduced for inside in page.pages or ()):
        reason = "has other pictures inside"
    elif page.index > 0 and tiff_tags.EXIF in page.tags:
        reason = "has EXIF of its own"
    if reason:
        raise CommandError(f"{source} {reason}, which is not handled; {WAY_OUT}")
    if 0 in (*page.shape, *stored_sides(page)):
        raise CommandError(f"{source} is damaged: it has no pixels")
    found = {len(page.dataoffsets), len(page.databytecounts)}
    if found != {count := _parts(page)} and not (found == {1} and page.is_contiguous):
        raise CommandError(
            f"{source} is damaged: it does not list {count} strips or tiles"
        )
    # GDAL leaves out those without content, and says zero for both.
    places = zip(page.dataoffsets, page.databytecounts, strict=True)
    if any(bool(start) != bool(length) for start, length in places):
        raise CommandError(f"{source} is damaged: it has a hole")
    ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))
    if max(ends, default=0) > size:
        raise CommandError(f"{source} is damaged: it ends before its pixels do")


def stored_sides(page: Any) -> tuple[int, int]:
    """Rows and columns of the strips or tiles of a page."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def _parts(page: Any) -> int:
    """How many strips or tiles a page consists of."""
    down, across = stored_sides(page)
    planes = page.samplesperpixel if page.planarconfig == SEPARATE else 1
    return -(-page.imagelength // down) * -(-page.imagewidth // across) * planes


def _channels(page: Any) -> int:
    """The channels in each strip or tile of a page."""
    return 1 if page.planarconfig == SEPARATE else page.samplesperpixel


def check_claim(pages: list[Any], size: int, source: str) -> None:
    """Refuse pages that claim more than a file of so many bytes can hold.

    Tiles reach beyond the picture, and are decoded as a whole.
    """
    pixels = sum(
        _parts(page) * math.prod(stored_sides(page)) * _channels(page) for page in pages
    )
    images.check_claim(source, pixels, size)


def check_part(page: Any, index: int, coded: bytes | memoryview, source: str) -> None:
    """Refuse a strip or tile that is a picture of its own, and larger."""
    kind = int(page.compression)
    if not coded or kind not in READERS.keys() | TOLD.keys():
        return
    where = f"{source} strip or tile {index + 1},"
    if kind in TOLD:
        _check_told(page, index, coded, where)
        return
    sides = READERS[kind](b"".join((page.jpegheader or b"", coded)))
    _check_sides(sides, page, stored_sides(page), where)


def _check_sides(
    sides: declared_size.Sides | None, page: Any, most: tuple[int, int], where: str
) -> None:
    (rows, columns), channels = most, _channels(page)
    if sides is None:
        raise CommandError(f"{where} is damaged: it has no header")
    # JPEGs may be filled up to whole blocks.
    limits = declared_size.Sides(columns, -(-rows // BLOCK) * BLOCK, channels)
    if any(map(operator.gt, sides, limits)):
        raise CommandError(
            f"{where} is damaged: it claims {sides.width} x {sides.height} pixels of "
            f"{sides.channels} channels, not {columns} x {rows} of {channels}"
        )


def _check_told(page: Any, index: int, coded: bytes | memoryview, where: str) -> None:
    import imagecodecs
    import numpy as np

    down, across = stored_sides(page)
    a_row, a_column = -(-page.imagewidth // across), -(-page.imagelength // down)
    top, left = index // a_row % a_column * down, index % a_row * across
    decode = getattr(imagecodecs, f"{TOLD[int(page.compression)]}_decode")
    # At the edges there may be less.
    height, width = min(down, page.imagelength - top), page.imagewidth - left
    shapes = (down, across), (height, across), (height, min(across, width))
    reason: Exception | None = None
    for shape in dict.fromkeys(shapes):
        try:
            decode(coded, out=np.empty((*shape, _channels(page)), page.dtype))
        except Exception as error:  # a broken file can break the reader anywhere
            reason = error
        else:
            return
    raise CommandError(f"{where} is damaged: {reason}")


def note_copies(pages: list[Any], source: str) -> None:
    """Tell that copies of pages in lower resolution are not made anew."""
    if any(tiff_tags.SUB_IFDS in page.tags for page in pages):
        console.note(f"note: {source}: its smaller copies of pages are left out")


def _frame(page: Any) -> np.ndarray:
    """The pixels of a page: channels last, white high, and no palette."""
    import numpy as np

    pixels = page.asarray()
    if page.axes == "SYX":
        pixels = np.moveaxis(pixels, 0, -1)
    if page.photometric == PALETTE:
        colours = np.asarray(page.colormap).T
        if page.dtype.itemsize == 1 and not (colours & 255).any():
            colours = (colours >> 8).astype(np.uint8)
        elif page.dtype.itemsize == 1 and not (colours % 257).any():
            colours = (colours // 257).astype(np.uint8)
        return colours[pixels.astype(np.intp)]
    return _upright(pixels, page.photometric)


def _upright(pixels: np.ndarray, photometric: int) -> np.ndarray:
    """Pixels with white high, and back."""
    if photometric != WHITE_IS_ZERO or pixels.dtype.kind == "f":
        return pixels
    return ~pixels  # also of signed numbers


def layout(page: Any) -> dict[str, Any]:
    """How a page is stored, in tifffile's words for `write`."""
    kept = int(page.compression) if page.compression in COMPRESSIONS else DEFLATE
    colours = RGB if page.photometric in (PALETTE, YCBCR) else int(page.photometric)
    found: dict[str, Any] = {
        "photometric": colours,
        "planarconfig": int(page.planarconfig) if page.ndim == 3 else None,
        "compression": kept,
        "predictor": int(page.predictor) if kept == page.compression > 1 else None,
        "subfiletype": int(page.subfiletype),
        "extrasamples": [int(sample) for sample in page.extrasamples] or None,
    }
    if page.is_tiled:
        found["tile"] = (page.tilelength, page.tilewidth)
    elif page.rowsperstrip:
        found["rowsperstrip"] = min(page.rowsperstrip, page.imagelength)
    return found


def beside(tags: tiff_tags.Tags) -> dict[str, Any]:
    """What is written beside the pixels of a page, in tifffile's words."""
    return {
        "resolution": tags.resolution,
        "resolutionunit": tags.unit,
        "extratags": tags.others,
        "metadata": None,
        "software": False,
    }


def _default_layout(picture: images.Picture) -> dict[str, Any]:
    first = picture.frames[0]
    channels = (first.shape[2] if first.ndim == 3 else 1) - picture.alpha
    return {
        "photometric": {1: BLACK_IS_ZERO, 3: RGB, 4: CMYK}[channels],
        "compression": DEFLATE,
        "predictor": 1 if first.dtype == bool else 2,
        "extrasamples": [ALPHA] if picture.alpha else None,
    }


def encode(
    picture: images.Picture, frames: list[np.ndarray], metadata: dict[str, Any]
) -> bytes:
    """A TIFF file of these frames, and of nothing about them not in `metadata`."""
    try:
        return _encode(picture, frames, metadata)
    except (CommandError, MemoryError):
        raise
    except Exception as error:  # so can broken metadata the writer
        raise images.not_kept(picture, "TIFF", error, metadata) from error


def _encode(
    picture: images.Picture, frames: list[np.ndarray], metadata: dict[str, Any]
) -> bytes:
    import numpy as np
    import tifffile

    same = picture.encoding if picture.format == "TIFF" else {}
    layouts = same.get("pages") or [_default_layout(picture)] * len(frames)
    byteorder, tags = same.get("byteorder"), metadata.get("tags", [])
    if not same:
        byteorder, first = tiff_tags.from_metadata(metadata)
        tags = [first]
    buffer = BytesIO()
    with tifffile.TiffWriter(
        buffer, bigtiff=same.get("bigtiff", False), byteorder=byteorder
    ) as file:
        for number, (frame, stored) in enumerate(zip(frames, layouts, strict=True)):
            pixels = _upright(frame, stored["photometric"])
            if stored.get("planarconfig") == SEPARATE:
                pixels = np.moveaxis(pixels, -1, 0)
            told = tags[number] if number < len(tags) else tiff_tags.Tags()
            file.write(pixels, **stored, **beside(told))
    data = buffer.getvalue()
    return tiff_tags.with_exif(data, metadata["exif"]) if "exif" in metadata else data
