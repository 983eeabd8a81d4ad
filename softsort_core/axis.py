"""Operators on slices of n values become operators on any axes of an array."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from softsort_core.arguments import Values, normalised, shape_of
from softsort_core.errors import SoftSortError
from softsort_core.numerics import used_range
from softsort_core.squash import among_used

# Entries of plans solved at a time: a bound on the memory in flight.
_ENTRIES_AT_ONCE = 2**24
# Entries that stay in the caches of a CPU, and how many rows it solves for at least.
_ENTRIES_CACHED, _FEWEST_ROWS = 2**18, 2**7


def slice_size(inputs: Any, axis: int | Sequence[int] | None) -> int:
    """Return the number of values in each slice of `inputs` along `axis`."""
    shape = shape_of(inputs)
    return math.prod(shape[i] for i in normalised_axes(axis, len(shape)))


def apply_on_axis(
    operator: Callable[..., Array],
    inputs: Values,
    axis: int | Sequence[int],
    *arguments: Any,
    **options: Any,
) -> Array:
    """Apply a function of vectors to slices of an array, which JAX maps it over.

    Every operator here has `axis=`; this is for functions that have none.

    Args:
        operator: maps a vector, and what else it is given, to an array.
        inputs: array of any shape.
        axis: the axis along which slices are; several make one slice together.
        *arguments: what the function is given besides, the same for each slice.
        **options: the same by keyword.

    Returns:
        The results of the slices; their axes stand where the first of `axis` was.

    Examples:
        >>> import jax.numpy as jnp, softsort_core as soft
        >>> soft.apply_on_axis(jnp.diff, [[1.0, 5.0, 4.0], [2.0, 2.0, 8.0]], 1)
        Array([[ 4., -1.],
               [ 0.,  6.]], dtype=float32)
    """
    x = jnp.asarray(inputs)
    axes = normalised_axes(axis, x.ndim)
    results = jax.vmap(lambda each: operator(each, *arguments, **options))(
        as_slices(x, axes)
    )
    if x.ndim == 1:
        return results[0]
    return in_place(results, x.shape, axes, same_shape=False)


def over_slices(
    operator: Callable[..., Any],
    arrays: Sequence[Array],
    weights: Array | None,
    axes: tuple[int, ...],
    *,
    entries: int,
    own: Any = None,
) -> Any:
    """Apply `operator(own, weights, *slices)` to slices of arrays along some axes.

    Args:
        operator: maps what a slice has of its own, n weights, which sum to 1, or None,
            and a slice of n values from each array to k results.
        arrays: of one shape, whatever it is.
        weights: None for uniform ones, else of shape (n,) or that of the arrays.
        axes: the axes whose values form one slice together, in ascending order.
        entries: size of the plan that an operator makes of a slice; 0 if it makes none.
        own: a tree of arrays, whose first axis is that of the slices.

    Returns:
        The results of each slice, in the order of `as_slices`; of vectors those of
        their only slice, for an axis more would take a copy.
    """
    inputs = arrays[0]
    n = math.prod(inputs.shape[i] for i in axes)
    check_weights(weights, inputs.shape, n)
    if inputs.ndim == 1:
        weights = None if weights is None else weights.astype(inputs.dtype)
        own = jax.tree.map(lambda array: array[0], own)
        return _on_slice(operator, [own, weights, *arrays])
    slices = [as_slices(array, axes) for array in arrays]
    shape = slices[0].shape
    slices = [own, weight_slices(weights, inputs, axes), *slices]
    if shape[0] == 0:
        one = jax.eval_shape(
            functools.partial(_on_slice, operator),
            jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape[1:], s.dtype), slices),
        )
        return jax.tree.map(lambda s: jnp.zeros((0, *s.shape), s.dtype), one)
    if shape[0] == 1:
        # Not worth the cost of tracing and compiling a batch.
        one = jax.tree.map(lambda array: array[0], slices)
        return jax.tree.map(lambda s: s[None], _on_slice(operator, one))
    return on_rows(functools.partial(_on_slice, operator), slices, entries=entries)


def on_rows(function: Callable[[Any], Any], rows: Any, *, entries: int) -> Any:
    """Return what a function makes of each row of some arrays, some rows at a time.

    Args:
        function: maps a row of each array, in the tree they are in, to results.
        rows: the arrays, at least one row of each.
        entries: size of the plan that the function makes; 0 if it makes none.
    """
    count = jax.tree.leaves(rows)[0].shape[0]
    batch = max(1, _ENTRIES_AT_ONCE // max(1, entries))
    if entries and jax.default_backend() == "cpu":
        batch = min(batch, max(_FEWEST_ROWS, _ENTRIES_CACHED // entries))
    parts = math.ceil(count / batch)
    if parts == 1:
        return jax.vmap(function)(rows)
    size = math.ceil(count / parts)

    def in_parts(array: Array) -> Array:
        # As many in each: the last row fills the last part.
        padding = [(0, parts * size - count), *[(0, 0)] * (array.ndim - 1)]
        return jnp.pad(array, padding, "edge").reshape(parts, size, *array.shape[1:])

    results = jax.lax.map(jax.vmap(function), jax.tree.map(in_parts, rows))
    return jax.tree.map(lambda s: s.reshape(-1, *s.shape[2:])[:count], results)


def check_weights(weights: Array | None, shape: tuple[int, ...], n: int) -> None:
    """Refuse weights that are neither of values of this shape nor of n of a slice."""
    if weights is not None and weights.shape not in ((n,), shape):
        raise SoftSortError(
            f"input_weights has shape {weights.shape}: give one weight for each of the "
            f"{n} values of a slice, or the shape of the inputs, {shape}"
        )


def weight_slices(
    weights: Array | None, inputs: Array, axes: tuple[int, ...]
) -> Array | None:
    """Return the weights of the slices of some inputs, as `over_slices` is given them.

    In the order of `as_slices`.
    """
    if weights is None:
        return None
    slices = as_slices(inputs, axes)
    weights = as_slices(weights, axes) if weights.ndim == inputs.ndim else weights
    return jnp.broadcast_to(weights, slices.shape).astype(inputs.dtype)


def _on_slice(operator: Callable[..., Any], one: Sequence[Any]) -> Any:
    own, weights, *slices = one
    if weights is not None:
        weights, *slices = _weighted(weights, *slices)
    return operator(own, weights, *slices)


@jax.jit
def _weighted(weights: Array, *slices: Array) -> tuple[Array, ...]:
    """Return weights that sum to 1, and slices where weightless values do no harm.

    NaN for weights if any is negative.
    """
    are_weights = jnp.all(weights >= 0)
    shares = jnp.where(are_weights, normalised(weights), jnp.nan)
    return shares, *among_used(shares, *slices)


@jax.jit
def completed(results: Any, others: Any) -> Any:
    """Return results, and whether they are certain, or others where they are not."""
    values, certain = results
    return jnp.where(certain, values, others[0]), certain | others[1]


def are_lacking(weights: Array | None, values: Array, certain: Array) -> Array:
    """Return whether results of values that are numbers are not all certain."""

    def are_numbers() -> Array:
        return jnp.all(jnp.isfinite(jnp.stack(used_range(values, weights))))

    is_certain = jnp.all(certain)
    return jax.lax.cond(is_certain, lambda: ~is_certain, are_numbers)


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


def normalised_axes(axis: int | Sequence[int] | None, ndim: int) -> tuple[int, ...]:
    """Return one or several axes, or all for None, ascending and counted from 0."""
    axis = tuple(range(ndim)) if axis is None else axis
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
