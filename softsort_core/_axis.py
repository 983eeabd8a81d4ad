"""Operators on slices of n values become operators on any axes of an array."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from softsort_core._errors import SoftSortError

# Entries of plans solved at a time: a bound on the memory in flight.
_ENTRIES_AT_ONCE = 2**24


def slice_size(inputs: Any, axis: int | Sequence[int]) -> int:
    """Return the number of values in each slice of `inputs` along `axis`."""
    shape = np.shape(inputs)
    return math.prod(shape[i] for i in normalised_axes(axis, len(shape)))


def over_slices(
    operator: Callable[..., Array],
    arrays: Sequence[Array],
    weights: Array | None,
    axes: tuple[int, ...],
    *,
    entries: int,
    same_shape: bool,
) -> Array:
    """Apply `operator(weights, *slices)` to the slices of some arrays along some axes.

    Args:
        operator: maps n weights, which sum to 1, or None, and a slice of n values
            from each array to k results.
        arrays: of one shape, whatever it is.
        weights: None for uniform ones, else of shape (n,) or that of the arrays.
        axes: the axes whose values form one slice together, in ascending order.
        entries: size of the plan that `operator` makes of a slice.
        same_shape: whether the k = n results take the places of the values. If not,
            an axis of the results stands where the first of the given axes was.
    """
    inputs = arrays[0]
    kept = [i for i in range(inputs.ndim) if i not in axes]
    sizes = [inputs.shape[i] for i in axes]
    n = math.prod(sizes)
    if n == 0:
        return inputs

    def to_slices(array):
        return jnp.transpose(array, (*kept, *axes)).reshape(-1, n)

    def on_slice(one):
        weights, *slices = one
        return operator(
            None if weights is None else weights / jnp.sum(weights), *slices
        )

    if weights is not None and weights.shape not in ((n,), inputs.shape):
        raise SoftSortError(
            f"input_weights has shape {weights.shape}: give one weight for each of the "
            f"{n} values of a slice, or the shape of the inputs, {inputs.shape}"
        )
    if inputs.ndim == 1:
        weights = None if weights is None else weights.astype(inputs.dtype)
        return on_slice([weights, *arrays])
    slices = [to_slices(array) for array in arrays]
    shape = slices[0].shape
    if weights is not None:
        weights = to_slices(weights) if weights.ndim == inputs.ndim else weights
        weights = jnp.broadcast_to(weights, shape).astype(inputs.dtype)
    slices = [weights, *slices]
    batch = max(1, _ENTRIES_AT_ONCE // max(1, entries))
    if shape[0] == 0:
        one = jax.eval_shape(
            on_slice,
            jax.tree.map(lambda s: jax.ShapeDtypeStruct((n,), s.dtype), slices),
        )
        results = jnp.zeros((0, *one.shape), one.dtype)
    elif shape[0] == 1:
        # Not worth the cost of tracing and compiling a batch.
        results = on_slice(jax.tree.map(lambda array: array[0], slices))[None]
    elif shape[0] <= batch:
        results = jax.vmap(on_slice)(slices)
    else:
        results = jax.lax.map(on_slice, slices, batch_size=batch)

    results = results.reshape(*(inputs.shape[i] for i in kept), *results.shape[1:])
    if same_shape:
        results = results.reshape(*results.shape[:-1], *sizes)
        return jnp.moveaxis(results, range(len(kept), inputs.ndim), axes)
    return jnp.moveaxis(
        results,
        range(len(kept), results.ndim),
        range(min(axes), min(axes) + results.ndim - len(kept)),
    )


def normalised_axes(axis: int | Sequence[int], ndim: int) -> tuple[int, ...]:
    """Return one or several axes in ascending order, counted from 0."""
    axes = tuple(axis) if isinstance(axis, Sequence) else (axis,)
    for one in axes:
        if not isinstance(one, int | np.integer) or not -ndim <= one < ndim:
            raise SoftSortError(
                f"axis {one} does not exist: inputs has {ndim} axes, numbered from 0"
            )
    normalised = tuple(sorted({one % ndim for one in axes}))
    if len(normalised) != len(axes) or not axes:
        raise SoftSortError(f"axis is {axis}: name at least one axis, and each once")
    return normalised
