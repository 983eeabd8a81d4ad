"""The numbers that a command works on: a table, and the columns chosen from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from softsort_cli import console
from softsort_cli.errors import CommandError
from softsort_cli.io import prefetch, source
from softsort_cli.options.tables import Reading
from softsort_cli.tables import counted, numbers, opening, select
from softsort_cli.tables.counted import Numbers
from softsort_cli.tables.group_keys import Groups, Keys
from softsort_cli.tables.table import Part, Table

if TYPE_CHECKING:
    import numpy as np

# Which rows are in the output; None if all are.
Kept: TypeAlias = "np.ndarray | None"

SAMPLE = 1000  # rows that tell a column of text from one of numbers
# Bytes a value takes: itself, while columns are put together and solved a copy, what
# is solved, and the result.
VALUE = 32
SHOWN = 8  # columns that a message names
FATES = {"skip": "left out", "null": "treated as absent"}  # of invalid cells


@dataclass
class Tally:
    """What the cells of a column say."""

    present: int = 0
    absent: int = 0
    invalid: int = 0
    first: str = ""  # the first invalid one, and where it is
    rounded: bool = False  # whether float64 does not hold an integer among them

    @classmethod
    def of(cls, part: Part, column: int, cells: numbers.Numbers) -> Tally:
        """What the cells of a part of the table say."""
        absent, invalid = cells.absent, len(cells.invalid)
        first = part.place(column, int(cells.invalid[0])) if invalid else ""
        present = part.height - absent - invalid
        return cls(present, absent, invalid, first, cells.rounded)

    def __add__(self, other: Tally) -> Tally:
        """What the cells of two parts of a column say."""
        return Tally(
            self.present + other.present,
            self.absent + other.absent,
            self.invalid + other.invalid,
            self.first or other.first,
            self.rounded or other.rounded,
        )


@dataclass(frozen=True)
class Chosen:
    """A table and what is known of the columns that a command works on."""

    table: Table
    columns: list[int]
    height: int
    on_invalid: str
    values: dict[int, np.ndarray]  # NaN where there is no number; none if too many
    skipped: np.ndarray  # rows to leave out of the output
    criterion: np.ndarray | None = None  # what to sort rows by
    groups: Groups | None = None
    absent: numbers.Absent = numbers.NOTHING_ELSE
    weights: int | None = None  # the column that says how often a row counts
    counts: np.ndarray | None = None  # what it says
    errors: np.ndarray | None = None  # standard errors

    @property
    def fits(self) -> bool:
        """Whether the numbers are here: --max-memory is enough for them."""
        return bool(self.values) or not self.columns

    def names(self) -> list[str]:
        """The names of the chosen columns."""
        return [self.table.names[column] for column in self.columns]

    def kept(self) -> Kept:
        """Which rows are in the output."""
        import numpy as np

        if not len(self.skipped):
            return None
        kept = np.ones(self.height, bool)
        kept[self.skipped] = False
        return kept

    def reread(self) -> Iterator[tuple[Part, Numbers, Kept]]:
        """The table once more, its numbers, and which rows are in the output."""
        for part in self.table.parts():
            cells, counts = counted.parse(
                self.table, part, self.columns, self.weights, self.absent
            )
            kept = skip(cells, part.height, self.on_invalid)
            yield part, Numbers.of(cells, counts), kept


def absent_of(reading: Reading) -> numbers.Absent:
    """What says that there is no number, besides what says so to everybody."""
    return numbers.Absent.named(reading.na_values)


def skip(columns: dict[int, numbers.Numbers], height: int, on_invalid: str) -> Kept:
    """Which rows are in the output; the numbers of the others become NaN."""
    import numpy as np

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
) -> Chosen:
    """Read a table, the numbers in its chosen columns, of a criterion, and `errors`.

    Where it is to be read `again`, to be written, that is made quicker.
    """
    data = survey(path, reading, criterion, again=again, errors=errors)
    if not data.fits:
        raise CommandError(
            f"{data.table.source}: {data.height:,} numbers in each of "
            f"{len(data.columns)} columns take more than --max-memory "
            f"{reading.max_memory}: allow more, or choose fewer columns; what needs "
            "all rows together, as --by does, cannot do with less"
        )
    return data


def survey(
    path: Path | None,
    reading: Reading,
    criterion: str | None = None,
    *,
    again: bool = False,
    errors: str | None = None,
) -> Chosen:
    """Read as `read` does, but without the numbers if --max-memory is too little."""
    import numpy as np

    table = opening.open_table(path, reading, twice=again)
    if not table.names:  # NDJSON without objects, of whatever columns
        reading = replace(reading, columns=None, by=None)
    wanted, excluded = select.choose(reading.columns or [], table.names)
    keys = Keys(select.choose_keys(reading.by or [], table.names))
    weights = counted.weights_of(table, reading)
    by = (
        []
        if criterion is None
        else [select.choose_one(criterion, table.names, "--by-column")]
    )
    blurs = [] if errors is None else [select.choose_one(errors, table.names, "--blur")]
    absent, apart = absent_of(reading), {*keys.columns, *blurs, weights} - {None}
    columns = wanted or candidates_of(table, excluded | apart, absent)
    beside = [*by, *blurs]
    used = list(dict.fromkeys([*columns, *beside]))
    seen = _pass(table, used, keys, weights, reading.allowed(), absent)
    if wanted is None:
        columns = numeric(table, columns, seen.tallies, reading.on_invalid)
    if not seen.height:
        console.note(f"{table.source} has no rows")
    used = list(dict.fromkeys([*columns, *beside]))
    skipped = _rows_to_skip(table, used, seen, reading.on_invalid)
    values = seen.values(used, skipped)
    return Chosen(
        table,
        columns,
        seen.height,
        reading.on_invalid,
        {column: values[column] for column in columns} if values else {},
        skipped,
        values[by[0]] if values and by else None,
        keys.groups() if keys.columns else None,
        absent,
        weights,
        np.concatenate(seen.counts) if values and seen.counts else None,
        values[blurs[0]] if values and blurs else None,
    )


@dataclass
class Seen:
    """What a pass over a table tells, column by column."""

    tallies: dict[int, Tally]
    arrays: dict[int, list[np.ndarray]] | None  # None if they would take too much
    invalid: dict[int, list[np.ndarray]]  # rows
    height: int = 0
    counts: list[np.ndarray] = field(default_factory=list)

    def values(self, used: Sequence[int], skipped: np.ndarray) -> dict[int, np.ndarray]:
        """The numbers of each column in one array."""
        import numpy as np

        if self.arrays is None:
            return {}
        values = {}
        for column in used:
            values[column] = np.concatenate([np.zeros(0), *self.arrays.pop(column)])
            values[column][skipped] = np.nan
        return values


def _pass(
    table: Table,
    used: Sequence[int],
    keys: Keys,
    weights: int | None,
    allowed: float,
    absent: numbers.Absent,
) -> Seen:
    """Go over the table once, and keep the numbers as long as memory allows it."""
    blocks = -(-table.input.size() // source.BLOCK)
    beside = bool(keys.columns) + (weights is not None)
    most = allowed / (VALUE * max(1, len(used) + beside))
    seen = Seen(
        {column: Tally() for column in used},
        {column: [] for column in used},
        {column: [] for column in used},
    )
    needed = {*used, *keys.columns, weights} - {None}

    def read_part(part: Part) -> Any:
        return part, *counted.parse(table, part, used, weights, absent), keys.of(part)

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


def _first_part(table: Table, columns: Sequence[int]) -> Part | None:
    return next((part for part in table.parts(columns) if part.height), None)


def candidates_of(
    table: Table, excluded: set[int], absent: numbers.Absent
) -> list[int]:
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
        read = numbers.parse(sample, absent)
        if 2 * len(read.invalid) <= len(sample) - read.absent:
            candidates.append(column)
    return candidates


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
        for delimiter in ";\t|,":
            if delimiter in text:
                shown = "tab" if delimiter == "\t" else repr(delimiter)
                return f"{message}: is it separated by {shown}? Try --delimiter {shown}"
    return message + "; choose one with -c to see why"


def _rows_to_skip(
    table: Table, used: Sequence[int], seen: Seen, on_invalid: str
) -> np.ndarray:
    """Report absent and invalid cells; return the rows to leave out."""
    import numpy as np

    wrong = report_bad_cells(table, used, seen.tallies, on_invalid)
    if not wrong:
        return np.zeros(0, np.int64)
    rows = np.unique(np.concatenate([part for c in wrong for part in seen.invalid[c]]))
    console.note(
        f"{table.source}: rows with a cell that is not a number: {len(rows)}, "
        f"{FATES[on_invalid]}"
    )
    return rows if on_invalid == "skip" else rows[:0]


def report_bad_cells(
    table: Table, used: Sequence[int], tallies: Mapping[int, Tally], on_invalid: str
) -> list[int]:
    """Report absent and rounded cells, refuse invalid ones; return columns of these."""
    named = [(table.names[column], tallies[column]) for column in used]
    wrong = [column for column in used if tallies[column].invalid]
    if wrong and on_invalid == "error":
        raise CommandError(
            f"{table.source}, column {table.names[wrong[0]]!r}, "
            f"{tallies[wrong[0]].first} is not a finite number; correct it, or see "
            "--na-values and --on-invalid"
        )
    absent = [f"{tally.absent} in {name!r}" for name, tally in named if tally.absent]
    if absent:
        more = len(absent) - SHOWN
        listed = ", ".join(absent[:SHOWN])
        listed += f" and {more} more columns" if more > 0 else ""
        console.note(f"{table.source}: absent cells left out: {listed}")
    rounded = [repr(name) for name, tally in named if tally.rounded]
    if rounded:
        console.note(
            f"{table.source}: integers beyond 2^53 are taken as the nearest numbers "
            f"that 64 bits hold, which may be equal: in {', '.join(rounded[:SHOWN])}"
        )
    return wrong
