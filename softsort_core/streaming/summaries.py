"""Soft ranks and sorted values of data in parts, that are never together in memory.

Three passes over the data do: one describes the parts, one summarises them given the
statistics of the whole, and one evaluates what was solved between. What is known of
the parts is merged in any order, and its size does not depend on theirs.
"""

import functools
import math
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core.arguments import (
    Values,
    as_epsilon,
    as_floating,
    as_tolerance,
    as_weights,
)
from softsort_core.defaults import EPSILON, TOLERANCE
from softsort_core.errors import SoftSortError
from softsort_core.numerics import clipped, increasing
from softsort_core.plans.chebyshev import Cells
from softsort_core.plans.choose import check_reach, resolution_for
from softsort_core.plans.moments import evaluate_series, moments_of
from softsort_core.plans.node_plan import NodePlan, node_plan
from softsort_core.plans.panels import EvenTargets, Inputs, PointTargets
from softsort_core.plans.quadrature import evaluate_even
from softsort_core.squash import Standardisation, among_used, standardisation


@dataclass(frozen=True)
class Statistics:
    """What is known of some values after the first pass; see `describe`.

    Attributes:
        count: how many values.
        weight: the sum of their weights.
        mean: weighted mean.
        deviation: weighted standard deviation, whose square need not be in range.
        minimum: of the values that have a weight.
        maximum: likewise.
    """

    count: int
    weight: float
    mean: float
    deviation: float
    minimum: float
    maximum: float

    def standardisation(self, dtype: Any) -> Standardisation:
        """Return what gives standard scores of values of this dtype."""
        middle = np.asarray(self.minimum / 2 + self.maximum / 2, dtype)
        half_range = np.asarray(self.maximum / 2 - self.minimum / 2, dtype)
        half_range = half_range if half_range > 0 else np.ones((), dtype)
        offset = (self.mean - float(middle)) / float(half_range)
        deviation = self.deviation / float(half_range)
        scale = 1 / deviation if deviation > np.finfo(dtype).tiny else 0.0
        exact = np.array([offset, scale])
        rounded = exact.astype(dtype)
        rests = (exact - rounded.astype(float)).astype(dtype)
        return Standardisation(
            *map(jnp.asarray, (middle, half_range, *rounded, *rests))
        )


class Summary(NamedTuple):
    """What is known of some values after the second pass; see `summarise`.

    Attributes:
        statistics: those of all values, of which these may be a part.
        moments: Chebyshev moments of the squashed values in each of many cells of
            (0, 1), of shape (cells, order), in float64.
        value_moments: the same of the values, in units of their range, times weight.
    """

    statistics: Statistics
    moments: np.ndarray
    value_moments: np.ndarray


class Solution(NamedTuple):
    """Soft ranks and sorted values as functions, for the third pass; see `solve`.

    Attributes:
        statistics: those of all values.
        rank_series: ranks in [0, 1], as series in cells.
        value_series: sorted values in units of their range, likewise.
        rank_error: estimated largest error, relative to the range.
        value_error: likewise.
        tolerance: larger errors are not returned.
    """

    statistics: Statistics
    rank_series: Float[Array, "cells order"]
    value_series: Float[Array, "cells order"]
    rank_error: float
    value_error: float
    tolerance: float

    @property
    def error(self) -> float:
        """The larger of both errors."""
        return max(self.rank_error, self.value_error)

    def ranks(self, values: Values) -> Float[Array, " n"]:
        """Return the soft ranks, in [0, count - 1], of some of the values.

        NaN if they are not certain to the tolerance. Those of values of half precision
        are of single precision.
        """
        x = as_floating(values, "values")[0]
        highest = self.statistics.count - 1
        if not self.rank_error <= self.tolerance:
            return jnp.full(x.shape, jnp.nan, x.dtype)
        return highest * evaluated(x, self.statistics, self.rank_series)

    def sorted_values(self, start: int, stop: int) -> Float[Array, " k"]:
        """Return the soft sorted values at the places from `start` up to `stop`.

        NaN if they are not certain to the tolerance.
        """
        count = self.statistics.count
        if not 0 <= start <= stop <= count:
            raise SoftSortError(
                f"places {start} to {stop}: there are {count} sorted values, from 0"
            )
        series = self.value_series
        if not self.value_error <= self.tolerance:
            return jnp.full(stop - start, jnp.nan, series.dtype)
        means = evaluate_even(series, start, stop, max(count, 2))
        low, high = self.statistics.minimum, self.statistics.maximum
        values = (low / 2 + high / 2) + (high - low) * means
        return clipped(increasing(values), low, high)


def describe(values: Values, weights: Values | None = None) -> Statistics:
    """Describe some values, of any shape: the first of three passes over a whole.

    Args:
        values: finite real numbers; those of weight 0 may be others.
        weights: non-negative weights of the same shape; ones by default.

    Raises:
        SoftSortError: no values, a NaN or an infinity among them, or no weight.

    Examples:
        >>> import softsort_core as soft
        >>> soft.describe([1.0, 5.0, 4.0, 8.0, 12.0]).mean
        6.0
    """
    x = as_floating(values, "values")[0].reshape(-1)
    a = _as_masses(weights, np.shape(values))
    if x.size == 0:
        raise SoftSortError("values is empty: there is nothing to describe")
    x = x if a is None else _among_used(x, a)
    middle, radius, offset, scale, *rests = map(float, _standardisation(x, a))
    low, high = middle - radius, middle + radius
    if not np.isfinite(low) or not np.isfinite(high):
        raise SoftSortError("values has NaN or infinity: leave such values out")
    weight = float(x.size) if a is None else float(np.sum(np.asarray(a, np.float64)))
    used = jnp.ones(x.shape, bool) if a is None else a > 0
    scale += rests[1]
    return Statistics(
        count=x.size,
        weight=weight,
        mean=middle + radius * (offset + rests[0]),
        deviation=radius / scale if scale > 0 else 0.0,
        minimum=float(jnp.min(x, initial=jnp.inf, where=used)),
        maximum=float(jnp.max(x, initial=-jnp.inf, where=used)),
    )


def summarise(
    values: Values,
    statistics: Statistics,
    weights: Values | None = None,
    *,
    epsilon: float = EPSILON,
) -> Summary:
    """Summarise some values, of any shape: the second of three passes over a whole.

    Args:
        values: finite real numbers.
        statistics: those of the whole, by `describe` and `merge`.
        weights: as for `describe`.
        epsilon: the regularisation that the summary is meant for, or a smaller one.

    Raises:
        SoftSortError: an argument out of its range.
    """
    x = as_floating(values, "values")[0].reshape(-1)
    a = _as_masses(weights, np.shape(values))
    x = x if a is None else _among_used(x, a)
    resolution = resolution_for(epsilon)
    placing = statistics.standardisation(x.dtype)
    moments = _moments(x, placing, a, Cells(resolution.cells, resolution.cell_order))
    return Summary(statistics, *(np.asarray(each, np.float64) for each in moments))


@overload
def merge(first: Statistics, second: Statistics) -> Statistics: ...
@overload
def merge(first: Summary, second: Summary) -> Summary: ...
def merge(first: Any, second: Any) -> Any:
    """Return what is known of two parts together, in any order, exact to rounding.

    Args:
        first: statistics, or a summary.
        second: likewise.

    Raises:
        SoftSortError: summaries that were made with different statistics or epsilons.

    Examples:
        >>> import functools
        >>> import softsort_core as soft
        >>> parts = [1.0, 5.0], [4.0, 8.0], [12.0]
        >>> whole = functools.reduce(soft.merge, map(soft.describe, parts))
        >>> summaries = [soft.summarise(part, whole) for part in parts]
        >>> solution = soft.solve(functools.reduce(soft.merge, summaries))
        >>> [solution.ranks(part).round(3).tolist() for part in parts]
        [[0.016, 1.841], [1.15, 3.0], [3.994]]
        >>> solution.sorted_values(0, 2).round(3).tolist()
        [1.048, 4.118]
    """
    if isinstance(first, Summary):
        if first.statistics != second.statistics:
            raise SoftSortError(
                "summaries of different wholes: make each with the same statistics"
            )
        if first.moments.shape != second.moments.shape:
            raise SoftSortError(
                "summaries for different epsilons: make each with the same epsilon"
            )
        return Summary(
            first.statistics,
            first.moments + second.moments,
            first.value_moments + second.value_moments,
        )
    weight = first.weight + second.weight
    share = second.weight / weight
    gap = second.mean - first.mean
    # Squares of what is large or small are out of range, those of ratios are not.
    unit = max(first.deviation, second.deviation, abs(gap)) or 1.0
    squares = (1 - share) * (first.deviation / unit) ** 2
    squares += share * (second.deviation / unit) ** 2
    squares += share * (1 - share) * (gap / unit) ** 2
    return Statistics(
        count=first.count + second.count,
        weight=weight,
        mean=first.mean + gap * share,
        deviation=unit * math.sqrt(squares),
        minimum=min(first.minimum, second.minimum),
        maximum=max(first.maximum, second.maximum),
    )


def solve(
    summary: Summary, *, epsilon: float = EPSILON, tolerance: float = TOLERANCE
) -> Solution:
    """Solve the transport problem of all values, from their summary.

    Args:
        summary: that of all parts, merged.
        epsilon: regularisation, not smaller than that of the summary.
        tolerance: largest error that is returned, relative to the range of ranks and
            of values.

    Raises:
        SoftSortError: an epsilon that the summary is too coarse for.
    """
    statistics = summary.statistics
    targets = EvenTargets(max(statistics.count, 2))
    plan, weighted = plan_of_summary(summary, targets, epsilon)
    rank_series, rank_error = plan.at_inputs(plan.targets)
    value_series, value_error = plan.at_targets(weighted)
    if statistics.count == 1:
        rank_series = jnp.zeros_like(rank_series)
    return Solution(
        statistics,
        rank_series,
        value_series,
        float(rank_error),
        float(value_error),
        as_tolerance(tolerance),
    )


def plan_of_summary(
    summary: Summary, targets: EvenTargets | PointTargets, epsilon: float
) -> tuple[NodePlan, Inputs]:
    """Return the plan between all values and targets, and what these draw from.

    That is the values, in units of their range about its middle, times weights.
    """
    is_even = isinstance(targets, EvenTargets)
    m = int(targets.number) if is_even else targets.points.size
    check_reach(summary.statistics.count, m, float(as_epsilon(epsilon)))
    have_no_rest = is_even and targets.rest is None
    resolution = resolution_for(epsilon, is_even=have_no_rest)
    cells, _ = summary.moments.shape
    if cells < resolution.cells:
        raise SoftSortError(
            f"the summary is too coarse for epsilon {epsilon}: summarise for it"
        )
    dtype, weight = jnp.result_type(float), summary.statistics.weight
    zero, one = jnp.zeros((), dtype), jnp.ones((), dtype)
    inputs, weighted = (
        Inputs(jnp.asarray(moments / weight, dtype), zero, one)
        for moments in (summary.moments, summary.value_moments)
    )
    resolution = resolution._replace(cells=cells)
    plan = node_plan(inputs, None, targets, jnp.asarray(epsilon, dtype), resolution)
    return plan, weighted


@jax.jit
def _among_used(x: Array, a: Array) -> Array:
    # A part may have no weight at all.
    (near,) = among_used(a, x)
    return jnp.where(jnp.any(a > 0), near, jnp.zeros_like(x))


@jax.jit
def _standardisation(x: Array, a: Array | None) -> Standardisation:
    a = None if a is None else a / jnp.sum(a)
    return standardisation(x, a, is_fine=True)


@functools.partial(jax.jit, static_argnames="cells")
def _moments(
    x: Array, placing: Standardisation, a: Array | None, cells: Cells
) -> tuple[Array, Array]:
    scaled = (x - placing.middle) / (2 * placing.half_range)
    masses = a, scaled if a is None else a * scaled
    one, other = (moments_of(x, placing, mass, cells, True) for mass in masses)
    return one, other


def evaluated(x: Array, statistics: Statistics, series: Array) -> Array:
    """Return a series in cells, of what is from 0 to 1, at some of the values."""
    placing, series = statistics.standardisation(x.dtype), series.astype(x.dtype)
    return _evaluated(x.reshape(-1), placing, series).reshape(x.shape)


@jax.jit
def _evaluated(x: Array, placing: Standardisation, series: Array) -> Array:
    return clipped(evaluate_series(x, placing, series, True), 0.0, 1.0)


def _as_masses(weights: Values | None, shape: tuple[int, ...]) -> Array | None:
    a = as_weights(weights, "weights")
    if a is not None and a.shape != shape:
        raise SoftSortError(f"weights has shape {a.shape}, values {shape}")
    return None if a is None else a.reshape(-1)
