"""Plans of rows of some hundred values, through nodes that all rows share.

Inputs are replaced by Chebyshev points of [0, 1] that have their moments, and targets
by the nodes of one Gauss rule, half as many, unless they are few. These are the same
for all rows, and so is the kernel exp(-cost / epsilon) between them: what is done for
all rows is few products of matrices.
"""

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from softsort_core.numerics import largest, product
from softsort_core.plans import chebyshev
from softsort_core.plans.adaptive_panels import Potentials
from softsort_core.plans.certificate import ROW_ACCURACY, Scale, estimated_error
from softsort_core.plans.chebyshev import weighted_moments
from softsort_core.plans.derivatives import Points, means_at_inputs, means_at_targets
from softsort_core.plans.gauss_rules import Rules, rule_orders
from softsort_core.plans.kernel_cycles import (
    ROUGH,
    TOLERANCES,
    Factors,
    KernelProblem,
    first_factors,
    gibbs_kernel,
    remaining_error,
    where_solved,
)
from softsort_core.precision import as_dtype, in_double
from softsort_core.squash import squash

_SAFETY = 2.0


def _positions(order: int) -> np.ndarray:
    """Return the points that stand for inputs, twice as many as for targets.

    Their rule is exact for half as many polynomials as Gauss's.
    """
    return (chebyshev.nodes(2 * order) + 1) / 2


def _at_points(moments: Float[Array, " k"], order: int) -> Array:
    """Return weights of the points that have these moments."""
    size = 2 * order
    return product(moments[:size], jnp.asarray(chebyshev.analysis(size)))


class RowSolution(NamedTuple):
    """Plans of the orders in turn.

    Attributes:
        factors: those of each.
        least: smallest error of a result: infinite if they were not solved.
    """

    factors: tuple[Factors, ...]
    least: Float[Array, ""]

    def error(self, means: Float[Array, "3 k"], epsilon: Array) -> Array:
        """Return how far the last may be off, from results in [0, 1] for each order."""
        # Where plans are sharp, orders do not converge as evenly as that supposes.
        last = largest(means[2] - means[1])
        error = jnp.maximum(estimated_error(means, epsilon), last)
        return _SAFETY * error + self.least


def solve_row(moments: Float[Array, " k"], epsilon: Array, rules: Rules) -> RowSolution:
    """Return the plans of the orders in turn, each beginning where the last ended."""
    orders = rule_orders(moments.shape[0] // 2)
    # Few targets have few modes, however many points there are.
    modes = min(orders[-1] // 6, rules[-1][0].shape[0] // 3 + 1)
    columns = first_factors(moments, epsilon, *rules[0])
    factors: list[Factors] = []
    inverse, error = None, jnp.asarray(jnp.inf)
    for (y, b), order, tolerance in zip(rules, orders, TOLERANCES, strict=True):
        points, a = _positions(order), _at_points(moments, order)
        if factors:
            # What would be their mass for equal factors.
            before = _positions(factors[-1].order)
            columns = b / product(factors[-1].rows, gibbs_kernel(before, y, epsilon))
        kernel = gibbs_kernel(points, y, epsilon)
        problem = KernelProblem(kernel, a, y, b, modes)
        if inverse is None:
            columns, inverse, _ = problem.converged(columns, None, ROUGH)
        columns, _, error = problem.converged(columns, inverse, tolerance)
        factors.append(problem.factors(columns))
    least = remaining_error(error)
    return RowSolution(where_solved(least, tuple(factors)), least)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RowPlan:
    """A plan between a row of inputs and even targets, to be read as a `Plan` is.

    Attributes:
        s: the inputs.
        input_weights: they sum to 1.
        epsilon: regularisation.
        rules: nodes of targets and their weights.
        solution: factors of it, in double precision.
        tolerance: largest error that is certain enough, relative to the range of what
            is read.
        places: the positions of all targets.
    """

    s: Float[Array, " n"]
    input_weights: Float[Array, " n"]
    epsilon: Float[Array, ""]
    rules: Rules
    solution: RowSolution
    tolerance: Any
    places: Float[Array, " m"]

    @property
    def targets(self) -> Float[Array, "3 N"]:
        """The positions of the nodes of targets, for all three orders."""
        positions = [y for y, _ in self.rules]
        size = positions[-1].shape[0]
        padded = [jnp.pad(y, (0, size - y.shape[0])) for y in positions]
        return jnp.stack(padded).astype(self.s.dtype)

    def given_input(
        self, values: Float[Array, "3 N"]
    ) -> tuple[Float[Array, " n"], Bool[Array, ""]]:
        """Return the expectation of `values`, one per node, at each input.

        And whether it is certain.
        """
        scale = Scale.of_levels(values)
        values = scale.scaled(values)
        results = in_double(
            _read_at_inputs, self.s, self.epsilon, self.rules, self.solution, values
        )
        means, error = as_dtype(results, self.s.dtype)
        means = means_at_inputs(
            0,
            Points(self.s, self.input_weights),
            self.epsilon,
            values[-1],
            jax.lax.stop_gradient((means, self._known())),
        )
        return scale.restored(means, error, self._tolerance())

    def given_target(
        self, values: Float[Array, " n"]
    ) -> tuple[Float[Array, " m"], Bool[Array, ""]]:
        """Return the expectation of `values`, one per input, at each target.

        And whether it is certain.
        """
        a = self.input_weights
        scale = Scale.centred(values, a)
        values = scale.scaled(values)
        arguments = self.s, a, self.epsilon, self.solution, values, self.places
        results = in_double(_read_at_targets, *arguments)
        means, error = as_dtype(results, self.s.dtype)
        means = means_at_targets(
            0,
            Points(self.s, a, a * values),
            self.epsilon,
            jax.lax.stop_gradient((means, self.places, self._known())),
        )
        return scale.restored(means, error, self._tolerance())

    def _tolerance(self) -> Array:
        return jnp.minimum(self.tolerance, ROW_ACCURACY[self.s.dtype.name])

    def _known(self) -> Potentials:
        """Return the plan between inputs and nodes, in double precision."""

        def known(s, a, epsilon, rules, solution):
            y, b = rules[-1]
            v = jnp.log(solution.factors[-1].columns + (b == 0))
            return Potentials(s, a, y, b, s, v).among(s, a, epsilon)

        numbers = self.s, self.input_weights, self.epsilon
        return in_double(known, *numbers, self.rules, self.solution)


def row_plan(
    values: Float[Array, " n"],
    weights: Float[Array, " n"] | None,
    squashed: Float[Array, " n"] | None,
    order: int,
    rules: Rules,
    places: Float[Array, " m"],
    epsilon: Float[Array, ""],
    tolerance: Any,
) -> RowPlan:
    """Return the plan between values, squashed or not, and targets at even places."""
    a = weights
    if a is None:
        a = jnp.full(values.shape, 1 / values.size, values.dtype)
    s = squash(values, a) if squashed is None else squashed
    moments = in_double(functools.partial(point_moments, order), s, a)
    solution = in_double(solve_row, moments, epsilon, rules)
    return RowPlan(s, a, epsilon, rules, solution, tolerance, places)


def point_moments(order: int, s: Array, a: Array) -> Array:
    """Return the moments of inputs; NaN if one is not in [0, 1], as all points are."""
    moments = weighted_moments(s, a / jnp.sum(a), 2 * order)
    return jnp.where(jnp.all((s >= 0) & (s <= 1)), moments, jnp.nan)


def _read_at_inputs(
    s: Array,
    epsilon: Array,
    rules: Rules,
    solution: RowSolution,
    values: Float[Array, "3 N"],
) -> tuple[Array, Array]:
    """Return the expectations at inputs of values from 0 to 1, and their error."""
    size = 2 * solution.factors[-1].order
    means, at_points = jnp.zeros(0), []
    for factors, (y, _), levels in zip(solution.factors, rules, values, strict=True):
        columns, order = factors.columns, factors.order
        kernel = gibbs_kernel(_positions(order), y, epsilon)
        means = product(columns * levels[: y.shape[0]], kernel.T) / factors.totals
        at_points.append(product(jnp.asarray(_among(2 * order, size)), means))
    # Points can stand for inputs if so many terms are enough.
    error = solution.error(jnp.stack(at_points), epsilon)
    rows, split = chebyshev.folded_shape(size)
    series = product(jnp.asarray(_folded(size)), means).reshape(rows, split)
    low = chebyshev.stacked(2 * s - 1, split + 1)
    high = chebyshev.stacked(low[split], rows)
    # A single loop over all of it, and of what is read once.
    sums = jax.lax.optimization_barrier(product(series, low[:split]))
    return functools.reduce(jnp.add, (high[i] * sums[i] for i in range(rows))), error


@functools.cache
def _among(count: int, size: int) -> np.ndarray:
    """Return the matrix from values at so many points to those at more of them."""
    synthesis = np.linalg.inv(chebyshev.analysis(size))
    return synthesis[:, :count] @ chebyshev.analysis(count)


@functools.cache
def _folded(size: int) -> np.ndarray:
    """Return the matrix from values at points to a series of products of terms."""
    return chebyshev.unfolding_of(size).T @ chebyshev.analysis(size)


def _read_at_targets(
    s: Array, a: Array, epsilon: Array, solution: RowSolution, values: Array, y: Array
) -> tuple[Array, Array]:
    """Return the means at targets of values that differ by up to 1, and their error."""
    moments = weighted_moments(s, a * values, solution.factors[-1].rows.shape[0])
    means = []
    for factors in solution.factors:
        order = factors.order
        kernel = gibbs_kernel(_positions(order), y, epsilon)
        sums = product(_at_points(moments, order) / factors.totals, kernel)
        means.append(sums / product(factors.rows, kernel))
    return means[-1], solution.error(jnp.stack(means), epsilon)
