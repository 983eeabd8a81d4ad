"""Results that are a table of their own: few for each column, group by group."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from softsort_cli.errors import CommandError
from softsort_cli.operate import target
from softsort_cli.operate.operator import Operator
from softsort_cli.operate.target import Naming
from softsort_cli.options.tables import Appending, TableWriting
from softsort_cli.tables import formats, write
from softsort_cli.tables.column_data import Chosen


@dataclass(frozen=True)
class ResultTable:
    """Results for each column, group by group, and the form to write them in."""

    data: Chosen
    form: formats.Form
    names: Sequence[str]  # of the columns of the table
    operator: Operator
    outputs: Sequence[Iterable[np.ndarray]]


def suffixed(suffix: str, writing: Appending) -> Naming:
    """A column of results for each column."""
    return lambda data: target.named(data, suffix, writing)


def level_names(data: Chosen) -> Sequence[str]:
    """A column of results for all columns, if they can be together."""
    check_together(data)
    return ["column", "q", "value"]


def write_results(
    table: ResultTable, writing: TableWriting, *, from_last: bool = False
) -> None:
    """Write a column of results for each column, group keys first."""
    step = -1 if from_last else 1
    outputs = [[group[::step] for group in column] for column in table.outputs]
    sizes = [[len(group) for group in column] for column in outputs]
    counts = np.max(np.array(sizes, int), axis=0, initial=0)
    data = table.data
    columns = key_columns(data, counts)
    for name, place, column in zip(table.names, data.columns, outputs, strict=True):
        # Groups that have fewer results than others are filled with NaN.
        filled = [
            np.concatenate([group, np.full(count - len(group), np.nan)])
            for group, count in zip(column, counts, strict=True)
        ]
        results = np.concatenate([np.zeros(0), *filled])
        columns[name] = table.operator.told(data, place, results)
    write.write_table(table.data.table, columns, table.form, writing)


def write_levels(
    table: ResultTable, levels: Sequence[float], writing: TableWriting
) -> None:
    """Write a row for each level of each column, group keys first."""
    data, none = table.data, np.full(len(levels), np.nan)
    outputs = [
        np.concatenate([none[:0], *(group if len(group) else none for group in column)])
        for column in table.outputs
    ]
    count = len(outputs[0]) // len(levels) if outputs else 0
    # For each group every column, for each column every level.
    names = [name for name in data.names() for _ in levels] * count
    order = (
        np.arange(len(names)).reshape(len(outputs), count, len(levels)).swapaxes(0, 1)
    )
    columns = key_columns(data, len(levels) * len(outputs)) | {
        "column": pl.Series(names, dtype=pl.String),
        "q": pl.Series(np.tile(np.array(levels), len(outputs) * count)),
        "value": together(data, outputs)[order.ravel()],
    }
    write.write_table(data.table, columns, table.form, writing)


def together(data: Chosen, values: Sequence[np.ndarray]) -> Any:
    """Values of each column, one after another, as their cells have them."""
    cells = [data.cells(*each) for each in zip(data.columns, values, strict=True)]
    series = [each for each in cells if isinstance(each, pl.Series)]
    return pl.concat(series) if series else np.concatenate([np.zeros(0), *cells])


def check_together(data: Chosen) -> None:
    """Refuse columns whose values cannot be in one column of results."""
    none = np.zeros(0)
    kinds = {c: str(data.cells(c, none).dtype) for c in data.columns}
    others = [c for c, kind in kinds.items() if kind != kinds[data.columns[0]]]
    if others:
        first, other = (repr(data.table.names[c]) for c in (data.columns[0], others[0]))
        raise CommandError(
            f"{data.table.source}: {first} and {other} are not of one kind, as numbers "
            "or dates: choose, by -c, columns whose results can be in one column"
        )


def key_columns(data: Chosen, counts: Any) -> dict[str, Any]:
    """The keys of the groups as columns, each so many times."""
    if data.groups is None:
        return {}
    return data.keys(np.repeat(np.arange(data.groups.count), counts))
