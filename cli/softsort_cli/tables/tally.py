"""What the cells of columns say, counted, and what of it is told or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from softsort_cli import console
from softsort_cli.errors import CommandError
from softsort_cli.tables import numbers
from softsort_cli.tables.counted import Meaning
from softsort_cli.tables.table import Part, Table

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
    step: int = 0  # of times, the ticks of the finest place

    @classmethod
    def of(cls, part: Part, column: int, cells: numbers.Numbers) -> Tally:
        """What the cells of a part of the table say."""
        absent, invalid = cells.absent, len(cells.invalid)
        first = part.place(column, int(cells.invalid[0])) if invalid else ""
        present = part.height - absent - invalid
        return cls(present, absent, invalid, first, cells.rounded, cells.step)

    def __add__(self, other: Tally) -> Tally:
        """What the cells of two parts of a column say."""
        return Tally(
            self.present + other.present,
            self.absent + other.absent,
            self.invalid + other.invalid,
            self.first or other.first,
            self.rounded or other.rounded,
            min(filter(None, (self.step, other.step)), default=0),
        )


def with_steps(meaning: Meaning, tallies: Mapping[int, Tally]) -> Meaning:
    """With the finest place that each column of times has."""
    times = {
        column: replace(time, step=tallies[column].step or 1)
        for column, time in meaning.times.items()
    }
    return replace(meaning, times=times)


def report_bad_cells(
    table: Table,
    used: Sequence[int],
    tallies: Mapping[int, Tally],
    meaning: Meaning,
    on_invalid: str,
) -> list[int]:
    """Report absent and rounded cells, refuse invalid ones; return columns of these."""
    named = [(table.names[column], tallies[column]) for column in used]
    wrong = [column for column in used if tallies[column].invalid]
    if wrong and on_invalid == "error":
        first, time = tallies[wrong[0]].first, meaning.times.get(wrong[0])
        such, hint = "a finite number", table.spelling.hint(first)
        if time is not None:
            such, hint = time.such, ""
        raise CommandError(
            f"{table.source}, column {table.names[wrong[0]]!r}, {first} is not {such}; "
            f"correct it, or see --na-values and --on-invalid{hint}"
        )
    absent = [f"{tally.absent} in {name!r}" for name, tally in named if tally.absent]
    if absent:
        more = len(absent) - SHOWN
        listed = ", ".join(absent[:SHOWN])
        listed += f" and {more} more columns" if more > 0 else ""
        console.note(f"{table.source}: absent cells left out: {listed}")
    rounded = [column for column in used if tallies[column].rounded]
    for what, columns in (
        ("integers beyond 2^53", [c for c in rounded if c not in meaning.times]),
        (
            "times so far apart, or of so many digits,",
            [c for c in rounded if c in meaning.times],
        ),
    ):
        if columns:
            names = ", ".join(repr(table.names[column]) for column in columns[:SHOWN])
            console.note(
                f"{table.source}: {what} are taken as the nearest that numbers of 64 "
                f"bits hold, which may be equal: in {names}"
            )
    return wrong
