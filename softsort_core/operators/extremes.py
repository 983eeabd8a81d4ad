"""Soft extremes and medians, and the places where they are."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core.arguments import Values, as_array, as_count, as_floating
from softsort_core.axis import normalised_axes, slice_size
from softsort_core.defaults import EPSILON, TOLERANCE
from softsort_core.errors import SoftSortError
from softsort_core.numerics import increasing
from softsort_core.operators.masks import (
    Count,
    PerSlice,
    count_used,
    per_slice,
    targets_of_each,
    turned,
)
from softsort_core.operators.over_plans import (
    Reading,
    Softness,
    Squashing,
    Targets,
    over_plans,
)
from softsort_core.operators.read_slices import Read
from softsort_core.operators.sort import largest_targets, read_sorted
from softsort_core.plans.choose import AnyPlan


def max(
    inputs: Values,
    axis: int | Sequence[int] | None = None,
    *,
    keepdims: bool = False,
    epsilon: float | Array = EPSILON,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
    where: Values | None = None,
    fill: float = np.nan,
) -> Float[Array, "..."]:
    """Return the soft maximum: a convex combination of the largest values.

    As epsilon -> 0, tends to the maximum; as epsilon grows, to the mean.

    Args:
        inputs: real numbers of any shape.
        axis: the axis, or several axes taken together as one; None for all.
        keepdims: whether these stay, with size 1.
        epsilon: regularisation, positive, relative to squashed values in (0, 1).
        squashing_fun: see `sort`.
        input_weights: see `sort`; the maximum is of a mass of 1 / n of the whole.
        tolerance: see `sort`.
        where: see `sort`.
        fill: what stands for slices without any.

    Returns:
        The shape of `inputs` without the axes, as `jax.numpy.max` has it. NaN for a
        slice that contains NaN or infinity, or whose solve did not converge.

    Raises:
        SoftSortError: an argument out of its range, or no values.

    Examples:
        >>> import softsort_core as soft
        >>> print(soft.max([1.0, 5.0, 4.0, 8.0, 12.0], epsilon=0.1).round(3))
        11.514
    """
    softness = Softness(epsilon, squashing_fun, input_weights, tolerance, where, fill)
    return _reduced("max", read_sorted, inputs, axis, keepdims, softness)


def min(
    inputs: Values,
    axis: int | Sequence[int] | None = None,
    *,
    keepdims: bool = False,
    epsilon: float | Array = EPSILON,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
    where: Values | None = None,
    fill: float = np.nan,
) -> Float[Array, "..."]:
    """Return the soft minimum: a convex combination of the smallest values.

    As epsilon -> 0, tends to the minimum; as epsilon grows, to the mean. Arguments,
    results and errors are those of `max`.

    Examples:
        >>> import softsort_core as soft
        >>> print(soft.min([1.0, 5.0, 4.0, 8.0, 12.0], epsilon=0.1).round(3))
        1.619
    """
    softness = Softness(epsilon, squashing_fun, input_weights, tolerance, where, fill)
    return _reduced("min", read_sorted, inputs, axis, keepdims, softness)


def median(
    inputs: Values,
    axis: int | Sequence[int] | None = None,
    *,
    keepdims: bool = False,
    epsilon: float | Array = EPSILON,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
    where: Values | None = None,
    fill: float = np.nan,
) -> Float[Array, "..."]:
    """Return the soft median: a convex combination of the values in the middle.

    As epsilon -> 0, tends to the median, of an even number of values the mean of the
    two in the middle; as epsilon grows, to the mean. Arguments, results and errors are
    those of `max`. It is the `quantile` of level 0.5 and a weight of at most 1 / n.

    Examples:
        >>> import softsort_core as soft
        >>> print(soft.median([1.0, 5.0, 4.0, 8.0, 12.0]).round(3))
        4.996
    """
    softness = Softness(epsilon, squashing_fun, input_weights, tolerance, where, fill)
    return _reduced("median", read_sorted, inputs, axis, keepdims, softness)


def argmax(
    inputs: Values,
    axis: int | Sequence[int] | None = None,
    *,
    keepdims: bool = False,
    epsilon: float | Array = EPSILON,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
    where: Values | None = None,
    fill: float = np.nan,
) -> Float[Array, "..."]:
    """Return the soft place of the maximum: the mean of the places of largest values.

    As epsilon -> 0, tends to the index of the maximum, or to the mean of those of its
    ties; as epsilon grows, to the middle. Without an axis, or with several, it is the
    index in the values of these, one after another. Arguments, results and errors are
    those of `max`, but that a place of values of half precision is in single precision.

    Examples:
        >>> import softsort_core as soft
        >>> print(soft.argmax([1.0, 5.0, 4.0, 8.0, 12.0], epsilon=0.1).round(3))
        3.875
    """
    softness = Softness(epsilon, squashing_fun, input_weights, tolerance, where, fill)
    return _reduced("max", read_places, inputs, axis, keepdims, softness)


def argmin(
    inputs: Values,
    axis: int | Sequence[int] | None = None,
    *,
    keepdims: bool = False,
    epsilon: float | Array = EPSILON,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
    where: Values | None = None,
    fill: float = np.nan,
) -> Float[Array, "..."]:
    """Return the soft place of the minimum: the mean of the places of smallest values.

    As epsilon -> 0, tends to the index of the minimum, or to the mean of those of its
    ties; see `argmax`.

    Examples:
        >>> import softsort_core as soft
        >>> print(soft.argmin([1.0, 5.0, 4.0, 8.0, 12.0], epsilon=0.1).round(3))
        0.337
    """
    softness = Softness(epsilon, squashing_fun, input_weights, tolerance, where, fill)
    return _reduced("min", read_places, inputs, axis, keepdims, softness)


def top_k(
    inputs: Values,
    k: int,
    axis: int | Sequence[int] | None = -1,
    *,
    epsilon: float | Array = EPSILON,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
    where: Values | None = None,
    fill: float = np.nan,
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Return the k largest values softly, from the largest on, and their soft places.

    As epsilon -> 0, tends to what `jax.lax.top_k` returns, but that ties share the mean
    of their indices.

    Args:
        inputs: real numbers of any shape.
        k: how many values, at most n.
        axis: the axis, or several axes taken together as one; None for all.
        epsilon: see `max`.
        squashing_fun: see `sort`.
        input_weights: see `sort`; each of them is of a mass of 1 / n of the whole.
        tolerance: see `sort`.
        where: see `sort`.
        fill: what stands for slices without any.

    Returns:
        The values, as `sort` returns them with `topk`, and the mean index of what each
        is made of; both of size k on `axis`.

    Raises:
        SoftSortError: an argument out of its range.

    Examples:
        >>> import softsort_core as soft
        >>> values, places = soft.top_k([1.0, 5.0, 4.0, 8.0, 12.0], 2, epsilon=0.1)
        >>> values.tolist(), places.tolist()
        ([11.004, 7.764], [3.736, 2.69])
    """
    x, axes = along(inputs, axis)
    n, count = slice_size(x, axes), count_used(x, axes, where)
    k = as_count(k, "k", 1, n)
    both = over_plans(
        Reading(_read_all if k == n else _read_largest, of_one=True),
        x,
        axes,
        targets_of_each(count, n) if k == n else largest_targets(count, k, epsilon),
        Softness(epsilon, squashing_fun, input_weights, tolerance, where, fill),
        per_slice(count, lambda xp, count: xp.minimum(count, k)),
        same_shape=False,
        levels_dtype=jnp.float32,
    )
    if (more := k - both.shape[axes[0]]) > 0:
        # Of a vector's values it is known that fewer take part.
        both = jnp.pad(both, ((0, more), (0, 0)), constant_values=fill)
    values, places = (jnp.take(both, i, axes[0] + 1) for i in (0, 1))
    return values.astype(as_floating(x, "inputs")[1]), places


def argsort(
    inputs: Values,
    axis: int | Sequence[int] | None = -1,
    *,
    descending: bool = False,
    epsilon: float | Array = EPSILON,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
    where: Values | None = None,
    fill: float = np.nan,
) -> Float[Array, "..."]:
    """Return the soft places of the sorted values: the mean of the places near each.

    As epsilon -> 0, tends to the indices that sort the values, ties sharing the mean of
    theirs; as epsilon grows, to the middle.

    Args:
        inputs: real numbers of any shape.
        axis: the axis to sort along; several axes are sorted together as one, and with
            None all values, as a vector.
        descending: whether the largest is the first.
        epsilon: regularisation, positive, relative to squashed values in (0, 1).
        squashing_fun: see `sort`.
        input_weights: see `sort`.
        tolerance: see `sort`.
        where: see `sort`.
        fill: what stands for slices without any.

    Returns:
        Places in the shape of `inputs`, in single precision for values of half. A slice
        that contains NaN or infinity, or whose solve did not converge, is all NaN.

    Raises:
        SoftSortError: an argument out of its range.

    Examples:
        >>> import softsort_core as soft
        >>> soft.argsort([9.0, 5.0, 7.0], epsilon=1e-3).tolist()
        [1.0, 2.0, 0.0]
    """
    x, axes = along(inputs, axis)
    count = count_used(x, axes, where)
    results = over_plans(
        Reading(_read_turned if descending else read_places, of_one=True),
        x,
        axes,
        targets_of_each(count, slice_size(x, axes)),
        Softness(epsilon, squashing_fun, input_weights, tolerance, where, fill),
        *([_argument(count)] if descending else []),
        levels_dtype=jnp.float32,
    )
    return results.reshape(-1) if axis is None else results


def _argument(count: Count) -> Any:
    return np.array(count) if isinstance(count, int) else PerSlice(count)


def along(
    inputs: Values, axis: int | Sequence[int] | None
) -> tuple[Any, tuple[int, ...]]:
    """Return an array with at least one axis, and the axes that are meant.

    A number is a vector of one value, as numpy has it.
    """
    x = as_array(inputs, "inputs")
    x = x.reshape(1) if x.ndim == 0 else x
    return x, normalised_axes(tuple(range(x.ndim)) if axis is None else axis, x.ndim)


def _reduced(
    name: str,
    read: Callable[..., Read],
    inputs: Values,
    axis: int | Sequence[int] | None,
    keepdims: bool,
    softness: Softness,
) -> Array:
    """Return the result at one target of each slice, at the place of the slice."""
    x, axes = along(inputs, axis)
    n = slice_size(x, axes)
    if n == 0:
        raise SoftSortError(f"{name} of no values: inputs is empty along its axis")
    targets, at = _targets(name, count_used(x, axes, softness.where))
    is_place = read is read_places
    results = over_plans(
        Reading(read),
        x,
        axes,
        targets,
        softness,
        same_shape=False,
        levels_dtype=jnp.float32 if is_place else None,
    )
    result = jnp.take(results, at, axes[0])
    return jnp.expand_dims(result, axes) if keepdims and np.ndim(inputs) else result


def _targets(name: str, count: Count) -> tuple[Targets, int]:
    """Return the weights of targets, and which of them is read."""

    def weights(xp: Any, n: Any) -> Any:
        if name == "median":
            # That of `quantile`, but for no more than the value in the middle.
            share = xp.where(n < 50, 0.02, 1 / n)
            rest = 0.5 - share / 2
            return xp.concatenate([rest, share, rest], -1)
        ends = [n - 1, xp.ones_like(n)] if name == "max" else [xp.ones_like(n), n - 1]
        return xp.concatenate(ends, -1) / n

    return per_slice(count, weights), 0 if name == "min" else 1


def read_places(plan: AnyPlan, values: Array) -> Read:
    """Read the mean index of the values at each target."""
    return plan.given_target(jnp.arange(values.shape[0], dtype=values.dtype))


def _read_turned(plan: AnyPlan, values: Array, count: Array) -> Read:
    """Read places from the last target of so many on."""
    places, certain = read_places(plan, values)
    return turned(places, count), certain


def _read_largest(plan: AnyPlan, values: Array, number: Array) -> Read:
    """Read values and places, from the last of so many targets on behind the rest."""
    return _read_all(plan, values, number, slice(1, None))


def _read_all(
    plan: AnyPlan, values: Array, number: Array, targets: slice = slice(None)
) -> Read:
    """Read values and places, from the last of so many targets on."""
    places = jnp.arange(values.shape[0], dtype=values.dtype)
    means, certain = plan.given_target(jnp.stack([values, places], axis=1))
    means = means[targets]
    means = means.at[:, 0].set(increasing(means[:, 0]))
    return turned(means, number), certain
