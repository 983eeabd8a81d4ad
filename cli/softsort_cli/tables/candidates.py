"""Which columns hold numbers or times, by their first rows, or all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl

from softsort_cli import console
from softsort_cli.errors import CommandError
from softsort_cli.tables import numbers
from softsort_cli.tables.counted import Meaning
from softsort_cli.tables.formats import delimiter_hint
from softsort_cli.tables.table import Part, Table
from softsort_cli.tables.tally import Tally
from softsort_cli.tables.times import Time

SAMPLE = 1000  # rows that tell a column of text from one of numbers


def _first_part(table: Table, columns: Sequence[int]) -> Part | None:
    return next((part for part in table.parts(columns) if part.height), None)


def candidates_of(table: Table, excluded: set[int]) -> list[int]:
    """Columns that may be numeric, by their first rows, or by their types alone."""
    columns = [column for column in range(len(table.names)) if column not in excluded]
    candidates = []
    part = _first_part(table, columns)
    if part is None:
        types = table.types()
        named = [(column, types.get(table.names[column])) for column in columns]
        return [column for column, kind in named if kind is None or kind.is_numeric()]
    for column, cells in zip(columns, part.cells(columns), strict=True):
        sample = cells.head(SAMPLE)
        read = numbers.parse(sample, table.spelling)
        if 2 * len(read.invalid) <= len(sample) - read.absent:
            candidates.append(column)
    return candidates


def with_times(
    table: Table, meaning: Meaning, columns: Sequence[int], *, everywhere: bool = False
) -> Meaning:
    """With what is known of the columns, among these, whose first rows hold times.

    Or the first that say anything, where one has to look everywhere.
    """
    left, times = list(columns), dict(meaning.times)
    if not left:
        return meaning
    for part in table.parts(sorted(left)):
        for column, cells in zip(left, part.cells(left), strict=True):
            time = _time_of(cells, table.spelling)
            if time is not None:
                times[column] = time
        left = [column for column in left if column not in times]
        if not left or (part.height and not everywhere):
            break
    return replace(meaning, times=times)


def _time_of(cells: pl.Series, spelling: numbers.Spelling) -> Time | None:
    """What is known of cells that are times: of the first that say something."""
    if cells.dtype != pl.String:
        return Time.of(cells, spelling)
    some = cells.head(SAMPLE)
    read = numbers.parse(some, spelling)
    if read.absent == len(some):
        there = cells.filter(~numbers.says_nothing(cells, spelling).fill_null(True))
        some = there.head(SAMPLE)
        read = numbers.parse(some, spelling)
    if 2 * len(read.invalid) <= len(some) - read.absent:
        return None
    return Time.of(some, spelling)


def numeric(
    table: Table,
    candidates: Sequence[int],
    tallies: Mapping[int, Tally],
    on_invalid: str,
) -> list[int]:
    """The columns whose every cell is a number or absent, with at least one number."""
    columns = []
    for column in candidates:
        tally = tallies[column]
        has_rows = tally.present or tally.absent or tally.invalid
        if has_rows and tally.present < max(tally.invalid, 1):
            continue
        if tally.invalid and on_invalid == "error":
            console.note(
                f"note: column {table.names[column]!r} is left out: {tally.first} is "
                "not a number; choose it with -c, or see --na-values and --on-invalid"
                + table.spelling.hint(tally.first)
            )
        else:
            columns.append(column)
    if not columns and table.names:
        raise CommandError(_no_numbers(table))
    return columns


def _no_numbers(table: Table) -> str:
    message = f"{table.source} has no numeric column"
    part = _first_part(table, [0])
    if part and len(table.names) == 1 and table.form.delimiter:
        text = table.names[0] + str(part.cells([0])[0].head(1).item())
        if hint := delimiter_hint(text):
            return f"{message}: {hint}"
    return message + "; choose one with -c, as of dates, or to see why"
