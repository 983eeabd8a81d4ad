"""`softsort normalize`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cli.errors import UsageError
from cli.options import Appending, Reading, Solver, Table, command, option

if TYPE_CHECKING:
    import numpy as np


@command
def normalize(
    file: Table = None,
    *,
    to: Annotated[
        str,
        option(
            "--to",
            metavar="normal|uniform|FILE:COL",
            help="The distribution to give: standard normal, uniform on [0, 1], or "
            "that of a column of another table.",
        ),
    ] = "normal",
    solver: Solver,
    reading: Reading,
    writing: Appending,
) -> None:
    """Give each column another distribution, in the same order.

    Appends {column}_normalized. The reference may have any number of rows.

    Examples:
      softsort normalize prices.csv --to uniform
      softsort normalize today.csv -c price --to yesterday.csv:price
    """
    from cli import columnwise, runtime

    operator = runtime.operator("quantile_normalization", solver, columnwise.BITS)
    reference = None if to in ("normal", "uniform") else _reference(to, reading)

    def compute(values):
        targets = _distribution(to, len(values)) if reference is None else reference
        return operator(values, targets)

    columnwise.append(file, "normalized", compute, solver, reading, writing)


def _distribution(name: str, size: int) -> np.ndarray:
    """The middles of `size` equal shares of a distribution, ascending."""
    import numpy as np
    from scipy.special import ndtri

    shares = (np.arange(size) + 0.5) / size
    return ndtri(shares) if name == "normal" else shares


def _reference(to: str, reading: Reading) -> np.ndarray:
    import numpy as np

    from cli import chosen, formats

    path, _, column = to.rpartition(":")
    if not path or not column:
        raise UsageError(f"--to {to}: give normal, uniform, or FILE:COLUMN")
    tabbed = formats.delimiter_for(Path(path)) == "\t"
    likewise = replace(
        reading,
        columns=[column],
        delimiter=None if tabbed else reading.delimiter,
        form=None,
    )
    data = chosen.read(Path(path), likewise)
    if len(data.numbers) != 1:
        raise UsageError(f"--to {to}: stands for {len(data.numbers)} columns, not one")
    (reference,) = data.numbers.values()
    if not reference.present.any():
        raise UsageError(f"--to {to}: the column holds no numbers")
    return np.sort(reference.values[reference.present])
