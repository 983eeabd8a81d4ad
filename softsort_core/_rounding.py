"""Bounds that hold but for rounding, made to hold; derivatives stay as they are."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_CHUNK = 2**12


def clipped(values: Array, low: Any, high: Any) -> Array:
    """Take away what lies beyond the bounds."""
    return values + jax.lax.stop_gradient(jnp.clip(values, low, high) - values)


def increasing(values: Float[Array, " m"]) -> Float[Array, " m"]:
    """Take away decreases."""
    m = values.shape[0]
    whole = m - m % _CHUNK

    def rising(highest, values):
        values = jnp.maximum(jax.lax.cummax(values), highest)
        return values[-1:], values

    fixed = jax.lax.stop_gradient(values)
    lowest = jnp.full(1, -jnp.inf, values.dtype)
    # A chunk stays in the cache.
    highest, chunks = jax.lax.scan(rising, lowest, fixed[:whole].reshape(-1, _CHUNK))
    parts = [chunks.reshape(-1)]
    if whole < m:
        parts.append(rising(highest, fixed[whole:])[1])
    return values + (jnp.concatenate(parts) - fixed)
