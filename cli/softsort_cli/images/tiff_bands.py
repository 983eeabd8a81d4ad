"""Large TIFF images in bands of rows, which several workers filter at once.

A band is filtered with the rows around it that windows reach, and its pixels wait in a
file beside the output for who puts all together.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from softsort_cli.errors import CommandError
from softsort_cli.images.picture import to_pixels
from softsort_cli.images.selection import Job
from softsort_cli.images.tiff_streaming import PageRows
from softsort_cli.io import files

VALUES = 1 << 23  # of a band


@dataclass(frozen=True)
class Band:
    """Some rows of a page, and the file for their pixels."""

    page: int
    rows: range
    file: Path
    notes: tuple[str, ...] = ()  # what there is to say of it


class BandRows:
    """The rows of a band and those around them, as an image of its own."""

    alpha = False

    def __init__(self, page: PageRows, rows: range, halo: int, *, wraps: bool) -> None:
        first, last = rows.start - halo, rows.stop + halo
        if not wraps:
            first, last = max(first, 0), min(last, page.shape[0])
        self.page, self.rows, self.first = page, rows, first
        self.shape = (last - first, *page.shape[1:])
        self.source, self.held, self.dtype = page.source, page.held, page.dtype

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(self.shape[0])
        height, parts = self.page.shape[0], []
        at, end = start + self.first, stop + self.first
        while at < end:  # an image that wraps goes on from its end at its beginning
            first = at % height
            last = min(first + end - at, height)
            parts.append(self.page[first:last])
            at += last - first
        return np.concatenate(parts)

    def known(self, rows: slice) -> None:
        """All values are there: of others, images are in memory."""

    def inside(self, place: slice, values: np.ndarray) -> np.ndarray:
        """Of values at a place, those in the rows of the band itself."""
        first = place.start + self.first
        start, stop = self.rows.start - first, self.rows.stop - first
        return values[max(start, 0) : max(stop, 0)]


def of(job: Job) -> list[Band]:
    """The bands of an image."""
    import tifffile

    assert job.output is not None
    bands = []
    with tifffile.TiffFile(job.path) as file:
        for number, page in enumerate(file.pages):
            height, *others = page.shape
            step = max(VALUES // math.prod(others), 1)
            for start in range(0, height, step):
                name = f"{files.hidden(job.output.name)}.{number}-{start}.tmp"
                rows = range(start, min(start + step, height))
                bands.append(Band(number, rows, job.output.with_name(name)))
    return bands


def write(band: Band, strips: Sequence[np.ndarray], dtype: np.dtype) -> None:
    """Write the pixels of a band."""
    pixels = np.concatenate([to_pixels(strip, dtype) for strip in strips])
    with files.open_output(band.file, force=True) as stream:
        np.save(stream, pixels)


def strips(rows: PageRows, bands: Sequence[Band]) -> Iterator[tuple[slice, np.ndarray]]:
    """The pixels of a page, band by band."""
    for band in bands:
        if band.page == rows.page.index:
            try:
                pixels = np.load(band.file)
            except (OSError, ValueError) as error:
                raise CommandError(f"cannot read {band.file}: {error}") from error
            yield slice(band.rows.start, band.rows.stop), pixels
