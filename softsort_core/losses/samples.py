"""Which values count in a loss, and how much."""

from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core import SoftSortError
from softsort_core.arguments import as_floating, as_weights, is_concrete, normalised

Epsilon: TypeAlias = float | Array
Numbers: TypeAlias = Array | np.ndarray


def shares_of(
    shape: tuple[int, ...], weights: Any, where: Any
) -> Float[Array, "..."] | None:
    """Return how much each value counts, 0 where it does not; None for all alike."""
    for name, each in (("weights", weights), ("where", where)):
        if each is not None and np.shape(each) != shape:
            raise SoftSortError(
                f"{name} has shape {np.shape(each)}: give it the shape {shape}"
            )
    if where is not None and jnp.asarray(where).dtype != bool:
        raise SoftSortError(
            f"where has dtype {jnp.asarray(where).dtype}: give booleans, true for what "
            "counts"
        )
    shares = as_weights(weights, "weights")
    if where is not None:
        shares = jnp.ones(shape) if shares is None else shares
        shares = jnp.where(jnp.asarray(where), shares, 0.0)
    if shares is None or is_concrete(shares):
        return shares
    return jnp.where(jnp.all(shares >= 0), shares, jnp.nan)


def without_others(values: Any, shares: Array | None, name: str) -> Array:
    """Return zeros for what does not count, that may be no numbers."""
    array = as_floating(values, name)[0]
    if shares is None:
        return array
    counts = (shares != 0).reshape(*shares.shape, *[1] * (array.ndim - shares.ndim))
    return jnp.where(counts, array, jnp.zeros((), array.dtype))


def average(values: Float[Array, "*batch"], shares: Array | None) -> Float[Array, ""]:
    """Return the mean of the values that count, by how much; NaN of none."""
    if shares is None:
        return jnp.mean(values)
    shares = normalised(shares)
    return jnp.sum(shares * jnp.where(shares != 0, values, 0.0))
