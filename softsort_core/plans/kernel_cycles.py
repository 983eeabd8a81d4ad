"""Sinkhorn's and Newton's steps in turn, for a kernel exp(-cost / epsilon).

With the plan written as

    a_i e_j kernel_ij / sum_k e_k kernel_ik,

Sinkhorn's step divides the e_j by what makes the columns too large. It is slow for
smooth changes alone, which a Newton step in few polynomials settles. The two in turn
converge in few cycles. Where plans are sharp they may not; then nothing is returned.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core.numerics import largest, product, varying_like
from softsort_core.plans import chebyshev
from softsort_core.plans.newton import damping

# Largest difference between the mass of a node of targets and what it receives,
# relative to it, from which a cycle is the last: while Newton's matrix is made anew,
# and with the last of these for each order.
ROUGH, TOLERANCES = 0.1, (1e-7, 1e-9, 1e-10)
MOST_CYCLES = 12
# What rounding makes of results, and of Newton's matrix.
_ROUNDING = 1e-13


def gibbs_kernel(s: Array | np.ndarray, y: Array, epsilon: Array) -> Array:
    """Return exp(-cost / epsilon)."""
    return jnp.exp(-((s[:, None] - y) ** 2) / epsilon)


class Factors(NamedTuple):
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


def remaining_error(error: Array) -> Array:
    """Return what a result may be off if this was the error when a cycle began."""
    # The last step leaves less than a tenth of it.
    return jnp.where(error <= TOLERANCES[-1], _ROUNDING + error / 10, jnp.inf)


def where_solved(least: Array, factors: Any) -> Any:
    """Return the factors, or ones if no error, however large, is certain."""
    return jax.tree.map(lambda each: jnp.where(least < jnp.inf, each, 1.0), factors)


def first_factors(moments: Array, epsilon: Array, y: Array, b: Array) -> Array:
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


class KernelProblem(NamedTuple):
    """Which factors make rows and columns of a kernel sum to weights.

    Attributes:
        kernel: exp(-cost / epsilon).
        a: weights of the points.
        y: the nodes.
        b: their weights.
        modes: number of polynomials in which Newton steps are taken.
    """

    kernel: Float[Array, "k N"]
    a: Float[Array, " k"]
    y: Float[Array, " N"]
    b: Float[Array, " N"]
    modes: int

    def factors(self, columns: Float[Array, " N"]) -> Factors:
        totals = product(columns, self.kernel.T)
        return Factors(columns, self.a / totals, totals)

    def converged(
        self,
        columns: Float[Array, " N"],
        inverse: Float[Array, "modes modes"] | None,
        tolerance: Array | float,
        error: Array | float = jnp.inf,
        most: Array | int = MOST_CYCLES,
    ) -> tuple[Array, Array, Array]:
        """Return factors of columns, the inverse of Newton's matrix and the error.

        Args:
            columns: where to begin.
            inverse: a former one, else the matrix is made in each cycle.
            tolerance: largest error from which a cycle may be the last.
            error: that of the factors; nothing is done if it is small enough.
            most: number of cycles.
        """
        kernel, a, y, b, modes = self
        used = b > 0
        terms = chebyshev.stacked(2 * y - 1, modes + 1)[1:]

        def cholesky(columns, total, received):
            means = product(terms * columns, kernel.T) / total
            matrix = product(terms * received, terms.T) - product(means * a, means.T)
            return jnp.linalg.cholesky(matrix + _ROUNDING * np.eye(modes))

        def advance(state):
            columns, factor, _, cycles = state
            share = product(a / product(columns, kernel.T), kernel)
            # Negative weights of points must not prevail.
            columns = jnp.where(used, jnp.where(share > 0, b / share, jnp.nan), 0.0)
            total = product(columns, kernel.T)
            received = columns * product(a / total, kernel)
            missing = b - received
            error = largest(missing / jnp.where(used, b, 1.0))
            gradient = product(terms, missing)
            if inverse is None:
                factor = cholesky(columns, total, received)
                step = _solve(factor, gradient)
            else:
                step = product(inverse, gradient)
            step = product(step, terms)
            columns = columns * jnp.exp(damping(jnp.max(step) - jnp.min(step)) * step)
            return columns / jnp.max(columns), factor, error, cycles + 1

        def unfinished(state):
            _, _, error, cycles = state
            return (cycles < most) & (error > tolerance)

        # An inverse that stays is not carried along.
        factor = jnp.zeros((modes, modes) if inverse is None else ())
        first = columns, factor, jnp.asarray(error), 0
        first = varying_like(first, kernel, a, y, b, columns)
        columns, factor, left, _ = jax.lax.while_loop(unfinished, advance, first)
        if inverse is None:
            inverse = _solve(factor, np.eye(modes))
        return columns, inverse, left


def _solve(factor: Array, rhs: Array | np.ndarray) -> Array:
    """Solve a system of equations, by the Cholesky factor of its matrix."""
    return jax.scipy.linalg.cho_solve((factor, True), rhs)
