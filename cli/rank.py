"""`softsort rank`."""

from typing import Annotated

from cli.options import Appending, Reading, Solver, Table, command, option


@command
def rank(
    file: Table = None,
    *,
    start: Annotated[
        int, option("--start", help="The rank of the smallest value.")
    ] = 0,
    solver: Solver,
    reading: Reading,
    writing: Appending,
) -> None:
    """Append the soft rank of each value as {column}_rank.

    Ranks ascend. Absent cells (empty, NA, NaN) get no rank, and the others are ranked
    among themselves.

    Example:
      softsort rank prices.csv -c price,qty --start 1 -o ranked.csv
    """
    from cli import columnwise, runtime

    ranks = runtime.operator("ranks", solver, columnwise.BITS)

    def compute(values):
        return ranks(values) + start

    columnwise.append(file, "rank", compute, solver, reading, writing)
