"""Operators on slices of n values become operators on any axes of an array."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from softsort_core import _kept as kept
from softsort_core._arguments import normalised
from softsort_core._errors import SoftSortError
from softsort_core._rounding import used_range

# Entries of plans solved at a time: a bound on the memory in flight.
_ENTRIES_AT_ONCE = 2**24


def slice_size(inputs: Any, axis: int | Sequence[int]) -> int:
    """Return the number of values in each slice of `inputs` along `axis`."""
    shape = np.shape(inputs)
    return math.prod(shape[i] for i in normalised_axes(axis, len(shape)))


def over_slices(
    operators: Sequence[Callable[..., Array]],
    arrays: Sequence[Array],
    weights: Array | None,
    axes: tuple[int, ...],
    *,
    entries: int,
) -> Array:
    """Apply `operator(weights, *slices)` to the slices of some arrays along some axes.

    Args:
        operators: each maps n weights, which sum to 1, or None, and a slice of n values
            from each array to k results. The later ones are for slices of numbers of
            which those before make NaN.
        arrays: of one shape, whatever it is.
        weights: None for uniform ones, else of shape (n,) or that of the arrays.
        axes: the axes whose values form one slice together, in ascending order.
        entries: size of the plan that an operator makes of a slice.

    Returns:
        The results of each slice, in the order of `as_slices`; of vectors those of
        their only slice, for an axis more would take a copy.
    """
    inputs = arrays[0]
    n = math.prod(inputs.shape[i] for i in axes)
    if weights is not None and weights.shape not in ((n,), inputs.shape):
        raise SoftSortError(
            f"input_weights has shape {weights.shape}: give one weight for each of the "
            f"{n} values of a slice, or the shape of the inputs, {inputs.shape}"
        )
    if inputs.ndim == 1:
        weights = None if weights is None else weights.astype(inputs.dtype)
        return _first_certain(operators, [weights, *arrays])
    slices = [as_slices(array, axes) for array in arrays]
    shape = slices[0].shape
    if weights is not None:
        weights = as_slices(weights, axes) if weights.ndim == inputs.ndim else weights
        weights = jnp.broadcast_to(weights, shape).astype(inputs.dtype)
    slices = [weights, *slices]
    batch = max(1, _ENTRIES_AT_ONCE // max(1, entries))
    if shape[0] == 0:
        one = jax.eval_shape(
            functools.partial(_on_slice, operators[0]),
            jax.tree.map(lambda s: jax.ShapeDtypeStruct((n,), s.dtype), slices),
        )
        return jnp.zeros((0, *one.shape), one.dtype)
    if shape[0] == 1:
        # Not worth the cost of tracing and compiling a batch.
        one = jax.tree.map(lambda array: array[0], slices)
        return _first_certain(operators, one)[None]
    if shape[0] <= batch:
        return _first_certain(operators, slices, jax.vmap)
    whole = shape[0] - shape[0] % batch
    parts = jax.tree.map(
        lambda array: array[:whole].reshape(-1, batch, *array.shape[1:]), slices
    )
    results = jax.lax.map(lambda part: _first_certain(operators, part, jax.vmap), parts)
    results = results.reshape(whole, *results.shape[2:])
    if whole == shape[0]:
        return results
    rest = jax.tree.map(lambda array: array[whole:], slices)
    return jnp.concatenate([results, _first_certain(operators, rest, jax.vmap)])


def _on_slice(operator: Callable[..., Array], one: Sequence[Any]) -> Array:
    weights, *slices = one
    return operator(None if weights is None else _shares(weights), *slices)


_shares = kept.jit(normalised)


def _first_certain(
    operators: Sequence[Callable[..., Array]],
    slices: Sequence[Any],
    batched: Callable[..., Any] = lambda function: function,
) -> Array:
    """Return the results of the first operator, of the next where these are NaN ..."""
    first, *others = (
        batched(functools.partial(_on_slice, operator)) for operator in operators
    )
    results = first(slices)
    for other in others:
        # What a derivative needs of the other is made again, if it is needed at all: it
        # would else be carried along, as zeros, when it is not.
        mended = jax.checkpoint(
            lambda results, other=other: jnp.where(
                jnp.isnan(results), other(slices), results
            )
        )
        lacking = batched(are_lacking)(slices[1], results)
        results = jax.lax.cond(
            jnp.any(lacking), mended, lambda results: results, results
        )
    return results


def are_lacking(values: Array, results: Array) -> Array:
    """Return whether the results of values that are numbers are not.

    Such results are all NaN, so that the first of them tells.
    """

    def are_numbers() -> Array:
        return jnp.all(jnp.isfinite(jnp.stack(used_range(values, None))))

    is_nan = jnp.any(jnp.isnan(results.reshape(-1)[:1]))
    return jax.lax.cond(is_nan, are_numbers, lambda: jnp.array(False))


def as_slices(array: Array, axes: tuple[int, ...]) -> Array:
    """Return the slices along some axes, one a row."""
    others = [i for i in range(array.ndim) if i not in axes]
    n = math.prod(array.shape[i] for i in axes)
    return jnp.transpose(array, (*others, *axes)).reshape(-1, n)


def in_place(
    results: Array, shape: tuple[int, ...], axes: tuple[int, ...], *, same_shape: bool
) -> Array:
    """Return the results of the slices of an array of some shape where these were.

    Args:
        results: k for each slice, or k of some shape, as `over_slices` returns them.
        shape: that of the array.
        axes: those along which the slices are.
        same_shape: whether the k = n results take the places of the values. If not,
            an axis of the results stands where the first of the given axes was.
    """
    if len(shape) == 1:
        return results
    others = [i for i in range(len(shape)) if i not in axes]
    results = results.reshape(*(shape[i] for i in others), *results.shape[1:])
    if same_shape:
        results = results.reshape(*results.shape[:-1], *(shape[i] for i in axes))
        return jnp.moveaxis(results, range(len(others), len(shape)), axes)
    return jnp.moveaxis(
        results,
        range(len(others), results.ndim),
        range(min(axes), min(axes) + results.ndim - len(others)),
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
