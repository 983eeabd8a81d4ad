"""`softsort sort`."""

from pathlib import Path
from typing import Annotated

from cli import complete
from cli.errors import UsageError
from cli.options import (
    MOST,
    Appending,
    PartsWriting,
    Plot,
    Reading,
    Solver,
    Tables,
    command,
    option,
)


@command
def sort(
    tables: Tables = None,
    *,
    by_column: Annotated[
        str | None,
        option(
            "--by-column",
            metavar="COLUMN",
            autocompletion=complete.columns,
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
    import numpy as np

    from cli import columnwise, groups, inparts, parted, plots, runtime

    if by_column is not None and targets is not None:
        raise UsageError("--by-column sorts all rows: leave out --targets")
    if by_column is not None and plot is not None:
        raise UsageError("--plot draws single columns: leave out --by-column")
    named = columnwise.suffixed("sorted")
    whole = inparts.Parted("solve", evaluate=inparts.sorted_values)
    if targets is not None:
        whole = inparts.Parted("solve_sort", {"num_targets": targets})
        if writing.out_dir is not None:
            raise UsageError("--targets makes a table of its own: -o, not --out-dir")
    if parted.wanted(tables, solver, writing.out_dir):
        if by_column is not None or plot is not None:
            raise UsageError(
                "--by-column and --plot are for one table, in this process: leave them "
                "out, or --out-dir and --cluster"
            )
        if targets is None:
            parted.append(tables, "sorted", whole, solver, reading, writing)
        else:
            found = parted.few(tables, whole, solver, reading, writing, named)
            columnwise.write_few(found, writing)
        return
    file = parted.only(tables)
    if by_column is not None:
        _by_column(file, by_column, solver, reading, writing)
        return
    plots.check(plot, force=writing.force)
    if plot is not None and (reading.by or targets is not None):
        raise UsageError("--plot draws whole columns: leave out --by and --targets")
    lines = {}

    def look(data, name, result):
        (values,), (found,) = result.given, result.values
        lines[name] = np.arange(len(values)), np.sort(values), found
        if plot is not None and len(lines) == len(data.columns):
            labels = "place", "{}, sorted"
            plots.hard_against_soft(plot, lines, labels, force=writing.force)

    sort, together = runtime.operators("sort", solver, columnwise.BITS)

    def padded(row):
        soft = runtime.traced("quantile_normalization", solver)
        weights, values = row.weights, row.values
        return groups.sorted_values(soft, row, weights, values, row.narrowed)

    if targets is None:
        operator = columnwise.Operator(
            sort,
            None if solver.hard else padded,
            parted=whole,
            together=together,
        )
        columnwise.append(
            file,
            "sorted",
            operator,
            solver,
            reading,
            writing,
            from_top=True,
            look=None if plot is None else look,
        )
        return

    def few(values):
        return sort(values, num_targets=targets)

    def few_padded(row):
        soft = runtime.traced("sort", solver)
        given = {"input_weights": row.weights, "epsilon": row.epsilon}
        return soft(row.values, num_targets=targets, **given)

    operator = columnwise.Operator(
        few, None if solver.hard else few_padded, lambda _: targets, parted=whole
    )
    found = columnwise.few(file, operator, solver, reading, writing, named)
    columnwise.write_few(found, writing)


def _by_column(
    file: Path | None,
    criterion: str,
    solver: Solver,
    reading: Reading,
    writing: Appending,
) -> None:
    import numpy as np

    from cli import chosen, columnwise, groups, runtime

    sort_with = runtime.operator("sort_with", solver, columnwise.BITS)
    form = columnwise.check(file, reading, writing)
    data = chosen.read(file, reading, criterion, again=True)
    names = columnwise.result_names(data, data.names(), "sorted", writing)
    if writing.dry_run:
        columnwise.say_plan(data, names, writing)
        return

    def padded(row):
        import jax

        soft = runtime.traced("quantile_normalization", solver)

        def column(values):
            return groups.sorted_values(soft, row, row.weights, values, row.narrowed)

        return jax.vmap(column, 1, 1)(row.values[:, 1:])

    operator = columnwise.Operator(
        lambda rows: sort_with(rows[:, 1:], rows[:, 0]),
        None if solver.hard else padded,
    )
    assert data.criterion is not None
    # The criterion goes first in the rows that belong together.
    rows = np.column_stack([data.criterion, *data.values.values()])
    result = columnwise.rowwise(data, rows, operator, solver, criterion)
    filled = [
        columnwise.spread(data, result.column(place), from_top=True)
        for place in range(len(names))
    ]
    columnwise.write(data, dict(zip(names, filled, strict=True)), form, writing)
