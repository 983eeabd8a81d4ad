"""`softsort sweep`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from softsort_cli.errors import CommandError, UsageError
from softsort_cli.options.declare import MOST, command, option
from softsort_cli.options.softness import Solver
from softsort_cli.options.tables import Reading, Table, TableWriting


@command
def sweep(
    file: Table = None,
    *,
    epsilons: Annotated[
        str,
        option(
            "--epsilons",
            metavar="FROM:TO:COUNT",
            help="So many epsilons, evenly spaced in their logarithms.",
        ),
    ] = "1e-3:10:100",
    plot: Annotated[
        Path | None,
        option(
            "--plot", metavar="FILE", help="Draw the results too: .png, .svg, .pdf."
        ),
    ] = None,
    solver: Solver,
    reading: Reading,
    writing: TableWriting,
) -> None:
    """Sort and rank each column at many epsilons.

    The result is a table with the columns column, epsilon, place, sorted, value, rank:
    at each epsilon, the soft sorted value of each place from 0, and each value of the
    column with its soft rank. As epsilon goes to 0 these are the exact ones, as it
    grows the mean and the middle rank. --epsilon and --hard play no part.

    Example:
      softsort sweep prices.csv -c price --plot sweep.png > sweep.csv
    """
    import numpy as np
    import polars as pl

    from softsort_cli import console, jax_setup
    from softsort_cli.operate import apply, plots
    from softsort_cli.tables import column_data, write

    if solver.hard or reading.by:
        raise UsageError(
            "sweep is about soft results of whole columns: leave out --hard and --by"
        )
    if solver.cluster is not None:
        raise UsageError(
            "--cluster: sweep needs all numbers together; leave it out, and "
            "SOFTSORT_CLUSTER"
        )
    levels = _levels(epsilons)
    form = apply.check(file, reading, writing)
    plots.check(plot, force=writing.force)
    data = column_data.read(file, reading)
    if data.height * len(levels) * len(data.columns) > MOST:
        raise CommandError(
            f"{data.table.source}: {data.height:,} rows at {len(levels)} epsilons are "
            f"more than {MOST:,} results; choose fewer --epsilons or columns"
        )
    shown = ["column", "epsilon", "place", "sorted", "value", "rank"]
    if writing.dry_run:
        apply.say_plan(data, shown, writing)
        return
    frames, lines = [], {}
    with console.progress("epsilons", len(levels) * len(data.columns)) as step:
        for name, column in zip(data.names(), data.columns, strict=True):
            values = data.values[column]
            values = values[~np.isnan(values)]
            pairs = []
            for epsilon in levels:
                softer = replace(solver, epsilon=epsilon)
                pair = [
                    jax_setup.operator(operator, softer, apply.BITS)(values)
                    for operator in ("sort", "ranks")
                ]
                apply.settle(np.array(pair), name, softer)
                pairs.append(pair)
                step()
            ordered, ranks = (np.array(each) for each in zip(*pairs, strict=True))
            lines[name] = ordered, ranks
            frames.append(
                {
                    "column": [name] * ordered.size,
                    "epsilon": np.repeat(levels, len(values)),
                    "place": np.tile(np.arange(len(values)), len(levels)),
                    "sorted": ordered.ravel(),
                    "value": np.tile(values, len(levels)),
                    "rank": ranks.ravel(),
                }
            )
    table = pl.concat([pl.DataFrame(each) for each in frames])
    numbers = {"epsilon", "sorted", "value", "rank"}
    columns = {
        name: table[name].to_numpy() if name in numbers else table[name]
        for name in shown
    }
    if plot is not None:
        plots.over_epsilon(plot, levels, lines, force=writing.force)
    write.write_table(data.table, columns, form, writing)


def _levels(epsilons: str) -> list[float]:
    import math

    import numpy as np

    try:
        first, last, count = epsilons.split(":")
        ends, size = (float(first), float(last)), int(count)
    except ValueError:
        ends, size = (0.0, 0.0), 0
    if size < 1 or not all(0 < end < math.inf for end in ends):
        raise UsageError(
            f"--epsilons {epsilons!r}: give two positive numbers and how many, as in "
            "1e-3:10:100"
        )
    if size > MOST:
        raise UsageError(f"--epsilons {epsilons!r}: more than {MOST:,}, ask for fewer")
    return np.geomspace(*ends, size).tolist()
