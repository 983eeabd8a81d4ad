"""Large TIFF images in pieces, which several workers filter at once.

A piece is a band of rows of a page. It is filtered with the rows around it that windows
reach, and its pixels wait in a file beside the output for who puts all together.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softsort_cli.errors import CommandError
from softsort_cli.images import picture, tiff_streaming
from softsort_cli.io import files

if TYPE_CHECKING:
    import numpy as np

    from softsort_cli.images import jobs

VALUES = 1 << 23  # of a piece


@dataclass(frozen=True)
class Piece:
    """Some rows of a page, and the file for their pixels."""

    page: int
    rows: range
    file: Path
    notes: tuple[str, ...] = ()  # what there is to say of it


class Band:
    """Rows and those around them, as an image of its own."""

    alpha = False

    def __init__(
        self, image: tiff_streaming.Rows, rows: range, halo: int, *, wraps: bool
    ):
        height = image.shape[0]
        first, last = rows.start - halo, rows.stop + halo
        if not wraps:
            first, last = max(first, 0), min(last, height)
        self.image, self.rows, self.first = image, rows, first
        self.shape = (last - first, *image.shape[1:])

    def __getitem__(self, rows: slice) -> np.ndarray:
        import numpy as np

        start, stop, _ = rows.indices(self.shape[0])
        height, parts = self.image.shape[0], []
        at, end = start + self.first, stop + self.first
        while at < end:  # an image that wraps goes on from its end at its beginning
            first = at % height
            last = min(first + end - at, height)
            parts.append(self.image[first:last])
            at += last - first
        return np.concatenate(parts)

    def inside(self, place: slice, values: np.ndarray) -> np.ndarray:
        """Of values at a place in the band, those in the rows it is about."""
        first = place.start + self.first
        start, stop = self.rows.start - first, self.rows.stop - first
        return values[max(start, 0) : max(stop, 0)]


def of(job: jobs.Job) -> list[Piece]:
    """The pieces of an image."""
    import tifffile

    assert job.output is not None
    found = []
    with tifffile.TiffFile(job.path) as file:
        for number, page in enumerate(file.pages):
            height, *others = page.shape
            step = max(VALUES // math.prod(others), 1)
            for start in range(0, height, step):
                name = f".{job.output.name}.{number}-{start}.tmp"
                rows = range(start, min(start + step, height))
                found.append(Piece(number, rows, job.output.with_name(name)))
    return found


def opened(file: Any, path: Path, piece: Piece, dtype: str) -> tiff_streaming.Rows:
    """The rows of the page of a piece."""
    return tiff_streaming.Rows(file.pages[piece.page], str(path), dtype)


def write(piece: Piece, parts: Sequence[np.ndarray], dtype: np.dtype) -> None:
    """Write the pixels of a piece."""
    import numpy as np

    pixels = np.concatenate([picture.to_pixels(part, dtype) for part in parts])
    with files.open_output(piece.file, force=True) as stream:
        np.save(stream, pixels)


def strips(
    rows: tiff_streaming.Rows, pieces: Sequence[Piece]
) -> Iterator[tuple[slice, np.ndarray]]:
    """The pixels of a page, piece by piece."""
    import numpy as np

    for piece in pieces:
        if piece.page == rows.page.index:
            try:
                pixels = np.load(piece.file)
            except (OSError, ValueError) as error:
                raise CommandError(f"cannot read {piece.file}: {error}") from error
            yield slice(piece.rows.start, piece.rows.stop), pixels


def notes(pieces: Sequence[Piece]) -> list[str]:
    """What there is to say of the pieces, once."""
    return list(dict.fromkeys(itertools.chain(*(piece.notes for piece in pieces))))
