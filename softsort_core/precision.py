"""Double precision within what is of single precision."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from softsort_core.numerics import product

_PART = 2**10


def as_double(tree: Any) -> Any:
    """Return all arrays in double precision, without derivative."""
    with jax.enable_x64(True):
        return as_dtype(jax.lax.stop_gradient(tree), jnp.float64)


def as_dtype(tree: Any, dtype: Any) -> Any:
    """Return all arrays in some precision, whatever the default is."""
    return jax.tree.map(lambda each: jax.lax.convert_element_type(each, dtype), tree)


def in_double(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in double precision, without derivative.

    All its arguments are arrays, and it closes over none that JAX traces: those are
    no arguments of what is mapped. What JAX makes of the call later, a batch for one,
    is made in double precision as well, which it would not be by `enable_x64` alone.
    """
    # Traced once: what is mapped is a call, not its operations.
    once = jax.jit(function)

    def call(*arrays):
        with jax.enable_x64(True):
            return once(*arrays)

    def batched(size, are_batched, *arrays):
        axes = jax.tree.map(lambda each: 0 if each else None, tuple(are_batched))
        results = jax.vmap(call, axes, axis_size=size)(*arrays)
        return results, jax.tree.map(lambda _: True, results)

    evaluated = jax.custom_batching.custom_vmap(call)
    evaluated.def_vmap(batched)
    with jax.enable_x64(True):
        return evaluated(*as_double(arguments))


def total(values: Array) -> Array:
    """Return the sum, in parts that are added in double precision."""
    n = values.shape[0]
    whole = n - n % _PART
    parts = product(values[:whole].reshape(-1, _PART), jnp.ones(_PART, values.dtype))
    with jax.enable_x64(True):
        # As products: XLA makes several loops of a sum.
        rest = (as_dtype(each, jnp.float64) for each in (parts, values[whole:]))
        total = sum(product(each, jnp.ones_like(each)) for each in rest if each.size)
    return as_dtype(total, values.dtype)
