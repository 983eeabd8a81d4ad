"""`softsort quantile`."""

from functools import partial
from typing import Annotated

from cli.errors import UsageError
from cli.options import (
    Reading,
    Solver,
    Table,
    TableWriting,
    TalkWithoutQ,
    command,
    option,
)


@partial(command, talk=TalkWithoutQ)
def quantile(
    file: Table = None,
    *,
    quantiles: Annotated[
        list[str],
        option(
            "--quantiles",
            "-q",
            metavar="LEVELS",
            help="Levels from 0 to 1, separated by commas or repeated.",
        ),
    ],
    solver: Solver,
    reading: Reading,
    writing: TableWriting,
) -> None:
    """Write soft quantiles of each column.

    The result is a table with the columns column, q, value.

    Example:
      softsort quantile prices.csv -q 0.1,0.5,0.9 -c price
    """
    import numpy as np

    from cli import chosen, columnwise, runtime

    levels = _levels(quantiles)
    operator = runtime.operator("quantile", solver, columnwise.BITS)
    columnwise.check(writing)
    data = chosen.read(file, reading)

    def compute(values):
        return operator(values, q=levels)

    found = []
    for column, result in columnwise.computed(data, compute, solver):
        none = not column.present.any()
        found.append(np.full(len(levels), np.nan) if none else result)
    names = [name for name in data.names() for _ in levels]
    columns = [names, np.tile(levels, len(found)), np.concatenate(found)]
    columnwise.write_table(data.table, ["column", "q", "value"], columns, writing)


def _levels(choices: list[str]) -> tuple[float, ...]:
    words = [word for choice in choices for word in choice.split(",") if word.strip()]
    try:
        levels = tuple(float(word) for word in words)
    except ValueError as error:
        raise UsageError(f"-q {','.join(choices)}: {error}") from None
    if not levels or not all(0 <= level <= 1 for level in levels):
        raise UsageError(
            f"-q {','.join(choices)!r}: give levels from 0 to 1, as in 0.5"
        )
    return levels
