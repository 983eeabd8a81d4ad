"""A model of impulse noise: how likely each pixel is noise, and of which kind.

A pixel of the picture is distributed about what its neighbours predict, m, as
exp(-|x - m| / s) / (2 s), s being how far from that pixels around it usually are. One
of noise is as the noise of the picture is: at its darkest value, at its brightest, or
anywhere between. Bayes' rule tells how likely a pixel is one of the picture.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from softsort_filters.three_targets import Scalar

# Most steps leave out a margin.
Pixels = Float[Array, "_ _ c"]

# In units of the range of values: the least deviation, what a camera rounds by; and how
# near to the ends noise of the darkest and the brightest value is.
_LEAST, NEAR = 3e-3, 3e-3


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


def densities(
    x: Pixels, m: Pixels, s: Pixels, noise: ImpulseNoise, softness: Softness
) -> tuple[Pixels, list[Pixels]]:
    """How likely pixels are those of the picture, and noise of each kind."""
    low, high, *shares = noise
    s = softness.spread * s + _LEAST
    kept = (1 - sum(shares)) * jnp.exp(-distance(x, m, noise) / s) / (2 * s)
    unit = range_of(noise) * NEAR
    below, above = jnp.maximum((x - low) / unit, 0), jnp.maximum((high - x) / unit, 0)
    ends = jnp.exp(-below) / NEAR, jnp.exp(-above) / NEAR, jnp.ones_like(x)
    parts = [share * each for share, each in zip(shares, ends, strict=True)]
    return softness.threshold * kept, parts


def trust(
    x: Pixels, m: Pixels, s: Pixels, noise: ImpulseNoise, softness: Softness
) -> Pixels:
    """How likely pixels are not noise."""
    kept, (dark, bright, anywhere) = densities(x, m, s, noise, softness)
    return kept / (kept + dark + bright + anywhere)


def range_of(noise: ImpulseNoise) -> Array:
    """The range of values of each channel, 1 where there is none."""
    span = noise.high - noise.low
    return jnp.where(span > 0, span, 1)


def distance(x: Pixels, m: Pixels, noise: ImpulseNoise) -> Pixels:
    """How far values are from what was predicted, in units of the range.

    What is far out is noise in any case.
    """
    return jnp.minimum(jnp.abs(x / range_of(noise) - m / range_of(noise)), 10)
