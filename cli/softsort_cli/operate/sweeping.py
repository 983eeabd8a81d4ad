"""Sorted values and ranks of columns at many epsilons."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from softsort_cli import console
from softsort_cli.errors import CommandError, UsageError
from softsort_cli.operate import apply, exact, groups, plots, target
from softsort_cli.operate.operator import Operator
from softsort_cli.operate.result_table import check_together, together
from softsort_cli.options.declare import MOST
from softsort_cli.options.softness import Solver
from softsort_cli.options.tables import Reading, TableWriting
from softsort_cli.tables import column_data, write
from softsort_cli.tables.group_keys import Grouped

COLUMNS = ["column", "epsilon", "place", "sorted", "value", "rank"]


def sweep(
    path: Path | None,
    levels: Sequence[float],
    plot: Path | None,
    solver: Solver,
    reading: Reading,
    writing: TableWriting,
) -> None:
    """Write the results at some epsilons, and draw them if there is to be a picture."""
    if solver.hard or reading.by:
        raise UsageError(
            "sweep is about soft results of whole columns: leave out --hard and --by"
        )
    if solver.cluster is not None:
        raise UsageError(
            "--cluster: sweep needs all numbers together; leave it out, and "
            "SOFTSORT_CLUSTER"
        )
    form = target.check(path, reading, writing)
    plots.check(plot, force=writing.force)
    data = column_data.read(path, reading, needs_all=True)
    if data.height * len(levels) * len(data.columns) > MOST:
        raise CommandError(
            f"{data.table.source}: {data.height:,} rows at {len(levels)} epsilons are "
            f"more than {MOST:,} results; choose fewer --epsilons or columns"
        )
    check_together(data)
    target.end_dry_run(data, COLUMNS, writing)
    columns = _at_levels(data, levels, solver)
    if plot is not None:
        lines = [
            (
                data.table.names[column],
                data.drawn(column, ordered.ravel()).reshape(ordered.shape),
                ranks,
            )
            for column, (_, ordered, ranks) in columns.items()
        ]
        plots.over_epsilon(plot, levels, lines, force=writing.force)
    write.write_table(data.table, _table(data, columns, levels), form, writing)


def _at_levels(
    data: column_data.Chosen, levels: Sequence[float], solver: Solver
) -> dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each column its values, and sorted values and ranks, a row an epsilon."""
    apply.start(solver)
    operators = (
        Operator("sort", exact.sort, solver),
        Operator("ranks", exact.ranks, solver),
    )
    columns = {}
    with console.progress("epsilons", len(levels) * len(data.columns)) as step:
        for name, column in zip(data.names(), data.columns, strict=True):
            there = ~np.isnan(data.values[column])
            values = data.values[column][there]
            counts = None if data.counts is None else data.counts[there]
            inputs, pairs = Grouped.whole(values, counts), []
            for epsilon in levels:
                pair = np.array(
                    [
                        groups.apply(each, inputs, np.array([epsilon])).together
                        for each in operators
                    ]
                )
                softer = replace(solver, epsilon=epsilon)
                groups.require_converged(pair, name, softer)
                pairs.append(pair)
                step()
            ordered, ranks = np.stack(pairs, axis=1)
            columns[column] = values, ordered, ranks
    return columns


def _table(
    data: column_data.Chosen,
    columns: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]],
    levels: Sequence[float],
) -> dict[str, Any]:
    """Results as arrays, and as series the labels, which --float-format is not for."""
    count, parts, none = len(levels), list(columns.values()), np.zeros(0)
    sizes = [len(values) for values, _, _ in parts]
    names = [
        name
        for name, size in zip(data.names(), sizes, strict=True)
        for _ in range(size * count)
    ]
    epsilons = np.concatenate([none, *(np.repeat(levels, size) for size in sizes)])
    places = [np.tile(np.arange(size), count) for size in sizes]
    return {
        "column": pl.Series(names, dtype=pl.String),
        "epsilon": pl.Series(epsilons),
        "place": pl.Series(np.concatenate([none.astype(int), *places])),
        "sorted": together(data, [ordered.ravel() for _, ordered, _ in parts]),
        "value": pl.Series(together(data, [np.tile(x, count) for x, _, _ in parts])),
        "rank": np.concatenate([none, *(ranks.ravel() for _, _, ranks in parts)]),
    }
