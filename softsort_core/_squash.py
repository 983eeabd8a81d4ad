"""The default squashing of values into (0, 1)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def squash(values: Float[Array, " n"], weights: Float[Array, " n"]) -> Array:
    """Return sigmoid((values - mean) / std), the same for shifted and scaled values.

    Mean and standard deviation are those of the weighted values. Equal values all
    become 1/2, with derivative zero.
    """
    # Mapping [min, max] to [-1, 1] first keeps the squares in range and leaves a
    # large common offset out of every rounding. It cancels in the result, so no
    # derivative need pass through it.
    used = weights > 0
    low = jax.lax.stop_gradient(jnp.min(values, where=used, initial=jnp.inf))
    high = jax.lax.stop_gradient(jnp.max(values, where=used, initial=-jnp.inf))
    half_range = high / 2 - low / 2
    half_range = jnp.where(half_range > 0, half_range, 1.0)
    scaled = (values - (low / 2 + high / 2)) / half_range
    centred = scaled - weights @ scaled
    variance = weights @ centred**2
    constant = variance <= jnp.finfo(values.dtype).tiny
    deviation = jnp.sqrt(jnp.where(constant, 1.0, variance))
    return jax.nn.sigmoid(jnp.where(constant, 0.0, centred / deviation))
