"""`softsort normalize`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from softsort_cli.errors import UsageError
from softsort_cli.options.declare import command, option
from softsort_cli.options.softness import Solver
from softsort_cli.options.tables import PartsWriting, Reading, Tables

if TYPE_CHECKING:
    import numpy as np


@command
def normalize(
    tables: Tables = None,
    *,
    to: Annotated[
        str,
        option(
            "--to",
            metavar="normal|uniform|FILE:COL",
            help="The distribution to give: standard normal, uniform on [0, 1], or "
            "that of a column of another table, which is read as the first is if its "
            "name tells of no other format.",
        ),
    ] = "normal",
    solver: Solver,
    reading: Reading,
    writing: PartsWriting,
) -> None:
    """Give each column another distribution, in the same order.

    Appends {column}_normalized. The reference may have any number of rows.

    Examples:
      softsort normalize prices.csv --to uniform
      softsort normalize today.csv -c price --to yesterday.csv:price
      softsort normalize 'part-*.parquet' -c price --out-dir normalized
    """
    from softsort_cli.operate import apply, exact
    from softsort_cli.operate.operator import Operator

    targets = to if to in ("normal", "uniform") else _reference(to, tables, reading)
    operator = Operator(
        "quantile_normalization",
        exact.quantile_normalization,
        solver,
        {"targets": targets},
    )
    apply.append(tables, "normalized", operator, reading, writing)


def _reference(to: str, tables: list[Path] | None, reading: Reading) -> np.ndarray:
    import numpy as np

    from softsort_cli.tables import column_data, formats

    path, _, column = to.rpartition(":")
    if not path or not column:
        raise UsageError(f"--to {to}: give normal, uniform, or FILE:COLUMN")
    came = formats.form_in(tables[0] if tables else None, reading.form, None)
    form = formats.form_in(Path(path), None, None)
    likewise = replace(
        reading, columns=[column], form=None, by=None, sheet=None, weights=None
    )
    if form.name != came.name:
        likewise = replace(likewise, delimiter=None, encoding=None)
    if not form.delimiter:
        likewise = replace(likewise, no_headers=False, comment=None)
    try:
        data = column_data.read(Path(path), likewise, needs_all=True)
    except UsageError as error:
        raise UsageError(f"--to {to}: {error}") from None
    if len(data.values) != 1:
        raise UsageError(f"--to {to}: stands for {len(data.values)} columns, not one")
    (values,) = data.values.values()
    if data.meaning.times:
        raise UsageError(f"--to {to}: holds times; name a column of numbers")
    if np.isnan(values).all():
        raise UsageError(f"--to {to}: the column holds no numbers")
    return np.sort(values[~np.isnan(values)])
