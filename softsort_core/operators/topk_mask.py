"""The soft mask of the largest values, of arrays and of streams."""

import functools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core.arguments import Values, as_count, is_concrete, shape_of
from softsort_core.axis import normalised_axes, slice_size
from softsort_core.defaults import EPSILON, TOLERANCE
from softsort_core.errors import SoftSortError
from softsort_core.operators.forms import Forms, Group, number_of
from softsort_core.operators.masks import PerSlice, count_used
from softsort_core.operators.over_plans import (
    Reading,
    Softness,
    Squashing,
    over_plans,
    read_levels,
)
from softsort_core.operators.quantile_normalization import quantile_normalization
from softsort_core.solver_options import explains_solver_options
from softsort_core.streaming.curves import Curve, expected_levels, point_targets
from softsort_core.streaming.summaries import Summary


@explains_solver_options
def topk_mask(
    inputs: Values,
    axis: int | Sequence[int] | None = -1,
    k: Values = 1,
    *,
    epsilon: float | Array = EPSILON,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
    where: Values | None = None,
    fill: float = np.nan,
) -> Float[Array, "..."]:
    """Select softly: how far each value belongs to the k largest, in [0, 1].

    As epsilon -> 0, tends to 1 at the k largest values and 0 at the others. The mask
    sums to k.

    Args:
        inputs: real numbers of any shape.
        axis: the axis to select along; several axes are taken together as one, and for
            None all.
        k: how many values to select, in [0, n], such as 0.1 n; or one number for each
            slice, in the shape of `inputs` without the axes. All, if there are fewer
            by `where`.
        epsilon: regularisation, positive, relative to squashed values in (0, 1).
        squashing_fun: see `sort`.
        input_weights: see `ranks`; then the selected weight is k / n of the whole.
        tolerance: see `sort`.
        where: see `sort`.
        fill: what stands at values that take no part.

    Returns:
        The mask in the shape of `inputs`. A slice that contains NaN or infinity, or
        whose solve did not converge, is all NaN.

    Raises:
        SoftSortError: an argument out of its range. A k that is traced and out of its
            range makes all NaN.

    Examples:
        >>> import softsort_core as soft
        >>> soft.topk_mask([1.0, 5.0, 4.0, 8.0, 12.0], k=2, epsilon=0.1).tolist()
        [0.001, 0.108, 0.032, 0.861, 0.997]
    """
    softness = Softness(epsilon, squashing_fun, input_weights, tolerance, where, fill)
    return _of_shares(inputs, axis, _shares(inputs, axis, k, where), softness)


def _shares(
    inputs: Values, axis: int | Sequence[int] | None, k: Values, where: Any
) -> Any:
    """Return which share of the values of all slices, or of each, is selected."""
    numbers = _as_numbers(k, slice_size(inputs, axis))
    count = count_used(inputs, axis, where)
    shape = shape_of(inputs)
    axes = normalised_axes(axis, len(shape))
    others = tuple(size for i, size in enumerate(shape) if i not in axes)
    if numbers.shape not in ((), others):
        raise SoftSortError(
            f"k has shape {numbers.shape}: give one number, or one for each slice, in "
            f"the shape {others}"
        )
    if where is not None:
        numbers = jnp.minimum(numbers, count)
    if isinstance(count, int) and numbers.ndim == 0:
        return numbers / max(count, 1)
    return PerSlice(jnp.broadcast_to(numbers / jnp.maximum(count, 1), others))


def _as_numbers(k: Any, n: int) -> Array | np.ndarray:
    """Return numbers in [0, n]; NaN for others that are traced."""
    if not is_concrete(k):
        numbers = jnp.asarray(k)
        return jnp.where((numbers >= 0) & (numbers <= n), numbers, jnp.nan)
    numbers = np.asarray(k)
    if numbers.dtype.kind not in "fiu" or not np.all((numbers >= 0) & (numbers <= n)):
        raise SoftSortError(f"k is {k}: give numbers from 0 to {n}")
    return numbers


def _of_shares(
    inputs: Values, axis: int | Sequence[int] | None, shares: Any, softness: Softness
) -> Array:
    """Return the mask of the largest values, that are these shares of all."""

    def weights(share: Any) -> Any:
        stack = np.stack if is_concrete(share) else jnp.stack
        return stack([1 - share, share], -1)

    is_own = isinstance(shares, PerSlice)
    return over_plans(
        Reading(read_levels, for_each=True),
        inputs,
        axis,
        PerSlice(weights(shares.each)) if is_own else weights(shares),
        softness,
        np.array([0.0, 1.0]),
    )


def solve_topk_mask(
    summary: Summary, k: int, *, epsilon: float = EPSILON, tolerance: float = TOLERANCE
) -> Curve:
    """Return how far a value belongs to the k largest, as `topk_mask` does.

    Args:
        summary: see `solve_sort`.
        k: how many values to select, in [0, n].
        epsilon: see `solve_sort`.
        tolerance: see `solve_sort`.

    Raises:
        SoftSortError: an argument out of its range.
    """
    n = summary.statistics.count
    share = as_count(k, "k", 0, n) / n
    targets = point_targets(np.array([1 - share, share]))
    return expected_levels(summary, targets, [0.0, 1.0], epsilon, tolerance)


def forms(k: int) -> Forms:
    """Return the forms of `topk_mask`; of groups of fewer than k values, all belong."""

    def alone(values: Values, counts: Values | None = None, **softness: Any) -> Array:
        number = number_of(values, counts)
        weighted = Softness(**softness, input_weights=counts)
        return _of_shares(values, -1, min(k, number) / number, weighted)

    def group(group: Group) -> Array:
        most = jnp.minimum(k, group.number)
        shares = jnp.stack([group.number - most, most]) / group.number
        levels = np.array([0.0, 1.0])
        return quantile_normalization(group.values, levels, shares, **group.softness)

    return Forms(
        alone,
        group,
        solve=functools.partial(solve_topk_mask, k=k),
        at_values=Curve.__call__,
    )
