"""What is wrong with the pages of a TIFF, before decoders find out."""

import math
import operator
from typing import Any

import numpy as np

from softsort_cli import console
from softsort_cli.errors import CommandError
from softsort_cli.images import declared_size, tiff_tags
from softsort_cli.images.formats import FORMATS, WAY_OUT

# Photometric interpretations.
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
LAB = CIELAB, ICCLAB, ITULAB = 8, 9, 10
JPEG, OLD_JPEG = 7, 6
STRIP_OFFSETS = 273
# Compressions whose strips and tiles are pictures that say how large they are.
READERS = {
    **dict.fromkeys((JPEG, 33007, 34892), declared_size.jpeg),
    **dict.fromkeys((33003, 33004, 33005, 34712), declared_size.jpeg_2000),
    **dict.fromkeys((50001, 34927), declared_size.webp),
    34933: declared_size.png,
}
# Others, whose decoders refuse another size than they are told.
TOLD = {50002: "jpegxl", 52546: "jpegxl", 34934: "jpegxr", 22610: "jpegxr"}
TOLD[34887] = "lerc"
BLOCK = 16  # pixels of a side of a block of JPEG, at most
PREMULTIPLIED, ALPHA = 1, 2  # kinds of extra samples
SEPARATE = 2  # planes of colours one after the other


def check_page(page: Any, size: int, source: str) -> None:
    """Refuse a page that would not come back as it was, or reaches beyond the file."""
    if reason := _unusual(page):
        raise CommandError(f"{source} {reason}, which is not handled; {WAY_OUT}")
    if damage := _damage(page, size):
        raise CommandError(f"{source} is damaged: {damage}")


def _unusual(page: Any) -> str | None:
    if page.compression == OLD_JPEG:  # not even in its colours do decoders agree
        return "holds JPEG of the old style"
    jpeg = page.compression == JPEG
    if page.dtype is None or page.dtype.name not in FORMATS["TIFF"].dtypes:
        return f"has {page.bitspersample} bits of an unusual kind a pixel"
    if is_packed(page) and not (
        page.dtype.kind == "u" and isinstance(page.bitspersample, int)
    ):
        return f"has {page.bitspersample} bits a pixel"
    if page.axes not in ("YX", "YXS", "SYX"):
        return f"has axes {page.axes}"
    usual = (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, *LAB, *[YCBCR] * jpeg)
    if page.photometric not in usual:
        return f"has colours of kind {int(page.photometric)}"
    if page.photometric == PALETTE and page.samplesperpixel > 1:
        return f"has a palette, and {page.samplesperpixel} values a pixel"
    if {PREMULTIPLIED, ALPHA} & {*extra_samples(page)[1:]}:
        return "has other channels before its opacity"
    if not all(inside.is_reduced for inside in page.pages or ()):
        return "has other pictures inside"
    if page.index > 0 and tiff_tags.EXIF in page.tags:
        return "has EXIF of its own"
    return None


def extra_samples(page: Any) -> tuple[int, ...]:
    """The kinds of what pixels of a page have beside colours."""
    if page.photometric == RGB and page.samplesperpixel == 4:
        return tuple(page.extrasamples) or (ALPHA,)  # as readers take it
    return tuple(page.extrasamples)


def is_packed(page: Any) -> bool:
    """Whether pixels of a page are of other than whole bytes, or one bit."""
    return page.bitspersample != (8 * page.dtype.itemsize if page.dtype != bool else 1)


def _damage(page: Any, size: int) -> str | None:
    if 0 in (*page.shape, *stored_sides(page)):
        return "it has no pixels"
    starts, lengths, count = page.dataoffsets, page.databytecounts, _count(page)
    listed = {len(starts), len(lengths)}
    if listed != {count} and not (listed == {1} and page.is_contiguous):
        return f"it does not list {count} strips or tiles"
    # GDAL leaves out those without content, and says zero for both.
    places = list(zip(starts, lengths, strict=True))
    if any(bool(start) != bool(length) for start, length in places):
        return "it has a hole"
    if max(map(sum, places), default=0) > size:
        return "it ends before its pixels do"
    return None


def stored_sides(page: Any) -> tuple[int, int]:
    """Rows and columns of the strips or tiles of a page."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def _grid(page: Any) -> tuple[int, int]:
    """How many strips or tiles are below, and beside, each other."""
    down, across = stored_sides(page)
    return -(-page.imagelength // down), -(-page.imagewidth // across)


def stored_at(page: Any, index: int) -> tuple[int, int]:
    """The first row and column of a strip or tile."""
    (down, across), (rows, columns) = stored_sides(page), _grid(page)
    return index // columns % rows * down, index % columns * across


def stored_in(page: Any, start: int, stop: int) -> range:
    """Which strips or tiles of a page hold the rows from one to another."""
    (down, _), (_, columns) = stored_sides(page), _grid(page)
    return range(start // down * columns, -(-stop // down) * columns)


def _count(page: Any) -> int:
    """How many strips or tiles a page consists of."""
    planes = page.samplesperpixel if page.planarconfig == SEPARATE else 1
    return math.prod(_grid(page)) * planes


def _channels(page: Any) -> int:
    """The channels in each strip or tile of a page."""
    return 1 if page.planarconfig == SEPARATE else page.samplesperpixel


def check_claim(pages: list[Any], size: int, source: str) -> None:
    """Refuse pages that claim more than a file of so many bytes can hold.

    Tiles reach beyond the picture, and are decoded as a whole.
    """
    pixels = sum(
        _count(page) * math.prod(stored_sides(page)) * _channels(page) for page in pages
    )
    declared_size.check_claim(source, pixels, size)


def check_segments(page: Any, data: bytes, source: str) -> None:
    """Refuse strips and tiles that are pictures of their own, and larger."""
    if page.jpegheader is not None:  # its tiles are parts of one JPEG
        jpeg = declared_size.jpeg(data[page.tags[STRIP_OFFSETS].value[0] :])
        _check_sides(jpeg, page, (page.imagelength, page.imagewidth), source)
    view = memoryview(data)
    places = zip(page.dataoffsets, page.databytecounts, strict=True)
    for index, (start, length) in enumerate(places):
        check_segment(page, index, view[start : start + length], source)


def check_segment(
    page: Any, index: int, coded: bytes | memoryview, source: str
) -> None:
    """Refuse a strip or tile that is a picture of its own, and larger."""
    compression = int(page.compression)
    where = f"{source} strip or tile {index + 1},"
    if coded and compression in READERS:
        sides = READERS[compression](b"".join((page.jpegheader or b"", coded)))
        _check_sides(sides, page, stored_sides(page), where)
    elif coded and compression in TOLD:
        _check_told(page, index, coded, where)


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

    (down, across), (top, left) = stored_sides(page), stored_at(page, index)
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
