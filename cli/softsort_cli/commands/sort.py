"""`softsort sort`."""

from typing import Annotated

from softsort_cli.errors import UsageError
from softsort_cli.options import completion
from softsort_cli.options.declare import MOST, command, option
from softsort_cli.options.softness import Solver
from softsort_cli.options.tables import Descending, PartsWriting, Plot, Reading, Tables


@command
def sort(
    tables: Tables = None,
    *,
    criterion: Annotated[
        str | None,
        option(
            "--by-column",
            metavar="COLUMN",
            autocompletion=completion.columns,
            help="Sort rows by this column: the chosen columns move together.",
        ),
    ] = None,
    targets: Annotated[
        int | None,
        option(
            "--targets",
            min=1,
            max=MOST,
            help="Write this many sorted values, alone.",
        ),
    ] = None,
    descending: Descending = False,
    plot: Plot = None,
    solver: Solver,
    reading: Reading,
    writing: PartsWriting,
) -> None:
    """Append each column softly sorted as {column}_sorted.

    The sorted values run from the first row down, ascending; where cells are absent
    (empty, NA, NaN), the last rows stay empty. With --by-column, rows with an absent
    cell take no part. With --targets, the result is a table of that many rows with
    the columns {column}_sorted alone. With --weights, each of as many sorted values
    stands for an equal share of the weight, as --targets of repeated rows would.

    Examples:
      softsort sort prices.csv -c price
      softsort sort prices.csv -c price,qty --by-column price
      softsort sort prices.csv -c price --targets 5
    """
    from softsort_cli.operate import apply, exact, file_parts, plots
    from softsort_cli.operate.operator import Operator
    from softsort_cli.operate.result_table import suffixed, write_results
    from softsort_cli.operate.views import View

    options = reading, writing
    are_parts = file_parts.are_wanted(tables, solver, writing.out_dir)
    if are_parts and (criterion is not None or plot is not None):
        raise UsageError(
            "--by-column and --plot are for one table, in this process: leave them "
            "out, or --out-dir and --cluster"
        )
    if targets is not None and (plot or writing.out_dir):
        raise UsageError(
            "--targets makes a table of its own: -o, not --out-dir, and no --plot"
        )
    if criterion is not None and (targets is not None or plot is not None):
        raise UsageError("--by-column: leave out --targets and --plot")
    settings = {"num_targets": targets, "descends": descending}
    count = None if targets is None else lambda _: targets
    operator = Operator("sort", exact.sort, solver, settings, count)
    if criterion is not None:
        by = criterion, descending
        operator = Operator("sort_with", exact.sort_with, solver, criterion=by)
    views: list[View] = []
    if plot is not None:
        views.append(plots.HardAgainstSoft(plot, operator, force=writing.force))
    if targets is None:
        apply.append(tables, "sorted", operator, *options, views=views)
        return
    columns = suffixed("sorted", writing)
    table = apply.tabulate(tables, operator, *options, columns)
    write_results(table, writing)
