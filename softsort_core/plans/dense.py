"""The plan between all inputs and all targets, with the derivative of its solution.

See `newton` for the equations.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from softsort_core.numerics import (
    clipped,
    product,
    repeated,
    used_range,
    varying_like,
    weighted_softmax,
)
from softsort_core.plans.newton import SMOOTH, SOLVED, newton_step, solve
from softsort_core.precision import as_dtype, in_double
from softsort_core.squash import FAR


class Plan(NamedTuple):
    """A transport plan between n inputs and m targets.

    Attributes:
        log_rows: log p_ij, where p_ij is the probability of target j given input i.
            Columns of weight-zero targets are relative to the others: they say where
            a target of vanishing weight would draw its mass from.
        input_weights: a_i, summing to 1.
        target_weights: b_j, summing to 1.
        potentials: v_j.
        steps: how many the solver took.
        failure: 0, or infinite if the plan could not be brought to its column sums.
        targets: y_j, where targets are numbers.
    """

    log_rows: Float[Array, "n m"]
    input_weights: Float[Array, " n"]
    target_weights: Float[Array, " m"]
    potentials: Float[Array, " m"]
    steps: Float[Array, ""]
    failure: Float[Array, ""]
    targets: Any = None

    @jax.jit
    def given_input(
        self, values: Float[Array, "m *d"]
    ) -> tuple[Float[Array, "n *d"], Bool[Array, "*d"]]:
        """Return the expectation of `values`, one per target, at each input.

        And whether it is certain.
        """
        low, high = used_range(values, None)
        means = product(_rows(self.log_rows, self.target_weights), values)
        return clipped(means, low, high), self._certain(low)

    @jax.jit
    def given_target(
        self, values: Float[Array, "n *d"]
    ) -> tuple[Float[Array, "m *d"], Bool[Array, "*d"]]:
        """Return the expectation of `values`, one per input, at each target.

        And whether it is certain. Values of inputs without weight are of no account, if
        they are not numbers or are beyond all reason.
        """
        # Divided by their own sum, columns stay convex combinations whatever the
        # rounding, and the scale of a weight-zero column does not matter.
        columns = weighted_softmax(self.log_rows, self.input_weights)
        low, high = used_range(values, self.input_weights)
        # A common offset takes no part in the products, whose rounding it would swamp.
        middle = low / 2 + high / 2
        gaps, reach = values - middle, FAR * jnp.where(high > low, high - low, 1.0)
        gaps = jnp.where(jnp.abs(gaps) < reach, gaps, 0.0)
        means = product(columns.T, gaps) + middle
        return clipped(means, low, high), self._certain(low)

    def _certain(self, low: Float[Array, "*d"]) -> Bool[Array, "*d"]:
        """Return whether what is read of values, from the lowest on, is certain."""
        return jnp.isfinite(low + self.failure)


@jax.jit
def transport(
    logits: Float[Array, "n m"],
    input_weights: Float[Array, " n"],
    target_weights: Float[Array, " m"],
) -> Plan:
    """Solve the entropic transport problem of the given logits (-cost / epsilon).

    If it could not be solved, or logits are not finite, the plan is a failure.
    """
    b = without_lightest(target_weights)
    input_weights, b = varying_like((input_weights, b), logits, input_weights, b)
    log_rows, potentials, steps, failure = _solved(logits, input_weights, b)
    return Plan(log_rows, input_weights, b, potentials, steps, failure)


def without_lightest(b: Float[Array, " m"]) -> Float[Array, " m"]:
    """Take those for weightless whose rounding, squared, would vanish."""
    lightest = float(jnp.finfo(b.dtype).eps) ** 2
    return jnp.where(jnp.abs(b) < lightest, 0.0, b)


def _rows(log_rows: Float[Array, "n m"], b: Float[Array, " m"]) -> Float[Array, "n m"]:
    return jnp.exp(jnp.where(b > 0, log_rows, -jnp.inf))


@jax.custom_jvp
def _solved(
    logits: Float[Array, "n m"], a: Float[Array, " n"], b: Float[Array, " m"]
) -> tuple[Float[Array, "n m"], Float[Array, " m"], Float[Array, ""], Float[Array, ""]]:
    """Return log p, v, the number of steps and 0, or infinity if it is no solution."""

    def solved(logits: Array, a: Array, b: Array) -> tuple[Array, ...]:
        # They sum to 1 only in the precision they came in.
        total = jnp.sum(b) / jnp.sum(a)
        b = jnp.where(jnp.abs(total - 1) < 1e-3, b / total, jnp.nan)
        guess = jnp.log(jnp.where(b > 0, b, 1.0))
        level = jnp.minimum(1.0, SMOOTH / jnp.max(jnp.abs(logits)))
        arguments = logits, a, b, guess, level, jnp.asarray(SOLVED)
        u, v, steps, failure = solve(*arguments)
        log_rows = u[:, None] + v + logits
        # Potentials of a tiny epsilon are large numbers: so is their rounding.
        totals = product(_rows(log_rows, b), jnp.ones_like(b))
        log_rows = log_rows - jnp.log(totals)[:, None]
        log_rows = jnp.where(failure > 0, -math.log(b.size), log_rows)
        return log_rows, v, steps, failure

    return as_dtype(in_double(solved, logits, a, b), logits.dtype)


@_solved.defjvp
def _solved_jvp(primals, tangents):
    log_rows, potentials, steps, failure = _solved(*primals)
    _, a, b = primals
    potentials_dot = implicit(log_rows, a, b, *tangents)
    scores_dot = tangents[0] + repeated(potentials_dot, a.size).T
    log_rows_dot = normalised_dot(log_rows, b, scores_dot)
    changes = log_rows_dot, potentials_dot, jnp.zeros_like(steps)
    return (log_rows, potentials, steps, failure), (*changes, jnp.zeros_like(failure))


def implicit(
    log_rows: Float[Array, "n m"],
    a: Float[Array, " n"],
    b: Float[Array, " m"],
    logits_dot: Float[Array, "n m"],
    a_dot: Float[Array, " n"],
    b_dot: Float[Array, " m"],
) -> Float[Array, " m"]:
    """Return the tangent of v, which c(v, logits, a) = b defines.

    The Laplacian is that of the plan as solved, so the rule is exact for the column
    sums that the plan really has. It is built from differentiable pieces and holds
    for higher orders.
    """
    rows = _rows(log_rows, b)
    moved = rows * normalised_dot(log_rows, b, logits_dot)
    missing = b_dot - product(a_dot, rows) - product(a, moved)

    def laplacian(step):
        moved = rows * (step - product(rows, step)[:, None])
        return product(a, moved) + b * product(b, step)

    def solve(_, excess):
        step = in_double(newton_step, rows, a, b, excess)
        return as_dtype(step, excess.dtype)

    return jax.lax.custom_linear_solve(laplacian, missing, solve, symmetric=True)


def normalised_dot(
    log_rows: Float[Array, "n m"],
    b: Float[Array, " m"],
    scores_dot: Float[Array, "n m"],
) -> Float[Array, "n m"]:
    """Return the tangents of log p_ij by those of the scores, v_j + logits_ij.

    Taken relative to the target that most of an input goes to, if there is one: what
    the others take from it would be lost in the rounding of its own tangent.
    """
    rows, ones = _rows(log_rows, b), jnp.ones_like(b)
    is_most = rows > 0.5
    own = product(jnp.where(is_most, scores_dot, 0.0), ones)
    relative = jnp.where(is_most, 0.0, scores_dot - repeated(own, b.size))
    return relative - repeated(product(rows * relative, ones), b.size)


def first_order(plan: Plan, values: Float[Array, " m"]) -> Float[Array, " n"]:
    """Return how a further Newton step would change what is read at the inputs.

    To first order that is the error of `values`, one per target, given an input.
    """
    a, b = plan.input_weights, plan.target_weights
    rows = _rows(plan.log_rows, b)
    step = newton_step(rows, a, b, b - product(a, rows))
    return product(rows, values * step) - product(rows, values) * product(rows, step)
