"""The soft quantiles of small windows of float32 values, in one loop over the pixels.

The equations are those of `three_targets`, which also solves the few windows that are
left uncertified here. What makes it fast: every value of the window is an array of its
own, sorted, so that the start is known; the number of Newton steps is fixed; and
`fused_math` lets all of it compile into one loop.
"""

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

# Enough at level 1/2 for every window of 9 values of photographs and noise.
_STEPS = 5
_TINY = np.finfo(np.float32).tiny


def fast_quantiles(views: list[Pixels], b: Weights, epsilon: Scalar) -> Pixels:
    """Soft quantiles of windows whose values are given one array each.

    NaN is for windows that are not certified, infinity for those that contain NaN or
    infinity.
    """
    each = 1 / len(views)
    x = ordered(views)
    s, unit, is_finite = _squash(x)
    (low_place, high_place), (a, c) = _start(b, len(x))
    s_low, s_high, centre = (
        _choose(values, place)
        for values, place in ((s, low_place), (s, high_place), (x, low_place))
    )
    far = reach(jnp.float32)
    scale = 1 / epsilon
    lows = [exp(clip((s_low - value) * scale, far)) for value in s]
    highs = [exp(clip((value - s_high) * scale, far)) for value in s]
    a, c = jnp.full_like(s_low, a), jnp.full_like(s_high, c)
    for _ in range(_STEPS):
        a, c = _improve(lows, highs, b, a, c)
    # Where the range is small, in units of it, for a share of such a number is none.
    unit = larger(unit, jnp.ones_like(unit))
    low = middle = high = moment = none = jnp.zeros_like(s_low)
    limit = float(np.exp(np.float32(0.999 * far)))
    for l_i, u_i, x_i in zip(lows, highs, x, strict=True):
        share = reciprocal(a * l_i + (1 + c * u_i))
        low, middle, high = low + l_i * share, middle + share, high + u_i * share
        near = larger(l_i, u_i) < limit
        moment = moment + jax.lax.select(near, share * ((x_i - centre) * unit), none)
    sums = (a * low * each, middle * each, c * high * each)
    error = abs(sums[0] - b[0]) + abs(sums[2] - b[2])
    error = error + abs(sums[1] - b[1]) * (WIDEST / b[1])
    offset = moment * reciprocal(middle) * reciprocal_of_power(unit)
    result = smaller(larger(centre + offset, x[0]), x[-1])
    result = jnp.where(error <= tolerance(jnp.float32), result, jnp.nan)
    return jnp.where(is_finite, result, jnp.inf)


def _choose(values: list[Pixels], place: Scalar) -> Pixels:
    chosen = values[0]
    for k, value in enumerate(values):
        chosen = jnp.where(place == k, value, chosen)
    return chosen


def _squash(
    x: list[Pixels],
) -> tuple[list[Pixels], Pixels, Bool[Array, "*tile"]]:
    """Squashed values, a unit of their range, and whether all values were finite."""
    # As in `window_quantiles`, but for the scale, which cancels.
    low, high, each = x[0], x[-1], 1 / len(x)
    middle, half_range = low / 2 + high / 2, high / 2 - low / 2
    unit = reciprocal_power_of_two(half_range)
    scaled = [(value - middle) * unit for value in x]
    mean = sum(scaled[1:], scaled[0]) * each
    centred = [value - mean for value in scaled]
    variance = sum((value * value for value in centred), jnp.zeros_like(mean)) * each
    over = reciprocal_root(jnp.where(variance > 0, variance, 1))
    squashed = [reciprocal(1 + exp(-value * over)) for value in centred]
    return squashed, unit, mean == mean


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


@jax.jit
def _improve(
    lows: list[Pixels], highs: list[Pixels], b: Weights, a: Pixels, c: Pixels
) -> tuple[Pixels, Pixels]:
    """One Newton step, as in `three_targets`."""
    each, tiny = 1 / len(lows), jnp.full_like(a, _TINY)
    low = middle = high = lm = um = lu = jnp.zeros_like(a)
    for l_i, u_i in zip(lows, highs, strict=True):
        share = reciprocal(a * l_i + (1 + c * u_i))
        to_low, to_high = l_i * share, u_i * share
        low, middle, high = low + to_low, middle + share, high + to_high
        lm, um = lm + to_low * share, um + to_high * share
        lu = lu + to_low * to_high
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
