"""Soft operators as expressions of Polars: `pl.col("x").soft.rank()`.

Importing this registers the namespace `soft`. Needs Polars, which nothing else here
imports.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
import polars as pl

import softsort_core
from softsort_core.defaults import EPSILON


@pl.api.register_expr_namespace("soft")
class SoftExpressions:
    """What the operators of `softsort_core` make of a column, or of each group.

    Results are of Float64. Nulls take no part and stay
    nulls; NaN makes all NaN. `epsilon` is as in the operators.

    Examples:
        >>> import polars as pl, softsort_core.polars
        >>> table = pl.DataFrame({"x": [3.0, 1.0, 2.0, 7.0], "g": ["a", "a", "a", "b"]})
        >>> rank = pl.col("x").soft.rank(epsilon=1e-3).over("g")
        >>> table.select(rank.round(3))["x"].to_list()
        [2.0, 0.0, 1.0, 0.0]
        >>> table.select(pl.col("x").soft.median(epsilon=1e-3).round(3)).item()
        2.5
    """

    def __init__(self, expression: pl.Expr) -> None:
        self._expression = expression

    def rank(self, *, epsilon: float = EPSILON) -> pl.Expr:
        """Return soft ranks from 0 on; see `softsort_core.ranks`."""
        return self._for_each(partial(softsort_core.ranks, epsilon=epsilon))

    def sort(self, *, epsilon: float = EPSILON) -> pl.Expr:
        """Return soft sorted values, nulls last; see `softsort_core.sort`."""
        return self._for_each(partial(softsort_core.sort, epsilon=epsilon), last=True)

    def topk_mask(self, k: int | float, *, epsilon: float = EPSILON) -> pl.Expr:
        """Return how far values belong to the k largest, all of them if there are less.

        See `softsort_core.topk_mask`.
        """

        def mask(values: np.ndarray) -> Any:
            most = min(k, len(values))
            return softsort_core.topk_mask(values, k=most, epsilon=epsilon)

        return self._for_each(mask)

    def quantize(self, num_levels: int = 10, *, epsilon: float = EPSILON) -> pl.Expr:
        """Draw values to levels of equal mass; see `softsort_core.quantize`."""
        operator = softsort_core.quantize
        return self._for_each(partial(operator, num_levels=num_levels, epsilon=epsilon))

    def normalize(
        self, targets: Sequence[float], *, epsilon: float = EPSILON
    ) -> pl.Expr:
        """Give values another distribution.

        See `softsort_core.quantile_normalization`.
        """
        operator = softsort_core.quantile_normalization
        return self._for_each(partial(operator, targets=targets, epsilon=epsilon))

    def quantile(self, q: int | float, *, epsilon: float = EPSILON) -> pl.Expr:
        """Return a soft quantile; see `softsort_core.quantile`."""
        if q is None or np.ndim(q):
            raise softsort_core.SoftSortError(
                f"q is {q}: give one level, and an expression for each"
            )

        def at_level(values: np.ndarray) -> Any:
            return softsort_core.quantile(values, q, epsilon=epsilon)[0]

        return self._of_all(at_level)

    def median(self, *, epsilon: float = EPSILON) -> pl.Expr:
        """Return the soft median; see `softsort_core.median`."""
        return self._of_all(partial(softsort_core.median, epsilon=epsilon))

    def max(self, *, epsilon: float = EPSILON) -> pl.Expr:
        """Return the soft maximum; see `softsort_core.max`."""
        return self._of_all(partial(softsort_core.max, epsilon=epsilon))

    def min(self, *, epsilon: float = EPSILON) -> pl.Expr:
        """Return the soft minimum; see `softsort_core.min`."""
        return self._of_all(partial(softsort_core.min, epsilon=epsilon))

    def _for_each(
        self, operator: Callable[[np.ndarray], Any], *, last: bool = False
    ) -> pl.Expr:
        """Return a result for each value; nulls where they were, or last."""

        def read(column: pl.Series) -> pl.Series:
            results = np.full(len(column), np.nan)
            are_values = column.is_not_null().to_numpy()
            are_values = np.sort(are_values)[::-1] if last else are_values
            if are_values.any():
                results[are_values] = _called(operator, column)
            nulls = pl.Series(~are_values)
            series = pl.Series(column.name, results, pl.Float64)
            return series.set(nulls, None)

        return self._expression.map_batches(read, return_dtype=pl.Float64)

    def _of_all(self, operator: Callable[[np.ndarray], Any]) -> pl.Expr:
        """Return a result for all values; null if there are none."""

        def read(column: pl.Series) -> pl.Series:
            is_empty = column.null_count() == len(column)
            result = None if is_empty else float(_called(operator, column))
            return pl.Series(column.name, [result], pl.Float64)

        return self._expression.map_batches(
            read, return_dtype=pl.Float64, returns_scalar=True
        )


def _called(operator: Callable[[np.ndarray], Any], column: pl.Series) -> np.ndarray:
    """Return what an operator makes of what is not null, in double precision."""
    if not column.dtype.is_numeric():
        raise softsort_core.SoftSortError(
            f"column {column.name!r} is of {column.dtype}: give one of numbers"
        )
    values = column.drop_nulls()
    # Operators refuse integers of 64 bits that would be rounded.
    if values.dtype not in (pl.Int64, pl.UInt64):
        doubles = values.cast(pl.Float64)
        if not values.dtype.is_float() and not doubles.cast(
            values.dtype, strict=False
        ).equals(values):
            raise softsort_core.SoftSortError(
                f"column {column.name!r} has numbers that Float64 would round: "
                "subtract a common offset, or cast it yourself"
            )
        values = doubles
    values = values.to_numpy()
    with jax.enable_x64(True):
        return np.asarray(operator(values))
