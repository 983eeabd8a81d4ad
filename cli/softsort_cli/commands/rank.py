"""`softsort rank`."""

from typing import Annotated, Any

from softsort_cli.errors import UsageError
from softsort_cli.options.declare import command, option
from softsort_cli.options.softness import Solver
from softsort_cli.options.tables import PartsWriting, Plot, Reading, Tables


@command
def rank(
    tables: Tables = None,
    *,
    start: Annotated[
        int, option("--start", help="The rank of the smallest value.")
    ] = 0,
    explain: Annotated[
        bool,
        option(
            "--explain",
            help="Say on stderr how far soft ranks are from exact ones, and what a "
            "tenth of epsilon would do.",
        ),
    ] = False,
    plot: Plot = None,
    solver: Solver,
    reading: Reading,
    writing: PartsWriting,
) -> None:
    """Append the soft rank of each value as {column}_rank.

    Ranks ascend. Absent cells (empty, NA, NaN) get no rank, and the others are ranked
    among themselves.

    Examples:
      softsort rank prices.csv -c price,qty --start 1 -o ranked.csv
      softsort rank 'part-*.parquet' -c price --out-dir ranked --cluster local:4
    """
    from dataclasses import replace

    from softsort_cli.operate import apply, many_files, plots
    from softsort_cli.operate import exact as hard
    from softsort_cli.operate import explain as explaining

    if many_files.wanted(tables, solver, writing.out_dir):
        if explain or plot is not None:
            raise UsageError("--explain and --plot are for one table, in this process")
        many_files.append(tables, "rank", _in_parts(start), solver, reading, writing)
        return
    plots.check(plot, force=writing.force)
    if plot is not None and reading.by:
        raise UsageError("--plot draws whole columns: leave out --by")
    operator = _operator(solver, start)
    lines = {}

    def look(data, name, result):
        if explain:
            less = replace(solver, epsilon=solver.epsilon / 10)
            smaller = apply.apply(_operator(less, 0), result.given, less, data)
            soft = [ranks - start for ranks in result.values]
            given = list(result.given), soft, list(smaller)
            explaining.ranks(name, *given, solver)
        if plot is not None:
            (values,), (ranks,) = result.given, result.values
            order = values.argsort()
            exact = hard.ranks(values) + start
            lines[name] = values[order], exact[order], ranks[order]
            if len(lines) == len(data.columns):
                labels = "{}", "rank of {}"
                plots.hard_against_soft(plot, lines, labels, force=writing.force)

    file = many_files.only(tables)
    watch = look if explain or plot is not None else None
    apply.append(file, "rank", operator, solver, reading, writing, look=watch)


def _in_parts(start: int) -> Any:
    from functools import partial

    from softsort_cli.operate import streaming

    ranks = partial(streaming.ranks, start=start)
    return streaming.Parted("solve", evaluate=ranks, options={"start": start})


def _operator(solver: Solver, start: int) -> Any:
    from softsort_cli import jax_setup
    from softsort_cli.operate import apply

    ranks, together = jax_setup.operators("ranks", solver, apply.BITS)

    def padded(row):
        soft = jax_setup.traced("ranks", solver)
        targets = {"target_weights": row.weights, "input_weights": row.weights}
        return soft(row.values, **targets, epsilon=row.narrowed) + start

    return apply.Operator(
        # Zero need not be added to millions of ranks.
        lambda values: ranks(values) + start if start else ranks(values),
        None if solver.hard else padded,
        parted=_in_parts(start),
        together=lambda values, sizes: together(values, sizes) + start,
    )
