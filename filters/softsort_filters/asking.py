"""What neighbours predict of each pixel, and how likely that makes it noise.

In each pass every pixel is asked what its eight neighbours predict, m, and how far from
that pixels around it are, s. By `impulse_model` they tell how likely it is one of the
picture, t. By that it counts for its neighbours in the next pass.

Arrays keep their shape: what the margins of an image lack is repeated from its edge, so
that results are right from `reach` pixels on.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from softsort_filters.fused_math import reciprocal
from softsort_filters.impulse_model import (
    ImpulseNoise,
    Pixels,
    Softness,
    distance,
    trust,
)
from softsort_filters.small_windows import fast_quantiles
from softsort_filters.three_targets import Scalar, Weights, target_weights
from softsort_filters.window_quantiles import weighted
from softsort_filters.windows import Window, is_small, map_windows, views

# Deviations are averaged, and gaps filled, over this many pixels either way, by a
# normal distribution.
REACH, _WIDTH = 4, 2.0
# The first deviations are harmonic means, which few pixels of noise hardly change, over
# this floor, times a factor that makes them about as large as the later ones.
_FLOOR, _FACTOR = 1e-2, 3.0
# What nothing can be said of counts, but only where nothing else is.
_TINY = 1e-6
_NEIGHBOURS = Window(
    (3, 3, 1), tuple((i, j, 0) for i in range(3) for j in range(3) if (i, j) != (1, 1))
)
_NEAR = [math.exp(-((i - 1) ** 2 + (j - 1) ** 2) / 2) for i, j, _ in _NEIGHBOURS.places]


class Asked(NamedTuple):
    """What is known of pixels."""

    m: Pixels  # what their neighbours predict
    s: Pixels  # how far from that pixels around are, in units of the range
    t: Pixels  # how likely they are not noise


def reach(iterations: int) -> int:
    """Return how many pixels away others have a part in what is known of one."""
    return REACH + iterations * (1 + REACH)


def nothing_known(x: Pixels) -> Asked:
    """What is known of pixels before the first pass."""
    return Asked(jnp.zeros_like(x), jnp.zeros_like(x), jnp.ones_like(x))


def ask(
    x: Pixels,
    counts: Pixels,
    asked: Asked,
    noise: ImpulseNoise,
    softness: Softness,
    passes: tuple[Any, Any],
) -> Asked:
    """Do passes from one number up to another over an image that has no gaps.

    The pixels count so much.
    """

    def one(number, asked):
        mixed, sure = mixed_and_sure(x, counts, asked)
        m = _neighbours(mixed, sure, softness.epsilon)
        s = _deviations(distance(x, m, noise), sure, number == 0)
        return Asked(m, s, trust(x, m, s, noise, softness))

    return jax.lax.fori_loop(*passes, one, asked)


def mixed_and_sure(x: Pixels, counts: Pixels, asked: Asked) -> tuple[Pixels, Pixels]:
    """Pixels as they are for their neighbours, and how much they count for them."""
    m, _, t = asked
    return t * x + (1 - t) * m, (t + _TINY) * counts


def weighted_quantiles(
    x: Float[Array, "n *tile"],
    sure: Float[Array, "n *tile"],
    near: Float[Array, " n"],
    b: Weights,
    epsilon: Scalar,
) -> Float[Array, "*tile"]:
    """Quantiles of windows whose values count by how near and how sure they are."""
    near = near.reshape(-1, *[1] * (x.ndim - 1))
    masses = near * sure
    # Where nothing is sure, all counts alike.
    masses += near * (jnp.sum(masses, 0) <= 0)
    masses *= 1 / jnp.sum(masses, 0)
    return weighted(x, None, masses, b, epsilon)


def _neighbours(mixed: Pixels, sure: Pixels, epsilon: Scalar) -> Pixels:
    b = target_weights(jnp.asarray(0.5, mixed.dtype), len(_NEIGHBOURS.places))
    mixed, sure = _extended(mixed, _NEIGHBOURS), _extended(sure, _NEIGHBOURS)
    medians = _fast_medians if is_small(_NEIGHBOURS, mixed.dtype) else _slow_medians
    return medians(mixed, sure, b, epsilon)


def _slow_medians(image: Pixels, sure: Pixels, b: Weights, epsilon: Scalar) -> Pixels:
    near = jnp.asarray(_NEAR, image.dtype)

    def quantile(values, sure):
        return weighted_quantiles(values.stacked(), sure.stacked(), near, b, epsilon)

    return map_windows(quantile, [image, sure], _NEIGHBOURS)


@jax.custom_jvp
def _fast_medians(image: Pixels, sure: Pixels, b: Weights, epsilon: Scalar) -> Pixels:
    # What leaves a loop, even one that is run once, is stored: the compiler would
    # compute it anew wherever it is used.
    def once(_):
        return _fused_medians(image, sure, b, epsilon), jnp.array(False)

    height, width, channels = image.shape
    unknown = jnp.full((height - 2, width - 2, channels), jnp.nan, image.dtype)
    return jax.lax.while_loop(lambda state: state[1], once, (unknown, epsilon > 0))[0]


def _fused_medians(image: Pixels, sure: Pixels, b: Weights, epsilon: Scalar) -> Pixels:
    weights = views(sure, _NEIGHBOURS)
    products = [near * each for near, each in zip(_NEAR, weights, strict=True)]
    total = sum(products[1:], products[0])
    over: Array = reciprocal(jnp.where(total > 0, total, 1))
    masses = [
        jnp.where(total > 0, product * over, near / sum(_NEAR))
        for near, product in zip(_NEAR, products, strict=True)
    ]
    results = fast_quantiles(views(image, _NEIGHBOURS), b, epsilon, masses)
    return results.reshape(results.shape[0], -1, image.shape[2])


@_fast_medians.defjvp
def _fast_medians_jvp(primals, tangents):
    return _fast_medians(*primals), jax.jvp(_slow_medians, primals, tangents)[1]


def _deviations(away: Pixels, sure: Pixels, is_first: Any) -> Pixels:
    first = _FACTOR / _blurred(1 / (away + _FLOOR))
    later = _blurred(sure * away) / (_blurred(sure) + _TINY**2)
    return jnp.where(is_first, first, later)


def filled(x: Pixels, counts: Pixels) -> Pixels:
    """Give what does not count a mean of what does around it."""

    def fill():
        known = jnp.where(counts > 0, x, 0)
        total = _blurred(counts)
        mean = _blurred(counts * known) / jnp.where(total > 0, total, 1)
        return jnp.where(counts > 0, known, mean)

    return jax.lax.cond(jnp.all(counts > 0), lambda: x, fill)


def inner(image: Any, margins: tuple[int, int]) -> Any:
    """An image, of any kind of array, without margins of so many rows and columns."""
    (height, width, _), (rows, columns) = image.shape, margins
    return image[rows : height - rows, columns : width - columns]


def _extended(image: Pixels, window: Window) -> Pixels:
    margins = [(side // 2, side // 2) for side in window.shape[:2]]
    return jnp.pad(image, [*margins, (0, 0)], mode="edge")


def _blurred(image: Pixels) -> Pixels:
    """Weighted means of the pixels around each."""
    places = range(2 * REACH + 1)
    weights = [math.exp(-(((i - REACH) / _WIDTH) ** 2) / 2) for i in places]
    shape = image.shape
    down = Window((len(places), 1, 1), tuple((i, 0, 0) for i in places))
    across = Window((1, len(places), 1), tuple((0, i, 0) for i in places))
    for window in (down, across):
        terms = zip(weights, views(_extended(image, window), window), strict=True)
        total = sum((w * each for w, each in terms), jnp.zeros((), image.dtype))
        image = (total / sum(weights)).reshape(shape)
    return image
