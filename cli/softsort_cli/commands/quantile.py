"""`softsort quantile`."""

from functools import partial
from typing import Annotated, Any

from softsort_cli.errors import UsageError
from softsort_cli.options.declare import TalkWithoutQ, command, number_of, option
from softsort_cli.options.softness import Solver
from softsort_cli.options.tables import Reading, Tables, TableWriting


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
    jointly: Annotated[
        bool,
        option(
            "--jointly",
            help="One plan for all levels, as in the library: quicker for many, but "
            "where epsilon is not small each changes the others.",
        ),
    ] = False,
    solver: Solver,
    reading: Reading,
    writing: TableWriting,
) -> None:
    """Write soft quantiles of each column.

    The result is a table with the columns column, q, value. Each level is solved on its
    own: its value does not depend on which others are asked for, but with --jointly.

    Examples:
      softsort quantile prices.csv -q 0.1,0.5,0.9 -c price
      softsort quantile 'part-*.parquet' -q 0.5 -c price --cluster local:4
    """
    from softsort_cli.operate import apply
    from softsort_cli.operate.operator import Operator
    from softsort_cli.operate.result_table import level_names, write_levels

    levels = _levels(quantiles)
    settings = {"q": levels, "jointly": jointly}
    operator = Operator(
        "quantile", _exact, solver, settings, count=lambda _: len(levels)
    )
    table = apply.tabulate(tables, operator, reading, writing, level_names)
    write_levels(table, levels, writing)


def _exact(
    values: Any, counts: Any = None, *, q: tuple[float, ...], jointly: bool
) -> Any:
    from softsort_cli.operate import exact

    del jointly  # exact ones never change each other
    return exact.quantile(values, counts, q=q)


def _levels(choices: list[str]) -> tuple[float, ...]:
    words = [word for choice in choices for word in choice.split(",") if word.strip()]
    levels = tuple(map(number_of, words))
    if not levels or not all(0 <= level <= 1 for level in levels):
        raise UsageError(
            f"-q {','.join(choices)!r}: give levels from 0 to 1, as in 0.5"
        )
    return levels
