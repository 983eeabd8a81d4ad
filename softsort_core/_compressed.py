"""Soft ranks and sorted values of many inputs: linear time, certified accuracy.

Targets are resolved by the nodes of `_grid`. Up to some thousand inputs are taken as
they are. More are represented by the Chebyshev points that have their moments: one
pass over the inputs makes the moments, another evaluates the result.
"""

import math
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from softsort_core import _chebyshev as chebyshev
from softsort_core._arguments import as_epsilon
from softsort_core._grid import Resolution, grid_plan
from softsort_core._rounding import clipped, increasing
from softsort_core._squash import squash, standardisation

# Largest error that is returned, relative to the range of the results.
TOLERANCE = 1e-6
_ORDER = 16
# Panels of this order times 1 / sqrt(epsilon) resolve whatever inputs there are.
_PANELS = 0.46
_USUAL_EPSILON, _LEAST_EPSILON = 1e-3, 5e-5
# So many targets are taken as they are if the panels may be too few.
_FEW_TARGETS = 2**12
# Epsilon of the first stage is at least this.
_SOFT = 0.1
# More inputs than these are represented by Chebyshev points.
MANY = 2**13
# So many are enough for smooth inputs at epsilon 0.01; others take more.
_FEW_POINTS, _MORE_POINTS, _MOST_POINTS = 64, 512, 1024
# Plans of at most so many entries between inputs and nodes are made where it matters.
_ENTRIES = 2**24
SMALL_EPSILON = 3e-3
_SMOOTH = Resolution(panels=1, order=64, stages=0)


class Effort(Enum):
    """What is tried on many inputs.

    Quick is enough for smooth ones, careful for most others, and either is the first
    unless only the second is certain.
    """

    QUICK = auto()
    CAREFUL = auto()
    EITHER = auto()


def resolution_for(epsilon: Any, m: int) -> Resolution | None:
    """Return how to resolve m targets, or None if they are taken as they are."""
    # An epsilon that is traced cannot be looked at.
    traced = isinstance(as_epsilon(epsilon), Tracer)
    known = _USUAL_EPSILON if traced else max(float(epsilon), _LEAST_EPSILON)
    panels = max(2, math.ceil(_PANELS / math.sqrt(known)))
    stages = 1 + max(0, math.ceil(math.log(_SOFT / known, 4) - 1e-9))
    uncertain = traced or epsilon < _LEAST_EPSILON
    few = _FEW_TARGETS if uncertain else 2 * panels * _ORDER
    return Resolution(panels, _ORDER, stages) if m > few else None


def width(
    function: Callable[..., Array], n: int, m: int, resolution: Resolution
) -> int:
    """Return how many numbers `function` keeps for each of n inputs at a time."""
    direct = resolution.panels * resolution.order
    direct += m if function is sorted_values else 0
    return direct if n <= MANY or n * direct <= _ENTRIES else 1


def ranks(
    values: Float[Array, " n"],
    weights: Float[Array, " n"] | None,
    squashed: Float[Array, " n"] | None,
    epsilon: Float[Array, ""],
    m: int,
    resolution: Resolution,
    effort: Effort,
) -> Float[Array, " n"]:
    """Return soft ranks among m levels from 0 to 1, or NaN if they are uncertain."""

    def solved(source: "_Inputs | _Series", resolution: Resolution) -> Array:
        nothing = jnp.zeros(0, values.dtype)
        grid, error = grid_plan(
            source.points, source.weights, None, epsilon, nothing, m, resolution
        )
        result, left_out = source.at_inputs(grid.given_input(grid.targets))
        return _certain(result, error + left_out)

    is_direct = width(ranks, values.shape[0], m, resolution) > 1
    result = _solved(solved, values, weights, squashed, resolution, effort, is_direct)
    return clipped(result, 0.0, 1.0)


def sorted_values(
    values: Float[Array, " n"],
    weights: Float[Array, " n"] | None,
    squashed: Float[Array, " n"] | None,
    epsilon: Float[Array, ""],
    m: int,
    resolution: Resolution,
    effort: Effort,
) -> Float[Array, " m"]:
    """Return m soft sorted values, or NaN if they are uncertain."""
    used = True if weights is None else weights > 0
    low = jax.lax.stop_gradient(jnp.min(values, where=used, initial=jnp.inf))
    high = jax.lax.stop_gradient(jnp.max(values, where=used, initial=-jnp.inf))
    middle = low / 2 + high / 2
    range_ = jnp.where(high > low, 2 * (high / 2 - low / 2), 1.0)
    scaled = (values - middle) / range_

    def solved(source: "_Inputs | _Series", resolution: Resolution) -> Array:
        a, ax = source.weights, source.weighted(scaled)
        further = source.further_targets(m)
        grid, error = grid_plan(source.points, a, ax, epsilon, further, m, resolution)
        means = grid.given_further(a[-1], ax[-1])
        result, left_out = source.at_targets(means, m)
        return _certain(result, error + left_out)

    is_direct = width(sorted_values, values.shape[0], m, resolution) > 1
    result = _solved(solved, values, weights, squashed, resolution, effort, is_direct)
    return clipped(increasing(middle + range_ * result), low, high)


def _solved(
    solved: Callable[..., Array],
    values: Array,
    weights: Array | None,
    squashed: Array | None,
    resolution: Resolution,
    effort: Effort,
    is_direct: bool,
) -> Array:
    n = values.shape[0]

    def directly():
        a = jnp.full(n, 1 / n, values.dtype) if weights is None else weights
        s = squash(values, a) if squashed is None else squashed
        return solved(_Inputs(s, jnp.broadcast_to(a, (3, n))), resolution)

    def careful():
        if is_direct:
            return directly()
        nodes = resolution.panels * resolution.order
        size = _MORE_POINTS if 4 * nodes <= _MORE_POINTS else _MOST_POINTS
        return solved(_series(placed, size), resolution)

    if n <= MANY:
        return directly()
    placed = _placed(values, weights, squashed)
    if effort is Effort.CAREFUL:
        return careful()
    quick = solved(_series(placed, _FEW_POINTS), _SMOOTH)
    if effort is Effort.QUICK:
        return quick
    return jax.lax.cond(jnp.isnan(quick[0]), careful, lambda: quick)


def _certain(result: Array, error: Array) -> Array:
    error = jax.lax.stop_gradient(error) + 2 * float(jnp.finfo(result.dtype).eps)
    return jnp.where(error <= TOLERANCE, result, jnp.nan)


class _Inputs(NamedTuple):
    """Inputs as they are."""

    points: Float[Array, " n"]
    weights: Float[Array, "3 n"]

    def weighted(self, values: Array) -> Array:
        return self.weights * values

    def further_targets(self, m: int) -> Array:
        return jnp.linspace(0.0, 1.0, m, dtype=self.points.dtype)

    def at_inputs(self, levels: Array) -> tuple[Array, float]:
        return levels, 0.0

    def at_targets(self, means: Array, _: int) -> tuple[Array, float]:
        return means, 0.0


class _Placed(NamedTuple):
    """Inputs and how they are placed in [-1, 1], on which the points are a scale."""

    values: Float[Array, " n"]
    weights: Float[Array, " n"] | None
    placing: chebyshev.Placing
    saturating: bool
    middle: Float[Array, ""]
    half_range: Float[Array, ""]

    def moments(self, weights: Array | None, size: int) -> Array:
        return chebyshev.moments(
            self.values, self.placing, weights, size, self.saturating
        )


def _placed(values: Array, weights: Array | None, squashed: Array | None) -> _Placed:
    half = jnp.asarray(0.5, values.dtype)
    if squashed is None:
        placing = chebyshev.Placing(*standardisation(values, weights))
        return _Placed(
            values, weights, placing._replace(scale=placing.scale / 2), True, half, half
        )
    low, high = jax.lax.stop_gradient((jnp.min(squashed), jnp.max(squashed)))
    middle, half_range = low / 2 + high / 2, high / 2 - low / 2
    half_range = jnp.where(half_range > 0, half_range, 1.0)
    zero, one = jnp.zeros_like(middle), jnp.ones_like(middle)
    placing = chebyshev.Placing(middle, half_range, zero, one)
    return _Placed(squashed, weights, placing, False, middle, half_range)


class _Series(NamedTuple):
    """Chebyshev points with the moments of the inputs, or with the first of them."""

    placed: _Placed
    points: Float[Array, " k"]
    weights: Float[Array, "3 k"]

    def weighted(self, values: Array) -> Array:
        a = self.placed.weights
        values = values / values.shape[0] if a is None else values * a
        return _node_weights(self.placed.moments(values, self.points.size))

    def further_targets(self, _: int) -> Array:
        return (self._nodes() + 1) / 2

    def at_inputs(self, levels: Array) -> tuple[Array, Array]:
        series = self._analysis() @ levels
        placed = self.placed
        return chebyshev.evaluate(
            placed.values, placed.placing, series, placed.saturating
        ), _left_out(series)

    def at_targets(self, means: Array, m: int) -> tuple[Array, Array]:
        series = self._analysis() @ means
        dtype = series.dtype
        positions = jnp.linspace(-1.0, 1.0, m, dtype=dtype)
        as_they_are = chebyshev.Placing(*jnp.array([0.0, 1.0, 0.0, 1.0], dtype))
        return chebyshev.evaluate(positions, as_they_are, series, False), _left_out(
            series
        )

    def _nodes(self) -> Array:
        return jnp.asarray(chebyshev.nodes(self.points.size), self.points.dtype)

    def _analysis(self) -> Array:
        return jnp.asarray(chebyshev.analysis(self.points.size), self.points.dtype)


def _series(placed: _Placed, size: int) -> _Series:
    n, dtype = placed.values.shape[0], placed.values.dtype
    moments = placed.moments(placed.weights, size)
    if placed.weights is None:
        moments = moments / n
    nodes = jnp.asarray(chebyshev.nodes(size), dtype)
    points = placed.middle + placed.half_range * nodes
    return _Series(placed, points, _node_weights(moments))


def _node_weights(moments: Float[Array, " k"]) -> Float[Array, "3 k"]:
    """Return the weights with half, three quarters and all of the moments."""
    size = moments.shape[0]
    used = np.arange(size) < np.array([[size // 2], [3 * size // 4], [size]])
    analysis = jnp.asarray(chebyshev.analysis(size), moments.dtype)
    return jnp.where(used, moments, 0.0) @ analysis


def _left_out(series: Array) -> Array:
    return 2 * jnp.max(jnp.abs(series[-(series.shape[0] // 8) :]))
