"""Plans of many inputs or targets: linear time, certified accuracy.

Targets are resolved by the nodes of `_panels`. Inputs are represented by Chebyshev
moments: one pass over the inputs makes them, another evaluates the result. A single
series is the quickest and is enough for smooth inputs at a moderate epsilon; moments of
many cells are enough for all. In double precision up to some thousand inputs are taken
as they are.
"""

import functools
import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from softsort_core import _chebyshev as chebyshev
from softsort_core import _panels as panels
from softsort_core._arguments import as_epsilon, is_concrete
from softsort_core._chebyshev import Cells
from softsort_core._defaults import SMALL_EPSILON
from softsort_core._errors import SoftSortError
from softsort_core._padding import rounded_up
from softsort_core._panels import EvenTargets, FewPoints, Found, ManyInputs, Resolution
from softsort_core._rounding import (
    clipped,
    increasing,
    largest,
    product,
    relative,
    used_range,
)
from softsort_core._squash import (
    Standardisation,
    in_double,
    refined,
    standardisation,
    total,
)

_ORDER = 16
# Panels of this order times 1 / sqrt(epsilon) resolve whatever points there are.
_PANELS = 0.46
# Plans onto few targets are sharper in places, and cheap.
_FINER_FOR_FEW = 6
_USUAL_EPSILON, LEAST_EPSILON = 1e-3, 5e-5
# Below this, plans onto more targets would take minutes and not be certain: from as
# many inputs as are taken as they are, and from more.
_SHARPEST, _MOST_SHARP, _FEWEST_SHARP = 1e-5, 2**10, 2**6
# So many targets are taken as they are if the panels may be too few.
_FEW_TARGETS = 2**12
# Epsilon of the first stage is at least this.
_SOFT = 0.1
# Cells are epsilon over this wide: two targets apart by 1 share inputs within epsilon.
# Few moments of small cells are faster to take than many of large ones.
_CELL, _CELL_ORDER = 10.0, 6
# Of the cells of single precision, which are twice as many.
_ROUGH_CELL_ORDER = 4
_MOST_CELLS = 2**16
# More inputs than these are represented by their moments in any precision.
MANY = 2**11
# Sorted values of single series are computed at so many places, or up to twice as many.
_MOST_KNOTS = 2**17
# The first is enough for values that spread like normal ones, the second for skew ones.
# They are certain to the tolerance alone, cells to far more digits, which is what
# double precision is for.
SINGLE = tuple(Resolution(1, 1, order, 0, 1, cell_order=order) for order in (48, 96))


def resolution_for(epsilon: Any, *, is_even: bool = True) -> Resolution:
    """Return how to resolve whatever inputs and targets there are."""
    # An epsilon that is traced cannot be looked at.
    traced = isinstance(as_epsilon(epsilon), Tracer)
    known = _USUAL_EPSILON if traced else max(float(epsilon), LEAST_EPSILON)
    return Resolution(
        panels=max(2, math.ceil(_PANELS / math.sqrt(known))),
        finer=2 if is_even else _FINER_FOR_FEW,
        order=_ORDER,
        stages=1 + max(0, math.ceil(math.log(_SOFT / known, 4) - 1e-9)),
        cells=min(_MOST_CELLS, 2 ** math.ceil(math.log2(max(16, _CELL / known)))),
        cell_order=_CELL_ORDER,
    )


def resolutions_for(
    n: int, m: int, epsilon: Any, dtype: Any, *, are_even: bool
) -> tuple[Resolution | None, ...]:
    """Return how plans between n inputs and m targets are resolved, one after another.

    The later ones if the earlier are not certain. None takes all as they are.
    """
    is_even = are_even and are_many_targets(m, epsilon)
    if n <= MANY and not is_even:
        return (None,)
    careful = resolution_for(epsilon, is_even=is_even)
    is_small = is_concrete(epsilon) and epsilon < SMALL_EPSILON
    if is_small or dtype == jnp.float64:
        return (careful,)
    if n > MANY:
        careful = careful._replace(
            cells=2 * careful.cells, cell_order=_ROUGH_CELL_ORDER
        )
    return (*SINGLE, careful) if is_even else (careful,)


def check_reach(n: int, m: int, epsilon: float) -> None:
    """Refuse a plan between n inputs and m targets that is sharper than can be solved.

    Raises:
        SoftSortError: naming the least epsilon.
    """
    if epsilon < _SHARPEST and m > (_MOST_SHARP if n <= MANY else _FEWEST_SHARP):
        raise SoftSortError(
            f"epsilon is {epsilon:g}: soft results of {n} values at {m} targets can be "
            f"computed from epsilon {_SHARPEST:g} on, and these are not so far apart "
            "that they are the exact ones; choose a larger epsilon or the exact results"
        )


def are_summarised(n: int, dtype: Any) -> bool:
    """Return whether moments stand for n inputs, which else are taken as they are.

    Sums over the latter would round too much for single precision.
    """
    return n > MANY or dtype != jnp.float64


def are_many_targets(m: int, epsilon: Any) -> bool:
    """Return whether m even targets are better resolved than taken as they are."""
    uncertain = isinstance(epsilon, Tracer) or epsilon < LEAST_EPSILON
    return m > (_FEW_TARGETS if uncertain else 2 * resolution_for(epsilon).nodes)


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

    def squashed(self) -> tuple[Array, Array]:
        """Return the inputs, squashed, and what the rounding of that left out."""
        if not self.squashes:
            return self.values, jnp.zeros_like(self.values)
        s = jax.nn.sigmoid(self.standardisation.scores(self.values))

        def left_out(placing, values, s):
            return jax.nn.sigmoid(placing.fine_scores(values)) - s

        rest = in_double(left_out, self.standardisation, self.values, s)
        return s, jax.lax.convert_element_type(rest, s.dtype)

    def summary(self, cells: Cells, mass: Array | None) -> ManyInputs:
        """Return the moments of a mass at each input; None for ones."""
        moments = chebyshev.moments(
            self.values, self.standardisation, mass, cells, self.squashes
        )
        count = float(self.values.shape[0])
        placing = self.standardisation
        return _as_inputs(moments, count, self.weights, placing, self.squashes)

    def evaluate(self, series: Array) -> Float[Array, " n"]:
        return chebyshev.evaluate(
            self.values, self.standardisation, series, self.squashes
        )


@functools.partial(jax.jit, static_argnames="squashes")
def _as_inputs(
    moments: Array,
    count: Any,
    weights: Array | None,
    placing: Standardisation,
    squashes: bool,
) -> ManyInputs:
    whole = count if weights is None else total(weights)
    middle, radius = placing.middle, placing.half_range
    if squashes:
        middle = radius = jnp.full((), 0.5, moments.dtype)
    return ManyInputs(moments / whole, middle, radius)


@functools.partial(jax.jit, static_argnames="is_fine")
def _placing(
    values: Array, weights: Array | None, squashed: Array | None, *, is_fine: bool
) -> Standardisation:
    if squashed is None:
        placing = standardisation(values, weights)
        return refined(placing, values, weights) if is_fine else placing
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
        found: the nodes, for half, three quarters and all of the order.
        epsilon: regularisation.
        resolution: how finely all is resolved.
        is_even: whether targets are many and even, and not taken as they are.
    """

    inputs: FewPoints | ManyInputs
    found: Found
    epsilon: Float[Array, ""]
    resolution: Resolution = field(metadata={"static": True})
    is_even: bool = field(metadata={"static": True})

    @property
    def targets(self) -> Float[Array, "3 N"]:
        """The positions of the nodes of targets, for all three orders."""
        return jax.lax.convert_element_type(self.found.y, self.epsilon.dtype)

    @jax.jit
    def at_inputs(self, values: Array) -> tuple[Array, Array]:
        """Return the expectation of values, which differ by up to 1, given an input.

        At the inputs as they are padded, or as series in cells if these are many; and
        its error.
        """
        values = jnp.broadcast_to(values, self.found.y.shape)
        size = 1 if isinstance(self.inputs, FewPoints) else self.resolution.order

        def estimated(epsilon, found, values):
            def at_nodes(each: tuple[Found, Array]) -> Array:
                found, values = each
                means = product(jnp.exp(found.log_rows(epsilon)), values)
                # What they are where there are no inputs does not matter.
                panels = found.a.reshape(-1, size)
                occupied = jnp.any(panels != 0, axis=1, keepdims=True)
                return jnp.where(occupied, means.reshape(-1, size), 0.0)

            means = jax.lax.map(at_nodes, (found, values))
            return panels.estimated_error(means, epsilon)

        error = in_double(estimated, self.epsilon, self.found, values)
        _, log_rows, _ = self._differentiable(jnp.zeros(0, values.dtype))
        means = product(jnp.exp(log_rows), values[-1])
        if isinstance(self.inputs, FewPoints):
            return means, self._total(error, jnp.zeros(()))
        series, left_out = self.inputs.series(means, self._edges()[0])
        return series, self._total(error, left_out + _rounding(series))

    @jax.jit
    def at_targets(self, weighted: FewPoints | ManyInputs) -> tuple[Array, Array]:
        """Return the expectation of values, which differ by up to 1, given a target.

        At the targets, or as series in cells if these are many; and its error.
        `weighted` are the inputs with values times weights for weights.
        """
        order = self.resolution.order
        s_edges, y_edges = self._edges()
        # Reading costs little, so it is the finer still.
        y_edges = panels.divided(y_edges, self.resolution.finer**2)
        further = self.targets[-1]
        if self.is_even:
            further = panels.panel_nodes(y_edges, order).reshape(-1)

        def estimated(epsilon, found, y, weighted):
            def at_further(each: tuple[Found, Array]) -> Array:
                found, ax = each
                columns = jnp.exp(found.columns(epsilon, y)[0])
                return product(ax, columns) / product(found.a, columns)

            # All have the same panels, so that most of the work is done once.
            _, ax = jax.vmap(weighted.nodes, (None, 0, None))(
                found.s_edges[-1], jnp.asarray(self.resolution.orders()), order
            )
            means = jax.lax.map(at_further, (found, ax))
            return panels.estimated_error(means, epsilon)

        error = in_double(estimated, self.epsilon, self.found, further, weighted)
        a, _, log_columns = self._differentiable(further)
        columns = jnp.exp(log_columns)
        _, ax = weighted.nodes(s_edges, order, order)
        means = product(ax, columns) / product(a, columns)
        if not self.is_even:
            return means, self._total(error, jnp.zeros(()))
        shape = (self.resolution.cells, self.resolution.cell_order)
        positions = panels.cell_nodes(shape) / shape[0]
        matters = jnp.diff(y_edges) > 0
        series, left_out = panels.cell_series(means, y_edges, positions, matters)
        return series, self._total(error, left_out + _rounding(series))

    @jax.jit
    def effort(self) -> tuple[Array, Array]:
        """Return the number of Newton steps, and how far they are from the solution.

        That is the largest relative difference between the mass of a node of targets
        and what it receives.
        """

        def residual(found: Found, epsilon: Array) -> Array:
            received = product(found.a, jnp.exp(found.log_rows(epsilon)))
            shares = received / jnp.where(found.b > 0, found.b, 1.0)
            return largest(jnp.where(found.b > 0, shares - 1, 0.0))

        steps = in_double(jnp.max, self.found.steps)
        off = in_double(residual, self._last(), self.epsilon)
        return (
            jax.lax.convert_element_type(steps, self.epsilon.dtype),
            jax.lax.convert_element_type(off, self.epsilon.dtype),
        )

    def _last(self) -> Found:
        """Return the nodes for all of the order, in double precision."""
        return in_double(lambda found: jax.tree.map(_last_of, found), self.found)

    def _edges(self) -> tuple[Array, Array]:
        edges = self.found.s_edges, self.found.y_edges
        s_edges, y_edges = in_double(
            lambda *edges: [_last_of(e) for e in edges], *edges
        )
        return (
            jax.lax.convert_element_type(s_edges, self.epsilon.dtype),
            jax.lax.convert_element_type(y_edges, self.epsilon.dtype),
        )

    def _differentiable(self, further: Array) -> tuple[Array, Array, Array]:
        """Return weights of the nodes of inputs, rows and further columns, in the log.

        With their derivatives.
        """
        order = self.resolution.order
        s, a = self.inputs.nodes(self._edges()[0], order, order)
        found = self._last()
        # Some weights are negative: no plan between these may have been found.
        is_found = jnp.all(jnp.isfinite(found.v))
        positive = jnp.where(is_found, a, 1 / a.shape[0])
        found = panels.without_nan(found)
        return a, *panels.log_plan(s, positive, self.epsilon, further, found)

    def _total(self, error: Array, left_out: Array) -> Array:
        error = jax.lax.convert_element_type(error, left_out.dtype)
        failure = jax.lax.convert_element_type(self.found.failure, left_out.dtype)
        error += jnp.sum(failure)
        ulp = float(jnp.finfo(self.epsilon.dtype).eps)
        return jax.lax.stop_gradient(error + left_out) + 2 * ulp


def _last_of(stacked: Array) -> Array:
    return jax.lax.index_in_dim(stacked, -1, keepdims=False)


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
    num_targets: int
    places: int
    tolerance: Any

    @property
    def targets(self) -> Float[Array, "3 N"]:
        """The positions of the nodes of targets, for all three orders."""
        return self.nodes.targets

    def given_input(
        self, values: Float[Array, "*orders N"]
    ) -> tuple[Float[Array, " n"], Bool[Array, ""]]:
        """Return the expectation of `values`, one per node, at each input.

        And whether it is certain.
        """
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
            means, certain = jax.lax.map(self.given_target, columns)
            d = values.shape[1:]
            return means.T.reshape(-1, *d), certain.reshape(d)
        scale = _scale(self.given.weights, values)
        means, error = self._at_targets(values, scale)
        if self.nodes.is_even:
            return _evaluated_at_targets(
                means, scale, error, self.tolerance, self.num_targets, self.places
            )
        return _restored(means, scale, error, self.tolerance)

    def _at_targets(self, values: Array, scale: "Scale") -> tuple[Array, Array]:
        """Return what `NodePlan.at_targets` gives of the scaled values."""
        given, inputs, nodes = self.given, self.nodes.inputs, self.nodes
        if isinstance(inputs, FewPoints):
            return nodes.at_targets(_weighted_points(inputs, scale, values))
        cells = Cells(*inputs.moments.shape)
        are_given = values is given.values and is_concrete(values) and given.squashes
        # In double precision the last digits would be missing.
        if are_given and cells.number > 1 and values.dtype != jnp.float64:
            weighted, are_known = _unsquashed(inputs, given.standardisation, scale)
            if are_known:
                means, error = nodes.at_targets(weighted)
                if error <= self.tolerance:
                    return means, error
        weighted = given.summary(cells, _scaled(given.weights, scale, values))
        return nodes.at_targets(weighted)


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
def _at_inputs(nodes: NodePlan, values: Array) -> tuple[Scale, Array, Array]:
    low, high = used_range(values.reshape(-1), None)
    scale = Scale(low, high, jnp.zeros_like(low))
    return scale, *nodes.at_inputs(scale.scaled(values))


@jax.jit
def _evaluated(
    given: Given, means: Array, scale: Scale, error: Array, tolerance: Any
) -> tuple[Array, Array]:
    """Return what `NodePlan.at_inputs` gives, at the inputs themselves."""
    is_series = means.ndim > 1
    means = given.evaluate(means) if is_series else means[: given.values.shape[0]]
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
def _weighted_points(inputs: FewPoints, scale: Scale, values: Array) -> FewPoints:
    more = 0, inputs.weights.shape[0] - values.shape[0]
    weights = _scaled(inputs.weights, scale, jnp.pad(values, more))
    return inputs._replace(weights=weights)


@jax.jit
def _scaled(weights: Array | None, scale: Scale, values: Array) -> Array:
    scaled = scale.scaled(values)
    return scaled if weights is None else weights * jnp.where(weights > 0, scaled, 0.0)


@jax.jit
def _unsquashed(
    inputs: ManyInputs, placing: Standardisation, scale: Scale
) -> tuple[ManyInputs, Bool[Array, ""]]:
    """Return the inputs with their own values, scaled, times weights for weights.

    And whether they are known. In cells values are a smooth function of where they are,
    but not in the first and the last, where they may be as far as they like.
    """
    shape = inputs.moments.shape

    def at_nodes(placing, scale):
        s = jnp.asarray(panels.cell_nodes(shape) / shape[0])
        return scale.scaled(placing.of_scores(jnp.log(s / (1 - s))))

    ends = inputs.moments[jnp.array([0, -1]), 0]
    is_known = jnp.all(ends == 0) & (placing.scale > 0)
    levels = jax.lax.convert_element_type(
        in_double(at_nodes, placing, scale), scale.low.dtype
    )
    return inputs._replace(levels=jnp.where(is_known, levels, 0.0)), is_known


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
    last = jnp.asarray(m - 1, series.dtype)
    indices = jnp.minimum(jnp.arange(start, stop, dtype=series.dtype), last)
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
    are_many = are_summarised(values.shape[0], values.dtype)
    if weights is not None and are_many:
        weights = _relative(weights)
    placing = _placing(values, weights, squashed, is_fine=resolution.cells > 1)
    given = Given(values if squashes else squashed, weights, placing, squashes)
    if are_many:
        cells = Cells(resolution.cells, resolution.cell_order)
        inputs = given.summary(cells, weights)
    else:
        inputs = _points(given)
    nodes = node_plan(inputs, targets, epsilon, resolution)
    m = targets.number if isinstance(targets, EvenTargets) else targets.points.size
    return CompressedPlan(nodes, given, m, places or m, tolerance)


_relative = jax.jit(relative)


@jax.jit
def _points(given: Given) -> FewPoints:
    s, rest = given.squashed()
    n = s.shape[0]
    a = jnp.full(n, 1 / n, s.dtype) if given.weights is None else given.weights
    # Many numbers of inputs share what is compiled.
    more = 0, rounded_up(n) - n
    return FewPoints(jnp.pad(s, more, "edge"), jnp.pad(rest, more), jnp.pad(a, more))


def node_plan(
    inputs: FewPoints | ManyInputs,
    targets: EvenTargets | FewPoints,
    epsilon: Float[Array, ""],
    resolution: Resolution,
) -> NodePlan:
    """Return the plan between the nodes of inputs and of targets."""
    found = panels.search(inputs, targets, epsilon, resolution)
    is_even = isinstance(targets, EvenTargets)
    return NodePlan(inputs, found, epsilon, resolution, is_even)
