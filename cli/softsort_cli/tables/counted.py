"""What the cells of some rows say, as numbers, and how often each row counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from softsort_cli.errors import CommandError
from softsort_cli.options.tables import Reading
from softsort_cli.tables import numbers, select
from softsort_cli.tables.table import Part, Table
from softsort_cli.tables.times import Time

# How often rows count; None for once.
Counts: TypeAlias = "np.ndarray | None"

# The chosen columns of some rows, and how often each row counts.
Parsed: TypeAlias = "tuple[Mapping[int, numbers.Numbers], Counts]"


@dataclass(frozen=True)
class Meaning:
    """What cells say, and how often rows count."""

    weights: int | None = None  # the column that says how often a row counts
    times: Mapping[int, Time] = field(default_factory=dict)  # columns of no numbers

    @classmethod
    def of(cls, table: Table, reading: Reading) -> Meaning:
        """That of a table which is read so, before any cell is looked at."""
        if reading.weights is None or not table.names:
            return cls()
        return cls(select.choose_one(reading.weights, table.names, "--weights"))

    def per_unit(self, column: int) -> int:
        """How many of a column's numbers are a unit: a second of times, or a day."""
        time = self.times.get(column)
        return 1 if time is None else time.per_unit

    def parse(self, table: Table, part: Part, columns: Sequence[int]) -> Parsed:
        """The chosen columns of a part as numbers, and how often rows count.

        The numbers of rows that do not count are NaN.
        """
        cells = {}
        for column, each in zip(columns, part.cells(columns), strict=True):
            how = self.times.get(column, numbers)
            cells[column] = how.parse(each, table.spelling)
        if self.weights is None:
            return cells, None
        (said,) = part.cells([self.weights])
        counts = numbers.parse(said, table.spelling).values
        wrong = ~(counts >= 0)
        if wrong.any():
            raise CommandError(
                f"{table.source}, column {table.names[self.weights]!r}, "
                f"{part.place(self.weights, int(wrong.argmax()))} is no weight: give a "
                "number from 0 on"
            )
        for each in cells.values():
            each.values[counts == 0] = float("nan")
        return cells, counts
