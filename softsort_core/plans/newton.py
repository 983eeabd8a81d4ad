r"""Newton's method for the potentials of an entropic transport plan.

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
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax.lax.linalg import cholesky, triangular_solve
from jaxtyping import Array, Bool, Float, Int

from softsort_core.numerics import product, varying_like

# Far more than any solve needs: the worst seen took 95, of weights that float32 rounds.
_MAX_STEPS = 200
# Where logits are so small, Newton's iteration converges from any start.
SMOOTH = 5.0
# Each level divides epsilon by this; 2 to 10 cost about the same number of steps.
_LEVEL_RATIO = 4.0
# Relative error of the column sums, and difference that the last step made between two
# potentials, from which a step may end a level.
_LEVEL_TOLERANCE, _LEVEL_SPREAD = 0.3, 10.0
# Relative error of the column sums that the last step leaves, as predicted; and how
# many times as large it may prove to be.
SOLVED, _MOST_LEFT = 1e-11, 100
# The order of the norm that steps and errors are measured by.
_NORM = 16
# Systems of this many unknowns are solved by elimination, which in large batches is
# many times faster than a call of LAPACK for each, and does not load it.
_ELIMINATED = 12


def _over_inputs(a: Array, terms: Array) -> Array:
    """Return sum_i a_i terms_ij."""
    # A product is a call of a library, which need not be compiled.
    return product(a, terms) if a.ndim == 1 else jnp.sum(a[:, None] * terms, axis=0)


def _over_targets(terms: Array, b: Array) -> Array:
    """Return sum_j terms_ij b_j."""
    return product(terms, b) if b.ndim == 1 else jnp.sum(terms * b, axis=1)


def newton_step(
    rows: Float[Array, "n m *batch"],
    a: Float[Array, "n *batch"],
    b: Float[Array, "m *batch"],
    excess: Float[Array, "m *batch"],
) -> Float[Array, "m *batch"]:
    """Solve Laplacian @ step = excess, for the mean-zero step.

    The diagonal is summed from the off-diagonal entries, never subtracted: where the
    plan is nearly hard, `c_j - W_jj` would cancel to noise. The unknown is scaled by
    sqrt(b_j), so that a ridge of a few units of rounding, which settles any group of
    targets that exchanges no mass with the rest, is relative to each target's weight,
    and to its degree where that is larger. What is added of these settles the constant.
    """
    m = b.shape[0]
    same = jnp.eye(m, dtype=bool).reshape(m, m, *[1] * (b.ndim - 1))
    ridge = 4 * float(jnp.finfo(b.dtype).eps)
    active = b > 0
    root = jnp.sqrt(jnp.where(active, b, 1.0))
    scale, root = jnp.where(active, 1 / root, 0.0), jnp.where(active, root, 0.0)
    flows = a[:, None] * rows
    if m > _ELIMINATED:
        edges = product(rows.T, flows)
    else:
        edges = jnp.sum(flows[:, :, None] * rows[:, None], axis=0)
    edges = jnp.where(same, 0.0, edges)
    degrees = _over_targets(edges, jnp.ones_like(b)) * scale**2
    diagonal = jnp.where(active, degrees + ridge * (1.0 + degrees), 1.0)
    matrix = jnp.where(same, diagonal, 0.0) - scale[:, None] * edges * scale
    matrix += root[:, None] * root
    return scale * _solve_positive_definite(matrix, scale * excess)


def _solve_positive_definite(
    matrix: Float[Array, "m m *batch"], rhs: Float[Array, "m *batch"]
) -> Float[Array, "m *batch"]:
    m = rhs.shape[0]
    if m > _ELIMINATED:
        factor = cholesky(matrix, symmetrize_input=False)
        by = functools.partial(triangular_solve, left_side=True, lower=True)
        return by(factor, by(factor, rhs[:, None]), transpose_a=True)[:, 0]

    rows = jnp.concatenate([matrix, rhs[:, None]], axis=1)
    # Not a loop: columns that are done with are left out, and nothing is copied.
    for k in range(m):
        pivot = rows[k, 1:] / rows[k, 0]
        rows = (rows[:, 1:] - rows[:, :1] * pivot).at[k].set(pivot)
    return rows[:, 0]


def damping(spread: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Return how much of a Newton step of this spread always ascends.

    The third derivative of D along a direction is at most its second times the
    direction's spread d, for which log(1 + d) / d of a Newton step is such a length
    (Sun and Tran-Dinh 2019, generalised self-concordance of order 2). It needs no
    line search and tends to the full step.
    """
    spread = jnp.maximum(spread, float(jnp.finfo(spread.dtype).eps))
    return jnp.log1p(spread) / spread


class _State(NamedTuple):
    u: Float[Array, "n *batch"]
    v: Float[Array, "m *batch"]
    level: Float[Array, "*batch"]
    left: Float[Array, "*batch"]
    steps: Int[Array, "*batch"]


def _step(
    rows: Float[Array, "n m *batch"],
    a: Float[Array, "n *batch"],
    b: Float[Array, "m *batch"],
    received: Float[Array, "m *batch"],
    is_first: Bool[Array, "*batch"],
) -> tuple[Array, Array, Array, Array]:
    """Return the next step, the error before it and the spread of Newton's step.

    And whether it is Sinkhorn's instead. That is slow to converge but mends rough
    guesses at once, and where rounding leaves no Newton step.
    """
    active, ones = b > 0, jnp.ones_like(b)
    masses = jnp.where(active, b, 1.0)
    excess = b - received
    step = newton_step(rows, a, b, excess)
    # Norms are at least the largest of all and, unlike a maximum, NaN if one is.
    powers = jnp.stack([step, excess / masses], axis=1) ** _NORM
    largest, error = _over_inputs(ones, powers) ** (1 / _NORM)
    spread = 2 * largest
    tiny = float(jnp.finfo(b.dtype).tiny)
    received = jnp.where(active, jnp.maximum(received, tiny), 1.0)
    is_rough = is_first & ~(error <= _LEVEL_TOLERANCE)
    is_rough = is_rough | ~jnp.isfinite(spread)
    step = jnp.where(is_rough, jnp.log(masses / received), damping(spread) * step)
    return step, error, spread, is_rough


def _solve_any(
    logits: Float[Array, "n m *batch"],
    a: Float[Array, "n *batch"],
    b: Float[Array, "m *batch"],
    guess: Float[Array, "m *batch"],
    level: Float[Array, "*batch"],
    tolerance: Any,
) -> tuple[
    Float[Array, "n *batch"],
    Float[Array, "m *batch"],
    Float[Array, "*batch"],
    Float[Array, "*batch"],
]:
    active = b > 0
    ones = jnp.ones_like(b)
    logits = jnp.where(active, logits, -jnp.inf)

    def unfinished(state: _State) -> Array:
        return (state.steps < _MAX_STEPS) & (state.left > 0)

    def advance(state: _State) -> _State:
        u, v, level, *_ = state
        # Potentials of before keep exponentials in range.
        terms = jnp.exp(u[:, None] + v + level * logits)
        totals = _over_targets(terms, ones)
        rows, u = terms / totals[:, None], u - jnp.log(totals)
        received = _over_inputs(a, rows)
        step, error, spread, is_rough = _step(rows, a, b, received, state.steps == 0)
        # A wide step is on its way to shift whole groups of targets that exchange
        # little mass. Left for later, the shift would grow with every level.
        settled = (error <= _LEVEL_TOLERANCE) & (spread <= _LEVEL_SPREAD)
        ratio = jnp.where(settled, jnp.minimum(_LEVEL_RATIO, 1 / level), 1.0)
        # A Newton step leaves no more of the error; then that is measured.
        is_solved = (state.left <= tolerance) & (error <= _MOST_LEFT * tolerance)
        left = error * jnp.minimum(spread, 1.0)
        left += jnp.where(is_rough | (level < 1), jnp.inf, 0.0)
        left = jax.lax.select(is_solved, jnp.zeros_like(left), left)
        v = v + jnp.where(is_solved, 0.0, step)
        after = _State(u * ratio, v * ratio, level * ratio, left, state.steps + 1)
        if b.ndim == 1:
            return after
        # Each problem stops by itself, so that its result does not depend on others.
        goes_on = unfinished(state)
        return jax.tree.map(lambda *two: jnp.where(goes_on, *two), after, state)

    u = -jnp.max(guess + level * logits, axis=1)
    left, zero = jnp.full_like(level, jnp.inf), jnp.zeros(level.shape, jnp.int32)
    first = _State(u, guess, level, left, zero)
    first = varying_like(first, logits, a, b, guess)
    end = jax.lax.while_loop(lambda state: jnp.any(unfinished(state)), advance, first)
    failure = jnp.where(end.left == 0, 0.0, jnp.inf)
    return end.u, end.v, end.steps.astype(b.dtype), failure


_solve = jax.custom_batching.custom_vmap(_solve_any)


@_solve.def_vmap
def _solve_batch(size, in_batched, *arrays):
    axes = [0 if batched else None for batched in in_batched]
    # Constants may be numbers.
    arrays = [jnp.asarray(each) for each in arrays]
    if arrays[2].shape[-1] > _ELIMINATED:
        return jax.vmap(_solve_any, axes)(*arrays), (True,) * 4
    last = (
        jnp.moveaxis(each, 0, -1)
        if batched
        else jnp.broadcast_to(each[..., None], (*each.shape, size))
        for each, batched in zip(arrays, in_batched, strict=True)
    )
    return tuple(jnp.moveaxis(each, -1, 0) for each in _solve_any(*last)), (True,) * 4


def solve(
    logits: Float[Array, "n m"],
    a: Float[Array, " n"],
    b: Float[Array, " m"],
    guess: Float[Array, " m"],
    level: Float[Array, ""],
    tolerance: Float[Array, ""],
) -> tuple[Float[Array, " n"], Float[Array, " m"], Float[Array, ""], Float[Array, ""]]:
    """Return u and v, by damped Newton steps on the semi-dual, and their number.

    And 0; or, with numbers, infinity if that is no solution.

    A level t in (0, 1) stands for epsilon / t. Its potentials, scaled with t, start the
    next one. To begin at 1 takes a good guess; at `SMOOTH` over the largest logit
    Newton's iteration converges from anywhere.
    """
    return cast("Any", _solve(logits, a, b, guess, level, tolerance))
