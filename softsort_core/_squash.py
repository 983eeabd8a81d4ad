"""The default squashing of values into (0, 1)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_PART = 2**10


def squash(values: Float[Array, " n"], weights: Float[Array, " n"]) -> Array:
    """Return sigmoid((values - mean) / std), the same for shifted and scaled values.

    Mean and standard deviation are those of the weighted values. Equal values all
    become 1/2, with derivative zero.
    """
    middle, half_range, offset, scale = standardisation(values, weights)
    return jax.nn.sigmoid(((values - middle) / half_range - offset) * scale)


def standardisation(
    values: Float[Array, " n"], weights: Float[Array, " n"] | None
) -> tuple[Array, Array, Array, Array]:
    """Return what gives standard scores: middle, half_range, offset and scale.

    Scores are ((values - middle) / half_range - offset) * scale. Mapping [min, max] to
    [-1, 1] first keeps squares in range and a large common offset out of every
    rounding. Scale is 0 if all values are equal. No weights stand for equal ones.
    """
    used = True if weights is None else weights > 0
    # Middle and range cancel, so no derivative need pass through them.
    low = jax.lax.stop_gradient(jnp.min(values, where=used, initial=jnp.inf))
    high = jax.lax.stop_gradient(jnp.max(values, where=used, initial=-jnp.inf))
    middle, half_range = low / 2 + high / 2, high / 2 - low / 2
    half_range = jnp.where(half_range > 0, half_range, 1.0)
    scaled = (values - middle) / half_range
    mean = _average(scaled, weights)
    variance = _average((scaled - mean) ** 2, weights)
    constant = variance <= jnp.finfo(values.dtype).tiny
    deviation = jnp.sqrt(jnp.where(constant, 1.0, variance))
    return middle, half_range, mean, jnp.where(constant, 0.0, 1.0 / deviation)


def _average(values: Array, weights: Array | None) -> Array:
    """Return the mean, in parts that are added in double precision."""
    if weights is not None:
        return weights @ values
    n = values.shape[0]
    whole = n - n % _PART
    ones = jnp.ones(_PART, values.dtype)
    parts = jnp.append(
        values[:whole].reshape(-1, _PART) @ ones, jnp.sum(values[whole:])
    )
    with jax.enable_x64(True):
        total = jnp.sum(jax.lax.convert_element_type(parts, jnp.float64))
    return jax.lax.convert_element_type(total, values.dtype) / n
