"""The numbers that a command works on: a table, and the columns chosen from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from softsort_cli import console
from softsort_cli.errors import CommandError
from softsort_cli.io import prefetch, source
from softsort_cli.options.tables import Reading
from softsort_cli.tables import csv, numbers, opening, select
from softsort_cli.tables.group_keys import Groups, Keys

if TYPE_CHECKING:
    import numpy as np

# Which rows are in the output; None if all are.
Kept: TypeAlias = "np.ndarray | None"

SAMPLE = 1000  # rows that tell a column of text from one of numbers
# Bytes a value takes: itself, while columns are put together and solved a copy, what
# is solved, and the result.
VALUE = 32
FATES = {"skip": "left out", "null": "treated as absent"}  # of invalid cells


@dataclass
class Tally:
    """What the cells of a column say."""

    present: int = 0
    absent: int = 0
    invalid: int = 0
    first: str = ""  # the first invalid one, and where it is
    rounded: bool = False  # whether float64 does not hold an integer among them

    def add(self, part: opening.Part, column: int, found: numbers.Numbers) -> None:
        """Count the cells of a part of the table."""
        if len(found.invalid) and not self.invalid:
            self.first = part.place(column, int(found.invalid[0]))
        self.present += part.height - found.absent - len(found.invalid)
        self.absent += found.absent
        self.invalid += len(found.invalid)
        self.rounded |= found.rounded

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

    table: opening.Table
    columns: list[int]
    tallies: dict[int, Tally]
    height: int
    on_invalid: str
    values: dict[int, np.ndarray]  # NaN where there is no number; none if too many
    skipped: np.ndarray  # rows to leave out of the output
    criterion: np.ndarray | None = None  # what to sort rows by
    groups: Groups | None = None

    @property
    def fits(self) -> bool:
        """Whether the numbers are here: --max-memory is enough for them."""
        return bool(self.values)

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

    def reread(self) -> Iterator[tuple[opening.Part, dict[int, np.ndarray], Kept]]:
        """The table once more, its numbers, and which rows are in the output."""
        for part in self.table.parts():
            found = parse(part, self.columns)
            kept = skip(found, part.height, self.on_invalid)
            yield part, {column: each.values for column, each in found.items()}, kept


def parse(part: opening.Part, wanted: Sequence[int]) -> dict[int, numbers.Numbers]:
    """The chosen columns of a part of a table as numbers."""
    cells = part.cells(wanted)
    return {
        column: numbers.parse(cell) for column, cell in zip(wanted, cells, strict=True)
    }


def skip(found: dict[int, numbers.Numbers], height: int, on_invalid: str) -> Kept:
    """Which rows are in the output; the numbers of the others become NaN."""
    if on_invalid != "skip":
        return None
    kept = _without([each.invalid for each in found.values()], height)
    for each in found.values():
        each.values[~kept] = float("nan")
    return kept


def read(
    path: Path | None,
    reading: Reading,
    criterion: str | None = None,
    *,
    again: bool = False,
) -> Chosen:
    """Read a table, the numbers in its chosen columns, and those of a criterion.

    Where it is to be read `again`, to be written, that is made quicker.
    """
    data = survey(path, reading, criterion, again=again)
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
) -> Chosen:
    """The same, but without the numbers if --max-memory is not enough for them."""
    table = opening.open_table(path, reading)
    if again and isinstance(table, csv.Delimited):
        table = table.holding(reading.allowed())
    wanted, excluded = select.choose(reading.columns or [], table.names)
    keys = _keys(table, reading)
    by = (
        None
        if criterion is None
        else select.choose_one(criterion, table.names, "--by-column")
    )
    candidates = wanted or candidates_of(table, excluded | set(keys.columns))
    used = list(dict.fromkeys(candidates if by is None else [*candidates, by]))
    seen = _pass(table, used, keys, reading.allowed())
    if wanted is None:
        candidates = numeric(table, candidates, seen.tallies, reading.on_invalid)
    used = list(dict.fromkeys(candidates if by is None else [*candidates, by]))
    skipped = _judge(table, used, seen, reading.on_invalid)
    values = seen.columns(used, skipped)
    return Chosen(
        table,
        candidates,
        {column: seen.tallies[column] for column in candidates},
        seen.height,
        reading.on_invalid,
        {column: values[column] for column in candidates} if values else {},
        skipped,
        values[by] if values and by is not None else None,
        keys.groups() if keys.columns else None,
    )


@dataclass
class Seen:
    """What a pass over a table has found."""

    tallies: dict[int, Tally]
    parts: dict[int, numbers.Together] | None  # None if they would take too much
    invalid: dict[int, list[np.ndarray]]
    height: int = 0

    def columns(
        self, used: Sequence[int], skipped: np.ndarray
    ) -> dict[int, np.ndarray]:
        """The numbers of each column together."""
        import numpy as np

        if self.parts is None:
            return {}
        values = {}
        for column in used:
            values[column] = self.parts.pop(column).all()
            values[column][skipped] = np.nan
        return values


def _pass(
    table: opening.Table, used: Sequence[int], keys: Keys, allowed: float
) -> Seen:
    """Go over the table once, and keep the numbers as long as memory allows it."""
    blocks = -(-table.input.size() // source.BLOCK)
    width = max(1, len(used) + bool(keys.columns))
    most = allowed / (VALUE * width)
    seen = Seen(
        {column: Tally() for column in used},
        {column: numbers.Together(blocks, most) for column in used},
        {column: [] for column in used},
    )
    needed = list(dict.fromkeys([*used, *keys.columns]))
    with console.progress("reading", blocks) as step:
        parts = prefetch.each(
            lambda part: (part, parse(part, used), keys.said(part)), table.parts(needed)
        )
        for part, found, said in parts:
            for column, some in found.items():
                seen.tallies[column].add(part, column, some)
                seen.invalid[column].append(some.invalid + seen.height)
                if seen.parts is not None:
                    seen.parts[column].add(some.values)
            keys.add(said)
            seen.height += part.height
            if seen.height > most:
                seen.parts = None
            step()
    return seen


def _keys(table: opening.Table, reading: Reading) -> Keys:
    names = reading.by or []
    return Keys([select.choose_one(name, table.names, "--by") for name in names])


def candidates_of(table: opening.Table, excluded: set[int]) -> list[int]:
    """Columns that may be numeric, by their first rows."""
    wanted = [column for column in range(len(table.names)) if column not in excluded]
    part = next(part for part in table.parts(wanted) if part.height)
    cells = [cell.head(SAMPLE) for cell in part.cells(wanted)]
    sample = [numbers.parse(cell) for cell in cells]
    return [
        column
        for column, cell, some in zip(wanted, cells, sample, strict=True)
        if 2 * len(some.invalid) <= len(cell) - some.absent
    ]


def numeric(
    table: opening.Table,
    candidates: Sequence[int],
    tallies: Mapping[int, Tally],
    on_invalid: str,
) -> list[int]:
    """The columns whose every cell is a number or absent, with at least one number."""
    found = []
    for column in candidates:
        tally = tallies[column]
        if tally.present < max(tally.invalid, 1):
            continue
        if tally.invalid and on_invalid == "error":
            console.note(
                f"note: column {table.names[column]!r} is left out: {tally.first} is "
                "not a number; choose it with -c, or see --on-invalid"
            )
        else:
            found.append(column)
    if not found:
        raise CommandError(_no_numbers(table))
    return found


def _no_numbers(table: opening.Table) -> str:
    message = f"{table.source} has no numeric column"
    if len(table.names) == 1 and table.form.kind == "delimited":
        (name,) = table.names
        part = next(part for part in table.parts() if part.height)
        text = name + str(part.cells([0])[0].head(1).item())
        for delimiter, shown in (
            (";", "';'"),
            ("\t", "tab"),
            ("|", "'|'"),
            (",", "','"),
        ):
            if delimiter in text:
                return f"{message}: is it separated by {shown}? Try --delimiter {shown}"
    return message + "; choose one with -c to see why"


def _judge(
    table: opening.Table, used: Sequence[int], seen: Seen, on_invalid: str
) -> np.ndarray:
    """Report absent and invalid cells; return the rows to leave out."""
    import numpy as np

    wrong = judge(table, used, seen.tallies, on_invalid)
    if not wrong:
        return np.zeros(0, np.int64)
    rows = np.unique(np.concatenate([part for c in wrong for part in seen.invalid[c]]))
    console.note(
        f"{table.source}: rows with a cell that is not a number: {len(rows)}, "
        f"{FATES[on_invalid]}"
    )
    return rows if on_invalid == "skip" else rows[:0]


def judge(
    table: opening.Table,
    used: Sequence[int],
    tallies: Mapping[int, Tally],
    on_invalid: str,
) -> list[int]:
    """Report absent and rounded cells, refuse invalid ones; return columns of these."""
    wrong = [column for column in used if tallies[column].invalid]
    if wrong and on_invalid == "error":
        raise CommandError(
            f"{table.source}, column {table.names[wrong[0]]!r}, "
            f"{tallies[wrong[0]].first} is not a finite number; correct it, or see "
            "--on-invalid"
        )
    absent = [
        f"{tallies[column].absent} in {table.names[column]!r}"
        for column in used
        if tallies[column].absent
    ]
    if absent:
        more = f" and {len(absent) - 8} more columns" if len(absent) > 8 else ""
        console.note(
            f"{table.source}: absent cells left out: {', '.join(absent[:8])}{more}"
        )
    rounded = [repr(table.names[column]) for column in used if tallies[column].rounded]
    if rounded:
        console.note(
            f"{table.source}: integers beyond 2^53 are taken as the nearest numbers "
            f"that 64 bits hold, which may be equal: in {', '.join(rounded[:8])}"
        )
    return wrong


def _without(rows: Sequence[np.ndarray], height: int) -> np.ndarray:
    import numpy as np

    kept = np.ones(height, bool)
    kept[np.concatenate(rows)] = False
    return kept
