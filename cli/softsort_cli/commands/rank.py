"""`softsort rank`."""

from typing import Annotated

from softsort_cli.errors import UsageError
from softsort_cli.options.declare import command, option
from softsort_cli.options.softness import Solver
from softsort_cli.options.tables import Descending, PartsWriting, Plot, Reading, Tables


@command
def rank(
    tables: Tables = None,
    *,
    start: Annotated[int, option("--start", help="The rank of the first value.")] = 0,
    descending: Descending = False,
    pct: Annotated[
        bool,
        option(
            "--pct",
            help="Ranks over n - 1, from 0 to 1: shares of the highest.",
        ),
    ] = False,
    explain: Annotated[
        bool,
        option(
            "--explain",
            help="Say on stderr how far soft ranks are from exact ones, the blur that "
            "epsilon stands for, and what a tenth of it would do.",
        ),
    ] = False,
    plot: Plot = None,
    solver: Solver,
    reading: Reading,
    writing: PartsWriting,
) -> None:
    """Append the soft rank of each value as {column}_rank.

    Ranks ascend from 0, the smallest value first. Absent cells (empty, NA, NaN) get no
    rank, and the others are ranked among themselves. With --weights, the rank of a row
    is the average of those that its copies would have. With --pct, a single value has
    0.5.

    Examples:
      softsort rank prices.csv -c price,qty --start 1 -o ranked.csv
      softsort rank prices.csv -c price --descending --weights qty
      softsort rank 'part-*.parquet' -c price --out-dir ranked --cluster local:4
    """
    from softsort_cli.operate import apply, exact, explaining, file_parts, plots
    from softsort_cli.operate.operator import Operator
    from softsort_cli.operate.views import View

    if explain and file_parts.are_wanted(tables, solver, writing.out_dir):
        raise UsageError("--explain is for one table, in this process")
    if pct and start:
        raise UsageError("--pct ranks are from 0 to 1: leave out --start")
    settings = {"start": start, "pct": pct, "descends": descending}
    operator = Operator("ranks", exact.ranks, solver, settings)
    views: list[View] = [explaining.Ranks(operator)] if explain else []
    if plot is not None:
        views.append(plots.HardAgainstSoft(plot, operator, force=writing.force))
    apply.append(tables, "rank", operator, reading, writing, views=views)
