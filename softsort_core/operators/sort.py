"""Soft sorting, in full or of the largest values: of arrays, streams and groups."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from softsort_core.arguments import Values, as_count, as_epsilon
from softsort_core.axis import slice_size
from softsort_core.defaults import EPSILON, LIMIT, TOLERANCE
from softsort_core.errors import SoftSortError
from softsort_core.numerics import increasing
from softsort_core.operators.forms import Forms, Group, counted, descending
from softsort_core.operators.groups import Groups, over_groups
from softsort_core.operators.masks import Count, count_used, per_slice, targets_of_each
from softsort_core.operators.over_plans import (
    Reading,
    Softness,
    Squashing,
    Targets,
    over_plans,
)
from softsort_core.operators.quantile_normalization import means_at_targets
from softsort_core.operators.read_slices import Read
from softsort_core.plans.choose import AnyPlan, are_many_targets
from softsort_core.plans.direct_plan import DirectPlan
from softsort_core.plans.panels import EvenTargets
from softsort_core.solver_options import explains_solver_options
from softsort_core.streaming.curves import even_targets, expected_values, point_targets
from softsort_core.streaming.summaries import Solution, Summary, solve


@explains_solver_options
def sort(
    inputs: Values,
    axis: int | Sequence[int] | None = -1,
    topk: int = -1,
    num_targets: int | None = None,
    *,
    epsilon: float | Array = EPSILON,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
    where: Values | None = None,
    fill: float = np.nan,
) -> Float[Array, "..."]:
    """Sort softly: increasing convex combinations of the values along an axis.

    As epsilon -> 0, tends to the sorted values; as epsilon grows, every entry tends
    to the mean. The entries of a full sort sum to the sum of the values.

    Beyond about 15 / sqrt(epsilon) results, time and memory grow with the number of
    values only, and the error is at most 1e-6 of their range, as estimated.

    Args:
        inputs: real numbers of any shape. XLA takes for 0 what is nearer to it than the
            smallest normal number, about 1e-38 in single precision, 2e-308 in double.
        axis: the axis to sort along; several axes are sorted together as one, and with
            None all values, as a vector.
        topk: if in [1, n - 1], only the `topk` largest are returned.
        num_targets: return this many sorted values instead of n, each standing for
            an equal share of the mass. Not used with `topk`.
        epsilon: regularisation, positive, relative to squashed values in (0, 1).
            For one that JAX traces, programs for many values are made for 1e-3 and
            more; below, results may be NaN.
        squashing_fun: maps the n values of a slice to about [0, 1], increasing. By
            default the sigmoid of the values less their mean over their standard
            deviation.
        input_weights: non-negative weights of the values, of shape (n,) or that of
            `inputs`; uniform by default. A value of weight 0 takes no part, whatever it
            is, NaN and infinity included.
        tolerance: largest error of a result by fewer nodes, relative to the range of
            what results can be, as estimated.
        where: booleans that can be broadcast to `inputs`, true for values that take
            part. Results are those without the others, and have no gradient there;
            k and n count those that do.
        fill: what stands where there is no result: behind the results of a slice of
            fewer values, and everywhere in one without any.

    Returns:
        The shape of `inputs` with size n, `topk` or `num_targets` on `axis`, in their
        dtype, or JAX's default float for integers. A slice that contains NaN or
        infinity, or whose solve did not converge or is not as certain as that, is all
        NaN, and so are its derivatives. A single value is returned as it is, an empty
        axis as an empty axis. What is marked by infinity is to be left out, as
        `where=jax.numpy.isfinite(x)` does: as a value it has no limit but that the
        others, relative to their standard deviation, are all equal.

    Raises:
        SoftSortError: an argument out of its range, or masked arrays. Numbers that are
            traced by JAX cannot be checked: such an epsilon or weight makes NaN.

    Examples:
        >>> import softsort_core as soft
        >>> soft.sort([1.0, 5.0, 4.0, 8.0, 12.0]).tolist()
        [1.048, 4.118, 4.854, 8.006, 11.975]
    """
    n = slice_size(inputs, axis)
    if n == 0 and num_targets is not None:
        raise SoftSortError(
            f"num_targets is {num_targets}, but inputs is empty along its axis"
        )
    topk = as_count(topk, "topk", -1)
    softness = Softness(epsilon, squashing_fun, input_weights, tolerance, where, fill)
    count = count_used(inputs, axis, where)
    if 0 < topk < n:
        return sort_largest(inputs, axis, topk, count, softness)
    targets: Targets = targets_of_each(count, n)
    if num_targets is not None:
        targets = as_count(num_targets, "num_targets", 1)
    results = over_plans(
        Reading(read_sorted, of_one=num_targets is None, limit=np.sort),
        inputs,
        axis,
        targets,
        softness,
        same_shape=num_targets in (None, n),
    )
    return results.reshape(-1) if axis is None else results


def sort_largest(
    inputs: Values,
    axis: int | Sequence[int] | None,
    k: int,
    count: Count,
    softness: Softness,
) -> Array:
    """Return the k largest of what stands for so many values."""
    return over_plans(
        Reading(_read_topk, of_one=True),
        inputs,
        axis,
        largest_targets(count, k, softness.epsilon),
        softness,
        same_shape=False,
    )


def largest_targets(count: Count, k: int, epsilon: Any) -> Targets:
    """Return the rest, and k targets of one value each, as many as there are."""
    if isinstance(count, int) and (many := _many_largest(count, k, epsilon)):
        return many

    def targets(xp: Any, count: Any) -> tuple[Any, Any]:
        places = np.arange(k + 1)
        last = xp.maximum(count - 1, 1)
        even = xp.minimum(xp.maximum(places - 1, 0) / last, 1.0)
        y = xp.where(count > k, places / k, even)
        of_one = (places > 0) & (places <= count)
        b = xp.where(places > 0, of_one, xp.maximum(count - k, 0)) / count
        return y, b

    return per_slice(count, targets)


def _many_largest(n: int, k: int, epsilon: Any) -> EvenTargets | None:
    """Return the rest of n values, and k targets, if these are many."""
    if k < n and epsilon is not LIMIT and are_many_targets(k + 1, as_epsilon(epsilon)):
        return EvenTargets(k + 1, n - k - 1)
    return None


def read_sorted(plan: AnyPlan | DirectPlan, values: Array) -> Read:
    """Read the mean of the values at each target, ascending."""
    means, certain = plan.given_target(values)
    return increasing(means), certain


def _read_topk(plan: AnyPlan, values: Array) -> Read:
    means, certain = plan.given_target(values)
    return increasing(means[1:]), certain


def group_sort(
    values: Values,
    sizes: np.ndarray,
    weights: Values | None = None,
    *,
    epsilon: float = EPSILON,
    squashes: bool = True,
    tolerance: float = TOLERANCE,
) -> np.ndarray:
    """Sort softly within each of many groups; see `group_ranks` and `sort`.

    Each of as many sorted values stands for an equal share of the weights.
    """
    return over_groups(
        _read_group,
        lambda values, _: values,
        Groups(values, sizes, weights, numbers=sizes),
        epsilon,
        squashes,
        tolerance,
    )


def _read_group(plan: Any, x: Array, *_: Array) -> Read:
    return read_sorted(plan, x)


def solve_sort(
    summary: Summary,
    num_targets: int,
    *,
    epsilon: float = EPSILON,
    tolerance: float = TOLERANCE,
) -> Float[Array, " num_targets"]:
    """Return so many sorted values, as `sort` does with `num_targets`.

    Args:
        summary: that of all parts, merged.
        num_targets: how many, each standing for an equal share of the mass.
        epsilon: regularisation, not smaller than that of the summary.
        tolerance: largest error that is returned, relative to the range of results.

    Returns:
        The values, ascending, or NaN if they are not certain.

    Raises:
        SoftSortError: an argument out of its range.
    """
    m = as_count(num_targets, "num_targets", 1)
    return expected_values(summary, even_targets(m, epsilon), epsilon, tolerance)


def solve_topk(
    summary: Summary, k: int, *, epsilon: float = EPSILON, tolerance: float = TOLERANCE
) -> Float[Array, " k"]:
    """Return the k largest soft values, as `sort` does with `topk`.

    Args:
        summary: see `solve_sort`.
        k: how many, at most as many as there are values.
        epsilon: see `solve_sort`.
        tolerance: see `solve_sort`.

    Returns:
        The values, ascending, or NaN if they are not certain.

    Raises:
        SoftSortError: an argument out of its range.
    """
    n = summary.statistics.count
    k = as_count(k, "k", 1, n)
    targets = _many_largest(n, k, epsilon) or point_targets(
        np.append([n - k] if k < n else [], np.ones(k)) / n
    )
    return expected_values(summary, targets, epsilon, tolerance)[-k:]


def forms(num_targets: int | None = None, descends: bool = False) -> Forms:
    """Return the forms of `sort`: of all values, or to so many targets.

    All are as many as there are, however often they count: each result stands for an
    equal share of the values, as often as they do.

    Args:
        num_targets: how many results; as many as values by default.
        descends: whether the largest is the first.
    """
    if num_targets is None:
        ascending = Forms(
            counted(sort),
            lambda group: sorted_group(group, group.values),
            groups=group_sort,
            solve=solve,
            at_places=Solution.sorted_values,
        )
    else:
        ascending = Forms(
            counted(functools.partial(sort, num_targets=num_targets)),
            lambda group: sort(group.values, num_targets=num_targets, **group.softness),
            solve=functools.partial(solve_sort, num_targets=num_targets),
        )
    return descending(ascending, are_values=True) if descends else ascending


def sorted_group(group: Group, values: Array) -> Array:
    """Return values in the order of a group's, padded likewise."""
    targets, softness = group.even(group.size), group.padded_softness(group.size)
    return means_at_targets(group, targets, values, **softness)
