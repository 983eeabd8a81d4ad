"""What operators make of data in parts, from the summary of all.

Each solves a transport problem of its own. Those with a few results return them. Those
with one for each value return a `Curve`, to be evaluated part by part; see `merge` for
the passes before.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core.arguments import Values, as_floating, as_tolerance
from softsort_core.errors import SoftSortError
from softsort_core.numerics import clipped, increasing
from softsort_core.plans.choose import are_many_targets, positions
from softsort_core.plans.dense import without_lightest
from softsort_core.plans.gauss_rules import gauss_rule
from softsort_core.plans.node_plan import NodePlan
from softsort_core.plans.panels import EvenTargets, Inputs, PointTargets
from softsort_core.plans.quadrature import evaluate_even
from softsort_core.streaming.summaries import (
    Statistics,
    Summary,
    evaluated,
    plan_of_summary,
)

# Targets that are taken as they are, at most.
_MOST_TARGETS = 2**14
_CHUNK = 2**18
# Places of the smallest interval of a distribution; nodes of each.
_INTERVAL = 32

# Values of a distribution by the shares, from 0 to 1, that lie below them.
Distribution: TypeAlias = Callable[[np.ndarray], np.ndarray]


class Curve(NamedTuple):
    """What an operator makes of any of the values, for the third pass.

    Attributes:
        statistics: those of all values.
        series: results from 0 to 1, in units of their range, as series in cells.
        low: the lowest result.
        high: the highest.
        error: estimated largest error, relative to the range.
        tolerance: larger errors are not returned.
    """

    statistics: Statistics
    series: Float[Array, "cells order"]
    low: float
    high: float
    error: float
    tolerance: float

    def __call__(self, values: Values) -> Float[Array, "..."]:
        """Return the results for some of the values, of any shape.

        NaN if they are not certain to the tolerance.
        """
        x, dtype = as_floating(values, "values")
        if not self.error <= self.tolerance:
            return jnp.full(x.shape, jnp.nan, dtype)
        shares = evaluated(x, self.statistics, self.series)
        results = self.low + (self.high - self.low) * shares
        return clipped(results, self.low, self.high).astype(dtype)


def point_targets(weights: Any) -> PointTargets:
    """Return targets of these weights, evenly spaced."""
    m = np.size(weights)
    if m > _MOST_TARGETS:
        raise SoftSortError(
            f"{m} targets are too many (more than {_MOST_TARGETS}): use fewer"
        )
    dtype = jnp.result_type(float)
    y = jnp.asarray(positions(m), dtype)
    return PointTargets(y, without_lightest(jnp.asarray(weights, dtype)))


def even_targets(m: int, epsilon: float) -> EvenTargets | PointTargets:
    """Return targets of equal weight, evenly spaced."""
    are_many = are_many_targets(m, epsilon)
    return EvenTargets(m) if are_many else point_targets(np.full(m, 1 / m))


def expected_values(
    summary: Summary,
    targets: PointTargets | EvenTargets,
    epsilon: float,
    tolerance: float,
) -> Float[Array, " m"]:
    """Return the expectation of the values at each target."""
    plan, weighted = plan_of_summary(summary, targets, epsilon)
    means, error = plan.at_targets(weighted)
    if isinstance(targets, EvenTargets):
        means = evaluate_even(means, 0, targets.number, targets.number)
    low, high = summary.statistics.minimum, summary.statistics.maximum
    values = (low / 2 + high / 2) + (high - low) * means
    values = jnp.where(error <= as_tolerance(tolerance), values, jnp.nan)
    return clipped(increasing(values), low, high)


def expected_levels(
    summary: Summary,
    targets: PointTargets | EvenTargets,
    levels: Any,
    epsilon: float,
    tolerance: float,
) -> Curve:
    """Return the expectation of levels, ascending and one a target, given a value."""
    plan, _ = plan_of_summary(summary, targets, epsilon)
    low, high = _ends(targets, levels)
    width = high - low if high > low else 1.0
    if isinstance(targets, EvenTargets):
        masses, places, levels = _at_nodes(plan, targets.number, levels)
        masses = jnp.asarray(masses * (levels - low) / width, plan.epsilon.dtype)
        ends = jnp.zeros_like(plan.epsilon), jnp.ones_like(plan.epsilon)
        places = jnp.asarray(places, masses.dtype)
        measure = Inputs(masses[:, None], *ends, places)
        series, error = plan.of_levels(measure, targets.number)
    else:
        scaled = (np.asarray(levels) - low) / width
        series, error = plan.at_inputs(jnp.asarray(scaled, plan.epsilon.dtype))
    return Curve(
        summary.statistics, series, low, high, float(error), as_tolerance(tolerance)
    )


def _ends(targets: PointTargets | EvenTargets, levels: Any) -> tuple[float, float]:
    """Return the lowest and the highest level."""
    if callable(levels):
        assert isinstance(targets, EvenTargets)
        levels = levels(np.array([0.5, targets.number - 0.5]) / targets.number)
    return float(levels[0]), float(levels[-1])


def _at_nodes(
    plan: NodePlan, m: int, levels: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return masses, places in [0, 1] and levels of nodes that stand for m targets.

    In each panel levels are projected on the polynomials orthogonal on its targets, for
    which the nodes are a Gauss rule. Panels are those that `NodePlan.of_levels` reads.
    """
    order = plan.resolution.order
    parts = np.asarray(plan.solution.y_edges)
    whole = np.arange(parts.size)
    panels = np.linspace(0, whole[-1], whole[-1] * plan.resolution.finer**2 + 1)
    edges = np.ceil(np.interp(panels, whole, parts) * (m - 1))
    counts = np.maximum(np.diff(edges), 1.0)
    middles = (counts - 1) / 2

    moments = np.zeros((order, counts.size))
    for places, masses, values in _points(levels, m, edges):
        panel = np.searchsorted(edges, places, side="right") - 1
        panel = np.clip(panel, 0, counts.size - 1)
        from_middle = places - edges[panel] - middles[panel]
        terms = _orthonormal(from_middle, counts[panel], order)
        for degree, term in enumerate(terms):
            part = np.bincount(panel, masses * values * term, counts.size)
            moments[degree] += part

    nodes, masses = gauss_rule(np, counts, order, order)
    masses = np.where(np.diff(edges)[:, None] > 0, masses, 0.0) / m
    terms = _orthonormal(nodes - middles[:, None], counts[:, None], order)
    levels = np.einsum("ip,ipk->pk", moments, terms)
    places = (edges[:-1, None] + nodes) / (m - 1)
    return masses.reshape(-1), places.reshape(-1), levels.reshape(-1)


def _points(
    levels: Any, m: int, edges: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield places from 0 to m - 1 with masses that stand for m, and their levels."""
    if not callable(levels):
        for start in range(0, m, _CHUNK):
            some = levels[start : start + _CHUNK]
            yield np.arange(start, start + some.size), np.ones(some.size), some
        return
    # A distribution may be unbounded at 0 and 1: intervals shrink towards these.
    ratios = 2.0 ** np.arange(math.log2(_INTERVAL), math.log2(m))
    cuts = np.round(np.concatenate([ratios, m - ratios]))
    edges = np.unique(np.concatenate([edges, cuts[(cuts > 0) & (cuts < m)]]))
    nodes, masses = gauss_rule(np, np.diff(edges), _INTERVAL, _INTERVAL)
    places = (edges[:-1, None] + nodes).reshape(-1)
    yield places, masses.reshape(-1), np.asarray(levels((places + 0.5) / m))


def _orthonormal(x: np.ndarray, counts: np.ndarray, order: int) -> np.ndarray:
    """Return the polynomials orthonormal on so many places, at x from their middle.

    By the recurrence of Gram's polynomials, the degrees along the first axis; there are
    no more than places.
    """
    terms = np.zeros((order, *x.shape))
    terms[0] = 1 / np.sqrt(counts)
    before = np.zeros(x.shape)
    for k in range(1, order):
        squares = k**2 * (counts**2 - k**2) / (4.0 * (4 * k**2 - 1))
        step = np.sqrt(np.where(counts > k, squares, 0.0))
        rest = x * terms[k - 1] - (before * terms[k - 2] if k > 1 else 0.0)
        terms[k] = np.where(step > 0, rest / np.where(step > 0, step, 1.0), 0.0)
        before = step
    return terms
