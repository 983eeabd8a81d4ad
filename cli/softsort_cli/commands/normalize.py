"""`softsort normalize`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from softsort_cli.errors import UsageError
from softsort_cli.options.declare import command, option
from softsort_cli.options.softness import Solver
from softsort_cli.options.tables import PartsWriting, Reading, Tables

if TYPE_CHECKING:
    import numpy as np


MANY = 2000  # targets that would take long


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
            "that of a column of another table.",
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
    from softsort_cli import jax_setup
    from softsort_cli.operate import apply, many_files, streaming
    from softsort_cli.work import manifest

    reference = None if to in ("normal", "uniform") else _reference(to, reading)
    whole = streaming.Parted(
        "solve_quantile_normalization",
        {"targets": _function(to) if reference is None else reference},
        streaming.along,
        {"to": to, "reference": manifest.digest_of(reference)},
    )
    if many_files.wanted(tables, solver, writing.out_dir):
        many_files.append(tables, "normalized", whole, solver, reading, writing)
        return
    operator = jax_setup.operator("quantile_normalization", solver, apply.BITS)

    def compute(values):
        targets = _distribution(to, len(values)) if reference is None else reference
        # The operator takes every target as it is.
        if len(targets) > MANY and not solver.hard and solver.squash != "none":
            return streaming.together(values, whole, solver)
        return operator(values, targets)

    def padded(row):
        soft = jax_setup.traced("quantile_normalization", solver)
        if reference is not None:
            given = {"input_weights": row.weights, "epsilon": row.epsilon}
            return soft(row.values, reference, **given)
        targets = _shares(to, row.values.shape[0], row.size)
        given = {"input_weights": row.weights, "epsilon": row.narrowed}
        return soft(row.values, targets, row.weights, **given)

    apply.append(
        many_files.only(tables),
        "normalized",
        apply.Operator(compute, None if solver.hard else padded, parted=whole),
        solver,
        reading,
        writing,
    )


def _distribution(name: str, size: int) -> np.ndarray:
    """The middles of `size` equal shares of a distribution, ascending."""
    import numpy as np

    return _function(name)((np.arange(size) + 0.5) / size)


def _function(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """The values of a distribution by the shares below them."""
    return _normal if name == "normal" else _uniform


def _normal(shares: np.ndarray) -> np.ndarray:
    from scipy.special import ndtri

    return ndtri(shares)


def _uniform(shares: np.ndarray) -> np.ndarray:
    return shares


def _shares(name: str, width: int, size: Any) -> Any:
    """The same for jax, and more to fill a padded row."""
    import jax.numpy as jnp
    from jax.scipy.special import ndtri

    shares = (jnp.minimum(jnp.arange(width), size - 1) + 0.5) / size
    return ndtri(shares) if name == "normal" else shares


def _reference(to: str, reading: Reading) -> np.ndarray:
    import numpy as np

    from softsort_cli.tables import column_data

    path, _, column = to.rpartition(":")
    if not path or not column:
        raise UsageError(f"--to {to}: give normal, uniform, or FILE:COLUMN")
    likewise = replace(
        reading, columns=[column], delimiter=None, form=None, by=None, encoding=None
    )
    data = column_data.read(Path(path), likewise)
    if len(data.values) != 1:
        raise UsageError(f"--to {to}: stands for {len(data.values)} columns, not one")
    (values,) = data.values.values()
    if np.isnan(values).all():
        raise UsageError(f"--to {to}: the column holds no numbers")
    return np.sort(values[~np.isnan(values)])
