"""Values that take no part, by a mask, and how many are left."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from softsort_core.arguments import is_concrete, shape_of
from softsort_core.axis import as_slices, normalised_axes, slice_size
from softsort_core.errors import SoftSortError
from softsort_core.plans.quadrature import MANY

# Even targets of so few values are those of a slice; see `plans.panels.Few`.
_FEWEST = 16
# That of all slices, or one for each.
Count: TypeAlias = int | Array | np.ndarray


class PerSlice(NamedTuple):
    """What differs from slice to slice.

    Attributes:
        each: a tree of arrays, in the shape of the inputs without the axes of slices,
            and with more axes behind.
    """

    each: Any


class EvenPerSlice(NamedTuple):
    """Equal targets, as many as there are values.

    Attributes:
        number: how many, in the shape of the inputs without the axes of slices.
        most: no slice has more.
    """

    number: Array
    most: int


def as_mask(where: Any, shape: tuple[int, ...]) -> Bool[Array, "..."] | None:
    """Return a mask of this shape, true for what takes part; None for all."""
    if where is None:
        return None
    mask = where if isinstance(where, jax.Array) else np.asarray(where)
    if mask.dtype != bool or np.ma.is_masked(where):
        raise SoftSortError(
            f"where has dtype {mask.dtype}: give booleans, true for values that take "
            "part"
        )
    try:
        fits = np.broadcast_shapes(mask.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise SoftSortError(
            f"where has shape {mask.shape}: give the shape of the inputs, {shape}, or "
            "one that can be broadcast to it"
        )
    return jnp.broadcast_to(mask, shape)


def count_used(inputs: Any, axis: int | Sequence[int] | None, where: Any) -> Count:
    """Return how many values of slices take part.

    That is a number if it is known and the same for all: of all values, or of a vector.
    """
    shape = shape_of(inputs)
    mask = as_mask(where, shape)
    if mask is None:
        return slice_size(inputs, axis)
    count = jnp.sum(mask, normalised_axes(axis, len(shape)))
    return int(count) if len(shape) == 1 and is_concrete(count) else count


def per_slice(count: Count, make: Callable[[Any, Any], Any]) -> Any:
    """Return what `make(xp, count)` makes of the count of each slice, at least 1.

    It is given `numpy` or `jax.numpy`, and the count with an axis more.
    """
    if isinstance(count, int):
        return make(np, np.array([max(count, 1)]))
    return PerSlice(make(jnp, jnp.maximum(count, 1)[..., None]))


def targets_of_each(count: Count, n: int) -> int | EvenPerSlice:
    """Return as many equal targets as values that take part, of n.

    Few of many are those of a slice, which are solved for as they are.
    """
    if isinstance(count, int) and (n <= MANY or count > _FEWEST):
        return max(count, 1)
    return EvenPerSlice(jnp.maximum(count, 1), n)


def turned(results: Array, count: Any) -> Array:
    """Return so many results from the last of these on, before the others."""
    m = results.shape[0]
    return results[(count - 1 - jnp.arange(m)) % m]


@functools.partial(jax.jit, static_argnames="axes")
def masked(
    x: Array, a: Array | None, mask: Array, axes: tuple[int, ...]
) -> tuple[Array, Array]:
    """Return values and their weights, 0 for those that take no part.

    In their place is the least of the others, so that nothing is made of what they are.
    Where none takes part, all are alike.
    """
    n = [size if i in axes else 1 for i, size in enumerate(x.shape)]
    a = jnp.ones((), x.dtype) if a is None else a.astype(x.dtype)
    # One for each value of a slice.
    a = a.reshape(n) if a.ndim == 1 else a
    is_any = jnp.any(mask, axes, keepdims=True)
    least = jnp.min(
        jax.lax.stop_gradient(x), axes, keepdims=True, initial=jnp.inf, where=mask
    )
    x = jnp.where(mask, x, jnp.where(is_any, least, 0.0))
    return x, jnp.where(mask, a, jnp.where(is_any, 0.0, 1.0).astype(x.dtype))


@functools.partial(jax.jit, static_argnames=("axes", "size", "for_each", "of_one"))
def filled(
    results: Array,
    mask: Array,
    fill: Any,
    axes: tuple[int, ...],
    size: int | None,
    for_each: bool,
    of_one: bool,
) -> Array:
    """Return the results of slices, filled where there are none.

    Args:
        results: see `over_slices`.
        mask: which values take part.
        fill: a number.
        axes: those along which slices are.
        size: how many results slices have, if there may be fewer of fewer values.
        for_each: whether there is a result for each value.
        of_one: whether each stands for a value, so that there are as many.
    """
    rows = mask if mask.ndim == 1 else as_slices(mask, axes)
    at = rows.ndim - 1
    if (more := (size or 0) - results.shape[at]) > 0:
        padding = [(0, more if i == at else 0) for i in range(results.ndim)]
        results = jnp.pad(results, padding)
    kept = rows
    if not for_each:
        counts = jnp.sum(rows, -1, keepdims=True)
        kept = counts > (np.arange(results.shape[at]) if of_one else 0)
    kept = kept.reshape(*kept.shape, *[1] * (results.ndim - kept.ndim))
    return jnp.where(kept, results, jnp.asarray(fill, results.dtype))
