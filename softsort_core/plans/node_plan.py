"""Plans between nodes that stand for inputs and targets, read at both."""

import functools
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from softsort_core.numerics import largest, product
from softsort_core.plans import chebyshev
from softsort_core.plans.adaptive_panels import PanelSolution, Potentials, search
from softsort_core.plans.certificate import estimated_error
from softsort_core.plans.derivatives import (
    InCells,
    Points,
    means_at_inputs,
    means_at_targets,
    means_of_levels,
)
from softsort_core.plans.gauss_rules import gauss_rule
from softsort_core.plans.panels import (
    EvenTargets,
    Few,
    Inputs,
    PointTargets,
    Resolution,
    between,
    cell_nodes,
    divided,
    panel_nodes,
)
from softsort_core.precision import as_dtype, in_double


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NodePlan:
    """A plan between nodes that stand for inputs and targets.

    It is the same for any number of these, and so is what is compiled to read it.

    Attributes:
        inputs: how they are represented.
        points: the inputs, squashed, if they are represented as points.
        solution: the nodes, for half, three quarters and all of the order.
        epsilon: regularisation.
        resolution: how finely all is resolved.
        is_even: whether targets are many and even, and not taken as they are.
    """

    inputs: Inputs
    points: Float[Array, " n"] | None
    solution: PanelSolution
    epsilon: Float[Array, ""]
    resolution: Resolution = field(metadata={"static": True})
    is_even: bool = field(metadata={"static": True})

    @property
    def targets(self) -> Float[Array, "3 N"]:
        """The positions of the nodes of targets, for all three orders."""
        return self._single(self.solution.plan.y)

    @jax.jit
    def at_inputs(self, values: Array) -> tuple[Any, Array]:
        """Return the expectation of values, which differ by up to 1, given an input.

        At points, or as series in cells, beside what it is at few; and its error.
        """
        values = jnp.broadcast_to(values, self.solution.plan.y.shape)

        def read(plans, epsilon, values):
            rows = jax.vmap(Potentials.rows, (0, None))(plans, epsilon)
            means = jax.vmap(product)(rows, values)
            # What they are where there are no inputs does not matter.
            compared = jnp.where(plans.a[-1] != 0, means, 0.0)
            return means[-1], estimated_error(compared, epsilon)

        plans = self._among_inputs()
        means, error = self._single(in_double(read, plans, self.epsilon, values))
        known = jax.tree.map(lambda each: each[-1], plans)
        means = means_at_inputs(
            self.resolution.order,
            self._measured(None),
            self.epsilon,
            values[-1],
            jax.lax.stop_gradient((means, known)),
        )
        return self._as_series(means, error)

    @jax.jit
    def of_levels(self, levels: Inputs, m: Any) -> tuple[Any, Array]:
        """Return the expectation of levels of many even targets, m, given an input.

        See `at_inputs`; `levels` are the targets with levels times weights for weights.
        """
        order = self.resolution.order

        def placed(solution, levels, m):
            edges = divided(solution.y_edges, self.resolution.finer**2)
            edges = levels.rounded(jnp.clip(edges, 0.0, 1.0))
            first = jnp.ceil(edges * (m - 1)).at[-1].set(m)
            nodes, masses = gauss_rule(jnp, jnp.diff(first), order, order)
            nodes = (first[:-1, None] + nodes) / (m - 1)
            ends = jnp.zeros(()), jnp.ones(())
            targets = Inputs(masses.reshape(-1, 1) / m, *ends, nodes.reshape(-1))
            return edges, panel_nodes(edges, order).reshape(-1), targets

        def read(plans, epsilon, levels, targets, edges, y):
            columns, received = _columns(plans, epsilon, y)
            sums, shares = (
                jax.vmap(product)(columns, weights / received)
                for weights in (
                    self._weights_of_orders(each, edges) for each in (levels, targets)
                )
            )
            # The plan is of fewer nodes, which gave each input its mass but nearly.
            means = sums / jnp.where(shares > 0, shares, 1.0)
            compared = jnp.where(plans.a[-1] != 0, means, 0.0)
            return means[-1], estimated_error(compared, epsilon)

        edges, y, targets = in_double(placed, self.solution, levels, m)
        plans = self._among_inputs()
        means, error = self._single(
            in_double(read, plans, self.epsilon, levels, targets, edges, y)
        )
        known = jax.tree.map(lambda each: each[-1], plans)
        means = means_of_levels(
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
    ) -> tuple[Any, Array]:
        """Return the expectation of values, which differ by up to 1, given a target.

        And its error. At the targets, of which the first of m even ones, so many as
        there are places, are read if these are given; else, as series in cells. Beside
        that at the first of them, if these may be few.
        `weighted` are the inputs with values times weights for weights.
        """
        order = self.resolution.order
        edges, further = in_double(self._further, self.solution)
        at = None
        if self.is_even and places is not None:
            at = in_double(lambda m: jnp.minimum(jnp.arange(places) / (m - 1), 1.0), m)
            # Few are read themselves: between them means may be as steep as they like.
            further = at if places <= further.size else further
        few = None if further is at else self.inputs.few
        if few is not None:

            def targets(few: Few, m: Array, others: Array) -> Array:
                return few.rather(EvenTargets(m).points(others.size), others)

            further = in_double(targets, few, m, further)

        def read(epsilon, solution, y, weighted):
            weights = self._weights_of_orders(weighted, solution.s_edges)
            columns, received = _columns(solution.plan, epsilon, y)
            means = jax.vmap(product)(weights, columns) / received
            return means[-1], estimated_error(means, epsilon)

        means, error = self._single(
            in_double(read, self.epsilon, self.solution, further, weighted)
        )
        known = jax.tree.map(lambda each: each[-1], self._among_inputs())
        means = means_at_targets(
            order,
            self._measured(weighted),
            self.epsilon,
            jax.lax.stop_gradient((means, further, known)),
        )
        if not self.is_even or further is at:
            return means, self._total(error, jnp.zeros(()))
        if at is not None:
            others, left_out = between(means, edges, at)
            return self._beside(few, means, others, error, left_out)
        shape = (self.resolution.cells, self.resolution.cell_order)
        at = in_double(lambda: cell_nodes(shape))
        others, left_out = between(means, edges, at)
        analysis = jnp.asarray(chebyshev.analysis(shape[1]), means.dtype)
        series = product(others, analysis.T)
        return self._beside(few, means, series, error, left_out + _rounding(series))

    def _weights_of_orders(self, inputs: Inputs, edges: Array) -> Array:
        """Return the weights of nodes, for all three orders."""
        orders, order = jnp.asarray(self.resolution.orders()), self.resolution.order
        # All have the same panels, so that most of the work is done once.
        return jax.vmap(inputs.weights, (None, 0, None))(edges, orders, order)

    def _as_series(self, means: Array, error: Array) -> tuple[Any, Array]:
        """Return means at the nodes of cells as series in these, and their error."""
        if self.points is not None:
            return means, self._total(error, jnp.zeros(()))
        series, left_out = self.inputs.series(means, self._edges())
        left_out = left_out + _rounding(series)
        return self._beside(self.inputs.few, means, series, error, left_out)

    def _beside(
        self,
        few: Few | None,
        means: Array,
        others: Array,
        error: Array,
        left_out: Array,
    ) -> tuple[Any, Array]:
        """Return what is made of means, beside these if they may be of few.

        And its error.
        """
        if few is None:
            return others, self._total(error, left_out)
        left_out = jnp.where(few.are_all > 0, 0.0, left_out)
        return (others, means), self._total(error, left_out)

    def _further(self, solution: PanelSolution) -> tuple[Array, Array]:
        """Return the targets at which means are read, and the edges of panels of them.

        In double precision: where means rise steeply, a rounding of these would show.
        """
        edges = solution.y_edges
        if not self.is_even:
            return edges, solution.plan.y[-1]
        # Reading costs little, so it is the finer still.
        edges = divided(edges, self.resolution.finer**2)
        return edges, panel_nodes(edges, self.resolution.order).reshape(-1)

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

        last = jax.tree.map(lambda each: each[-1], self.solution.plan)
        return self._single(
            (self.solution.steps, in_double(residual, last, self.epsilon))
        )

    def _single(self, tree: Any) -> Any:
        """Return what is in double precision in that of the inputs."""
        return as_dtype(tree, self.epsilon.dtype)

    def _edges(self) -> Array:
        return self._single(self.solution.s_edges)

    def _among_inputs(self) -> Potentials:
        """Return the plans of nodes; of inputs, if these are taken as points."""

        def among(plans, inputs, epsilon):
            s, a = inputs.low + inputs.width * inputs.places, inputs.moments[:, 0]
            return jax.vmap(lambda plan: plan.among(s, a, epsilon))(plans)

        if self.points is None:
            return self.solution.plan
        return in_double(among, self.solution.plan, self.inputs, self.epsilon)

    def _measured(self, weighted: Inputs | None) -> Points | InCells:
        inputs, few = self.inputs._replace(few=None), self.inputs.few
        moments = None if weighted is None else weighted.moments
        if self.points is not None:
            mass = None if moments is None else moments[:, 0]
            return Points(self.points, inputs.moments[:, 0], mass)
        if few is None:
            return InCells(inputs, moments, self._edges())
        each = Points(few.points, few.mass)
        if weighted is not None and weighted.few is not None:
            each = each._replace(weighted=weighted.few.mass)
        return InCells(inputs, moments, self._edges(), (each, few.are_all))

    def _total(self, error: Array, left_out: Array) -> Array:
        failure = self._single(self.solution.failure)
        ulp = float(jnp.finfo(self.epsilon.dtype).eps)
        return jax.lax.stop_gradient(error + failure + left_out) + 2 * ulp


def _columns(plans: Potentials, epsilon: Array, y: Array) -> tuple[Array, Array]:
    """Return the columns of plans at further targets, and what these receive."""
    at_further = jax.vmap(Potentials.log_columns, (0, None, None))
    columns = jnp.exp(at_further(plans, epsilon, y)[0])
    return columns, jax.vmap(product)(plans.a, columns)


def _rounding(series: Float[Array, "cells order"]) -> Array:
    """Return what the rounding of points in a single cell makes of a series."""
    if series.shape[0] > 1:
        return jnp.zeros(())
    return 2 * float(jnp.finfo(series.dtype).eps) * chebyshev.steepest(series)


def node_plan(
    inputs: Inputs,
    points: Array | None,
    targets: EvenTargets | PointTargets,
    epsilon: Float[Array, ""],
    resolution: Resolution,
) -> NodePlan:
    """Return the plan between the nodes of inputs and of targets."""
    solution = search(inputs, targets, epsilon, resolution)
    is_even = isinstance(targets, EvenTargets)
    return NodePlan(inputs, points, solution, epsilon, resolution, is_even)
