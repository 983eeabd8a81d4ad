"""TIFF images that do not fit in memory: read, filtered and written strip by strip."""

import math
import mmap
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np

from softsort_cli.errors import CommandError, damage_told
from softsort_cli.images import formats, ome, tiff, tiff_checks, tiff_pixels, tiff_tags
from softsort_cli.images.picture import check_finite, floats_for, to_pixels, to_unit
from softsort_cli.images.selection import Job
from softsort_cli.io import files

BYTES_A_VALUE = 64  # of an image that is filtered as a whole
OVERHEAD = 2**29  # what jax and other libraries take
TILE = (256, 256)  # where the image has none
BUFFER = 2**26  # of tiles that are being compressed

CLASSIC = 2**32 - 2**27  # bytes of pixels that a TIFF holds, if it is no BigTIFF
ONE_AT_A_TIME = threading.Lock()  # see Filtering.memory_lock


# Filtered strips of an image, numbers or pixels, and where they are.
Strips: TypeAlias = "Iterable[tuple[slice, np.ndarray]]"


class PageRows:
    """The rows of a TIFF page as numbers from 0 to 1, read when they are asked for."""

    alpha = False  # see _is_simple

    def __init__(self, page: Any, source: str, precision: str | None) -> None:
        self.page, self.source = page, source
        self.dtype = floats_for(page.dtype, source, precision)
        self.shape: tuple[int, ...] = page.shape
        self._last: tuple[int, np.ndarray | None] = -1, None
        # Decoded, and while it is that, coded.
        pixel = page.dtype.itemsize * math.prod(self.shape[2:])
        stored = math.prod(tiff_checks.stored_sides(page)) * pixel
        self.held = 0 if _is_plain(page) else 2 * stored

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        result = np.empty((stop - start, *self.shape[1:]), self.dtype)
        for top, left, segment in self._segments(start, stop):
            first, last = max(top, start), min(top + len(segment), stop)
            columns = slice(left, left + segment.shape[1])
            values = to_unit(segment[first - top : last - top], self.dtype)
            result[first - start : last - start, columns] = values
        if self.page.dtype.kind == "f":
            check_finite(result, self.source, f" in rows {start + 1} to {stop}")
        return result

    def known(self, rows: slice) -> None:
        """All values are there: of others, images are in memory."""

    def _segments(self, start: int, stop: int) -> Iterator[tuple[int, int, np.ndarray]]:
        """What is stored of these rows: where it is, and its pixels."""
        page = self.page
        if _is_plain(page):
            file, size = page.parent.filehandle, math.prod(self.shape[1:])
            file.seek(page.dataoffsets[0] + start * size * page.dtype.itemsize)
            dtype = page.parent.byteorder + page.dtype.char
            flat = file.read_array(dtype, (stop - start) * size)
            yield start, 0, flat.reshape(stop - start, *self.shape[1:])
            return
        for index in tiff_checks.stored_in(page, start, stop):
            top, left = tiff_checks.stored_at(page, index)
            # Tiles at the edges reach beyond the image.
            height, width = self.shape[0] - top, self.shape[1] - left
            segment = self._decoded(index)[0, :height, :width]
            yield top, left, segment.reshape(*segment.shape[:2], *self.shape[2:])

    def _decoded(self, index: int) -> np.ndarray:
        """A strip or tile. The last one stays in memory: it may be all there is."""
        page, (last, segment) = self.page, self._last
        if last != index:
            self._last = -1, None
            file = page.parent.filehandle
            file.seek(page.dataoffsets[index])
            coded = file.read(page.databytecounts[index])
            tiff_checks.check_segment(page, index, coded, self.source)
            # Strips and tiles of JPEG share tables.
            tables = {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
            try:
                segment, *_ = page.decode(coded, index, **tables)
            except Exception as error:  # a broken file can break it anywhere
                raise CommandError(f"{self.source} is damaged: {error}") from error
            self._last = index, segment
        if segment is None:
            raise CommandError(f"{self.source} is damaged: it has a hole")
        return segment


def _is_plain(page: Any) -> bool:
    """Whether the rows of a page are stored one after the other."""
    return page.is_contiguous and not page.is_tiled


def fits(shape: Sequence[int], memory: int) -> bool:
    """Whether an image can be filtered as a whole in so many bytes."""
    return math.prod(shape) * BYTES_A_VALUE <= memory


def fitting(shape: Sequence[int], memory: int) -> int:
    """How many rows of an image can be filtered in so many bytes, at least one."""
    return max(memory // (math.prod(shape[1:]) * BYTES_A_VALUE), 1)


def is_large(job: Job, limit: int) -> bool:
    """Whether a TIFF becomes another one that is to be filtered strip by strip."""
    import tifffile

    form, path, output = formats.FORMATS["TIFF"], job.path, job.output
    if not path.is_file() or output is None or files.is_device(output):
        return False
    if formats.by_suffix(output) != form:
        return False
    try:
        with (
            path.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            if formats.by_start(data[:16]) != form:
                return False
            tiff_tags.check_shared(data)
        with tifffile.TiffFile(path) as file:
            pages: list[Any] = list(file.pages)
            tiff_checks.check_claim(pages, path.stat().st_size, str(path))
    except Exception:  # told by who reads the whole
        return False
    all_fit = all(fits(page.shape, limit - OVERHEAD) for page in pages)
    return not all_fit and all(map(_is_simple, pages))


def _is_simple(page: Any) -> bool:
    """Whether a page can be copied by parts; EXIF is written behind a whole file."""
    return (
        page.axes in ("YX", "YXS")
        and page.photometric
        in (tiff_checks.BLACK_IS_ZERO, tiff_checks.RGB, tiff_checks.CMYK)
        and page.dtype != bool
        and not tiff_checks.is_packed(page)
        and not {tiff_checks.PREMULTIPLIED, tiff_checks.ALPHA}
        & {*tiff_checks.extra_samples(page)}
        and not {tiff_tags.EXIF, tiff_tags.GPS} & set(page.tags.keys())
    )


def copy(
    path: Path,
    stream: BinaryIO,
    output: Path | None,
    filtered: Callable[[PageRows], Strips],
    precision: str | None,
    *,
    strip: bool,
) -> None:
    """Write a TIFF of the same pages, filtered, to a stream, in tiles."""
    import tifffile

    from softsort_core import SoftSortError

    size = path.stat().st_size
    told = damage_told(f"{path} is damaged", SoftSortError, OSError)
    with ONE_AT_A_TIME, told, tifffile.TiffFile(path) as file:
        pages: list[Any] = list(file.pages)
        for number, page in enumerate(pages):
            tiff_checks.check_page(page, size, f"{path}, page {number + 1},")
            floats_for(page.dtype, str(path), precision)
        tags = [tiff_tags.Tags() if strip else tiff_tags.of(page) for page in pages]
        tags = ome.renamed(tags, path, output)
        tiff_checks.note_copies(pages, str(path))
        most = sum(math.prod(p.shape) * p.dtype.itemsize for p in pages)
        bigtiff = file.is_bigtiff or most > CLASSIC
        with tifffile.TiffWriter(
            stream, bigtiff=bigtiff, byteorder=file.byteorder
        ) as writer:
            for page, told in zip(pages, tags, strict=True):
                tile = (page.tilelength, page.tilewidth) if page.is_tiled else TILE
                layout = tiff_pixels.layout(page) | {"rowsperstrip": None, "tile": tile}
                strips = filtered(PageRows(page, str(path), precision))
                writer.write(
                    _tiles(strips, page.dtype, tile),
                    shape=page.shape,
                    dtype=page.dtype,
                    buffersize=BUFFER,
                    **layout,
                    **tiff.beside(told),
                )


def _tiles(
    strips: Strips, dtype: np.dtype, tile: tuple[int, int]
) -> Iterator[np.ndarray]:
    """The tiles of an image, row by row, out of its strips."""
    down, across = tile
    rest: np.ndarray | None = None
    for _, values in strips:
        pixels = values if values.dtype == dtype else to_pixels(values, dtype)
        rest = pixels if rest is None else np.concatenate([rest, pixels])
        ready = len(rest) // down * down
        yield from _cut(rest[:ready], down, across)
        rest = rest[ready:]
    if rest is not None and len(rest):
        yield from _cut(rest, down, across)


def _cut(band: np.ndarray, down: int, across: int) -> Iterator[np.ndarray]:
    for top in range(0, len(band), down):
        for left in range(0, band.shape[1], across):
            tile = band[top : top + down, left : left + across]
            missing = [(0, down - tile.shape[0]), (0, across - tile.shape[1])]
            yield np.pad(tile, missing + [(0, 0)] * (tile.ndim - 2), "edge")
