"""Soft quantization to levels of equal mass, of arrays and of streams."""

import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Float

from softsort_core.arguments import Values, as_count
from softsort_core.axis import slice_size
from softsort_core.defaults import EPSILON, TOLERANCE
from softsort_core.errors import SoftSortError
from softsort_core.operators.forms import Forms, counted
from softsort_core.operators.over_plans import (
    Reading,
    Softness,
    Squashing,
    equal_targets,
    over_plans,
    read_levels,
)
from softsort_core.operators.read_slices import Read
from softsort_core.plans.choose import AnyPlan
from softsort_core.solver_options import explains_solver_options
from softsort_core.streaming.curves import (
    Curve,
    expected_levels,
    expected_values,
    point_targets,
)
from softsort_core.streaming.summaries import Summary

# Levels, unless there are more values.
_MOST_LEVELS = 2**14


@explains_solver_options
def quantize(
    inputs: Values,
    num_levels: int = 10,
    axis: int | Sequence[int] | None = -1,
    *,
    epsilon: float | Array = EPSILON,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
    where: Values | None = None,
    fill: float = np.nan,
) -> Float[Array, "..."]:
    """Quantize softly: draw the values to `num_levels` levels of equal mass.

    As epsilon -> 0, each value becomes the mean of the values in its own quantile
    group; as epsilon grows, the mean of all.

    Args:
        inputs: real numbers of any shape.
        num_levels: number of levels, up to 16,384 or the number of values.
        axis: the axis to quantize along; several axes are taken together as one, and
            for None all.
        epsilon: regularisation, positive, relative to squashed values in (0, 1).
        squashing_fun: see `sort`.
        input_weights: see `ranks`.
        tolerance: see `sort`.
        where: see `sort`.
        fill: what stands at values that take no part.

    Returns:
        Quantized values in the shape of `inputs`. A slice that contains NaN or
        infinity, or whose solve did not converge, is all NaN.

    Raises:
        SoftSortError: an argument out of its range.

    Examples:
        >>> import softsort_core as soft
        >>> soft.quantize([1.0, 2.0, 8.0, 9.0], num_levels=2).tolist()
        [1.5, 1.5, 8.5, 8.5]
    """
    levels = as_count(num_levels, "num_levels", 1)
    n = slice_size(inputs, axis)
    if levels > max(n, _MOST_LEVELS):
        raise SoftSortError(
            f"num_levels is {levels}, which is too large for {n} values: give up to "
            f"{max(n, _MOST_LEVELS)}"
        )
    return over_plans(
        Reading(_read_quantized, for_each=True),
        inputs,
        axis,
        equal_targets(levels, epsilon),
        Softness(epsilon, squashing_fun, input_weights, tolerance, where, fill),
    )


def _read_quantized(plan: AnyPlan, values: Array) -> Read:
    levels, are_certain = plan.given_target(values)
    means, certain = read_levels(plan, values, levels)
    return means, certain & are_certain


def solve_quantize(
    summary: Summary,
    num_levels: int = 10,
    *,
    epsilon: float = EPSILON,
    tolerance: float = TOLERANCE,
) -> Curve:
    """Return what a value is drawn to by levels of equal mass, as `quantize` does.

    Args:
        summary: see `solve_sort`.
        num_levels: number of levels.
        epsilon: see `solve_sort`.
        tolerance: see `solve_sort`.

    Raises:
        SoftSortError: an argument out of its range.
    """
    m = as_count(num_levels, "num_levels", 1)
    targets = point_targets(np.full(m, 1 / m))
    levels = expected_values(summary, targets, epsilon, tolerance)
    return expected_levels(summary, targets, levels, epsilon, tolerance)


def forms(num_levels: int) -> Forms:
    """Return the forms of `quantize`."""
    return Forms(
        counted(functools.partial(quantize, num_levels=num_levels)),
        lambda group: quantize(group.values, num_levels, **group.softness),
        solve=functools.partial(solve_quantize, num_levels=num_levels),
        at_values=Curve.__call__,
    )
