"""`softsort sort`."""

from pathlib import Path
from typing import Annotated

from cli.errors import UsageError
from cli.options import Appending, Reading, Solver, Table, command, option


@command
def sort(
    file: Table = None,
    *,
    by_column: Annotated[
        str | None,
        option(
            "--by-column",
            metavar="COLUMN",
            help="Sort rows by this column: the chosen columns move together.",
        ),
    ] = None,
    targets: Annotated[
        int | None,
        option("--targets", min=1, help="Write this many sorted values, alone."),
    ] = None,
    solver: Solver,
    reading: Reading,
    writing: Appending,
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
    from cli import columnwise, runtime

    if by_column is not None and targets is not None:
        raise UsageError("--by-column sorts all rows: leave out --targets")
    if by_column is not None:
        _by_column(file, by_column, solver, reading, writing)
        return
    operator = runtime.operator("sort", solver, columnwise.BITS)
    if targets is None:
        columnwise.append(
            file, "sorted", operator, solver, reading, writing, from_top=True
        )
        return

    def compute(values):
        if not len(values):
            raise UsageError("no values to sort")
        return operator(values, num_targets=targets)

    columnwise.summarise(file, "sorted", compute, solver, reading, writing)


def _by_column(
    file: Path | None,
    criterion: str,
    solver: Solver,
    reading: Reading,
    writing: Appending,
) -> None:
    import numpy as np

    from cli import chosen, columnwise, runtime

    sort_with = runtime.operator("sort_with", solver, columnwise.BITS)
    columnwise.check(writing)
    data = chosen.read(file, reading, criterion=criterion)
    names = columnwise.result_names(data, data.names(), "sorted", writing)
    values = np.column_stack([column.values for column in data.numbers.values()])
    assert data.criterion is not None
    by = data.criterion.values
    whole = ~np.isnan(values).any(axis=1) & ~np.isnan(by)
    composites = sort_with(values[whole], by[whole]) if whole.any() else values[:0]
    columnwise.settle(composites, criterion, solver)
    filled = np.full(values.shape, np.nan, composites.dtype)
    filled[data.kept()[: len(composites)]] = composites
    columnwise.write_appended(data, dict(zip(names, filled.T, strict=True)), writing)
