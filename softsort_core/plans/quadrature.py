"""Plans of many inputs or targets: linear time, certified accuracy.

Targets are resolved by the nodes of `panels`. Inputs are represented by Chebyshev
moments: one pass over the inputs makes them, another evaluates the result. A single
series is the quickest and is enough for smooth inputs at a moderate epsilon; moments of
many cells are enough for all. Up to some thousand inputs are points, which are read
one by one.
"""

import functools
import math
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from softsort_core.numerics import clipped, relative, used_range
from softsort_core.plans import chebyshev
from softsort_core.plans.certificate import Scale
from softsort_core.plans.chebyshev import Cells
from softsort_core.plans.moments import evaluate_series, moments_of
from softsort_core.plans.node_plan import NodePlan, node_plan
from softsort_core.plans.panels import (
    EvenTargets,
    Few,
    Inputs,
    PointTargets,
    Resolution,
)
from softsort_core.precision import in_double, total
from softsort_core.squash import FAR, Standardisation, standardisation

# More inputs than these are represented by their moments.
MANY = 2**12
# Sorted values of single series are computed at so many places, or up to twice as many.
_MOST_KNOTS, _KNOTS_AT_ONCE = 2**17, 2**12


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _PlacedInputs:
    """Inputs and how they are placed where their moments are taken.

    Attributes:
        values: the inputs.
        weights: theirs, up to a factor; None for equal ones.
        standardisation: what places them.
        squashes: whether they are squashed as well.
        few: those that may be all that have a weight, and at which places of the inputs
            they are; None if there are more for sure.
    """

    values: Float[Array, " n"]
    weights: Float[Array, " n"] | None
    standardisation: Standardisation
    squashes: bool = field(metadata={"static": True})
    few: tuple[Array, Few] | None = None

    def measure(self, cells: Cells | None, mass: Array | None) -> Inputs:
        """Return the measure of a mass at each input, None for ones, in cells.

        Or as points, if there are no cells.
        """
        if cells is None:
            return self._in_points(mass)
        moments = moments_of(
            self.values, self.standardisation, mass, cells, self.squashes
        )
        return self._in_cells(moments, mass)

    @jax.jit
    def _in_points(self, mass: Array | None) -> Inputs:
        mass = jnp.ones_like(self.values) if mass is None else mass
        mass = mass / self._total_mass()
        return Inputs(mass[:, None], *self._ends(), self._places(), self._few(mass))

    @jax.jit
    def _in_cells(self, moments: Array, mass: Array | None) -> Inputs:
        total_mass = self._total_mass()
        few = None if mass is None else self._few(mass / total_mass)
        return Inputs(moments / total_mass, *self._ends(), few=few)

    def _few(self, mass: Array) -> Few | None:
        if self.few is None:
            return None
        at, few = self.few
        return few._replace(mass=mass[at])

    def with_few(self, at: Array, are_all: Array) -> "_PlacedInputs":
        """Return the same with those at some places, and whether they are all."""
        each = replace(self, values=self.values[at], weights=None)
        mass = jnp.zeros_like(each.values)
        few = Few(each._places(), each.points(), mass, are_all)
        return replace(self, few=(at, few))

    def _places(self) -> Array:
        """Return where in [0, 1] the inputs are, in double precision."""

        def places(values, placing, low, width):
            if self.squashes:
                return jax.nn.sigmoid(placing.fine_scores(values))
            return (values - low) / width

        return in_double(places, self.values, self.standardisation, *self._ends())

    def _ends(self) -> tuple[Array, Array]:
        """Return the least that inputs are squashed to, and how far they reach."""
        middle, half_range, *_ = self.standardisation
        if self.squashes:
            return jnp.zeros_like(middle), jnp.ones_like(middle)
        return middle - half_range, 2 * half_range

    def _total_mass(self) -> Array | int:
        return self.values.shape[0] if self.weights is None else total(self.weights)

    @jax.jit
    def points(self) -> Array:
        """Return the inputs as they are squashed."""
        if self.squashes:
            return jax.nn.sigmoid(self.standardisation.scores(self.values))
        return self.values

    def evaluate(self, means: Any) -> Float[Array, " n"]:
        """Return what `NodePlan.at_inputs` gives, at the inputs themselves."""
        if not isinstance(means, tuple):
            if means.ndim == 1:  # at points
                return means
            placing = self.standardisation
            return evaluate_series(self.values, placing, means, self.squashes)
        assert self.few is not None
        (series, of_few), (at, few) = means, self.few
        means = self.evaluate(series)
        return few.rather(means.at[at].set(of_few), means)


@functools.partial(jax.jit, static_argnames="is_fine")
def _placing(
    values: Array, weights: Array | None, squashed: Array | None, *, is_fine: bool
) -> Standardisation:
    if squashed is None:
        return standardisation(values, weights, is_fine=is_fine)
    low, high = used_range(squashed, None)
    radius = jnp.where(high > low, high / 2 - low / 2, 1.0)
    return _linear(low / 2 + high / 2, radius)


def _linear(middle: Array, radius: Array) -> Standardisation:
    zero, one = jnp.zeros_like(middle), jnp.ones_like(middle)
    return Standardisation(middle, radius, zero, one, zero, zero)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class CompressedPlan:
    """A plan between inputs and targets by nodes, to be read as a `Plan` is.

    Attributes:
        nodes: the plan between these.
        placed: the inputs.
        num_targets: number of targets.
        places: so many results there are at even targets; see `plan_of`.
        tolerance: largest error that is certain enough, relative to the range of what
            is read.
    """

    nodes: NodePlan
    placed: _PlacedInputs
    num_targets: Any
    places: int = field(metadata={"static": True})
    tolerance: Any

    @property
    def targets(self) -> Float[Array, "3 N"]:
        """The positions of the nodes of targets, for all three orders."""
        return self.nodes.targets

    def given_input(
        self, values: Float[Array, "*orders N"]
    ) -> tuple[Float[Array, " n"], Bool[Array, ""]]:
        """Return the expectation of `values`, one per node, at each input.

        And whether it is certain. Of many even targets there may be one per target.
        """
        if self.nodes.is_even and values.ndim == 1:
            scale = _centred_scale(values, None)
            cells = Cells(self.nodes.resolution.cells, self.nodes.resolution.cell_order)
            m = self.num_targets
            levels = _levels(values, scale, m, cells)
            means, error = self.nodes.of_levels(levels, m)
        else:
            scale, means, error = _at_inputs(self.nodes, values)
        return _evaluated(self.placed, means, scale, error, self.tolerance)

    def given_target(
        self, values: Float[Array, "n *d"]
    ) -> tuple[Float[Array, "m *d"], Bool[Array, "*d"]]:
        """Return the expectation of `values`, one per input, at each target.

        And whether it is certain.
        """
        if values.ndim > 1:
            columns = values.reshape(values.shape[0], -1).T
            means, certain = _given_target(self, columns)
            d = values.shape[1:]
            return means.T.reshape(-1, *d), certain.reshape(d)
        scale = _centred_scale(values, self.placed.weights)
        weighted, m = self._weighted(values, scale), self.num_targets
        if not self.nodes.is_even:
            means, error = self.nodes.at_targets(weighted)
        elif self.places <= MANY:
            means, error = self.nodes.at_targets(weighted, m, self.places)
        else:
            means, error = self.nodes.at_targets(weighted, m)
        return _evaluated_at_targets(
            self.nodes.inputs.few, means, scale, error, self.tolerance, m, self.places
        )

    def _weighted(self, values: Array, scale: Scale) -> Inputs:
        """Return the measure of the inputs with the scaled values for weights."""
        placed, inputs = self.placed, self.nodes.inputs
        mass = _scaled(placed.weights, scale, values)
        cells = Cells(*inputs.moments.shape) if inputs.places is None else None
        return placed.measure(cells, mass)


@jax.jit
def _given_target(plan: CompressedPlan, columns: Array) -> tuple[Array, Array]:
    return jax.lax.map(plan.given_target, columns)


@functools.partial(jax.jit, static_argnames="cells")
def _levels(values: Array, scale: Scale, m: Any, cells: Cells) -> Inputs:
    """Return the measure of m even targets with the scaled values for weights.

    Values beyond these only pad them.
    """
    places = jnp.arange(values.shape[0], dtype=values.dtype)
    mass = (places < m) * scale.scaled(values) / m
    places = jnp.minimum(places, jnp.asarray(m - 1, values.dtype))
    moments = moments_of(places, _evenly(m, values.dtype), mass, cells, squashes=False)
    one = jnp.ones((), values.dtype)
    return Inputs(moments, 0 * one, one)


@jax.jit
def _at_inputs(nodes: NodePlan, values: Array) -> tuple[Scale, Any, Array]:
    scale = Scale.of_levels(values)
    return scale, *nodes.at_inputs(scale.scaled(values))


@jax.jit
def _evaluated(
    placed: _PlacedInputs, means: Any, scale: Scale, error: Array, tolerance: Any
) -> tuple[Array, Array]:
    """Return what `NodePlan.at_inputs` gives, at the inputs themselves."""
    return scale.restored(placed.evaluate(means), error, tolerance)


_centred_scale = jax.jit(Scale.centred)


@jax.jit
def _scaled(weights: Array | None, scale: Scale, values: Array) -> Array:
    scaled = scale.scaled(values)
    if weights is None:
        return scaled
    # Those without weight may be anything.
    return weights * jnp.where(jnp.abs(scaled) < FAR, scaled, 0.0)


@functools.partial(jax.jit, static_argnames="places")
def _evaluated_at_targets(
    few: Few | None,
    means: Any,
    scale: Scale,
    error: Array,
    tolerance: Any,
    m: Any,
    places: int,
) -> tuple[Array, Array]:
    """Return what `NodePlan.at_targets` gives, at so many targets."""
    step = 2 ** max(0, math.floor(math.log2(places / _MOST_KNOTS)))
    series, of_few = means if isinstance(means, tuple) else (means, None)
    if series.ndim == 1 or series.shape[0] > 1 or step == 1:
        means = series if series.ndim == 1 else evaluate_even(series, 0, places, m)
        if few is not None and of_few is not None:
            of_few = of_few[:places]
            of_few = jnp.pad(of_few, (0, places - of_few.size), "edge")
            means = few.rather(of_few, means)
        return scale.restored(means, error, tolerance)
    # A single series is smooth enough for chords, which keep what order knots have.
    sag = (2 * step / (m - 1)) ** 2 / 8 * chebyshev.steepest(series, 2)
    error = error + jax.lax.stop_gradient(sag)
    count = -(-places // step) + 1
    rows = -(-count // _KNOTS_AT_ONCE)
    knots = step * jnp.arange(rows * _KNOTS_AT_ONCE, dtype=series.dtype)
    knots = jnp.minimum(knots, jnp.asarray(m - 1 + step, series.dtype))

    def at(knots: Array) -> tuple[Array, Array]:
        means = evaluate_series(knots, _evenly(m, series.dtype), series, False)
        return scale.restored(means, error, tolerance)

    # In a loop, for XLA would else compute a knot anew for each target beside it.
    knots, certain = jax.lax.map(at, knots.reshape(rows, _KNOTS_AT_ONCE))
    knots, certain = knots.reshape(-1)[:count], jnp.all(certain)
    starts, stops = knots[:-1, None], knots[1:, None]
    shares = jnp.arange(step, dtype=series.dtype) / step
    ends = jnp.minimum(starts, stops), jnp.maximum(starts, stops)
    between = clipped(starts + (stops - starts) * shares, *ends)
    return between.reshape(-1)[:places], certain


def evaluate_even(series: Array, start: int, stop: int, m: Any) -> Array:
    """Return a series in cells at the targets from `start` to `stop` of m even ones.

    Those beyond the last are like that.
    """
    indices = jnp.arange(start, stop, dtype=series.dtype)
    indices = jnp.minimum(indices, jnp.asarray(m - 1, series.dtype))
    return evaluate_series(indices, _evenly(m, series.dtype), series, False)


def _evenly(m: Any, dtype: Any) -> Standardisation:
    radius = jnp.asarray((m - 1) / 2, dtype)
    return _linear(radius, radius)


def compressed_plan(
    values: Float[Array, " n"],
    weights: Float[Array, " n"] | None,
    squashed: Float[Array, " n"] | None,
    targets: EvenTargets | PointTargets,
    epsilon: Float[Array, ""],
    tolerance: Any,
    resolution: Resolution,
    places: int | None,
) -> CompressedPlan:
    """Return the plan between inputs, given squashed or not, and targets."""
    squashes = squashed is None
    are_many = values.shape[0] > MANY
    if weights is not None:
        weights = _relative(weights)
    is_fine = resolution.cells > 1 or not are_many
    placing = _placing(values, weights, squashed, is_fine=is_fine)
    placed = _PlacedInputs(values if squashes else squashed, weights, placing, squashes)
    if weights is not None and isinstance(targets, EvenTargets):
        placed = _with_few(placed, weights, targets, resolution)
    points = None if are_many else placed.points()
    cells = Cells(resolution.cells, resolution.cell_order) if are_many else None
    inputs = placed.measure(cells, weights)
    nodes = node_plan(inputs, points, targets, epsilon, resolution)
    m = targets.number if isinstance(targets, EvenTargets) else targets.points.size
    return CompressedPlan(nodes, placed, m, places or m, tolerance)


_relative = jax.jit(relative)


def _with_few(
    placed: _PlacedInputs, weights: Array, targets: EvenTargets, resolution: Resolution
) -> _PlacedInputs:
    """Return inputs with those that may be all that have a weight, if these may be few.

    As few as their targets have nodes, and as these.
    """
    if isinstance(targets.number, int):
        return placed  # more
    used = weights > 0
    most = jnp.maximum(jnp.sum(used), targets.number)
    # The first of those that have a weight, in order.
    size = resolution.finer * resolution.nodes
    _, at = jax.lax.top_k(used.astype(jnp.float32), size)
    return placed.with_few(at, (most <= resolution.nodes).astype(weights.dtype))
