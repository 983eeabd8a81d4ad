"""Which pixels of an image are noise, as a model of it tells.

Of every pixel two things are asked: what its neighbours predict, m, and how far from
that pixels around it usually are, s. A pixel of the picture is then distributed about
m as exp(-|x - m| / s) / (2 s), one of noise as the noise of the picture is: at its
darkest value, at its brightest, or anywhere between. Bayes' rule tells how likely the
pixel is one of the picture, t. By that it counts for its neighbours, when both
questions are asked again.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core import SoftSortError
from softsort_filters.arguments import Image, as_image
from softsort_filters.three_targets import Scalar, target_weights
from softsort_filters.window_quantiles import small_window_quantiles, window_quantiles
from softsort_filters.windows import (
    Window,
    as_window,
    extend,
    is_small,
    map_windows,
    views,
)

# Most steps leave out a margin.
Pixels = Float[Array, "_ _ c"]

_AROUND = (
    *((0, 0, 0), (0, 1, 0), (0, 2, 0), (1, 0, 0)),
    *((1, 2, 0), (2, 0, 0), (2, 1, 0), (2, 2, 0)),
)
_NEIGHBOURS = Window((3, 3, 1), _AROUND)
# Deviations are averaged, and gaps filled, over this many pixels either way, by a
# normal distribution.
REACH, _WIDTH = 4, 2.0
# In units of the range of values: the least deviation, what a camera rounds by; and how
# near to the ends noise of the darkest and the brightest value is.
_LEAST, _NEAR = 3e-3, 3e-3
# What nothing can be said of counts, but only where nothing else is.
_TINY = 1e-6
# Of the values, at either end, that may be beyond the range: a few wild pixels.
_WILD = 1e-3
# The first deviations are harmonic means, which few pixels of noise hardly change, over
# this floor, times a factor that makes them about as large as the later ones.
_FLOOR, _FACTOR = 1e-2, 3.0
_SIDE = 512  # enough pixels to tell the noise
_ROUNDS = 8


class ImpulseNoise(NamedTuple):
    """Which pixels of an image are noise: numbers, or one for each channel.

    Attributes:
        low: the darkest value.
        high: the brightest value.
        dark: the share of pixels that became the darkest value (pepper).
        bright: the share of pixels that became the brightest value (salt).
        anywhere: the share of pixels that became any value between.
    """

    low: Float[Array, "*c"]
    high: Float[Array, "*c"]
    dark: Float[Array, "*c"]
    bright: Float[Array, "*c"]
    anywhere: Float[Array, "*c"]


class Softness(NamedTuple):
    """What is differentiable besides the image: see `soft_switching_median`."""

    epsilon: Scalar
    threshold: Scalar
    spread: Scalar


class Asked(NamedTuple):
    """Pixels, and what is known of each."""

    x: Pixels
    counts: Pixels  # how much it counts, if it is not noise
    m: Pixels  # what its neighbours predict
    s: Pixels  # how far from that pixels around it are, in units of the range


def impulse_noise(image: Image, *, alpha: bool = False) -> ImpulseNoise:
    """Estimate how many pixels of an image are noise, and of which kind.

    The shares are those that explain the pixels best, by the model that
    `soft_switching_median` has of them, after eight rounds of expectation maximization
    (Dempster, Laird and Rubin, 1977). Of images larger than 512 x 512 the middle is
    looked at.

    Args:
        image: see `soft_switching_median`.
        alpha: the last channel is opacity.

    Returns:
        Numbers for an image of shape (h, w), and one for each channel, without opacity,
        for (h, w, c). Shares are at least 1e-5.

    Raises:
        SoftSortError: an argument out of its range.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from softsort_filters import impulse_noise, salt_and_pepper
        >>> wave = 0.5 + 0.4 * jnp.sin(jnp.arange(64) / 9) * jnp.ones((64, 1))
        >>> noise = impulse_noise(salt_and_pepper(wave, 0.2, jax.random.key(0)))
        >>> print((noise.dark + noise.bright).round(2))
        0.2
    """
    pixels, _ = as_image(image)
    check_alpha(pixels, alpha)
    starts = [max(side - _SIDE, 0) // 2 for side in pixels.shape[:2]]
    ends = [start + _SIDE for start in starts]
    middle = pixels[starts[0] : ends[0], starts[1] : ends[1]]
    noise = _estimated(middle, alpha)
    shape = pixels.shape[2:] and (-1,)
    return ImpulseNoise(*(each.reshape(shape) for each in noise))


def check_alpha(pixels: Array, alpha: bool) -> None:
    """Refuse an image that has no channel beside that of opacity."""
    if alpha and (pixels.ndim < 3 or pixels.shape[2] < 2):
        raise SoftSortError(
            f"alpha: image has shape {pixels.shape}: give channels, the last of opacity"
        )


@jax.jit(static_argnames="alpha")
def _estimated(image: Float[Array, "h w *c"], alpha: bool) -> ImpulseNoise:
    pixels, weight = split(image, alpha)
    known = jnp.where(weight > 0, pixels, jnp.nan)
    most, all_of = (
        jnp.nanquantile(known, jnp.asarray(ends), (0, 1), method="nearest")
        for ends in ((_WILD, 1 - _WILD), (0.0, 1.0))
    )
    # Where all but a few are equal, these few are the range.
    low, high = jnp.where(most[0] < most[1], most, all_of)
    one = jnp.ones((), pixels.dtype)
    softness = Softness(1e-2 * one, one, one)
    side = 2 * (2 * REACH + 1) + 1
    x, counts = (
        extend(each[:, :, None], (side, side, 1), "reflect", one)
        for each in (pixels, weight)
    )
    x, counts = filled(x, counts)
    shares = (share * jnp.ones_like(low) for share in (0.025, 0.025, 0.05))
    margins = [(1 + REACH, 1 + REACH)] * 2 + [(0, 0)]

    def learn(index, state):
        m, t, noise = state
        asked = asked_again(
            Asked(x, counts, m, m), t, noise, softness.epsilon, index == 0
        )
        kept, parts = _densities(asked, noise, softness)
        total = kept + sum(parts)
        noise = _learned(asked, [part / total for part in parts], noise)
        m, t = (jnp.pad(each, margins, mode="edge") for each in (asked.m, kept / total))
        return m, t, noise

    state = x, jnp.ones_like(x), ImpulseNoise(low, high, *shares)
    *_, noise = jax.lax.fori_loop(0, _ROUNDS, learn, state)
    return noise


def _learned(asked: Asked, parts: list[Pixels], noise: ImpulseNoise) -> ImpulseNoise:
    """The shares of noise, by how likely each pixel is noise of each kind.

    Where neighbours are as dark as the noise, nobody can tell whether a pixel is: that
    would make noise of a night sky. So the darkest value counts where others are
    expected, and likewise the brightest.
    """
    unit = 10 * _NEAR * _range(noise)
    weights = (
        asked.counts * (1 - jnp.exp(-jnp.maximum(asked.m - noise.low, 0) / unit)),
        asked.counts * (1 - jnp.exp(-jnp.maximum(noise.high - asked.m, 0) / unit)),
        asked.counts,
    )
    shares = [
        jnp.sum(weight * part, (0, 1)) / jnp.maximum(jnp.sum(weight, (0, 1)), 1) + 1e-5
        for weight, part in zip(weights, parts, strict=True)
    ]
    # Something is always left of the picture.
    most = jnp.maximum(sum(shares) / 0.9, 1)
    return ImpulseNoise(noise.low, noise.high, *(share / most for share in shares))


def split(image: Float[Array, "h w *c"], alpha: bool) -> tuple[Pixels, Pixels]:
    """Values, and how much they count: by opacity, and only where they are finite."""
    pixels = image.reshape(*image.shape[:2], -1)
    weight = jnp.ones_like(pixels)
    if alpha:
        pixels, opacity = pixels[..., :-1], jax.lax.stop_gradient(pixels[..., -1:])
        most = jnp.max(opacity)
        weight = opacity / jnp.where(most > 0, most, 1)
        weight = jnp.broadcast_to(weight, pixels.shape)
    return pixels, jnp.where(jnp.isfinite(pixels), weight, 0)


def first_asked(
    x: Pixels, counts: Pixels, noise: ImpulseNoise, epsilon: Scalar
) -> Asked:
    """Ask for the first time: everything around a pixel counts alike."""
    m = _median(x, _NEIGHBOURS, epsilon)
    x, counts = (inner(each, 1, 1) for each in (x, counts))
    s = _first_deviation(_distance(x, m, noise))
    x, counts, m = (inner(each, REACH, REACH) for each in (x, counts, m))
    return Asked(x, counts, m, s)


def asked_again(
    asked: Asked, t: Pixels, noise: ImpulseNoise, epsilon: Scalar, is_first: Any = False
) -> Asked:
    """Ask again, when it is known how likely pixels are not noise."""
    x, counts, m, _ = asked
    m = weighted_median(t * x + (1 - t) * m, t, counts, (3, 3), epsilon)
    x, t, counts = (inner(each, 1, 1) for each in (x, t, counts))
    away, sure = _distance(x, m, noise), (t + _TINY) * counts
    s = _blurred(sure * away) / (_blurred(sure) + _TINY**2)
    s = jnp.where(is_first, _first_deviation(away), s)
    x, counts, m = (inner(each, REACH, REACH) for each in (x, counts, m))
    return Asked(x, counts, m, s)


def _first_deviation(away: Pixels) -> Pixels:
    return _FACTOR / _blurred(1 / (away + _FLOOR))


def _densities(
    asked: Asked, noise: ImpulseNoise, softness: Softness
) -> tuple[Pixels, list[Pixels]]:
    """How likely pixels are those of the picture, and noise of each kind."""
    x, _, m, s = asked
    low, high, *shares = noise
    s = softness.spread * s + _LEAST
    kept = (1 - sum(shares)) * jnp.exp(-_distance(x, m, noise) / s) / (2 * s)
    unit = _range(noise) * _NEAR
    below, above = jnp.maximum((x - low) / unit, 0), jnp.maximum((high - x) / unit, 0)
    ends = jnp.exp(-below) / _NEAR, jnp.exp(-above) / _NEAR, jnp.ones_like(x)
    parts = [share * each for share, each in zip(shares, ends, strict=True)]
    return softness.threshold * kept, parts


def trust(asked: Asked, noise: ImpulseNoise, softness: Softness) -> Pixels:
    """How likely pixels are not noise."""
    kept, (dark, bright, anywhere) = _densities(asked, noise, softness)
    return kept / (kept + dark + bright + anywhere)


def _range(noise: ImpulseNoise) -> Array:
    span = noise.high - noise.low
    return jnp.where(span > 0, span, 1)


def _distance(x: Pixels, m: Pixels, noise: ImpulseNoise) -> Pixels:
    """How far values are from what was predicted, in units of the range.

    What is far out is noise in any case.
    """
    return jnp.minimum(jnp.abs(x / _range(noise) - m / _range(noise)), 10)


def filled(x: Pixels, counts: Pixels) -> tuple[Pixels, Pixels]:
    """Give what does not count a mean of what does around it; without the margin."""

    def fill():
        known = jnp.where(counts > 0, x, 0)
        total = _blurred(counts)
        mean = _blurred(counts * known) / jnp.where(total > 0, total, 1)
        return jnp.where(within > 0, inner(known, REACH, REACH), mean)

    within = inner(counts, REACH, REACH)
    whole = jnp.all(counts > 0)
    return jax.lax.cond(whole, lambda: inner(x, REACH, REACH), fill), within


def inner(image: Pixels, rows: int, columns: int) -> Pixels:
    """An image without margins of so many rows and columns."""
    height, width, _ = image.shape
    return image[rows : height - rows, columns : width - columns]


def _blurred(image: Pixels) -> Pixels:
    """Weighted means of the pixels around each."""
    places = range(2 * REACH + 1)
    weights = [math.exp(-(((i - REACH) / _WIDTH) ** 2) / 2) for i in places]
    down = Window((len(places), 1, 1), tuple((i, 0, 0) for i in places))
    across = Window((1, len(places), 1), tuple((0, i, 0) for i in places))
    for window in (down, across):
        height, width, channels = image.shape
        terms = zip(weights, views(image, window), strict=True)
        total = sum((w * each for w, each in terms), jnp.zeros((), image.dtype))
        (rows, columns, _), total = window.shape, total / sum(weights)
        image = total.reshape(height - rows + 1, width - columns + 1, channels)
    return image


def _median(image: Pixels, window: Window, epsilon: Scalar) -> Pixels:
    """Soft medians of windows of an extended image."""
    n = len(window.places)
    b = target_weights(jnp.asarray(0.5, image.dtype), n)
    masses = jnp.full((n, 1, 1), 1 / n, image.dtype)
    if is_small(window, image.dtype):
        return small_window_quantiles(image, window, masses, b, epsilon)

    def quantile(values):
        return window_quantiles(values, None, masses, b, epsilon)

    return map_windows(quantile, [image], window)


def weighted_median(
    image: Pixels, t: Pixels, counts: Pixels, size: tuple[int, int], epsilon: Scalar
) -> Pixels:
    """Soft medians of windows without their centres, by what is sure and near."""
    centre = np.array(size) // 2
    offsets = np.moveaxis(np.indices(size), 0, -1) - centre
    # Without the corners of large windows, which are too far to matter.
    footprint = np.sum((2 * offsets / np.array(size)) ** 2, axis=-1) <= 1
    footprint[tuple(centre)] = False
    window, _, n = as_window(None, footprint, None)
    away = np.sum((np.array(window.places)[:, :2] - centre) ** 2, axis=1)
    near = jnp.asarray(np.exp(-away / 2), image.dtype).reshape(-1, 1, 1)
    b = target_weights(jnp.asarray(0.5, image.dtype), n)

    def quantile(values, sure):
        masses = near * sure.stacked()
        masses += near * (jnp.sum(masses, 0) <= 0)
        masses *= 1 / jnp.sum(masses, 0)
        return window_quantiles(values, None, masses, b, epsilon)

    return map_windows(quantile, [image, (t + _TINY) * counts], window)
