"""Groups of rows: those whose cells in the columns of --by say the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from softsort_cli.tables.table import Part

ROWS_AT_ONCE = 1 << 18  # whose keys are found together, at least


@dataclass(frozen=True)
class Grouped:
    """Values, or rows of them, of groups, one after another.

    Attributes:
        counts: how often each counts; None for once.
        is_whole: whether they are all values, which are in no groups.
    """

    together: np.ndarray
    sizes: np.ndarray
    counts: np.ndarray | None = None
    is_whole: bool = False

    @classmethod
    def of(cls, parts: Sequence[np.ndarray]) -> Grouped:
        """The groups of these values."""
        sizes = np.array([len(each) for each in parts], np.int64)
        return cls(np.concatenate(parts), sizes)

    @classmethod
    def whole(cls, values: np.ndarray, counts: np.ndarray | None = None) -> Grouped:
        """All values, in no groups."""
        return cls(values, np.array([len(values)]), counts, is_whole=True)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (values for values, _ in self.each())

    def each(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """The values of each group, and how often they count."""
        ends = np.cumsum(self.sizes).tolist()
        for end, size in zip(ends, self.sizes.tolist(), strict=True):
            rows = slice(end - size, end)
            counts = None if self.counts is None else self.counts[rows]
            yield self.together[rows], counts

    def numbers(self) -> np.ndarray:
        """How many values there are in each group, by how often they count."""
        if self.counts is None:
            return self.sizes
        groups = np.repeat(np.arange(len(self.sizes)), self.sizes)
        sums = np.bincount(groups, self.counts, len(self.sizes))
        return np.maximum(1, np.rint(sums)).astype(np.int64)

    def starts(self) -> np.ndarray:
        """Where each group begins."""
        return np.cumsum(self.sizes) - self.sizes


@dataclass(frozen=True)
class Groups:
    """Which group each row belongs to."""

    columns: list[int]  # those of the keys
    codes: np.ndarray  # one a row
    keys: pl.DataFrame  # one row a group, in the order of their first rows

    @property
    def count(self) -> int:
        """The number of groups."""
        return self.keys.height

    def order(self) -> np.ndarray:
        """The rows, group by group."""
        # numpy sorts numbers several times as fast as it finds their order.
        order = self.codes.astype(np.int64) << 32
        order |= np.arange(len(order))
        order.sort()
        order &= (1 << 32) - 1
        return order


class Keys:
    """The keys of groups, collected part by part."""

    def __init__(self, columns: Sequence[int]) -> None:
        self.columns = list(columns)
        self._codes: list[np.ndarray] = []
        self._known: pl.DataFrame | None = None
        self._added: list[pl.DataFrame] = []

    def of(self, part: Part) -> pl.DataFrame | None:
        """The keys of the rows of a part, for `add`; None if there are none."""
        if not self.columns:
            return None
        cells = part.texts(self.columns)
        names = [str(place) for place in range(len(cells))]
        return pl.DataFrame(dict(zip(names, cells, strict=True)))

    def add(self, keys: pl.DataFrame | None) -> None:
        """Find the groups of more rows."""
        if keys is None:
            return
        self._added.append(keys)
        # All keys that are known are looked at each time: it is worth it for as many.
        known = 0 if self._known is None else self._known.height
        if sum(frame.height for frame in self._added) >= max(ROWS_AT_ONCE, known):
            self._find()

    def _find(self) -> None:
        known = [] if self._known is None else [self._known]
        frame = pl.concat([*known, *self._added])
        self._added.clear()
        # For each row the first one that has the same key.
        first = pl.first("row").over(frame.columns)
        firsts = frame.with_row_index("row").select(first).to_series().to_numpy()
        are_first = firsts == np.arange(len(firsts))
        codes = (np.cumsum(are_first, dtype=np.uint32) - 1)[firsts]
        self._codes.append(codes[sum(each.height for each in known) :])
        self._known = frame.filter(pl.Series(are_first))

    def groups(self) -> Groups:
        """The groups of all rows."""
        if self._added:
            self._find()
        assert self._known is not None
        return Groups(self.columns, np.concatenate(self._codes), self._known)
