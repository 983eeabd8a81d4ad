"""The plan between the n values of a window and three targets, for every window.

Squashed values s_i of weight 1/n are transported onto the targets 0, 1/2 and 1 of
weights b. Differences of the costs (s - y)^2 are linear in s, so the shares of value
i among the targets are

    p_i = (A l_i, 1, C u_i) / (A l_i + 1 + C u_i),
    l_i = exp((s_low - s_i) / epsilon),  u_i = exp((s_i - s_high) / epsilon)

for any references s_low and s_high. The two unknowns A and C make the column means
of the shares equal to b: Newton's method needs no exponential of a value and solves
two equations in closed form.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, DTypeLike, Float, Int

from softsort_filters.fused_math import reciprocal
from softsort_filters.windows import window_sums

Values: TypeAlias = Float[Array, "n *tile"]
Pixels: TypeAlias = Float[Array, "*tile"]
Masses: TypeAlias = Float[Array, "n *#tile"]
Scalar: TypeAlias = Float[Array, ""]
Weight: TypeAlias = Float[Array, "*#tile"]  # of all windows, or of each
Weights: TypeAlias = tuple[Weight, Weight, Weight]
_Scales: TypeAlias = tuple[Pixels, Pixels]

# The middle target weighs at most this.
WIDEST = 0.02
# Steps of A and C are cut to this factor, e^2: at e^4, Newton's method can cycle. It
# took at most 23 steps on a million windows; after 20 the factor shrinks all the same.
LONGEST_STEP = 2.0
_MAX_STEPS = 60


def target_weights(q: Scalar, n: int | Int[Array, "*tile"]) -> Weights:
    """Weights of the targets 0, 1/2, 1 that put level q of n values on the middle one.

    At q = 0 the middle target and the first have no weight, and the limit of the plan
    takes the values in proportion to exp(-s / epsilon). A floor below the resolution
    of q gives that limit, and its derivative, without a case of its own.
    """
    floor = 1e-3 * float(jnp.finfo(q.dtype).eps)
    # Added as a value, not a constant, which the compiler would add to the 1 first.
    extra = jnp.where(jnp.minimum(q, 1 - q) < floor, floor, 0.0)
    below, above = q + extra, (1 - q) + extra
    if isinstance(n, int):
        widest = min(WIDEST, 1.5 / n)
    else:
        widest = jnp.minimum(WIDEST, 1.5 / n.astype(q.dtype))
    middle = jnp.minimum(jnp.minimum(below, above) / 2, widest)
    return below - middle / 2, middle, above - middle / 2


def middle_column(
    s: Values, weights: Masses, b: Weights, epsilon: Scalar
) -> tuple[Values, Array]:
    """How much of the middle target is each value's, and the window's certificate.

    Certified: the column sums are within 1e-5 (float64: 1e-10) of the weights, the
    sum of the middle column relative to its own weight.
    """
    fixed = jax.lax.stop_gradient((s, weights, b, epsilon))
    (s_low, s_high), start = _start(*fixed)
    from_low, from_high = quotient(s_low - s, epsilon), quotient(s - s_high, epsilon)
    shares, column = _solved(from_low, from_high, weights, b, start)
    sums = window_sums(*(weights * each for each in jax.lax.stop_gradient(shares)))
    return column, _error(sums, b) <= tolerance(s.dtype)


def reach(dtype: DTypeLike) -> float:
    """How many epsilons away values are told apart.

    Further away a value belongs to one target to far below rounding, and products of
    exponentials with A and C, which stay within about e^25, cannot overflow.
    """
    return 0.7 * float(np.log(jnp.finfo(dtype).max))


def _start(
    s: Values, weights: Masses, b: Weights, epsilon: Scalar
) -> tuple[Float[Array, "2 *tile"], _Scales]:
    """The references, and A and C, of the limit epsilon -> 0.

    There the sorted values fill the targets one after the other. The value that
    straddles the first two targets is s_low, and A the ratio of its shares of them;
    likewise s_high and C for the last two. Bisection on the weight of the values below
    finds both to within epsilon, which is all that a start needs: values so close
    are as good as one.
    """
    # At the end of the last target rounding may leave no value.
    ends = jnp.minimum(jnp.stack([b[0], b[0] + b[1]]), 1 - 1e-6)
    if ends.ndim == 1:  # those of all windows
        ends = ends.reshape(2, *[1] * (s.ndim - 1))

    def halve(_, state):
        (left, right), (below, within) = state
        middle = left / 2 + right / 2
        masses = [weights * (s <= m) for m in middle]
        mass = jnp.stack(window_sums(*masses))
        # Each pixel stops by itself, so that its result does not depend on others.
        wide = right - left > epsilon
        up, down = wide & (mass < ends), wide & (mass >= ends)
        return (
            (jnp.where(up, middle, left), jnp.where(down, middle, right)),
            (jnp.where(up, mass, below), jnp.where(down, mass, within)),
        )

    left, right = jnp.min(s, 0), jnp.max(s, 0)
    span = jnp.max(jnp.where(jnp.isfinite(right - left), right - left, 0))
    halvings = jnp.clip(jnp.ceil(jnp.log2(span / epsilon)), 0, 64).astype(int)
    both = (2, *left.shape)
    bracket = jnp.broadcast_to(left, both), jnp.broadcast_to(right, both)
    masses = jnp.zeros(both, s.dtype), jnp.ones(both, s.dtype)
    (left, right), (below, within) = jax.lax.fori_loop(
        0, halvings, halve, (bracket, masses)
    )
    # A value may end just where a target does. A small share is a start that Newton's
    # method can leave in either direction, no share is not.
    mass = jnp.maximum(within - below, 1e-6)
    least = 1e-2 * jnp.minimum(b[1] / mass, 1)
    low, high = (
        jnp.clip(share, least[0], 1 - 1e-2)
        for share in ((ends - below)[0] / mass[0], (within - ends)[1] / mass[1])
    )
    alone = left[0] == left[1]
    shared = b[1] / mass[0]
    return left / 2 + right / 2, (
        low / jnp.where(alone, shared, 1 - low),
        high / jnp.where(alone, shared, 1 - high),
    )


@jax.custom_jvp
def quotient(x: Array, y: Array) -> Array:
    """Return x / y, whose derivatives do not overflow where those of jax square y."""
    return x / y


@quotient.defjvp
def _quotient_jvp(primals, tangents):
    (x, y), (x_dot, y_dot) = primals, tangents
    ratio = quotient(x, y)
    return ratio, quotient(x_dot, y) - ratio * quotient(y_dot, y)


@jax.custom_jvp
def _solved(
    from_low: Values, from_high: Values, weights: Masses, b: Weights, start: _Scales
) -> tuple[tuple[Values, ...], Values]:
    """Shares whose weighted sums are b, by log l_i and log u_i; the middle column.

    The latter is the middle target's weighted shares over their sum.
    """
    far = reach(from_low.dtype)
    low, high = (jnp.exp(jnp.clip(x, -far, far)) for x in (from_low, from_high))
    shares = _shares(low, high, *_solve(low, high, weights, b, start))
    middle = _uncut(weights * shares[1], from_low, from_high)
    return shares, middle * (1 / jnp.sum(middle, 0))


@_solved.defjvp
def _solved_jvp(primals, tangents):
    # By the shares alone, which are at most 1: exponentials squared would overflow.
    # The column sums stay b, so changes of log A and log C must cancel what all else
    # adds to them: Newton's step for that.
    from_low, from_high, weights, b, _ = primals
    low_dot, high_dot, weights_dot, b_dot, _ = tangents
    shares, column = _solved(*primals)
    residuals = [
        jnp.sum(weights * change + weights_dot * share, 0) - d_b
        for share, change, d_b in zip(
            shares, _changes(shares, low_dot, high_dot), b_dot, strict=True
        )
    ]
    weighted = [weights * share for share in shares]
    products = [jnp.sum(product, 0) for product in _products(weighted, shares)]
    d_a, d_c = _newton(residuals, products)
    changes = _changes(shares, low_dot + d_a, high_dot + d_c)
    # What changes all shares of the middle target alike, the more the lighter it is,
    # does not change its column. As shares sum to 1, it can be left out of each term.
    common = jnp.where(b[0] < b[2], d_c, d_a)
    low, middle, high = shares
    relative = middle * common
    relative -= low * (low_dot + (d_a - common)) + high * (high_dot + (d_c - common))
    middle = _uncut(middle, from_low, from_high)
    column_dot = column * relative
    column_dot += quotient(weights_dot * middle, jnp.sum(weights * middle, 0))
    column_dot -= column * jnp.sum(column_dot, 0)
    return (shares, column), (changes, column_dot)


def _uncut(middle: Values, from_low: Values, from_high: Values) -> Values:
    """The middle target's shares of values within reach.

    At the reach the share is nothing but the cut. It would still count for pixels that
    are marked by 1e30.
    """
    is_near = jnp.maximum(from_low, from_high) < reach(middle.dtype)
    return jnp.where(is_near, middle, 0)


def _changes(
    shares: tuple[Values, ...], low_dot: Values, high_dot: Values
) -> tuple[Values, ...]:
    """Changes of the shares by those of log(A l_i) and log(C u_i)."""
    lm, um, lu = _products(shares, shares)
    to_low, to_high = lm * low_dot, um * high_dot
    across = lu * (low_dot - high_dot)
    return to_low + across, -to_low - to_high, to_high - across


def _shares(
    low: Values,
    high: Values,
    a: Pixels,
    c: Pixels,
    invert: Callable[[Values], Values] = jnp.reciprocal,
) -> tuple[Values, ...]:
    to_low, to_high = a * low, c * high
    middle = invert(to_low + 1 + to_high)
    return to_low * middle, middle, to_high * middle


def _solve(
    low: Values, high: Values, weights: Masses, b: Weights, start: _Scales
) -> _Scales:
    """A and C that give the weighted shares the column sums b."""
    # A margin for what the certificate, summed anew, rounds differently.
    accepted = 0.1 * tolerance(low.dtype)
    # One that compiles into the loops of the sums, but has no derivative.
    invert = reciprocal if low.dtype == jnp.float32 else jnp.reciprocal

    def unfinished(state):
        step, _, _, error = state
        return (step < _MAX_STEPS) & jnp.any(error > accepted)

    def advance(state):
        step, a, c, error = state
        shares = _shares(low, high, a, c, invert)
        weighted = [weights * share for share in shares]
        *sums, lm, um, lu = window_sums(*weighted, *_products(weighted, shares))
        d_a, d_c = _newton(_log_residuals(sums, b), (lm, um, lu))
        longest = LONGEST_STEP / (1 + step // 20)
        # The step that finds the error small enough is still taken: it squares it.
        active = error > accepted
        return (
            step + 1,
            jnp.where(active, a * jnp.exp(jnp.clip(d_a, -longest, longest)), a),
            jnp.where(active, c * jnp.exp(jnp.clip(d_c, -longest, longest)), c),
            jnp.where(active, _error(sums, b), error),
        )

    unknown = jnp.full_like(start[0], jnp.inf)
    _, a, c, _ = jax.lax.while_loop(unfinished, advance, (0, *start, unknown))
    return a, c


def _log_residuals(means: Sequence[Pixels], b: Weights) -> tuple[Pixels, ...]:
    """Residuals of log(mean) = log(b), as changes of the means that sum to zero.

    Column sums are nearer to exponential than to linear in log A and log C, so solving
    for their logarithms takes about two thirds of the steps. The three means cannot
    change r = log(mean / b) by a constant; to cancel the rest, each has to lose
    mean * (r - sum(mean * r)). Hence r may be taken relative to the middle one.
    """
    tiny = float(jnp.finfo(means[0].dtype).tiny)
    low, middle, high = (jnp.maximum(mean, tiny) for mean in means)
    r_low = jnp.log(low / middle * (b[1] / b[0]))
    r_high = jnp.log(high / middle * (b[1] / b[2]))
    average = low * r_low + high * r_high
    return low * (r_low - average), -middle * average, high * (r_high - average)


def _products(weighted: Sequence[Values], shares: Sequence[Values]) -> list[Values]:
    (low, middle, _), (_, also_middle, high) = weighted, shares
    return [low * also_middle, middle * high, low * high]


def _newton(
    residuals: Sequence[Pixels], products: Sequence[Pixels]
) -> tuple[Pixels, Pixels]:
    """Changes of log A and log C that cancel the residuals of the column sums.

    With the products LM, UM, LU of two shares of a value, in the weighted sum,

        d(sum low, sum high) = [[LM + LU, -LU], [-LU, UM + LU]] d(log A, log C).

    Residuals sum to zero, so each unknown can be solved from those of two columns;
    taking its own and the middle one, no small residual is the difference of large.
    Divided by LM + UM, no product of small numbers underflows.
    """
    lm, um, lu = products
    tiny = float(jnp.finfo(lm.dtype).tiny)
    total = lm + um + tiny
    of_low, of_high, across = (quotient(each, total) for each in (lm, um, lu))
    determinant = lu + lm * of_high + tiny
    middle = across * residuals[1]
    d_low = quotient(middle - of_high * residuals[0], determinant)
    d_high = quotient(middle - of_low * residuals[2], determinant)
    return d_low, d_high


def _error(means: Sequence[Pixels], b: Weights) -> Pixels:
    below, middle, above = (jnp.abs(m - w) for m, w in zip(means, b, strict=True))
    return below + middle * (WIDEST / b[1]) + above


def tolerance(dtype: DTypeLike) -> float:
    """Return the certified error of the column sums."""
    return 1e-10 if dtype == jnp.float64 else 1e-5
