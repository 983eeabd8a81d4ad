"""`softsort sort`."""

from typing import Annotated

from softsort_cli.errors import UsageError
from softsort_cli.options import completion
from softsort_cli.options.declare import MOST, command, option
from softsort_cli.options.softness import Solver
from softsort_cli.options.tables import PartsWriting, Plot, Reading, Tables


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
    plot: Plot = None,
    solver: Solver,
    reading: Reading,
    writing: PartsWriting,
) -> None:
    """Append each column softly sorted as {column}_sorted.

    The sorted values run from the first row down, ascending; where cells are absent
    (empty, NA, NaN), the last rows stay empty. With --by-column, rows with an absent
    cell take no part. With --targets, the result is a table of that many rows with
    the columns {column}_sorted alone.

    Examples:
      softsort sort prices.csv -c price
      softsort sort prices.csv -c price,qty --by-column price
      softsort sort prices.csv -c price --targets 5
    """
    from softsort_cli.operate import apply, by_column, exact, file_parts, plots
    from softsort_cli.operate.operator import Operator
    from softsort_cli.operate.result_table import suffixed, write_results

    if criterion is not None and targets is not None:
        raise UsageError("--by-column sorts all rows: leave out --targets")
    if criterion is not None and plot is not None:
        raise UsageError("--plot draws single columns: leave out --by-column")
    if targets is not None and writing.out_dir is not None:
        raise UsageError("--targets makes a table of its own: -o, not --out-dir")
    in_process = criterion is not None or plot is not None
    if in_process and file_parts.are_wanted(tables, solver, writing.out_dir):
        raise UsageError(
            "--by-column and --plot are for one table, in this process: leave them "
            "out, or --out-dir and --cluster"
        )
    if criterion is not None:
        by_column.append(tables, criterion, solver, reading, writing)
        return
    views = []
    if plot is not None:
        views.append(plots.sorted_values(plot, force=writing.force))
        if reading.by or targets is not None:
            raise UsageError("--plot draws whole columns: leave out --by and --targets")
    if targets is None:
        operator = Operator("sort", exact.sort)
        options = solver, reading, writing
        apply.append(tables, "sorted", operator, *options, from_top=True, views=views)
        return
    settings = {"num_targets": targets}
    operator = Operator("sort", exact.sort, settings, count=lambda _: targets)
    columns = suffixed("sorted")
    table = apply.tabulate(tables, operator, solver, reading, writing, columns)
    write_results(table, writing)
