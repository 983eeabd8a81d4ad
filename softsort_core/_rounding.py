"""Bounds that hold but for rounding, made to hold; derivatives stay as they are."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def clipped(values: Array, low: Any, high: Any) -> Array:
    """Take away what lies beyond the bounds."""
    return values + jax.lax.stop_gradient(jnp.clip(values, low, high) - values)


def increasing(values: Float[Array, " m"]) -> Float[Array, " m"]:
    """Take away decreases."""
    return values + jax.lax.stop_gradient(jax.lax.cummax(values) - values)
