"""What is done to each part of a table in many: a task, wherever tasks run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from softsort_cli.operate import streaming
from softsort_cli.operate.file_parts import Part
from softsort_cli.operate.operator import Operator
from softsort_cli.options.tables import PartsWriting, Reading
from softsort_cli.tables import column_data, tally, write
from softsort_cli.tables.counted import Meaning, Parsed
from softsort_cli.tables.table import Table
from softsort_cli.tables.times import Time
from softsort_cli.work import manifest

if TYPE_CHECKING:
    from softsort_core import Statistics, Summary


@dataclass(frozen=True)
class Survey:
    """What is known of a part after the first pass."""

    names: list[str]
    height: int
    kept: int  # rows that are in the output
    tallies: dict[int, tally.Tally]
    statistics: dict[int, Statistics]


@dataclass(frozen=True)
class Work:
    """What is done to each part; its methods are tasks."""

    operator: Operator
    reading: Reading
    times: Mapping[int, Time] = field(default_factory=dict)  # columns of no numbers

    def survey(self, part: Part, wanted: Sequence[int]) -> Survey:
        """Go over a part for the first time."""
        table = part.open(self.reading)
        meaning = self._meaning(table)
        tallies = {column: tally.Tally() for column in wanted}
        height = left_out = 0

        def blocks() -> Iterator[Parsed]:
            nonlocal height, left_out
            for block in table.parts(sorted({*wanted, meaning.weights} - {None})):
                columns, counts = meaning.parse(table, block, wanted)
                for column, numbers in columns.items():
                    tallies[column] += tally.Tally.of(block, column, numbers)
                kept = column_data.skip(columns, block.height, self.reading.on_invalid)
                height += block.height
                left_out += 0 if kept is None else block.height - int(kept.sum())
                yield columns, counts

        statistics = streaming.described(blocks(), self.operator)
        for each in tallies.values():
            each.first = each.first and f"{part.path.name}, {each.first}"
        return Survey(table.names, height, height - left_out, tallies, statistics)

    def summarise(
        self, part: Part, statistics: Mapping[int, Statistics], few: Sequence[int]
    ) -> dict[int, Summary | np.ndarray]:
        """Go over a part for the second time."""
        data = self.chosen(part, list(statistics))
        blocks = (rows for _, rows, _ in data.reread())
        how = self.operator, data.meaning
        return streaming.summarised(blocks, statistics, few, *how)

    def solve(
        self, summaries: Mapping[int, Summary | np.ndarray], names: Mapping[int, str]
    ) -> dict[Any, Any]:
        """Solve for the whole: the few results, or what JSON can hold of the others."""
        meaning = Meaning(times=self.times)
        solutions = streaming.solved(summaries, names, self.operator, meaning)
        if self.operator.forms().are_few:
            return solutions
        return streaming.encoded(solutions)

    def evaluate(
        self,
        part: Part,
        wanted: Sequence[int],
        names: Sequence[str],
        before: int,
        texts: Mapping[str, Any],
        writing: PartsWriting,
    ) -> str | None:
        """Go over a part for the last time, and write it: its checksum."""
        data = self.chosen(part, wanted)
        solutions = streaming.decoded(texts)
        rows = streaming.evaluated(data, names, self.operator, solutions, before)
        _, form = part.forms(self.reading)
        # Whether it may be replaced was asked at the start: a task can run twice.
        writing = replace(writing, output=part.output, force=True)
        write.write_appended(data.table, rows, form, writing)
        return manifest.checksum(part.output)

    def chosen(self, part: Part, wanted: Sequence[int]) -> column_data.Chosen:
        """A part and what is known of these of its columns."""
        table, on_invalid = part.open(self.reading), self.reading.on_invalid
        meaning = self._meaning(table)
        return column_data.Chosen(table, list(wanted), on_invalid, meaning=meaning)

    def _meaning(self, table: Table) -> Meaning:
        return replace(Meaning.of(table, self.reading), times=self.times)
