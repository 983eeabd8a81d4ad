"""Plans of rows of some hundred values, through nodes that all rows share.

Inputs are replaced by Chebyshev points of [0, 1] that have their moments, and targets
by the nodes of one Gauss rule, half as many, unless they are few. These are the same
for all rows, and so is the kernel exp(-cost / epsilon) between them: what is done for
all rows is few products of matrices. With the plan written as

    a_i e_j kernel_ij / sum_k e_k kernel_ik,

Sinkhorn's step divides the e_j by what makes the columns too large. It is slow for
smooth changes alone, which a Newton step in few polynomials settles. The two in turn
converge in few cycles. Where plans are sharp they may not; then nothing is returned.

The values and targets of short rows need no others to stand for them: each row has a
kernel of its own then, and the rest is the same.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from softsort_core.numerics import largest, product, used_range, varying_like
from softsort_core.plans import moments as chebyshev
from softsort_core.plans.adaptive_panels import (
    Points,
    Potentials,
    estimated_error,
    means_at_inputs,
    means_at_targets,
)
from softsort_core.plans.dense import damping
from softsort_core.plans.gauss_rules import Rules
from softsort_core.plans.gauss_rules import orders as orders_of
from softsort_core.plans.quadrature import Scale
from softsort_core.squash import in_double, squash

# Largest difference between the mass of a node of targets and what it receives,
# relative to it, from which a cycle is the last: while Newton's matrix is made anew,
# and with the last of these for each order.
_ROUGH, _TOLERANCES = 0.1, (1e-7, 1e-9, 1e-10)
_MOST_CYCLES = 12
# A plan without nodes need not be smooth: Newton's matrix is made anew, if it must be.
_MOST_MORE_CYCLES = 24
_MODES = 12
# Largest estimated error that is returned: that of plans without such nodes.
_ACCURACY = {"float32": 1e-6, "float64": 1e-9}
_SAFETY = 2.0
# What rounding makes of results, and of Newton's matrix.
_ROUNDING = 1e-13


def _positions(order: int) -> np.ndarray:
    """Return the points that stand for inputs, twice as many as for targets.

    Their rule is exact for half as many polynomials as Gauss's.
    """
    return (chebyshev.nodes(2 * order) + 1) / 2


def _kernel(s: Array | np.ndarray, y: Array, epsilon: Array) -> Array:
    return jnp.exp(-((s[:, None] - y) ** 2) / epsilon)


def _moments(s: Float[Array, " n"], masses: Float[Array, " n"], size: int) -> Array:
    """Return sum_i masses_i T_k(2 s_i - 1) for k < size; see `_chebyshev`."""
    split = chebyshev.folded_shape(size)[1]
    low = chebyshev.stacked(2 * s - 1, split + 1)
    high = chebyshev.stacked(low[split], -(-size // split))
    products = product(high, (masses * low[:split]).T)
    return product(jnp.asarray(chebyshev.unfolding_of(size)), products.reshape(-1))


def _at_points(moments: Float[Array, " k"], order: int) -> Array:
    """Return weights of the points that have these moments."""
    size = 2 * order
    return product(moments[:size], jnp.asarray(chebyshev.analysis(size)))


class Solution(NamedTuple):
    """A plan of some order.

    Attributes:
        columns: e_j, up to a common factor.
        rows: a_i over the totals.
        totals: sum_j e_j kernel_ij.
    """

    columns: Float[Array, " N"]
    rows: Float[Array, " k"]
    totals: Float[Array, " k"]

    @property
    def order(self) -> int:
        return self.rows.shape[-1] // 2


class Solved(NamedTuple):
    """Plans of the orders in turn.

    Attributes:
        solutions: what was found for each.
        least: smallest error of a result: infinite if none was found.
    """

    solutions: tuple[Solution, ...]
    least: Float[Array, ""]

    def error(self, means: Float[Array, "3 k"], epsilon: Array) -> Array:
        """Return how far the last may be off, from results in [0, 1] for each order."""
        # Where plans are sharp, orders do not converge as evenly as that supposes.
        last = largest(means[2] - means[1])
        error = jnp.maximum(estimated_error(means, epsilon), last)
        return _SAFETY * error + self.least


def solved_by(moments: Float[Array, " k"], epsilon: Array, rules: Rules) -> Solved:
    """Return the plans of the orders in turn, each beginning where the last ended."""
    orders = orders_of(moments.shape[0] // 2)
    # Few targets have few modes, however many points there are.
    modes = min(orders[-1] // 6, rules[-1][0].shape[0] // 3 + 1)
    columns = _guess(moments, epsilon, *rules[0])
    found: list[Solution] = []
    inverse, error = None, jnp.asarray(jnp.inf)
    for (y, b), order, tolerance in zip(rules, orders, _TOLERANCES, strict=True):
        points, a = _positions(order), _at_points(moments, order)
        if found:
            # What would be their mass for equal factors.
            before = _positions(found[-1].order)
            columns = b / product(found[-1].rows, _kernel(before, y, epsilon))
        kernel = _kernel(points, y, epsilon)
        cycles = functools.partial(_converged, kernel, a, y, b, modes)
        if inverse is None:
            columns, inverse, _ = cycles(columns, None, _ROUGH)
        columns, _, error = cycles(columns, inverse, tolerance)
        totals = product(columns, kernel.T)
        found.append(Solution(columns, a / totals, totals))
    least = _least(error)
    return Solved(
        jax.tree.map(functools.partial(_if_found, least), tuple(found)), least
    )


class DirectPlan(NamedTuple):
    """A plan between few inputs and targets of a row, to be read as a `Plan` is.

    Attributes:
        kernel: exp(-cost / epsilon).
        input_weights: they sum to 1.
        solution: what was found, in double precision like the kernel.
        error: how far results may be off, relative to their range.
        tolerance: largest error that is certain enough.
    """

    kernel: Float[Array, "n m"]
    input_weights: Float[Array, " n"]
    solution: Solution
    error: Float[Array, ""]
    tolerance: Any

    def given_input(
        self, values: Float[Array, " m"]
    ) -> tuple[Float[Array, " n"], Bool[Array, ""]]:
        """Return the expectation of `values`, one per target, at each input.

        And whether it is certain.
        """

        def means(kernel, solution, values):
            return product(solution.columns * values, kernel.T) / solution.totals

        return self._read(means, values, self.solution.columns)

    def given_target(
        self, values: Float[Array, " n"]
    ) -> tuple[Float[Array, " m"], Bool[Array, ""]]:
        """Return the expectation of `values`, one per input, at each target.

        And whether it is certain.
        """

        def means(kernel, solution, values):
            sums = product(solution.rows * values, kernel)
            return sums / product(solution.rows, kernel)

        return self._read(means, values, self.input_weights)

    def _read(
        self, means: Callable[..., Array], values: Array, weights: Array
    ) -> tuple[Array, Array]:
        low, high = used_range(values, weights)
        scale = Scale(low, high, low / 2 + high / 2)
        found = in_double(means, self.kernel, self.solution, scale.scaled(values))
        found, error = jax.tree.map(
            lambda each: jax.lax.convert_element_type(each, values.dtype),
            (found, self.error),
        )
        tolerance = jnp.minimum(self.tolerance, _ACCURACY[values.dtype.name])
        return scale.restored(found, error, tolerance)


def direct_plan(
    s: Float[Array, " n"],
    a: Float[Array, " n"],
    y: Float[Array, " m"],
    b: Float[Array, " m"],
    epsilon: Float[Array, ""],
    tolerance: Any,
) -> DirectPlan:
    """Return the plan between inputs in [0, 1] and targets of these weights."""
    kernel, solution, error = in_double(_solved_directly, s, a, y, b, epsilon)
    return DirectPlan(kernel, a, solution, error, tolerance)


def _solved_directly(
    s: Array, a: Array, y: Array, b: Array, epsilon: Array
) -> tuple[Array, Solution, Array]:
    kernel = _kernel(s, y, epsilon)
    cycles = functools.partial(_converged, kernel, a, y, b, _MODES)
    least = _TOLERANCES[-1]

    # If that was not enough, the second turn makes the matrix anew until the end.
    def advance(state):
        columns, error, turn = state
        rough = jnp.where(turn == 0, _ROUGH, least)
        most = jnp.where(turn == 0, _MOST_CYCLES, _MOST_MORE_CYCLES)
        columns, inverse, error = cycles(columns, None, rough, error, most)
        columns, _, error = cycles(columns, inverse, least, error)
        return columns, error, turn + 1

    def unfinished(state):
        _, error, turn = state
        return (turn < 2) & (error > least)

    first = _guess(_moments(s, a, 5), epsilon, y, b), jnp.asarray(jnp.inf), 0
    first = varying_like(first, s, a, y, b, epsilon)
    columns, error, _ = jax.lax.while_loop(unfinished, advance, first)
    totals, least = product(columns, kernel.T), _least(error)
    solution = Solution(columns, a / totals, totals)
    solution = jax.tree.map(functools.partial(_if_found, least), solution)
    return kernel, solution, least


def _least(error: Array) -> Array:
    """Return what a result may be off if this was the error when a cycle began."""
    # The last step leaves less than a tenth of it.
    return jnp.where(error <= _TOLERANCES[-1], _ROUNDING + error / 10, jnp.inf)


def _if_found(least: Array, found: Array) -> Array:
    """Return what was found, or numbers if that was nothing."""
    return jnp.where(least < jnp.inf, found, 1.0)


def _guess(moments: Array, epsilon: Array, y: Array, b: Array) -> Array:
    """Return factors for inputs of right mean, variance, and about skew and tails."""
    middle = jnp.cumsum(b) - b / 2
    met = _quantiles(moments, middle)
    # Potentials whose derivative is that of the costs, where y meets its input.
    slope = 2 * (y - met) / epsilon
    steps = (slope[:-1] + slope[1:]) / 2 * jnp.diff(y)
    potentials = jnp.append(0.0, jnp.cumsum(steps))
    return b * jnp.exp(potentials - jnp.max(potentials))


def _quantiles(moments: Array, levels: Array) -> Array:
    """Return about the quantiles of inputs: a cubic whose first moments are theirs."""
    first, second, third, fourth = moments[1:5]
    # Those of powers of the inputs, from -1 to 1.
    square, cube = (1 + second) / 2, (3 * first + third) / 4
    fourth = (fourth + 8 * square - 1) / 8
    variance = jnp.maximum(square - first**2, 1e-30)
    skewness = (cube - 3 * first * square + 2 * first**3) / variance**1.5
    tails = fourth - 4 * first * cube + 6 * first**2 * square - 3 * first**4
    # In Legendre polynomials, to first order; 1.8 is the kurtosis of even spread.
    bent = jnp.clip(skewness * 5 / 6, -0.6, 0.6)
    curled = jnp.clip((tails / variance**2 - 1.8) * 0.84, -0.2, 0.4)
    straight = jnp.sqrt(3 * (1 - bent**2 / 5 - curled**2 / 7))
    t = 2 * levels - 1
    standard = straight * t + bent * (1.5 * t**2 - 0.5)
    standard += curled * (2.5 * t**3 - 1.5 * t)
    return (1 + first + jnp.sqrt(variance) * standard) / 2


def _converged(
    kernel: Float[Array, "k N"],
    a: Float[Array, " k"],
    y: Float[Array, " N"],
    b: Float[Array, " N"],
    modes: int,
    columns: Float[Array, " N"],
    fixed: Float[Array, "modes modes"] | None,
    tolerance: Array | float,
    error: Array | float = jnp.inf,
    most: Array | int = _MOST_CYCLES,
) -> tuple[Array, Array, Array]:
    """Return factors of columns, the inverse of Newton's matrix and the error.

    Args:
        kernel: exp(-cost / epsilon).
        a: weights of the points.
        y: the nodes.
        b: their weights.
        modes: number of polynomials in which Newton steps are taken.
        columns: where to begin.
        fixed: a former inverse, else the matrix is made in each cycle.
        tolerance: largest error from which a cycle may be the last.
        error: that of the factors; nothing is done if it is small enough.
        most: number of cycles.
    """
    used = b > 0
    terms = chebyshev.stacked(2 * y - 1, modes + 1)[1:]

    def factor(columns, total, received):
        means = product(terms * columns, kernel.T) / total
        matrix = product(terms * received, terms.T) - product(means * a, means.T)
        return jnp.linalg.cholesky(matrix + _ROUNDING * np.eye(modes))

    def advance(state):
        columns, made, _, cycles = state
        share = product(a / product(columns, kernel.T), kernel)
        # Negative weights of points must not prevail.
        columns = jnp.where(used, jnp.where(share > 0, b / share, jnp.nan), 0.0)
        total = product(columns, kernel.T)
        received = columns * product(a / total, kernel)
        missing = b - received
        error = largest(missing / jnp.where(used, b, 1.0))
        gradient = product(terms, missing)
        if fixed is None:
            made = factor(columns, total, received)
            step = _solve(made, gradient)
        else:
            step = product(fixed, gradient)
        step = product(step, terms)
        columns = columns * jnp.exp(damping(jnp.max(step) - jnp.min(step)) * step)
        return columns / jnp.max(columns), made, error, cycles + 1

    def unfinished(state):
        _, _, error, cycles = state
        return (cycles < most) & (error > tolerance)

    # What is fixed is not carried along.
    made = jnp.zeros((modes, modes) if fixed is None else ())
    first = varying_like(
        (columns, made, jnp.asarray(error), 0), kernel, a, y, b, columns
    )
    columns, made, off, _ = jax.lax.while_loop(unfinished, advance, first)
    return columns, _solve(made, np.eye(modes)) if fixed is None else fixed, off


def _solve(factor: Array, rhs: Array | np.ndarray) -> Array:
    """Solve a system of equations, by the Cholesky factor of its matrix."""
    return jax.scipy.linalg.cho_solve((factor, True), rhs)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class RowPlan:
    """A plan between a row of inputs and even targets, to be read as a `Plan` is.

    Attributes:
        s: the inputs.
        input_weights: they sum to 1.
        epsilon: regularisation.
        rules: nodes of targets and their weights.
        solved: what was found of it, in double precision.
        tolerance: largest error that is certain enough, relative to the range of what
            is read.
        places: the positions of all targets.
    """

    s: Float[Array, " n"]
    input_weights: Float[Array, " n"]
    epsilon: Float[Array, ""]
    rules: Rules
    solved: Solved
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
        low, high = used_range(values.reshape(-1), None)
        scale = Scale(low, high, jnp.zeros_like(low))
        values = scale.scaled(values)
        found = in_double(
            _read_at_inputs, self.s, self.epsilon, self.rules, self.solved, values
        )
        means, error = self._converted(found)
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
        low, high = used_range(values, a)
        scale = Scale(low, high, low / 2 + high / 2)
        values = scale.scaled(values)
        given = self.s, a, self.epsilon, self.solved, values, self.places
        found = in_double(_read_at_targets, *given)
        means, error = self._converted(found)
        means = means_at_targets(
            0,
            Points(self.s, a, a * values),
            self.epsilon,
            jax.lax.stop_gradient((means, self.places, self._known())),
        )
        return scale.restored(means, error, self._tolerance())

    def _tolerance(self) -> Array:
        return jnp.minimum(self.tolerance, _ACCURACY[self.s.dtype.name])

    def _converted(self, tree: Any) -> Any:
        return jax.tree.map(
            lambda each: jax.lax.convert_element_type(each, self.s.dtype), tree
        )

    def _known(self) -> Potentials:
        """Return the plan between inputs and nodes, in double precision."""

        def known(s, a, epsilon, rules, solved):
            y, b = rules[-1]
            v = jnp.log(solved.solutions[-1].columns + (b == 0))
            return Potentials(s, a, y, b, s, v).among(s, a, epsilon)

        numbers = self.s, self.input_weights, self.epsilon
        return in_double(known, *numbers, self.rules, self.solved)


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
    solved = in_double(solved_by, moments, epsilon, rules)
    return RowPlan(s, a, epsilon, rules, solved, tolerance, places)


def point_moments(order: int, s: Array, a: Array) -> Array:
    """Return the moments of inputs; NaN if one is not in [0, 1], as all points are."""
    moments = _moments(s, a / jnp.sum(a), 2 * order)
    return jnp.where(jnp.all((s >= 0) & (s <= 1)), moments, jnp.nan)


def _read_at_inputs(
    s: Array, epsilon: Array, rules: Rules, solved: Solved, values: Float[Array, "3 N"]
) -> tuple[Array, Array]:
    """Return the expectations at inputs of values from 0 to 1, and their error."""
    size = 2 * solved.solutions[-1].order
    found, at_points = jnp.zeros(0), []
    for solution, (y, _), levels in zip(solved.solutions, rules, values, strict=True):
        columns, order = solution.columns, solution.order
        kernel = _kernel(_positions(order), y, epsilon)
        found = product(columns * levels[: y.shape[0]], kernel.T) / solution.totals
        at_points.append(product(jnp.asarray(_among(2 * order, size)), found))
    # Points can stand for inputs if so many terms are enough.
    error = solved.error(jnp.stack(at_points), epsilon)
    rows, split = chebyshev.folded_shape(size)
    series = product(jnp.asarray(_folded(size)), found).reshape(rows, split)
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
    s: Array, a: Array, epsilon: Array, solved: Solved, values: Array, y: Array
) -> tuple[Array, Array]:
    """Return the means at targets of values that differ by up to 1, and their error."""
    moments = _moments(s, a * values, solved.solutions[-1].rows.shape[0])
    means = []
    for solution in solved.solutions:
        order = solution.order
        kernel = _kernel(_positions(order), y, epsilon)
        sums = product(_at_points(moments, order) / solution.totals, kernel)
        means.append(sums / product(solution.rows, kernel))
    return means[-1], solved.error(jnp.stack(means), epsilon)
