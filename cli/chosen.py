"""The numbers that a command works on: a table, and the columns chosen from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli import columns, console, formats, numbers, tables
from cli.errors import CommandError
from cli.options import Reading

if TYPE_CHECKING:
    import numpy as np

SAMPLE = 1000  # rows that tell a column of text from one of numbers


@dataclass(frozen=True)
class Chosen:
    """A table and the numbers in those of its columns that a command works on."""

    table: tables.Table
    numbers: dict[int, numbers.Numbers]  # by position
    skipped: np.ndarray  # rows to leave out of the output
    criterion: numbers.Numbers | None = None  # what to sort rows by

    def names(self) -> list[str]:
        """The names of the chosen columns."""
        return [self.table.names[column] for column in self.numbers]

    def kept(self) -> np.ndarray:
        """The rows that are in the output."""
        import numpy as np

        return np.setdiff1d(np.arange(len(self.table.rows)), self.skipped)


def read(path: Path | None, reading: Reading, criterion: str | None = None) -> Chosen:
    """Read a table, the numbers in its chosen columns, and those of a criterion."""
    import numpy as np

    table = tables.read(
        path,
        delimiter=formats.delimiter_of(path, reading.form, reading.delimiter),
        headers=not reading.no_headers,
        comment=reading.comment or None,
    )
    wanted, excluded = columns.choose(reading.columns or [], table.names)
    found = (
        _numeric(table, excluded, reading.on_invalid)
        if wanted is None
        else _parsed(table, wanted)
    )
    used, by = dict(found), None
    if criterion is not None:
        by = columns.choose_one(criterion, table.names, "--by-column")
        used |= _parsed(table, [by])
    skipped = _judge(table, used, reading.on_invalid)
    for column in [*found.values(), *used.values()]:
        column.values[skipped] = np.nan
    return Chosen(table, found, skipped, None if by is None else used[by])


def _parsed(table: tables.Table, wanted: Sequence[int]) -> dict[int, numbers.Numbers]:
    cells = table.cells(wanted)
    return {
        column: numbers.parse(cell) for column, cell in zip(wanted, cells, strict=True)
    }


def _numeric(
    table: tables.Table, excluded: set[int], on_invalid: str
) -> dict[int, numbers.Numbers]:
    """The columns whose every cell is a number or absent, with at least one number."""
    wanted = [column for column in range(len(table.names)) if column not in excluded]
    sample = [numbers.parse(cells) for cells in table.cells(wanted, limit=SAMPLE)]
    wanted = [
        column
        for column, some in zip(wanted, sample, strict=True)
        if len(some.invalid) <= some.present.sum()
    ]
    found = {}
    for column, parsed in _parsed(table, wanted).items():
        if parsed.present.sum() < max(len(parsed.invalid), 1):
            continue
        if len(parsed.invalid) and on_invalid == "error":
            console.note(
                f"note: column {table.names[column]!r} is left out: "
                f"{_first_invalid(table, column, parsed)} is not a number; choose it "
                "with -c, or see --on-invalid"
            )
        else:
            found[column] = parsed
    if not found:
        raise CommandError(_no_numbers(table))
    return found


def _no_numbers(table: tables.Table) -> str:
    message = f"{table.source} has no numeric column"
    if len(table.names) == 1:
        for delimiter, name in (
            (";", "';'"),
            ("\t", "tab"),
            ("|", "'|'"),
            (",", "','"),
        ):
            if delimiter in table.names[0] or delimiter in table.lines[-1]:
                return f"{message}: is it separated by {name}? Try --delimiter {name}"
    return message + "; choose one with -c to see why"


def _first_invalid(table: tables.Table, column: int, parsed: numbers.Numbers) -> str:
    row = int(parsed.invalid[0])
    line = table.lines[int(table.rows[row])]
    cell = table.masked.restore_text(line.split(table.delimiter)[column])
    shown = cell if len(cell) <= 40 else cell[:40] + "..."
    return f"line {table.line_number(row)}: {shown!r}"


def _judge(
    table: tables.Table, chosen: Mapping[int, numbers.Numbers], on_invalid: str
) -> np.ndarray:
    """Report absent and invalid cells; return the rows to leave out."""
    import numpy as np

    invalid = {column: found for column, found in chosen.items() if len(found.invalid)}
    if invalid and on_invalid == "error":
        column, found = next(iter(invalid.items()))
        raise CommandError(
            f"{table.source}, column {table.names[column]!r}, "
            f"{_first_invalid(table, column, found)} is not a finite number; correct "
            "it, or see --on-invalid"
        )
    absent = [
        f"{found.absent} in {table.names[column]!r}"
        for column, found in chosen.items()
        if found.absent
    ]
    if absent:
        more = f" and {len(absent) - 8} more columns" if len(absent) > 8 else ""
        console.note(
            f"{table.source}: absent cells left out: {', '.join(absent[:8])}{more}"
        )
    if not invalid:
        return np.zeros(0, np.int64)
    rows = np.unique(np.concatenate([found.invalid for found in invalid.values()]))
    fate = "left out" if on_invalid == "skip" else "treated as absent"
    console.note(
        f"{table.source}: rows with a cell that is not a number: {len(rows)}, {fate}"
    )
    return rows if on_invalid == "skip" else rows[:0]
