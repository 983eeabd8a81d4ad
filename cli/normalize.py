"""`softsort normalize`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

    def padded(row):
        soft = runtime.traced("quantile_normalization", solver)
        if reference is not None:
            given = {"input_weights": row.weights, "epsilon": row.epsilon}
            return soft(row.values, reference, **given)
        targets = _shares(to, row.values.shape[0], row.size)
        given = {"input_weights": row.weights, "epsilon": row.narrowed}
        return soft(row.values, targets, row.weights, **given)

    columnwise.append(
        file,
        "normalized",
        columnwise.Operator(compute, None if solver.hard else padded),
        solver,
        reading,
        writing,
    )


def _distribution(name: str, size: int) -> np.ndarray:
    """The middles of `size` equal shares of a distribution, ascending."""
    import numpy as np
    from scipy.special import ndtri

    shares = (np.arange(size) + 0.5) / size
    return ndtri(shares) if name == "normal" else shares


def _shares(name: str, width: int, size: Any) -> Any:
    """The same for jax, and more to fill a padded row."""
    import jax.numpy as jnp
    from jax.scipy.special import ndtri

    shares = (jnp.minimum(jnp.arange(width), size - 1) + 0.5) / size
    return ndtri(shares) if name == "normal" else shares


def _reference(to: str, reading: Reading) -> np.ndarray:
    import numpy as np

    from cli import chosen

    path, _, column = to.rpartition(":")
    if not path or not column:
        raise UsageError(f"--to {to}: give normal, uniform, or FILE:COLUMN")
    likewise = replace(
        reading, columns=[column], delimiter=None, form=None, by=None, encoding=None
    )
    data = chosen.read(Path(path), likewise)
    if len(data.values) != 1:
        raise UsageError(f"--to {to}: stands for {len(data.values)} columns, not one")
    (values,) = data.values.values()
    if np.isnan(values).all():
        raise UsageError(f"--to {to}: the column holds no numbers")
    return np.sort(values[~np.isnan(values)])
