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
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from softsort_core._rounding import clipped, product, used_range, varying_like

# Far more than any solve needs (the worst seen in the tests takes 60).
_MAX_STEPS = 200
# The first level is this smooth: its Newton iteration converges from any start.
_FIRST_LEVEL_SPAN = 5.0
# Each level divides epsilon by this; 2 to 10 cost about the same number of steps.
_LEVEL_RATIO = 4.0
_BLOCK = 16
# Systems of this many unknowns are solved by elimination, which in large batches is
# many times faster than a call of LAPACK for each, and does not load it.
_ELIMINATED = 12
# Largest error of a column sum that is returned at all.
_ACCURACY = {"float32": 1e-6, "float64": 1e-10}
# Relative error of the column sums from which a step may end a level.
_LEVEL_TOLERANCE = 0.3
# Difference that the last step made between two potentials, likewise.
_LEVEL_SPREAD = 10.0


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
        rows = jnp.exp(jnp.where(self.target_weights > 0, self.log_rows, -jnp.inf))
        low, high = used_range(values, None)
        return clipped(product(rows, values), low, high), self._certain(low)

    @jax.jit
    def given_target(
        self, values: Float[Array, "n *d"]
    ) -> tuple[Float[Array, "m *d"], Bool[Array, "*d"]]:
        """Return the expectation of `values`, one per input, at each target.

        And whether it is certain. Values of inputs without weight are of no account.
        """
        used = self.input_weights > 0
        log_columns = jnp.where(used[:, None], self.log_rows, -jnp.inf)
        # Divided by their own sum, columns stay convex combinations whatever the
        # rounding, and the scale of a weight-zero column does not matter.
        peak = jax.lax.stop_gradient(jnp.max(log_columns, axis=0))
        columns = self.input_weights[:, None] * jnp.exp(log_columns - peak)
        columns = columns / jnp.sum(columns, axis=0)
        low, high = used_range(values, self.input_weights)
        # A common offset takes no part in the products, whose rounding it would swamp.
        middle = low / 2 + high / 2
        used = used.reshape(-1, *[1] * (values.ndim - 1))
        means = product(columns.T, jnp.where(used, values - middle, 0.0)) + middle
        return clipped(means, low, high), self._certain(low)

    def _certain(self, low: Float[Array, "*d"]) -> Bool[Array, "*d"]:
        """Return whether what is read of values, from the lowest on, is certain."""
        return jnp.isfinite(low + self.failure)


@jax.jit
def transport(
    logits: Float[Array, "n m"],
    input_weights: Float[Array, " n"],
    target_weights: Float[Array, " m"],
    guess: Float[Array, " m"] | None = None,
) -> Plan:
    """Solve the entropic transport problem of the given logits (-cost / epsilon).

    The column sums of the plan match `target_weights` to a few units of rounding. If it
    could not be brought to that, or logits are not finite, the plan is a failure. A
    guess of the potentials saves steps.
    """
    b = without_lightest(target_weights)
    if guess is None:
        guess = annealed(*jax.lax.stop_gradient((logits, input_weights, b)))
    log_rows, potentials, steps, failure = solve(logits, input_weights, b, guess)
    return Plan(log_rows, input_weights, b, potentials, steps, failure)


@jax.jit
def without_lightest(b: Float[Array, " m"]) -> Float[Array, " m"]:
    """Take those for weightless whose rounding, squared, would vanish."""
    lightest = float(jnp.finfo(b.dtype).eps) ** 2
    return jnp.where(jnp.abs(b) < lightest, 0.0, b)


# What follows takes arrays of these shapes or, with a further axis at the end, batches
# of small problems, so that the compiler's innermost loops are long.


def _normalised(
    scores: Float[Array, "n m *batch"], active: Bool[Array, "m *batch"]
) -> tuple[Float[Array, "n m *batch"], Float[Array, "n m *batch"]]:
    """Return log p, and p where targets have weight."""
    masked = jnp.where(active, scores, -jnp.inf)
    peak = jnp.max(masked, axis=1, keepdims=True)
    shares = jnp.exp(masked - peak)
    total = jnp.sum(shares, axis=1, keepdims=True)
    return scores - (peak + jnp.log(total)), shares / total


def _rows(
    log_rows: Float[Array, "n m *batch"], b: Float[Array, "m *batch"]
) -> Float[Array, "n m *batch"]:
    return jnp.exp(jnp.where(b > 0, log_rows, -jnp.inf))


def _received(
    rows: Float[Array, "n m *batch"], a: Float[Array, "n *batch"]
) -> Float[Array, "m *batch"]:
    """Return c, with a rounding error that grows like log n, not n."""
    terms = a[:, None] * rows
    while (n := terms.shape[0]) > 1:
        padded = jnp.pad(terms, ((0, -n % _BLOCK), *[(0, 0)] * (terms.ndim - 1)))
        terms = jnp.sum(padded.reshape(-1, _BLOCK, *terms.shape[1:]), axis=1)
    return terms[0]


def _newton_step(
    rows: Float[Array, "n m *batch"],
    a: Float[Array, "n *batch"],
    b: Float[Array, "m *batch"],
    excess: Float[Array, "m *batch"],
) -> Float[Array, "m *batch"]:
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
    flows = a[:, None] * rows
    if m > _ELIMINATED:
        edges = product(rows.T, flows)
    else:
        edges = jnp.sum(flows[:, :, None] * rows[:, None], axis=0)
    same = jnp.eye(m, dtype=b.dtype).reshape(m, m, *[1] * (b.ndim - 1))
    edges = edges * (1.0 - same)
    degrees = jnp.sum(edges, axis=1) * scale**2
    diagonal = jnp.where(active, degrees + ridge * (1.0 + degrees), 1.0)
    matrix = same * diagonal - scale[:, None] * edges * scale
    step = scale * _solve_positive_definite(matrix, scale * excess)
    return jnp.where(active, step - jnp.sum(b * step, axis=0), 0.0)


def _solve_positive_definite(
    matrix: Float[Array, "m m *batch"], rhs: Float[Array, "m *batch"]
) -> Float[Array, "m *batch"]:
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
    return jax.lax.custom_linear_solve(
        lambda x: jnp.sum(matrix * x, axis=1), rhs, solve, symmetric=True
    )


def damped(step: Float[Array, "m *batch"]) -> tuple[Array, Array]:
    """Return the part of a Newton step that always ascends, and the step's spread.

    The third derivative of D along a direction is at most its second times the
    direction's spread d, for which log(1 + d) / d of a Newton step is such a length
    (Sun and Tran-Dinh 2019, generalised self-concordance of order 2). It needs no
    line search and tends to the full step.
    """
    spread = jnp.max(step, axis=0) - jnp.min(step, axis=0)
    spread = jnp.maximum(spread, float(jnp.finfo(step.dtype).eps))
    return step * jnp.log1p(spread) / spread, spread


def annealed(
    logits: Float[Array, "n m"], a: Float[Array, " n"], b: Float[Array, " m"]
) -> Float[Array, " m"]:
    """Return a guess of v: a few Newton steps at each of a series of levels.

    A level t in (0, 1) stands for epsilon / t. Its potentials, scaled with t, start
    the next one. The first is so smooth that Newton's iteration converges from
    anywhere.
    """
    active = b > 0

    def unfinished(state):
        level, _, steps = state
        return (level < 1) & (steps < _MAX_STEPS)

    def advance(state):
        level, v, steps = state
        _, rows = _normalised(level * logits + v, active)
        excess = b - _received(rows, a)
        step, spread = damped(_newton_step(rows, a, b, excess))
        error = jnp.max(jnp.abs(excess) / jnp.where(active, b, jnp.inf))
        # A wide step is on its way to shift whole groups of targets that exchange
        # little mass. Left for later, the shift would grow with every level.
        settled = (error <= _LEVEL_TOLERANCE) & (spread <= _LEVEL_SPREAD)
        ratio = jnp.where(settled, jnp.minimum(_LEVEL_RATIO, 1 / level), 1.0)
        return level * ratio, (v + step) * ratio, steps + 1

    span = jnp.max(logits) - jnp.min(logits)
    level = jnp.minimum(1.0, _FIRST_LEVEL_SPAN / span)
    first = level, jnp.log(jnp.where(active, b, 1.0)), 0
    first = varying_like(first, logits, a, b)
    return jax.lax.while_loop(unfinished, advance, first)[1]


class _State(NamedTuple):
    log_rows: Float[Array, "n m *batch"]
    rows: Float[Array, "n m *batch"]
    excess: Float[Array, "m *batch"]
    # v = guess + correction. At small epsilon v is large, and rounding it to float32
    # would move the column sums; the correction is small and so are the steps of
    # log_rows.
    correction: Float[Array, "m *batch"]
    best: Float[Array, "*batch"]
    idle: Int[Array, "*batch"]
    steps: Int[Array, "*batch"]


@jax.custom_jvp
def solve(
    logits: Float[Array, "n m"],
    a: Float[Array, " n"],
    b: Float[Array, " m"],
    guess: Float[Array, " m"],
) -> tuple[Float[Array, "n m"], Float[Array, " m"], Float[Array, ""], Float[Array, ""]]:
    """Return log p and v, by damped Newton steps on the semi-dual, and their number.

    And 0; or, with a plan that is nothing but finite, infinity if it is no solution.
    """
    return _solve(logits, a, b, guess)


@jax.custom_batching.custom_vmap
def _solve(
    logits: Float[Array, "n m *#batch"],
    a: Float[Array, "n *#batch"],
    b: Float[Array, "m *#batch"],
    guess: Float[Array, "m *#batch"],
) -> tuple[
    Float[Array, "n m *batch"],
    Float[Array, "m *batch"],
    Float[Array, "*batch"],
    Float[Array, "*batch"],
]:
    # A problem with a NaN becomes a trivial one, so that the others of its batch
    # need not wait for it.
    finite = jnp.all(jnp.isfinite(logits), axis=(0, 1))
    finite &= jnp.isfinite(jnp.sum(a, axis=0) + jnp.sum(b, axis=0))
    logits = jnp.where(finite, logits, 0.0)
    a = jnp.where(finite, a, 1.0 / a.shape[0])
    b = jnp.where(finite, b, 1.0 / b.shape[0])
    active = b > 0
    guess = jnp.where(finite & active & jnp.isfinite(guess), guess, 0.0)
    inverse_b = jnp.where(active, 1.0 / jnp.where(active, b, 1.0), 0.0)
    ulp = float(jnp.finfo(logits.dtype).eps)
    converged, plausible = 8 * ulp, 1e4 * ulp

    def stepped(state: _State, step: Array) -> tuple[_State, Array]:
        """Return the state after a step, and the largest |b_j - c_j| / b_j."""
        log_rows, rows = _normalised(state.log_rows + step, active)
        excess = b - _received(rows, a)
        error = jnp.max(jnp.abs(excess) * inverse_b, axis=0)
        # Stop at the first step below the tolerance, or once rounding lets four
        # steps in a row gain nothing.
        progress = (error < 0.5 * state.best) | (error > plausible)
        idle = jnp.where(error <= converged, 4, jnp.where(progress, 0, state.idle + 1))
        correction = state.correction + step
        best = jnp.minimum(error, state.best)
        after = _State(log_rows, rows, excess, correction, best, idle, state.steps + 1)
        return after, error

    def unfinished(state: _State) -> Array:
        return (state.steps < _MAX_STEPS) & (state.idle < 4)

    def advance(state: _State) -> _State:
        step = damped(_newton_step(state.rows, a, b, state.excess))[0]
        # Each problem stops by itself, so that its result does not depend on others.
        return jax.tree.map(
            functools.partial(jnp.where, unfinished(state)),
            stepped(state, step)[0],
            state,
        )

    log_rows, rows = _normalised(logits + guess, active)
    none = jnp.zeros_like(b)
    unknown = jnp.full(finite.shape, jnp.inf, b.dtype)
    zero = jnp.zeros(finite.shape, jnp.int32)
    first = _State(log_rows, rows, none, none, unknown, zero, zero - 1)
    first = varying_like(first, logits, a, b, guess)
    # Sinkhorn's iteration is slow to converge but mends rough guesses at once.
    tiny = float(jnp.finfo(b.dtype).tiny)
    shortage = jnp.log(
        jnp.where(active, b / jnp.maximum(_received(rows, a), tiny), 1.0)
    )
    first = stepped(first, shortage)[0]
    end = jax.lax.while_loop(lambda state: jnp.any(unfinished(state)), advance, first)
    # The plan is that of the last step, not made anew from logits and potentials: the
    # compiler may round these differently in each place, by more than the tolerance.
    off = jnp.abs(b - _received(_rows(end.log_rows, b), a))
    # Compared one by one, a NaN is not accurate; see `largest`.
    accurate = (off * inverse_b <= plausible) & (off <= _ACCURACY[b.dtype.name])
    solved = finite & jnp.all(accurate, axis=0)
    log_rows = jnp.where(solved, end.log_rows, -math.log(b.shape[0]))
    potentials = jnp.where(solved, guess + end.correction, 0.0)
    failure = jnp.where(solved, 0.0, jnp.inf).astype(b.dtype)
    return log_rows, potentials, end.steps.astype(b.dtype), failure


@_solve.def_vmap
def _solve_batch(_, in_batched, *arrays):
    axes = [0 if batched else None for batched in in_batched]
    if arrays[2].shape[-1] > _ELIMINATED:
        return jax.vmap(_solve.fun, axes)(*arrays), (True,) * 4
    last = (
        jnp.moveaxis(each, 0, -1) if batched else each[..., None]
        for each, batched in zip(arrays, in_batched, strict=True)
    )
    found = _solve.fun(*last)
    return tuple(jnp.moveaxis(each, -1, 0) for each in found), (True,) * 4


@solve.defjvp
def _solve_jvp(primals, tangents):
    logits, a, b, guess = primals
    logits_dot, a_dot, b_dot, _ = tangents
    log_rows, potentials, steps, failure = solve(logits, a, b, guess)
    potentials_dot = implicit(log_rows, a, b, logits_dot, a_dot, b_dot)
    log_rows_dot = normalised_dot(log_rows, b, logits_dot + potentials_dot)
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

    def missing(scores_dot):
        moved = rows * normalised_dot(log_rows, b, scores_dot)
        return b_dot - product(a_dot, rows) - product(a, moved)

    step = _newton_step(rows, a, b, missing(logits_dot))
    # Tangents over a small epsilon are so large that what the ridge makes of a single
    # step would show.
    return step + _newton_step(rows, a, b, missing(logits_dot + step))


def normalised_dot(
    log_rows: Float[Array, "n m"],
    b: Float[Array, " m"],
    scores_dot: Float[Array, "n m"],
) -> Float[Array, "n m"]:
    """Return the tangents of log p_ij by those of the scores, v_j + logits_ij.

    Taken relative to the likeliest target of an input. Where it is nearly the only one,
    what the others take from it would be lost in the rounding of its own tangent.
    """
    rows = _rows(log_rows, b)
    likeliest = jnp.argmax(rows, axis=1, keepdims=True) == jnp.arange(b.shape[0])
    own = jnp.sum(jnp.where(likeliest, scores_dot, 0.0), axis=1, keepdims=True)
    relative = jnp.where(likeliest, 0.0, scores_dot - own)
    return relative - jnp.sum(rows * relative, axis=1, keepdims=True)


def first_order(plan: Plan, values: Float[Array, " m"]) -> Float[Array, " n"]:
    """Return how a further Newton step would change what is read at the inputs.

    To first order that is the error of `values`, one per target, given an input.
    """
    a, b = plan.input_weights, plan.target_weights
    rows = _rows(plan.log_rows, b)
    excess = b - _received(rows, a)
    step = _newton_step(rows, a, b, excess)
    return product(rows, values * step) - product(rows, values) * product(rows, step)
