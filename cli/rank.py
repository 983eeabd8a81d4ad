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
    from cli import columnwise, inparts, runtime

    ranks = runtime.operator("ranks", solver, columnwise.BITS)

    def padded(row):
        soft = runtime.traced("ranks", solver)
        targets = {"target_weights": row.weights, "input_weights": row.weights}
        return soft(row.values, **targets, epsilon=row.narrowed) + start

    def parted(solution, values, _):
        return inparts.elementwise(solution.ranks, values) + start

    operator = columnwise.Operator(
        lambda values: ranks(values) + start,
        None if solver.hard else padded,
        parted=parted,
    )
    columnwise.append(file, "rank", operator, solver, reading, writing)
