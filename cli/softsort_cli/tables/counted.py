"""The numbers of some rows, and how often each row counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from softsort_cli.errors import CommandError
from softsort_cli.options.tables import Reading
from softsort_cli.tables import numbers, select
from softsort_cli.tables.table import Part, Table

if TYPE_CHECKING:
    import numpy as np

# How often rows count; None for once.
Counts: TypeAlias = "np.ndarray | None"


@dataclass(frozen=True)
class Numbers:
    """The numbers of some rows, column by column, and how often each row counts."""

    columns: Mapping[int, np.ndarray]  # NaN where there is no number that counts
    counts: Counts = None

    @classmethod
    def of(cls, cells: Mapping[int, numbers.Numbers], counts: Counts) -> Numbers:
        """The numbers of these cells."""
        return cls({column: each.values for column, each in cells.items()}, counts)


def parse(
    table: Table,
    part: Part,
    columns: Sequence[int],
    weights: int | None,
    absent: numbers.Absent,
) -> tuple[dict[int, numbers.Numbers], Counts]:
    """The chosen columns of a part of a table as numbers, and how often rows count.

    The numbers of rows that do not count are NaN.
    """
    parsed = [numbers.parse(each, absent) for each in part.cells(columns)]
    cells = dict(zip(columns, parsed, strict=True))
    if weights is None:
        return cells, None
    (said,) = part.cells([weights])
    counts = numbers.parse(said, absent).values
    wrong = ~(counts >= 0)
    if wrong.any():
        raise CommandError(
            f"{table.source}, column {table.names[weights]!r}, "
            f"{part.place(weights, int(wrong.argmax()))} is no weight: give a number "
            "from 0 on"
        )
    for each in cells.values():
        each.values[counts == 0] = float("nan")
    return cells, counts


def weights_of(table: Table, reading: Reading) -> int | None:
    """The column that says how often a row counts, if there is to be one."""
    if reading.weights is None:
        return None
    return select.choose_one(reading.weights, table.names, "--weights")
