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
    import polars as pl

    from cli import chosen, columnwise, results, runtime

    columnwise.refuse_cluster(solver)
    levels = _levels(quantiles)
    quantile = runtime.operator("quantile", solver, columnwise.BITS)
    form = columnwise.check(file, reading, writing)
    data = chosen.read(file, reading)
    if writing.dry_run:
        columnwise.say_plan(data, ["column", "q", "value"], writing)
        return

    def padded(row):
        import jax.numpy as jnp

        soft = runtime.traced("quantile", solver)
        # The mass that the operator gives a level, by the size of the group.
        mass = jnp.minimum(0.02, 1.5 / row.size)
        given = {"input_weights": row.weights, "epsilon": row.epsilon}
        return soft(row.values, np.array(levels), weight=mass, **given)

    operator = columnwise.Operator(
        lambda values: quantile(values, q=levels),
        None if solver.hard else padded,
        count=lambda _: len(levels),
    )
    found = []
    for result in columnwise.computed(data, operator, solver):
        none = np.full(len(levels), np.nan)
        found.append([each if len(each) else none for each in result.values])
    count = len(found[0])
    keys = columnwise.key_columns(data, len(levels) * len(found))
    # For each group every column, for each column every level.
    names = [name for name in data.names() for _ in levels] * count
    values = [column[group] for group in range(count) for column in found]
    table = keys | {
        "column": pl.Series(names),
        "q": np.tile(levels, len(found) * count),
        "value": np.concatenate(values),
    }
    results.write_table(data.table, table, form, writing)


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
