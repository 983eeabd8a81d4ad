"""The soft quantiles of small windows of float32 values, in one loop over the pixels.

The equations are those of `three_targets`, which also solves the few windows that are
left uncertified here. What makes it fast: every value of the window is an array of its
own, sorted, so that the start is known; the number of Newton steps is fixed; and
`fused_math` lets all of it compile into one loop.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from softsort_filters.fused_math import (
    clip,
    exp,
    larger,
    log,
    ordered,
    reciprocal,
    reciprocal_of_power,
    reciprocal_power_of_two,
    reciprocal_root,
    smaller,
)
from softsort_filters.three_targets import (
    LONGEST_STEP,
    WIDEST,
    Pixels,
    Scalar,
    Weights,
    reach,
    tolerance,
)

# Enough at level 1/2 for every window of 9 values of photographs and noise, and where
# values weigh differently for all but few in a hundred. With more, the compiler takes
# the loop apart and computes much of it many times.
_STEPS = 5
_ROUGHLY = 1e-2
_TINY = np.finfo(np.float32).tiny


def fast_quantiles(
    views: list[Pixels], b: Weights, epsilon: Scalar, masses: list[Pixels] | None = None
) -> Pixels:
    """Soft quantiles of windows whose values, and masses, are given one array each.

    Equal masses are the default. NaN is then for windows that are not certified,
    infinity for those that contain NaN or infinity. Others, which sum to 1, are for
    what needs no certificate: what is far from it becomes the hard quantile.
    """
    each = 1 / len(views) if masses is None else 1.0
    x, *rest = ordered(views, *([] if masses is None else [masses]))
    masses = rest[0] if rest else None
    s, unit, is_finite = _squash(x, masses)
    if masses is None:
        (low_place, high_place), (a, c) = _start(b, len(x))
        s_low, s_high, centre = (
            _choose(values, place)
            for values, place in ((s, low_place), (s, high_place), (x, low_place))
        )
        a, c = jnp.full_like(s_low, a), jnp.full_like(s_high, c)
    else:
        (s_low, s_high, centre), (a, c) = _weighted_start(x, s, masses, b)
    far = reach(jnp.float32)
    scale = 1 / epsilon
    lows = [exp(clip((s_low - value) * scale, far)) for value in s]
    highs = [exp(clip((value - s_high) * scale, far)) for value in s]
    for _ in range(_STEPS):
        a, c = _improve(lows, highs, masses, b, a, c)
    # Where the range is small, in units of it, for a share of such a number is none.
    unit = larger(unit, jnp.ones_like(unit))
    low = middle = high = moment = none = jnp.zeros_like(s_low)
    limit = float(np.exp(np.float32(0.999 * far)))
    for i, (l_i, u_i, x_i) in enumerate(zip(lows, highs, x, strict=True)):
        share = reciprocal(a * l_i + (1 + c * u_i))
        share = share if masses is None else share * masses[i]
        low, middle, high = low + l_i * share, middle + share, high + u_i * share
        near = larger(l_i, u_i) < limit
        moment = moment + jax.lax.select(near, share * ((x_i - centre) * unit), none)
    sums = (a * low * each, middle * each, c * high * each)
    error = abs(sums[0] - b[0]) + abs(sums[2] - b[2])
    error = error + abs(sums[1] - b[1]) * (WIDEST / b[1])
    offset = moment * reciprocal(middle) * reciprocal_of_power(unit)
    result = smaller(larger(centre + offset, x[0]), x[-1])
    if masses is not None:
        return jnp.where(error <= _ROUGHLY, result, centre)
    result = jnp.where(error <= tolerance(jnp.float32), result, jnp.nan)
    return jnp.where(is_finite, result, jnp.inf)


def _choose(values: list[Pixels], place: Scalar) -> Pixels:
    chosen = values[0]
    for k, value in enumerate(values):
        chosen = jnp.where(place == k, value, chosen)
    return chosen


def _squash(
    x: list[Pixels], masses: list[Pixels] | None
) -> tuple[list[Pixels], Pixels, Bool[Array, "*tile"]]:
    """Squashed values, a unit of their range, and whether all values were finite."""
    # As in `window_quantiles`, but for the scale, which cancels.
    low, high = x[0], x[-1]
    middle, half_range = low / 2 + high / 2, high / 2 - low / 2
    unit = reciprocal_power_of_two(half_range)
    scaled = [(value - middle) * unit for value in x]
    mean = _mean(scaled, masses)
    centred = [value - mean for value in scaled]
    variance = _mean([value * value for value in centred], masses)
    over = reciprocal_root(jnp.where(variance > 0, variance, 1))
    squashed = [reciprocal(1 + exp(-value * over)) for value in centred]
    return squashed, unit, mean == mean


def _mean(values: list[Pixels], masses: list[Pixels] | None) -> Pixels:
    if masses is None:
        return sum(values[1:], values[0]) * (1 / len(values))
    products = [w * value for w, value in zip(masses, values, strict=True)]
    return sum(products[1:], products[0])


def _start(b: Weights, n: int) -> tuple[tuple[Scalar, Scalar], tuple[Scalar, Scalar]]:
    """Places of s_low and s_high in sorted order, and A and C: see `three_targets`."""
    end_of_low, start_of_high = n * b[0], n * (b[0] + b[1])
    low_place = jnp.minimum(jnp.floor(end_of_low), n - 1)
    high_place = jnp.maximum(jnp.ceil(start_of_high), 1) - 1
    low, high = (
        jnp.clip(share, 1e-2 * jnp.minimum(n * b[1], 1), 1 - 1e-2)
        for share in (end_of_low - low_place, high_place + 1 - start_of_high)
    )
    alone = low_place == high_place
    return (low_place, high_place), (
        low / jnp.where(alone, n * b[1], 1 - low),
        high / jnp.where(alone, n * b[1], 1 - high),
    )


def _weighted_start(
    x: list[Pixels], s: list[Pixels], masses: list[Pixels], b: Weights
) -> tuple[tuple[Pixels, Pixels, Pixels], tuple[Pixels, Pixels]]:
    """The references s_low and s_high, x at the former, and A and C."""
    ends = b[0], b[0] + b[1]
    total, places = jnp.zeros_like(x[0]), [(s[0], x[0], 0 * x[0], masses[0])] * 2
    for s_i, x_i, mass, before in zip(s[1:], x[1:], masses[1:], masses, strict=False):
        total = total + before
        place = s_i, x_i, total, mass
        places = [
            tuple(map(functools.partial(jax.lax.select, total < end), place, old))
            for end, old in zip(ends, places, strict=True)
        ]
    (s_low, centre, below_low, low), (s_high, _, below_high, high) = places
    over_low, over_high = (reciprocal(larger(w, _TINY + 0 * w)) for w in (low, high))
    least = 1e-2 * smaller(b[1] * over_low, jnp.ones_like(low))
    most = jnp.full_like(low, 1 - 1e-2)
    shares = (ends[0] - below_low) * over_low, (below_high + high - ends[1]) * over_high
    a, c = (smaller(larger(share, least), most) for share in shares)
    alone = s_low == s_high
    shared = b[1] * over_low
    return (s_low, s_high, centre), (
        a * reciprocal(jnp.where(alone, shared, 1 - a)),
        c * reciprocal(jnp.where(alone, shared, 1 - c)),
    )


@jax.jit
def _improve(
    lows: list[Pixels],
    highs: list[Pixels],
    masses: list[Pixels] | None,
    b: Weights,
    a: Pixels,
    c: Pixels,
) -> tuple[Pixels, Pixels]:
    """One Newton step, as in `three_targets`."""
    each, tiny = 1 / len(lows) if masses is None else 1.0, jnp.full_like(a, _TINY)
    low = middle = high = lm = um = lu = jnp.zeros_like(a)
    for i, (l_i, u_i) in enumerate(zip(lows, highs, strict=True)):
        share = reciprocal(a * l_i + (1 + c * u_i))
        mass = share if masses is None else share * masses[i]
        to_low, to_high = l_i * mass, u_i * mass
        low, middle, high = low + to_low, middle + mass, high + to_high
        lm, um = lm + to_low * share, um + to_high * share
        lu = lu + to_low * (u_i * share)
    low, middle, high = (larger(each * x, tiny) for x in (a * low, middle, c * high))
    lm, um, lu = each * a * lm, each * c * um, each * a * c * lu
    over = reciprocal(middle)
    r_low = log(low * over * (b[1] / b[0]))
    r_high = log(high * over * (b[1] / b[2]))
    average = low * r_low + high * r_high
    residuals = low * (r_low - average), -middle * average, high * (r_high - average)
    over = reciprocal(lm + um + _TINY)
    determinant = reciprocal(lu + lm * (um * over) + _TINY)
    pull = lu * over * residuals[1]
    d_a = (pull - um * over * residuals[0]) * determinant
    d_c = (pull - lm * over * residuals[2]) * determinant
    return a * _factor(d_a), c * _factor(d_c)


def _factor(change: Pixels) -> Pixels:
    """About e^change, and exactly to first order: (1 + change / 8)^8."""
    root = 1 + clip(change, LONGEST_STEP) / 8
    square = root * root
    return (square * square) * (square * square)
