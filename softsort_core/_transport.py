r"""The entropic transport plan: one solver, one derivative.

Inputs i carry weights `a`, targets j carry weights `b`, both summing to 1, and
`logits[i, j] = -cost[i, j] / epsilon`. Writing the plan as `a_i p_ij` with

    p_ij = softmax_j( v_j + logits_ij )

meets the input weights by construction. The potentials `v`, free up to a constant,
are the only unknowns; they maximise the concave semi-dual

    D(v) = sum_j b_j v_j - sum_i a_i logsumexp_j( v_j + logits_ij ),

whose gradient is `b - c`, with `c_j = sum_i a_i p_ij` the mass that arrives at j.
Its Hessian is minus the Laplacian of the graph with edge weights

    W_jk = sum_i a_i p_ij p_ik,

and the same Laplacian gives the implicit derivative of `v`.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Bool, Float

# Far more than any solve needs (the worst seen in the tests takes 60).
_MAX_STEPS = 200
# The first level is this smooth: its Newton iteration converges from any start.
_FIRST_LEVEL_SPAN = 5.0
# Each level divides epsilon by this; 2 to 10 cost about the same number of steps.
_LEVEL_RATIO = 4.0
_BLOCK = 16
# Systems of this many unknowns are solved by elimination, which in large batches is
# several times faster than a call of LAPACK for each, and does not load it.
_ELIMINATED = 12
# Largest error of a column sum that is returned at all.
_ACCURACY = {"float32": 1e-6, "float64": 1e-10}
# Relative error of the column sums at which the next level may begin.
_LEVEL_TOLERANCE = 0.1
# Difference that the last step made between two potentials, likewise.
_LEVEL_SPREAD = 10.0


class Start(NamedTuple):
    """Where a solve begins: a level in (0, 1], epsilon / level being that much softer.

    Attributes:
        level: the first level.
        potentials: a guess of v there.
    """

    level: Float[Array, ""]
    potentials: Float[Array, " m"]


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
        targets: y_j, where targets are numbers.
    """

    log_rows: Float[Array, "n m"]
    input_weights: Float[Array, " n"]
    target_weights: Float[Array, " m"]
    potentials: Float[Array, " m"]
    steps: Float[Array, ""]
    targets: Any = None

    def given_input(self, values: Float[Array, "m *d"]) -> Float[Array, "n *d"]:
        """Return the expectation of `values`, one per target, at each input."""
        rows = jnp.exp(jnp.where(self.target_weights > 0, self.log_rows, -jnp.inf))
        return jnp.tensordot(rows, values, axes=1)

    def given_target(self, values: Float[Array, "n *d"]) -> Float[Array, "m *d"]:
        """Return the expectation of `values`, one per input, at each target."""
        used = self.input_weights[:, None] > 0
        log_columns = jnp.where(used, self.log_rows, -jnp.inf)
        # Divided by their own sum, columns stay convex combinations whatever the
        # rounding, and the scale of a weight-zero column does not matter.
        peak = jax.lax.stop_gradient(jnp.max(log_columns, axis=0))
        columns = self.input_weights[:, None] * jnp.exp(log_columns - peak)
        columns = columns / jnp.sum(columns, axis=0)
        return jnp.tensordot(columns.T, values, axes=1)


@jax.jit
def transport(
    logits: Float[Array, "n m"],
    input_weights: Float[Array, " n"],
    target_weights: Float[Array, " m"],
) -> Plan:
    """Solve the entropic transport problem of the given logits (-cost / epsilon).

    The column sums of the plan match `target_weights` to a few units of rounding. A
    plan that could not be brought to that, or whose logits are not finite, is NaN.
    """
    target_weights = without_lightest(target_weights)
    start = cold_start(logits, target_weights)
    log_rows, potentials, steps = solve(logits, input_weights, target_weights, start)
    return Plan(log_rows, input_weights, target_weights, potentials, steps)


def without_lightest(b: Float[Array, " m"]) -> Float[Array, " m"]:
    """Take those for weightless whose rounding, squared, would vanish."""
    lightest = float(jnp.finfo(b.dtype).eps) ** 2
    return jnp.where(jnp.abs(b) < lightest, 0.0, b)


def cold_start(logits: Float[Array, "n m"], b: Float[Array, " m"]) -> Start:
    """Start so smoothly that Newton's iteration converges from anywhere."""
    span = jnp.max(logits) - jnp.min(logits)
    level = jnp.minimum(1.0, _FIRST_LEVEL_SPAN / span)
    return jax.lax.stop_gradient(Start(level, jnp.log(jnp.where(b > 0, b, 1.0))))


def _normalised(
    scores: Float[Array, "n m"], active: Bool[Array, " m"]
) -> Float[Array, "n m"]:
    masked = jnp.where(active, scores, -jnp.inf)
    return scores - logsumexp(masked, axis=1, keepdims=True)


def _rows(log_rows: Float[Array, "n m"], b: Float[Array, " m"]) -> Float[Array, "n m"]:
    return jnp.exp(jnp.where(b > 0, log_rows, -jnp.inf))


def _sum_in_blocks(terms: Float[Array, "n m"]) -> Float[Array, " m"]:
    """Sum over the first axis with a rounding error that grows like log n, not n."""
    while (n := terms.shape[0]) > 1:
        padded = jnp.pad(terms, ((0, -n % _BLOCK), (0, 0)))
        terms = jnp.sum(padded.reshape(-1, _BLOCK, terms.shape[1]), axis=1)
    return terms[0]


def _newton_step(
    rows: Float[Array, "n m"],
    a: Float[Array, " n"],
    b: Float[Array, " m"],
    excess: Float[Array, " m"],
) -> Float[Array, " m"]:
    """Solve Laplacian @ step = excess, for the mean-zero step.

    The diagonal is summed from the off-diagonal entries, never subtracted: where the
    plan is nearly hard, `c_j - W_jj` would cancel to noise. The unknown is scaled by
    sqrt(b_j), so that a ridge of a few units of rounding, which settles the free
    constant and any group of targets that exchanges no mass with the rest, is
    relative to each target's weight, and to its degree where that is larger.
    """
    m = b.shape[0]
    ridge = 4 * float(jnp.finfo(b.dtype).eps)
    active = b > 0
    scale = jnp.where(active, jax.lax.rsqrt(jnp.where(active, b, 1.0)), 0.0)
    edges = rows.T @ (a[:, None] * rows) * (1.0 - jnp.eye(m, dtype=b.dtype))
    degrees = jnp.sum(edges, axis=1) * scale**2
    diagonal = jnp.where(active, degrees + ridge * (1.0 + degrees), 1.0)
    matrix = jnp.diag(diagonal) - scale[:, None] * edges * scale
    step = scale * _solve_positive_definite(matrix, scale * excess)
    return jnp.where(active, step - b @ step, 0.0)


def _solve_positive_definite(
    matrix: Float[Array, "m m"], rhs: Float[Array, " m"]
) -> Float[Array, " m"]:
    m = rhs.shape[0]
    if m > _ELIMINATED:
        return jax.scipy.linalg.solve(matrix, rhs, assume_a="pos")

    def eliminate(k, rows):
        pivot = rows[k] / rows[k, k]
        return (rows - rows[:, k, None] * pivot).at[k].set(pivot)

    def solve(_, rhs):
        rows = jnp.concatenate([matrix, rhs[:, None]], axis=1)
        return jax.lax.fori_loop(0, m, eliminate, rows)[:, -1]

    # Derivatives are then solved for, not taken through the elimination.
    return jax.lax.custom_linear_solve(lambda x: matrix @ x, rhs, solve, symmetric=True)


class _State(NamedTuple):
    # v = anchor + correction. At small epsilon v is large, and rounding it to float32
    # would move the column sums; the correction is small and so are the steps of
    # log_rows.
    level: Float[Array, ""]
    anchor: Float[Array, " m"]
    correction: Float[Array, " m"]
    log_rows: Float[Array, "n m"]
    polishing: Bool[Array, ""]
    best: Float[Array, ""]
    idle: Array
    steps: Array


@jax.custom_jvp
def solve(
    logits: Float[Array, "n m"],
    a: Float[Array, " n"],
    b: Float[Array, " m"],
    start: Start,
) -> tuple[Float[Array, "n m"], Float[Array, " m"], Float[Array, ""]]:
    """Return log p and v: damped Newton steps on the semi-dual, epsilon shrinking.

    And how many steps these were.

    With `logits = -cost / epsilon`, a level t in (0, 1] stands for epsilon / t. The
    potentials of a level, scaled with t, start the next one. The last level is
    entered twice: the second time with the first one's result as anchor.
    """
    # A slice with a NaN solves a trivial problem, so that the others of its batch
    # need not wait for it.
    finite = jnp.all(jnp.isfinite(logits)) & jnp.isfinite(jnp.sum(a) + jnp.sum(b))
    logits = jnp.where(finite, logits, 0.0)
    a = jnp.where(finite, a, 1.0 / a.shape[0])
    b = jnp.where(finite, b, 1.0 / b.shape[0])
    active = b > 0
    inverse_b = jnp.where(active, 1.0 / jnp.where(active, b, 1.0), 0.0)
    ulp = float(jnp.finfo(logits.dtype).eps)
    converged, plausible = 8 * ulp, 1e4 * ulp

    def column_error(log_rows: Array) -> tuple[Array, Array, Array]:
        """Return the rows, b - c and the largest |b_j - c_j| / b_j."""
        rows = _rows(log_rows, b)
        excess = b - _sum_in_blocks(a[:, None] * rows)
        return rows, excess, jnp.max(jnp.abs(excess) * inverse_b)

    def unfinished(state: _State) -> Array:
        return (state.steps < _MAX_STEPS) & (state.idle < 4)

    def advance(state: _State) -> _State:
        rows, excess, _ = column_error(state.log_rows)
        step = _newton_step(rows, a, b, excess)
        # The third derivative of D along a direction is at most its second times the
        # direction's spread d, for which log(1 + d) / d of a Newton step is a length
        # that always ascends (Sun and Tran-Dinh 2019, generalised self-concordance
        # of order 2). It needs no line search and tends to the full step.
        spread = jnp.max(step) - jnp.min(step)
        spread = jnp.maximum(spread, ulp)
        step = step * jnp.log1p(spread) / spread
        correction = state.correction + step
        log_rows = _normalised(state.log_rows + step, active)
        error = column_error(log_rows)[2]

        # While polishing, stop at the first step below the tolerance, or once
        # rounding lets four steps in a row gain nothing.
        progress = (error < 0.5 * state.best) | (error > plausible)
        idle = jnp.where(error <= converged, 4, jnp.where(progress, 0, state.idle + 1))
        same_level = state._replace(
            correction=correction,
            log_rows=log_rows,
            best=jnp.where(state.polishing, jnp.minimum(error, state.best), jnp.inf),
            idle=jnp.where(state.polishing, idle, 0),
            steps=state.steps + 1,
        )
        level = jnp.minimum(1.0, state.level * _LEVEL_RATIO)
        anchor = (state.anchor + correction) * (level / state.level)
        next_level = same_level._replace(
            level=level,
            anchor=anchor,
            correction=jnp.zeros_like(correction),
            log_rows=_normalised(level * logits + anchor, active),
            polishing=state.level >= 1,
        )
        # A wide step is on its way to shift whole groups of targets that exchange
        # little mass. Left for later, the shift would grow with every level.
        settled = (error <= _LEVEL_TOLERANCE) & (spread <= _LEVEL_SPREAD)
        level_done = settled & ~state.polishing
        return jax.tree.map(
            functools.partial(jnp.where, level_done), next_level, same_level
        )

    level = jnp.where(finite, start.level, 1.0)
    anchor = jnp.where(finite & active, start.potentials, 0.0)
    first = _State(
        level=level,
        anchor=anchor,
        correction=jnp.zeros_like(b),
        log_rows=_normalised(level * logits + anchor, active),
        polishing=jnp.asarray(False),
        best=jnp.asarray(jnp.inf, b.dtype),
        idle=jnp.asarray(0),
        steps=jnp.asarray(0),
    )
    end = jax.lax.while_loop(unfinished, advance, first)
    # The plan is that of the last step, not made anew from logits and potentials: the
    # compiler may round these differently in each place, by more than the tolerance.
    _, excess, error = column_error(end.log_rows)
    accurate = (error <= plausible) & (
        jnp.max(jnp.abs(excess)) <= _ACCURACY[b.dtype.name]
    )
    failure = jnp.where(finite & accurate, 0.0, jnp.nan).astype(b.dtype)
    potentials = end.anchor + end.correction
    return end.log_rows + failure, potentials + failure, end.steps.astype(b.dtype)


@solve.defjvp
def _solve_jvp(primals, tangents):
    logits, a, b, start = primals
    logits_dot, a_dot, b_dot, _ = tangents
    log_rows, potentials, steps = solve(logits, a, b, start)
    potentials_dot, shift = implicit(log_rows, a, b, logits_dot, a_dot, b_dot)
    log_rows_dot = logits_dot + potentials_dot - shift[:, None]
    changes = log_rows_dot, potentials_dot, jnp.zeros_like(steps)
    return (log_rows, potentials, steps), changes


def implicit(
    log_rows: Float[Array, "n m"],
    a: Float[Array, " n"],
    b: Float[Array, " m"],
    logits_dot: Float[Array, "n m"],
    a_dot: Float[Array, " n"],
    b_dot: Float[Array, " m"],
) -> tuple[Float[Array, " m"], Float[Array, " n"]]:
    """Differentiate c(v, logits, a) = b, which defines v.

    The Laplacian is that of the plan as solved, so the rule is exact for the column
    sums that the plan really has. It is built from differentiable pieces and holds
    for higher orders.

    Returns:
        The tangents of v and of the rows' log normalisers, log sum_j exp(v_j +
        logits_ij).
    """
    rows = _rows(log_rows, b)
    shift = jnp.sum(rows * logits_dot, axis=1)
    direct = a_dot @ rows + a @ (rows * (logits_dot - shift[:, None]))
    potentials_dot = _newton_step(rows, a, b, b_dot - direct)
    return potentials_dot, shift + rows @ potentials_dot


def first_order(plan: Plan, values: Float[Array, " m"]) -> Float[Array, " n"]:
    """Return how a further Newton step would change what is read at the inputs.

    To first order that is the error of `values`, one per target, given an input.
    """
    a, b = plan.input_weights, plan.target_weights
    rows = _rows(plan.log_rows, b)
    excess = b - _sum_in_blocks(a[:, None] * rows)
    step = _newton_step(rows, a, b, excess)
    return rows @ (values * step) - (rows @ values) * (rows @ step)
