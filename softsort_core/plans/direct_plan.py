"""Plans of short rows: between all values and targets, by a kernel of their own."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from softsort_core.numerics import product, varying_like
from softsort_core.plans.certificate import ROW_ACCURACY, Scale
from softsort_core.plans.chebyshev import weighted_moments
from softsort_core.plans.kernel_cycles import (
    MOST_CYCLES,
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

# A plan without nodes need not be smooth: Newton's matrix is made anew, if it must be.
_MOST_MORE_CYCLES = 24
_MODES = 12


class DirectPlan(NamedTuple):
    """A plan between few inputs and targets of a row, to be read as a `Plan` is.

    Attributes:
        kernel: exp(-cost / epsilon).
        input_weights: they sum to 1.
        factors: those of the plan, in double precision like the kernel.
        error: how far results may be off, relative to their range.
        tolerance: largest error that is certain enough.
    """

    kernel: Float[Array, "n m"]
    input_weights: Float[Array, " n"]
    factors: Factors
    error: Float[Array, ""]
    tolerance: Any

    def given_input(
        self, values: Float[Array, " m"]
    ) -> tuple[Float[Array, " n"], Bool[Array, ""]]:
        """Return the expectation of `values`, one per target, at each input.

        And whether it is certain.
        """

        def means(kernel, factors, values):
            return product(factors.columns * values, kernel.T) / factors.totals

        return self._read(means, values, self.factors.columns)

    def given_target(
        self, values: Float[Array, " n"]
    ) -> tuple[Float[Array, " m"], Bool[Array, ""]]:
        """Return the expectation of `values`, one per input, at each target.

        And whether it is certain.
        """

        def means(kernel, factors, values):
            sums = product(factors.rows * values, kernel)
            return sums / product(factors.rows, kernel)

        return self._read(means, values, self.input_weights)

    def _read(
        self, means: Callable[..., Array], values: Array, weights: Array
    ) -> tuple[Array, Array]:
        scale = Scale.centred(values, weights)
        results = in_double(means, self.kernel, self.factors, scale.scaled(values))
        results, error = as_dtype((results, self.error), values.dtype)
        tolerance = jnp.minimum(self.tolerance, ROW_ACCURACY[values.dtype.name])
        return scale.restored(results, error, tolerance)


def direct_plan(
    s: Float[Array, " n"],
    a: Float[Array, " n"],
    y: Float[Array, " m"],
    b: Float[Array, " m"],
    epsilon: Float[Array, ""],
    tolerance: Any,
) -> DirectPlan:
    """Return the plan between inputs in [0, 1] and targets of these weights."""
    kernel, factors, error = in_double(_solved_directly, s, a, y, b, epsilon)
    return DirectPlan(kernel, a, factors, error, tolerance)


def _solved_directly(
    s: Array, a: Array, y: Array, b: Array, epsilon: Array
) -> tuple[Array, Factors, Array]:
    kernel = gibbs_kernel(s, y, epsilon)
    problem = KernelProblem(kernel, a, y, b, _MODES)
    least = TOLERANCES[-1]

    # If that was not enough, the second turn makes the matrix anew until the end.
    def advance(state):
        columns, error, turn = state
        rough = jnp.where(turn == 0, ROUGH, least)
        most = jnp.where(turn == 0, MOST_CYCLES, _MOST_MORE_CYCLES)
        columns, inverse, error = problem.converged(columns, None, rough, error, most)
        columns, _, error = problem.converged(columns, inverse, least, error)
        return columns, error, turn + 1

    def unfinished(state):
        _, error, turn = state
        return (turn < 2) & (error > least)

    columns = first_factors(weighted_moments(s, a, 5), epsilon, y, b)
    first = varying_like((columns, jnp.asarray(jnp.inf), 0), s, a, y, b, epsilon)
    columns, error, _ = jax.lax.while_loop(unfinished, advance, first)
    least = remaining_error(error)
    return kernel, where_solved(least, problem.factors(columns)), least
