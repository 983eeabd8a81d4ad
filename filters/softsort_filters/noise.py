"""Noise to try the filters on."""

import math
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, DTypeLike, Float, Int, PRNGKeyArray, Shaped

from softsort_core import SoftSortError
from softsort_filters.arguments import (
    Image,
    Number,
    as_amount,
    as_array,
    as_image,
    as_jax,
    as_number,
)

Count: TypeAlias = int | Int[Array, ""]


def salt_and_pepper(
    image: Image,
    amount: Number,
    key: PRNGKeyArray | Array,
    *,
    low: Number = 0.0,
    high: Number = 1.0,
) -> Shaped[Array, "h w *c"]:
    """Replace a fraction of the pixels by the lowest or the highest value.

    Exactly ceil(amount * h * w) pixels are replaced, all channels together, each by
    `low` or `high` with probability 1/2. The same key gives the same noise.

    Args:
        image: real numbers of shape (h, w) or (h, w, c).
        amount: fraction of the pixels in [0, 1]. Traced by JAX, it is cut to that
            range, and NaN is 0.
        key: a JAX random key.
        low: the value of pepper.
        high: the value of salt, for example 255 for images of 8 bits.

    Returns:
        The shape and dtype of `image`.

    Raises:
        SoftSortError: an argument out of its range.

    Examples:
        >>> import jax
        >>> from softsort_filters import salt_and_pepper
        >>> noisy = salt_and_pepper([[0.5] * 4] * 5, 0.3, jax.random.key(0))
        >>> print((noisy != 0.5).sum())
        6
    """
    pixels = as_jax(as_array(image), "image")
    count = _as_count(amount, pixels.shape[0], pixels.shape[1])
    return _replace(pixels, count, _keys(key), _extremes(low, high, pixels.dtype))


def gaussian_noise(
    image: Image,
    amount: Number,
    key: PRNGKeyArray | Array,
    *,
    low: Number = 0.0,
    high: Number = 1.0,
) -> Shaped[Array, "h w *c"]:
    """Add independent normal noise to every value, and cut to [low, high].

    The same key gives the same noise. Integers are rounded.

    Args:
        image: real numbers of shape (h, w) or (h, w, c), channels having noise of
            their own.
        amount: standard deviation of the noise, as a fraction of high - low.
        key: a JAX random key.
        low: the least value, black.
        high: the largest value, white: for example 255 for images of 8 bits.

    Returns:
        The shape and dtype of `image`.

    Raises:
        SoftSortError: an argument out of its range.

    Examples:
        >>> import jax
        >>> from softsort_filters import gaussian_noise
        >>> noisy = gaussian_noise([[0.5] * 100] * 100, 0.1, jax.random.key(0))
        >>> print(noisy.mean().round(2), noisy.std().round(2))
        0.5 0.1
    """
    return _noisy(image, amount, key, low, high, proportional=False)


def speckle_noise(
    image: Image,
    amount: Number,
    key: PRNGKeyArray | Array,
    *,
    low: Number = 0.0,
    high: Number = 1.0,
) -> Shaped[Array, "h w *c"]:
    """Multiply every value by normal noise of mean 1, and cut to [low, high].

    Values count from `low`: black stays black. The same key gives the same noise.
    Integers are rounded.

    Args:
        image: real numbers of shape (h, w) or (h, w, c), channels having noise of
            their own.
        amount: standard deviation of the noise, as a fraction of each value.
        key: a JAX random key.
        low: the least value, black.
        high: the largest value, white: for example 255 for images of 8 bits.

    Returns:
        The shape and dtype of `image`.

    Raises:
        SoftSortError: an argument out of its range.

    Examples:
        >>> import jax
        >>> from softsort_filters import speckle_noise
        >>> noisy = speckle_noise([[0.0, 0.5] * 50] * 100, 0.1, jax.random.key(0))
        >>> print(noisy[:, 1::2].std().round(2), noisy[:, ::2].std())
        0.05 0.0
    """
    return _noisy(image, amount, key, low, high, proportional=True)


def _noisy(
    image: Image,
    amount: Number,
    key: PRNGKeyArray | Array,
    low: Number,
    high: Number,
    *,
    proportional: bool,
) -> Shaped[Array, "h w *c"]:
    pixels = as_jax(as_array(image), "image")
    extremes = _extremes(low, high, pixels.dtype)
    values, _ = as_image(pixels)
    deviation = as_amount(amount, values.dtype)
    noisy = _disturb(values, deviation, _keys(key)[0], extremes, proportional)
    whole = not jnp.issubdtype(pixels.dtype, jnp.floating)
    return (jnp.round(noisy) if whole else noisy).astype(pixels.dtype)


@partial(jax.jit, static_argnames="proportional")
def _disturb(
    values: Float[Array, "h w *c"],
    deviation: Float[Array, ""],
    key: PRNGKeyArray | Array,
    extremes: tuple[Shaped[Array, ""], Shaped[Array, ""]],
    proportional: bool,
) -> Float[Array, "h w *c"]:
    low, high = (extreme.astype(values.dtype) for extreme in extremes)
    noise = deviation * jax.random.normal(key, values.shape, values.dtype)
    noisy = values + noise * (values - low if proportional else high - low)
    return jnp.clip(noisy, low, high)


def _extremes(
    low: Number, high: Number, dtype: DTypeLike
) -> tuple[Shaped[Array, ""], Shaped[Array, ""]]:
    return as_number(low, "low", dtype), as_number(high, "high", dtype)


def _keys(key: PRNGKeyArray | Array) -> PRNGKeyArray | Array:
    try:
        return jax.random.split(key)
    except (TypeError, ValueError) as error:
        raise SoftSortError(
            f"key is {key!r}: give a JAX random key, such as jax.random.key(0)"
        ) from error


@jax.jit
def _replace(
    pixels: Shaped[Array, "h w *c"],
    count: Count,
    keys: PRNGKeyArray | Array,
    extremes: tuple[Shaped[Array, ""], Shaped[Array, ""]],
) -> Shaped[Array, "h w *c"]:
    shape = (*pixels.shape[:2], *[1] * (pixels.ndim - 2))
    replaced = _sample(keys[0], count, math.prod(shape)).reshape(shape)
    noise = jnp.where(jax.random.bernoulli(keys[1], 0.5, shape), *extremes[::-1])
    return jnp.where(replaced, noise, pixels)


def _as_count(amount: Number, height: int, width: int) -> Count:
    if isinstance(amount, Tracer):
        if amount.shape != ():
            raise SoftSortError(f"amount has shape {amount.shape}: give one number")
        fraction = jnp.clip(jnp.nan_to_num(amount), 0, 1)
        return jnp.ceil(fraction * height * width).astype(int)
    share = np.asarray(amount)
    if share.shape != () or share.dtype.kind not in "fiu" or not 0 <= share <= 1:
        raise SoftSortError(f"amount is {amount!r}: give one fraction in [0, 1]")
    return math.ceil(share[()] * height * width)


def _sample(
    key: PRNGKeyArray, count: Int[Array, ""] | int, n: int
) -> Bool[Array, " n"]:
    """Exactly `count` of n places, every choice as likely as any other.

    Those of the `count` smallest random numbers. Their bound is found bit by bit, in
    32 passes, because sorting is slow. Of numbers equal to the bound, the first in
    order are taken.
    """
    numbers = jax.random.bits(key, (n,), jnp.uint32)

    def refine(step, bound):
        higher = bound | (jnp.uint32(1) << (31 - step).astype(jnp.uint32))
        return jnp.where(jnp.sum(numbers < higher) <= count, higher, bound)

    bound = jax.lax.fori_loop(0, 32, refine, jnp.uint32(0))
    below, equal = numbers < bound, numbers == bound
    missing = count - jnp.sum(below)
    return below | (equal & (jnp.cumsum(equal) <= missing))
