"""Plans of many inputs or targets: linear time, certified accuracy.

Targets are resolved by the nodes of `_panels`. Inputs are represented by Chebyshev
moments: one pass over the inputs makes them, another evaluates the result. A single
series is the quickest and is enough for smooth inputs at a moderate epsilon; moments of
many cells are enough for all. Up to some thousand inputs are points, which are read
one by one.
"""

import functools
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from softsort_core.numerics import (
    clipped,
    increasing,
    largest,
    product,
    relative,
    used_range,
)
from softsort_core.plans import adaptive_panels as panels
from softsort_core.plans import moments as chebyshev
from softsort_core.plans.adaptive_panels import (
    EvenTargets,
    FewPoints,
    Found,
    InCells,
    Inputs,
    Points,
    Potentials,
    Resolution,
)
from softsort_core.plans.moments import Cells
from softsort_core.squash import Standardisation, in_double, standardisation, total

# More inputs than these are represented by their moments.
MANY = 2**12
# Sorted values of single series are computed at so many places, or up to twice as many.
_MOST_KNOTS = 2**17


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Given:
    """Inputs and how they are placed where their moments are taken.

    Attributes:
        values: the inputs.
        weights: theirs, up to a factor; None for equal ones.
        standardisation: what places them.
        squashes: whether they are squashed as well.
    """

    values: Float[Array, " n"]
    weights: Float[Array, " n"] | None
    standardisation: Standardisation
    squashes: bool = field(metadata={"static": True})

    def measure(self, cells: Cells | None, mass: Array | None) -> Inputs:
        """Return the measure of a mass at each input, None for ones, in cells.

        Or as points, if there are no cells.
        """
        if cells is None:
            return self._in_points(mass)
        moments = chebyshev.moments(
            self.values, self.standardisation, mass, cells, self.squashes
        )
        return self._in_cells(moments)

    @jax.jit
    def _in_points(self, mass: Array | None) -> Inputs:
        def places(values, placing, low, width):
            if self.squashes:
                return jax.nn.sigmoid(placing.fine_scores(values))
            return (values - low) / width

        ends = self._ends()
        placed = in_double(places, self.values, self.standardisation, *ends)
        mass = jnp.ones_like(self.values) if mass is None else mass
        return Inputs((mass / self._whole())[:, None], *ends, placed)

    @jax.jit
    def _in_cells(self, moments: Array) -> Inputs:
        return Inputs(moments / self._whole(), *self._ends())

    def _ends(self) -> tuple[Array, Array]:
        """Return the least that inputs are squashed to, and how far they reach."""
        middle, half_range, *_ = self.standardisation
        if self.squashes:
            return jnp.zeros_like(middle), jnp.ones_like(middle)
        return middle - half_range, 2 * half_range

    def _whole(self) -> Array | int:
        return self.values.shape[0] if self.weights is None else total(self.weights)

    @jax.jit
    def points(self) -> Array:
        """Return the inputs as they are squashed."""
        if self.squashes:
            return jax.nn.sigmoid(self.standardisation.scores(self.values))
        return self.values

    def evaluate(self, series: Array) -> Float[Array, " n"]:
        return chebyshev.evaluate(
            self.values, self.standardisation, series, self.squashes
        )


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
class NodePlan:
    """A plan between nodes that stand for inputs and targets.

    It is the same for any number of these, and so is what is compiled to read it.

    Attributes:
        inputs: how they are represented.
        points: the inputs, squashed, if they are represented as points.
        found: the nodes, for half, three quarters and all of the order.
        epsilon: regularisation.
        resolution: how finely all is resolved.
        is_even: whether targets are many and even, and not taken as they are.
    """

    inputs: Inputs
    points: Float[Array, " n"] | None
    found: Found
    epsilon: Float[Array, ""]
    resolution: Resolution = field(metadata={"static": True})
    is_even: bool = field(metadata={"static": True})

    @property
    def targets(self) -> Float[Array, "3 N"]:
        """The positions of the nodes of targets, for all three orders."""
        return jax.lax.convert_element_type(self.found.plan.y, self.epsilon.dtype)

    @jax.jit
    def at_inputs(self, values: Array) -> tuple[Array, Array]:
        """Return the expectation of values, which differ by up to 1, given an input.

        At points, or as series in cells; and its error.
        """
        values = jnp.broadcast_to(values, self.found.plan.y.shape)

        def read(plans, epsilon, values):
            rows = jax.vmap(Potentials.rows, (0, None))(plans, epsilon)
            means = jax.vmap(product)(rows, values)
            # What they are where there are no inputs does not matter.
            compared = jnp.where(plans.a[-1] != 0, means, 0.0)
            return means[-1], panels.estimated_error(compared, epsilon)

        plans = self._among_inputs()
        means, error = self._single(in_double(read, plans, self.epsilon, values))
        known = jax.tree.map(lambda each: each[-1], plans)
        means = panels.means_at_inputs(
            self.resolution.order,
            self._measured(None),
            self.epsilon,
            values[-1],
            jax.lax.stop_gradient((means, known)),
        )
        return self._as_series(means, error)

    @jax.jit
    def of_levels(self, levels: Inputs) -> tuple[Array, Array]:
        """Return the expectation of levels of many even targets, given an input.

        See `at_inputs`; `levels` are the targets with levels times weights for weights.
        """
        order = self.resolution.order

        def placed(found, levels):
            edges = panels.divided(found.y_edges, self.resolution.finer)
            edges = levels.rounded(jnp.clip(edges, 0.0, 1.0))
            return edges, panels.panel_nodes(edges, order).reshape(-1)

        def read(plans, epsilon, levels, edges, y):
            weights = self._weights_of_orders(levels, edges)
            columns, received = _columns(plans, epsilon, y)
            means = jax.vmap(product)(columns, weights / received)
            compared = jnp.where(plans.a[-1] != 0, means, 0.0)
            return means[-1], panels.estimated_error(compared, epsilon)

        edges, y = in_double(placed, self.found, levels)
        plans = self._among_inputs()
        means, error = self._single(
            in_double(read, plans, self.epsilon, levels, edges, y)
        )
        known = jax.tree.map(lambda each: each[-1], plans)
        means = panels.means_of_levels(
            order,
            self._measured(None),
            self.epsilon,
            levels.weights(self._single(edges), order, order),
            jax.lax.stop_gradient((means, y, known)),
        )
        return self._as_series(means, error)

    @functools.partial(jax.jit, static_argnames="places")
    def at_targets(
        self, weighted: Inputs, m: Any = None, places: int | None = None
    ) -> tuple[Array, Array]:
        """Return the expectation of values, which differ by up to 1, given a target.

        And its error. At the targets, of which the first of m even ones, so many as
        there are places, are read if these are given; else, as series in cells.
        `weighted` are the inputs with values times weights for weights.
        """
        order = self.resolution.order
        edges, further = in_double(self._further, self.found)

        def read(epsilon, found, y, weighted):
            weights = self._weights_of_orders(weighted, found.s_edges)
            columns, received = _columns(found.plan, epsilon, y)
            means = jax.vmap(product)(weights, columns) / received
            return means[-1], panels.estimated_error(means, epsilon)

        means, error = self._single(
            in_double(read, self.epsilon, self.found, further, weighted)
        )
        known = jax.tree.map(lambda each: each[-1], self._among_inputs())
        means = panels.means_at_targets(
            order,
            self._measured(weighted.moments),
            self.epsilon,
            jax.lax.stop_gradient((means, further, known)),
        )
        if not self.is_even:
            return means, self._total(error, jnp.zeros(()))
        if places is not None:
            at = in_double(lambda m: jnp.minimum(jnp.arange(places) / (m - 1), 1.0), m)
            means, left_out = panels.between(means, edges, at)
            return means, self._total(error, left_out)
        shape = (self.resolution.cells, self.resolution.cell_order)
        at = in_double(lambda: panels.cell_nodes(shape))
        means, left_out = panels.between(means, edges, at)
        analysis = jnp.asarray(chebyshev.analysis(shape[1]), means.dtype)
        series = product(means, analysis.T)
        return series, self._total(error, left_out + _rounding(series))

    def _weights_of_orders(self, inputs: Inputs, edges: Array) -> Array:
        """Return the weights of nodes, for all three orders."""
        orders, order = jnp.asarray(self.resolution.orders()), self.resolution.order
        # All have the same panels, so that most of the work is done once.
        return jax.vmap(inputs.weights, (None, 0, None))(edges, orders, order)

    def _as_series(self, means: Array, error: Array) -> tuple[Array, Array]:
        """Return means at the nodes of cells as series in these, and their error."""
        if self.points is not None:
            return means, self._total(error, jnp.zeros(()))
        series, left_out = self.inputs.series(means, self._edges())
        return series, self._total(error, left_out + _rounding(series))

    def _further(self, found: Found) -> tuple[Array, Array]:
        """Return the targets at which means are read, and the edges of panels of them.

        In double precision: where means rise steeply, a rounding of these would show.
        """
        edges = found.y_edges
        if not self.is_even:
            return edges, found.plan.y[-1]
        # Reading costs little, so it is the finer still.
        edges = panels.divided(edges, self.resolution.finer**2)
        return edges, panels.panel_nodes(edges, self.resolution.order).reshape(-1)

    @jax.jit
    def effort(self) -> tuple[Array, Array]:
        """Return the number of Newton steps, and how far they are from the solution.

        That is the largest relative difference between the mass of a node of targets
        and what it receives.
        """

        def residual(plan: Potentials, epsilon: Array) -> Array:
            received = product(plan.a, plan.rows(epsilon))
            shares = received / jnp.where(plan.b > 0, plan.b, 1.0)
            return largest(jnp.where(plan.b > 0, shares - 1, 0.0))

        last = jax.tree.map(lambda each: each[-1], self.found.plan)
        return self._single((self.found.steps, in_double(residual, last, self.epsilon)))

    def _single(self, tree: Any) -> Any:
        """Return what is in double precision in that of the inputs."""
        return jax.tree.map(
            lambda each: jax.lax.convert_element_type(each, self.epsilon.dtype), tree
        )

    def _edges(self) -> Array:
        return self._single(self.found.s_edges)

    def _among_inputs(self) -> Potentials:
        """Return the plans of nodes; of inputs, if these are taken as points."""

        def among(plans, inputs, epsilon):
            s, a = inputs.low + inputs.width * inputs.places, inputs.moments[:, 0]
            return jax.vmap(lambda plan: plan.among(s, a, epsilon))(plans)

        if self.points is None:
            return self.found.plan
        return in_double(among, self.found.plan, self.inputs, self.epsilon)

    def _measured(self, weighted: Array | None) -> Points | InCells:
        if self.points is None:
            return InCells(self.inputs, weighted, self._edges())
        weighted = None if weighted is None else weighted[:, 0]
        return Points(self.points, self.inputs.moments[:, 0], weighted)

    def _total(self, error: Array, left_out: Array) -> Array:
        failure = self._single(self.found.failure)
        ulp = float(jnp.finfo(self.epsilon.dtype).eps)
        return jax.lax.stop_gradient(error + failure + left_out) + 2 * ulp


def _columns(plans: Potentials, epsilon: Array, y: Array) -> tuple[Array, Array]:
    """Return the columns of plans at further targets, and what these receive."""
    at_further = jax.vmap(Potentials.log_columns, (0, None, None))
    columns = jnp.exp(at_further(plans, epsilon, y)[0])
    return columns, jax.vmap(product)(plans.a, columns)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class CompressedPlan:
    """A plan between inputs and targets by nodes, to be read as a `Plan` is.

    Attributes:
        nodes: the plan between these.
        given: the inputs.
        num_targets: number of targets.
        places: so many results there are at even targets; see `plan_of`.
        tolerance: largest error that is certain enough, relative to the range of what
            is read.
    """

    nodes: NodePlan
    given: Given
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
            scale = _scale(None, values)
            cells = Cells(self.nodes.resolution.cells, self.nodes.resolution.cell_order)
            levels = _levels(values, scale, self.num_targets, cells)
            means, error = self.nodes.of_levels(levels)
        else:
            scale, means, error = _at_inputs(self.nodes, values)
        return _evaluated(self.given, means, scale, error, self.tolerance)

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
        scale = _scale(self.given.weights, values)
        weighted, m = self._weighted(values, scale), self.num_targets
        if not self.nodes.is_even:
            means, error = self.nodes.at_targets(weighted)
        elif self.places <= MANY:
            means, error = self.nodes.at_targets(weighted, m, self.places)
        else:
            series, error = self.nodes.at_targets(weighted)
            return _evaluated_at_targets(
                series, scale, error, self.tolerance, m, self.places
            )
        return _restored(means, scale, error, self.tolerance)

    def _weighted(self, values: Array, scale: "Scale") -> Inputs:
        """Return the measure of the inputs with the scaled values for weights."""
        given, inputs = self.given, self.nodes.inputs
        mass = _scaled(given.weights, scale, values)
        cells = Cells(*inputs.moments.shape) if inputs.places is None else None
        return given.measure(cells, mass)


class Scale(NamedTuple):
    """How values that are averaged are scaled to differ by up to 1.

    Attributes:
        low: the lowest.
        high: the highest.
        zero: what is taken for 0. A common offset of all would swamp products.
    """

    low: Float[Array, ""]
    high: Float[Array, ""]
    zero: Float[Array, ""]

    @property
    def range_(self) -> Array:
        range_ = jnp.where(self.high > self.low, self.high - self.low, 1.0)
        return jax.lax.stop_gradient(range_)

    def scaled(self, values: Array) -> Array:
        return (values - self.zero) / self.range_

    def restored(
        self, means: Array, error: Array, tolerance: Any
    ) -> tuple[Array, Bool[Array, ""]]:
        """Return the means as they are unscaled, and whether they are certain."""
        means = clipped(self.zero + self.range_ * means, self.low, self.high)
        return means, (error <= tolerance) & jnp.isfinite(self.low + error)


@jax.jit
def _given_target(plan: CompressedPlan, columns: Array) -> tuple[Array, Array]:
    return jax.lax.map(plan.given_target, columns)


@functools.partial(jax.jit, static_argnames="cells")
def _levels(values: Array, scale: "Scale", m: Any, cells: Cells) -> Inputs:
    """Return the measure of m even targets with the scaled values for weights.

    Values beyond these only pad them.
    """
    places = jnp.arange(values.shape[0], dtype=values.dtype)
    mass = (places < m) * scale.scaled(values) / m
    places = jnp.minimum(places, jnp.asarray(m - 1, values.dtype))
    moments = chebyshev.moments(
        places, _evenly(m, values.dtype), mass, cells, squashes=False
    )
    one = jnp.ones((), values.dtype)
    return Inputs(moments, 0 * one, one)


@jax.jit
def _at_inputs(nodes: NodePlan, values: Array) -> tuple[Scale, Array, Array]:
    low, high = used_range(values.reshape(-1), None)
    scale = Scale(low, high, jnp.zeros_like(low))
    return scale, *nodes.at_inputs(scale.scaled(values))


@jax.jit
def _evaluated(
    given: Given, means: Array, scale: Scale, error: Array, tolerance: Any
) -> tuple[Array, Array]:
    """Return what `NodePlan.at_inputs` gives, at the inputs themselves."""
    means = given.evaluate(means) if means.ndim > 1 else means
    return scale.restored(means, error, tolerance)


@jax.jit
def _restored(
    means: Array, scale: Scale, error: Array, tolerance: Any
) -> tuple[Array, Array]:
    return scale.restored(means, error, tolerance)


@jax.jit
def _scale(weights: Array | None, values: Array) -> Scale:
    low, high = used_range(values, weights)
    return Scale(low, high, low / 2 + high / 2)


@jax.jit
def _scaled(weights: Array | None, scale: Scale, values: Array) -> Array:
    scaled = scale.scaled(values)
    return scaled if weights is None else weights * jnp.where(weights > 0, scaled, 0.0)


@functools.partial(jax.jit, static_argnames="places")
def _evaluated_at_targets(
    series: Array, scale: Scale, error: Array, tolerance: Any, m: Any, places: int
) -> tuple[Array, Array]:
    step = 2 ** max(0, math.floor(math.log2(places / _MOST_KNOTS)))
    if series.shape[0] > 1 or step == 1:
        means = evaluate_even(series, 0, places, m)
        return scale.restored(means, error, tolerance)
    # A single series is smooth enough for chords, which keep the order of knots.
    knots = step * jnp.arange(-(-places // step) + 1, dtype=series.dtype)
    knots = chebyshev.evaluate(knots, _evenly(m, series.dtype), series, False)
    sag = (2 * step / (m - 1)) ** 2 / 8 * chebyshev.steepest(series, 2)
    error = error + jax.lax.stop_gradient(sag)
    knots, certain = scale.restored(knots, error, tolerance)
    knots = increasing(knots)
    starts, stops = knots[:-1, None], knots[1:, None]
    shares = jnp.arange(step, dtype=series.dtype) / step
    between = clipped(starts + (stops - starts) * shares, starts, stops)
    return between.reshape(-1)[:places], certain


def evaluate_even(series: Array, start: int, stop: int, m: Any) -> Array:
    """Return a series in cells at the targets from `start` to `stop` of m even ones.

    Those beyond the last are like that.
    """
    indices = jnp.arange(start, stop, dtype=series.dtype)
    indices = jnp.minimum(indices, jnp.asarray(m - 1, series.dtype))
    return chebyshev.evaluate(indices, _evenly(m, series.dtype), series, False)


def _evenly(m: Any, dtype: Any) -> Standardisation:
    radius = jnp.asarray((m - 1) / 2, dtype)
    return _linear(radius, radius)


def _rounding(series: Float[Array, "cells order"]) -> Array:
    """Return what the rounding of points in a single cell makes of a series."""
    if series.shape[0] > 1:
        return jnp.zeros(())
    return 2 * float(jnp.finfo(series.dtype).eps) * chebyshev.steepest(series)


def compressed_plan(
    values: Float[Array, " n"],
    weights: Float[Array, " n"] | None,
    squashed: Float[Array, " n"] | None,
    targets: EvenTargets | FewPoints,
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
    given = Given(values if squashes else squashed, weights, placing, squashes)
    points = None if are_many else given.points()
    cells = Cells(resolution.cells, resolution.cell_order) if are_many else None
    inputs = given.measure(cells, weights)
    nodes = node_plan(inputs, points, targets, epsilon, resolution)
    m = targets.number if isinstance(targets, EvenTargets) else targets.points.size
    return CompressedPlan(nodes, given, m, places or m, tolerance)


_relative = jax.jit(relative)


def node_plan(
    inputs: Inputs,
    points: Array | None,
    targets: EvenTargets | FewPoints,
    epsilon: Float[Array, ""],
    resolution: Resolution,
) -> NodePlan:
    """Return the plan between the nodes of inputs and of targets."""
    found = panels.search(inputs, targets, epsilon, resolution)
    is_even = isinstance(targets, EvenTargets)
    return NodePlan(inputs, points, found, epsilon, resolution, is_even)
