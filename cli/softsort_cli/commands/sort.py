"""`softsort sort`."""

from pathlib import Path
from typing import Annotated

from softsort_cli.errors import UsageError
from softsort_cli.options import completion
from softsort_cli.options.declare import MOST, command, option
from softsort_cli.options.softness import Solver
from softsort_cli.options.tables import Appending, PartsWriting, Plot, Reading, Tables


@command
def sort(
    tables: Tables = None,
    *,
    by_column: Annotated[
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
    import numpy as np

    from softsort_cli import jax_setup
    from softsort_cli.operate import apply, groups, many_files, plots, streaming

    if by_column is not None and targets is not None:
        raise UsageError("--by-column sorts all rows: leave out --targets")
    if by_column is not None and plot is not None:
        raise UsageError("--plot draws single columns: leave out --by-column")
    named = apply.suffixed("sorted")
    whole = streaming.Parted("solve", evaluate=streaming.sorted_values)
    if targets is not None:
        whole = streaming.Parted("solve_sort", {"num_targets": targets})
        if writing.out_dir is not None:
            raise UsageError("--targets makes a table of its own: -o, not --out-dir")
    if many_files.wanted(tables, solver, writing.out_dir):
        if by_column is not None or plot is not None:
            raise UsageError(
                "--by-column and --plot are for one table, in this process: leave them "
                "out, or --out-dir and --cluster"
            )
        if targets is None:
            many_files.append(tables, "sorted", whole, solver, reading, writing)
        else:
            found = many_files.few(tables, whole, solver, reading, writing, named)
            apply.write_few(found, writing)
        return
    file = many_files.only(tables)
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

    sort, together = jax_setup.operators("sort", solver, apply.BITS)

    def padded(row):
        soft = jax_setup.traced("quantile_normalization", solver)
        weights, values = row.weights, row.values
        return groups.sorted_values(soft, row, weights, values, row.narrowed)

    if targets is None:
        operator = apply.Operator(
            sort,
            None if solver.hard else padded,
            parted=whole,
            together=together,
        )
        apply.append(
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
        soft = jax_setup.traced("sort", solver)
        given = {"input_weights": row.weights, "epsilon": row.epsilon}
        return soft(row.values, num_targets=targets, **given)

    operator = apply.Operator(
        few, None if solver.hard else few_padded, lambda _: targets, parted=whole
    )
    found = apply.few(file, operator, solver, reading, writing, named)
    apply.write_few(found, writing)


def _by_column(
    file: Path | None,
    criterion: str,
    solver: Solver,
    reading: Reading,
    writing: Appending,
) -> None:
    import numpy as np

    from softsort_cli import jax_setup
    from softsort_cli.operate import apply, groups
    from softsort_cli.tables import column_data

    sort_with = jax_setup.operator("sort_with", solver, apply.BITS)
    form = apply.check(file, reading, writing)
    data = column_data.read(file, reading, criterion, again=True)
    names = apply.result_names(data, data.names(), "sorted", writing)
    if writing.dry_run:
        apply.say_plan(data, names, writing)
        return

    def padded(row):
        import jax

        soft = jax_setup.traced("quantile_normalization", solver)

        def column(values):
            return groups.sorted_values(soft, row, row.weights, values, row.narrowed)

        return jax.vmap(column, 1, 1)(row.values[:, 1:])

    operator = apply.Operator(
        lambda rows: sort_with(rows[:, 1:], rows[:, 0]),
        None if solver.hard else padded,
    )
    assert data.criterion is not None
    # The criterion goes first in the rows that belong together.
    rows = np.column_stack([data.criterion, *data.values.values()])
    result = apply.rowwise(data, rows, operator, solver, criterion)
    filled = [
        apply.spread(data, result.column(place), from_top=True)
        for place in range(len(names))
    ]
    apply.write(data, dict(zip(names, filled, strict=True)), form, writing)
