"""The numbers that a command works on: a table, and the columns chosen from it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from softsort_cli import console
from softsort_cli.errors import CommandError
from softsort_cli.io import prefetch, source
from softsort_cli.options.tables import Reading
from softsort_cli.tables import candidates, infer, numbers, opening, select, tally
from softsort_cli.tables.counted import Meaning, Parsed
from softsort_cli.tables.group_keys import Groups, Keys
from softsort_cli.tables.table import Part, Table
from softsort_cli.tables.tally import Tally, with_steps

# Which rows are in the output; None if all are.
Kept: TypeAlias = "np.ndarray | None"

# Bytes a value takes: itself, while columns are put together and solved a copy, what
# is solved, and the result.
VALUE = 32


@dataclass(frozen=True)
class Chosen:
    """A table and what is known of the columns that a command works on."""

    table: Table
    columns: list[int]
    on_invalid: str
    height: int = 0
    # NaN where there is no number; none if too many.
    values: dict[int, np.ndarray] = field(default_factory=dict)
    skipped: Sequence[int] | np.ndarray = ()  # rows to leave out of the output
    criterion: int | None = None  # the column to sort rows by
    groups: Groups | None = None
    meaning: Meaning = field(default_factory=Meaning)
    counts: np.ndarray | None = None  # how often rows count
    errors: np.ndarray | None = None  # standard errors

    @property
    def fits(self) -> bool:
        """Whether the numbers are here: --max-memory is enough for them."""
        return bool(self.values) or not self.columns

    def names(self) -> list[str]:
        """The names of the chosen columns."""
        return [self.table.names[column] for column in self.columns]

    def cells(self, column: int, values: np.ndarray) -> np.ndarray | pl.Series:
        """Values of a column as its cells have them; numbers as they are."""
        time = self.meaning.times.get(column)
        if time is None:
            return values
        return (time.inferred() if self.table.infers else time).cells(values)

    def keys(self, places: np.ndarray) -> dict[str, pl.Series]:
        """The keys of the groups at these places, as columns."""
        assert self.groups is not None
        keys, columns = self.groups.keys[places].get_columns(), {}
        for column, cells in zip(self.groups.columns, keys, strict=True):
            name = self.table.names[column]
            is_text = self.table.infers and cells.dtype == pl.String
            spelling = self.table.spelling
            columns[name] = infer.inferred(cells, spelling) if is_text else cells
        return columns

    def drawn(self, column: int, values: np.ndarray) -> np.ndarray:
        """Values of a column as they are drawn: moments, or numbers of seconds."""
        time = self.meaning.times.get(column)
        return values if time is None else time.drawn(values)

    def kept(self) -> Kept:
        """Which rows are in the output."""
        if not len(self.skipped):
            return None
        kept = np.ones(self.height, bool)
        kept[self.skipped] = False
        return kept

    def reread(self) -> Iterator[tuple[Part, Parsed, Kept]]:
        """The table once more, its numbers, and which rows are in the output."""
        for part in self.table.parts():
            cells, counts = self.meaning.parse(self.table, part, self.columns)
            kept = skip(cells, part.height, self.on_invalid)
            yield part, (cells, counts), kept


def skip(columns: Mapping[int, numbers.Numbers], height: int, on_invalid: str) -> Kept:
    """Which rows are in the output; the numbers of the others become NaN."""
    if on_invalid != "skip":
        return None
    kept = np.ones(height, bool)
    for each in columns.values():
        kept[each.invalid] = False
    for each in columns.values():
        each.values[~kept] = np.nan
    return kept


def read(
    path: Path | None,
    reading: Reading,
    criterion: str | None = None,
    *,
    again: bool = False,
    errors: str | None = None,
    needs_all: bool = False,
) -> Chosen:
    """Read a table, the numbers in its chosen columns, of a criterion, and `errors`.

    Where it is to be read `again`, to be written, that is made quicker. The numbers are
    left out if --max-memory is too little and not all are needed together.
    """
    table = opening.open_table(path, reading, twice=again)
    if not table.names:  # NDJSON without objects, of whatever columns
        criterion = errors = None
    wanted, excluded = select.choose(reading.columns or [], table.names)
    keys = Keys(select.choose_keys(reading.by or [], table.names))
    meaning = Meaning.of(table, reading)
    by, blurs = (
        [] if name is None else [select.choose_one(name, table.names, option)]
        for name, option in ((criterion, "--by-column"), (errors, "--blur"))
    )
    apart = {*keys.columns, *blurs, meaning.weights} - {None}
    columns = wanted or candidates.candidates_of(table, excluded | apart)
    used = list(dict.fromkeys([*columns, *by, *blurs]))
    meaning = candidates.with_times(table, meaning, [*(wanted or []), *by])
    seen = _pass(table, used, keys, meaning, reading.allowed())
    late = [c for c in used if seen.tallies[c].invalid and not seen.tallies[c].present]
    later = candidates.with_times(table, meaning, late, everywhere=True)
    if later != meaning:  # columns that begin with absent cells
        keys, meaning = Keys(keys.columns), later
        seen = _pass(table, used, keys, meaning, reading.allowed())
    if wanted is None:
        columns = candidates.numeric(table, columns, seen.tallies, reading.on_invalid)
    if not seen.height:
        console.note(f"{table.source} has no rows")
    used = list(dict.fromkeys([*columns, *by, *blurs]))
    skipped = _rows_to_skip(table, used, seen, reading.on_invalid)
    values = {} if seen.arrays is None else seen.values(used, skipped)
    if (needs_all or by or keys.columns) and columns and not values:
        what = f"{seen.height:,} numbers in each of {len(columns)} columns"
        raise CommandError(
            f"{table.source}: {what} take more than --max-memory {reading.max_memory}: "
            "allow more, or choose fewer columns; what needs all rows together, as "
            "--by does, cannot do with less"
        )
    return Chosen(
        table,
        columns,
        reading.on_invalid,
        seen.height,
        {column: values[column] for column in [*columns, *by]} if values else {},
        skipped,
        by[0] if by else None,
        keys.groups() if keys.columns else None,
        with_steps(meaning, seen.tallies),
        np.concatenate(seen.counts) if values and seen.counts else None,
        values[blurs[0]] if values and blurs else None,
    )


@dataclass
class Seen:
    """What a pass over a table tells, column by column."""

    meaning: Meaning
    tallies: dict[int, Tally]
    arrays: dict[int, list[np.ndarray]] | None  # None if they would take too much
    invalid: dict[int, list[np.ndarray]]  # rows
    height: int = 0
    counts: list[np.ndarray] = field(default_factory=list)

    def values(self, used: Sequence[int], skipped: np.ndarray) -> dict[int, np.ndarray]:
        """The numbers of each column in one array."""
        assert self.arrays is not None
        values = {}
        for column in used:
            values[column] = np.concatenate([np.zeros(0), *self.arrays.pop(column)])
            values[column][skipped] = np.nan
        return values


def _pass(
    table: Table, used: Sequence[int], keys: Keys, meaning: Meaning, allowed: float
) -> Seen:
    """Go over the table once, and keep the numbers as long as memory allows it."""
    blocks = -(-table.input.size() // source.BLOCK)
    beside = bool(keys.columns) + (meaning.weights is not None)
    most = allowed / (VALUE * max(1, len(used) + beside))
    seen = Seen(
        meaning,
        {column: Tally() for column in used},
        {column: [] for column in used},
        {column: [] for column in used},
    )
    needed = {*used, *keys.columns, meaning.weights} - {None}

    def read_part(part: Part) -> Any:
        return part, *meaning.parse(table, part, used), keys.of(part)

    with console.progress("reading", blocks) as step:
        for part, columns, counts, of_keys in prefetch.each(
            read_part, table.parts(sorted(needed))
        ):
            for column, cells in columns.items():
                seen.tallies[column] += Tally.of(part, column, cells)
                seen.invalid[column].append(cells.invalid + seen.height)
                if seen.arrays is not None:
                    seen.arrays[column].append(cells.values)
            if counts is not None and seen.arrays is not None:
                seen.counts.append(counts)
            keys.add(of_keys)
            seen.height += part.height
            if seen.height > most:
                seen.arrays, seen.counts = None, []
            step()
    return seen


def _rows_to_skip(
    table: Table, used: Sequence[int], seen: Seen, on_invalid: str
) -> np.ndarray:
    """Report absent and invalid cells; return the rows to leave out."""
    wrong = tally.report_bad_cells(table, used, seen.tallies, seen.meaning, on_invalid)
    if not wrong:
        return np.zeros(0, np.int64)
    rows = np.unique(np.concatenate([part for c in wrong for part in seen.invalid[c]]))
    console.note(
        f"{table.source}: rows with a cell that is not a number: {len(rows)}, "
        f"{tally.FATES[on_invalid]}"
    )
    return rows if on_invalid == "skip" else rows[:0]
