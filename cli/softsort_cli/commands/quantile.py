"""`softsort quantile`."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from softsort_cli.errors import UsageError
from softsort_cli.options.declare import TalkWithoutQ, command, option
from softsort_cli.options.softness import Solver
from softsort_cli.options.tables import Reading, Tables, TableWriting

if TYPE_CHECKING:
    from softsort_cli.operate.apply import Few


@partial(command, talk=TalkWithoutQ)
def quantile(
    tables: Tables = None,
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

    Examples:
      softsort quantile prices.csv -q 0.1,0.5,0.9 -c price
      softsort quantile 'part-*.parquet' -q 0.5 -c price --cluster local:4
    """
    import numpy as np

    from softsort_cli import jax_setup
    from softsort_cli.operate import apply, many_files, streaming

    levels = _levels(quantiles)
    whole = streaming.Parted("solve_quantile", {"q": levels})
    given = solver, reading, writing, _names
    if many_files.wanted(tables, solver):
        _write(many_files.few(tables, whole, *given), levels, writing)
        return
    quantile = jax_setup.operator("quantile", solver, apply.BITS)

    def padded(row):
        import jax.numpy as jnp

        soft = jax_setup.traced("quantile", solver)
        # The mass that the operator gives a level, by the size of the group.
        mass = jnp.minimum(0.02, 1.5 / row.size)
        given = {"input_weights": row.weights, "epsilon": row.epsilon}
        return soft(row.values, np.array(levels), weight=mass, **given)

    operator = apply.Operator(
        lambda values: quantile(values, q=levels),
        None if solver.hard else padded,
        count=lambda _: len(levels),
        parted=whole,
    )
    few = apply.few(many_files.only(tables), operator, *given)
    _write(few, levels, writing)


def _names(_: Any) -> list[str]:
    return ["column", "q", "value"]


def _write(few: "Few | None", levels: Sequence[float], writing: TableWriting) -> None:
    import numpy as np
    import polars as pl

    from softsort_cli.operate import apply
    from softsort_cli.tables import write

    if few is None:
        return
    data, none = few.data, np.full(len(levels), np.nan)
    found = [[each if len(each) else none for each in column] for column in few.values]
    count = len(found[0])
    keys = apply.key_columns(data, len(levels) * len(found))
    # For each group every column, for each column every level.
    names = [name for name in data.names() for _ in levels] * count
    values = [column[group] for group in range(count) for column in found]
    table = keys | {
        "column": pl.Series(names),
        "q": np.tile(levels, len(found) * count),
        "value": np.concatenate(values),
    }
    write.write_table(data.table, table, few.form, writing)


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
