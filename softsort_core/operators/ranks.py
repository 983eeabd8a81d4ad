"""Soft ranks, of arrays and of groups; those of streams are of `Solution`."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core.arguments import Values, as_count, as_distribution
from softsort_core.axis import slice_size
from softsort_core.defaults import EPSILON, TOLERANCE
from softsort_core.operators.exact import hard_ranks
from softsort_core.operators.forms import (
    Forms,
    Group,
    descending,
    group_numbers,
    number_of,
)
from softsort_core.operators.groups import Groups, over_groups
from softsort_core.operators.masks import PerSlice, count_used, targets_of_each
from softsort_core.operators.over_plans import (
    Reading,
    Softness,
    Squashing,
    Targets,
    over_plans,
)
from softsort_core.operators.read_slices import Read
from softsort_core.plans.choose import AnyPlan
from softsort_core.plans.monotone import MonotonePlan
from softsort_core.solver_options import explains_solver_options
from softsort_core.streaming.summaries import Solution, solve


@explains_solver_options
def ranks(
    inputs: Values,
    axis: int | Sequence[int] | None = -1,
    num_targets: int | None = None,
    target_weights: Values | None = None,
    *,
    epsilon: float | Array = EPSILON,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
    where: Values | None = None,
    fill: float = np.nan,
) -> Float[Array, "..."]:
    """Rank softly: the ascending rank of each value, a real number in [0, n - 1].

    As epsilon -> 0, tends to the ranks 0 ... n - 1, ties sharing their average; as
    epsilon grows, every rank tends to (n - 1) / 2, which is always their mean.

    Beyond about 15 / sqrt(epsilon) levels, time and memory grow with the number of
    values only, and the error is at most 1e-6 of n - 1, as estimated.

    Args:
        inputs: real numbers of any shape.
        axis: the axis to rank along; several axes are ranked together as one, and
            for None all.
        num_targets: number of rank levels in [0, n - 1]; n by default.
        target_weights: masses of the rank levels, instead of `num_targets`. Time grows
            with the third power of their number.
        epsilon: regularisation, positive, relative to squashed values in (0, 1).
        squashing_fun: see `sort`.
        input_weights: see `sort`. A value of weight 0 is ranked among the others
            without influencing them; one that is NaN or infinite has the rank NaN.
        tolerance: see `sort`.
        where: see `sort`.
        fill: what stands at values that take no part.

    Returns:
        Ranks in the shape of `inputs`, and in single precision for values of half: this
        cannot tell ranks beyond 2,048 apart. A slice that contains NaN or infinity, or
        whose solve did not converge, is all NaN. A single value has rank 0.

    Raises:
        SoftSortError: as `sort`.

    Examples:
        >>> import softsort_core as soft
        >>> soft.ranks([1.0, 5.0, 4.0, 8.0, 12.0]).tolist()
        [0.016, 1.841, 1.15, 3.0, 3.994]
    """
    count = count_used(inputs, axis, where)
    targets: Targets = targets_of_each(count, slice_size(inputs, axis))
    if target_weights is not None:
        targets = as_distribution(target_weights, "target_weights")
    elif num_targets is not None:
        targets = as_count(num_targets, "num_targets", 1)
    softness = Softness(epsilon, squashing_fun, input_weights, tolerance, where, fill)
    return _ranks_to(count - 1.0, inputs, axis, targets, softness)


def _ranks_to(
    highest: Any,
    inputs: Values,
    axis: int | Sequence[int] | None,
    targets: Targets,
    softness: Softness,
) -> Array:
    is_same = isinstance(highest, float)
    return over_plans(
        Reading(_read_ranks, for_each=True, limit=hard_ranks),
        inputs,
        axis,
        targets,
        softness,
        np.array(highest) if is_same else PerSlice(highest),
        levels_dtype=jnp.float32,
    )


def _read_ranks(plan: AnyPlan, values: Array, highest: Array) -> Read:
    if isinstance(plan, MonotonePlan):
        return plan.given_input(plan.ladder(highest))
    return plan.given_input(_scaled(highest.astype(values.dtype), plan.targets))


@jax.jit
def _scaled(factor: Array, values: Array) -> Array:
    return factor * values


def group_ranks(
    values: Values,
    sizes: np.ndarray,
    weights: Values | None = None,
    *,
    epsilon: float = EPSILON,
    squashes: bool = True,
    tolerance: float = TOLERANCE,
) -> np.ndarray:
    """Rank softly within each of many groups.

    As epsilon -> 0, tends to the ranks within the group.

    Args:
        values: those of the groups, one after another.
        sizes: how many values each group has.
        weights: how often each value counts, as if it were repeated, more than 0; once
            by default.
        epsilon: see `ranks`.
        squashes: whether values are squashed by default; else they are in [0, 1].
        tolerance: see `ranks`.

    Returns:
        The ranks of the values. Those of a group are NaN if that is of more than 16,384
        values, as often as they count, or of several that count once together, or
        epsilon less than 0.003, or they are not certain: `ranks` is slower but finds
        them.

    Examples:
        >>> import numpy as np
        >>> import softsort_core as soft
        >>> found = soft.group_ranks(np.arange(40.0) % 20, np.array([20, 15, 5]))
        >>> found[[0, 19, 34, 39]].tolist()
        [1.1, 17.9, 13.3, 3.9]
    """
    return over_groups(
        _read_group,
        lambda _, numbers: (numbers - 1) / 2,
        Groups(values, sizes, weights, group_numbers(sizes, weights)),
        epsilon,
        squashes,
        tolerance,
    )


def _read_group(plan: Any, x: Array, targets: Array, number: Array) -> Read:
    del x
    return plan.given_input((number - 1).astype(targets.dtype) * targets)


def forms(start: int = 0, pct: bool = False, descends: bool = False) -> Forms:
    """Return the forms of `ranks`.

    Args:
        start: the rank of the smallest value.
        pct: whether ranks are shares of the highest instead: over n - 1, from 0 to 1;
            that of a single value is 1 / 2.
        descends: whether the largest value is the first.
    """

    def placed(ranks: Any, number: Any) -> Any:
        """Return ranks from 0 among so many values as they are asked for."""
        if pct:
            xp = np if isinstance(ranks, np.ndarray) else jnp
            return xp.where(number > 1, ranks / xp.maximum(number - 1, 1), 0.5)
        # Zero need not be added to millions of ranks.
        return ranks + start if start else ranks

    def alone(values: Values, counts: Values | None = None, **softness: Any) -> Array:
        number = number_of(values, counts)
        weighted = Softness(**softness, input_weights=counts)
        return placed(_ranks_to(number - 1.0, values, -1, number, weighted), number)

    def group(group: Group) -> Array:
        number = group.number
        softness = group.padded_softness(number)
        results = ranks(group.values, target_weights=group.even(number), **softness)
        return placed(results, number)

    def groups(
        values: Values,
        sizes: np.ndarray,
        counts: Values | None = None,
        **softness: Any,
    ) -> np.ndarray:
        results = group_ranks(values, sizes, counts, **softness)
        return placed(results, np.repeat(group_numbers(sizes, counts), sizes))

    def at_values(solution: Solution, values: np.ndarray) -> Array:
        return placed(solution.ranks(values), solution.statistics.count)

    ascending = Forms(
        alone,
        group,
        has_all_targets=True,
        groups=groups,
        solve=solve,
        at_values=at_values,
    )
    return descending(ascending, are_values=False) if descends else ascending
