"""Soft quantiles, of arrays and of streams."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core.arguments import Values, as_levels, is_concrete, is_real
from softsort_core.axis import slice_size
from softsort_core.defaults import EPSILON, TOLERANCE
from softsort_core.errors import SoftSortError
from softsort_core.operators.forms import Forms, Group, number_of
from softsort_core.operators.masks import Count, PerSlice, count_used
from softsort_core.operators.over_plans import Reading, Softness, Squashing, over_plans
from softsort_core.operators.read_slices import Read
from softsort_core.operators.sort import read_sorted
from softsort_core.plans.choose import AnyPlan
from softsort_core.solver_options import explains_solver_options
from softsort_core.streaming.curves import expected_values, point_targets
from softsort_core.streaming.summaries import Summary


@explains_solver_options
def quantile(
    inputs: Values,
    q: Values | None = None,
    axis: int | Sequence[int] | None = -1,
    weight: float | Array | None = None,
    *,
    epsilon: float | Array = EPSILON,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
    where: Values | None = None,
    fill: float = np.nan,
) -> Float[Array, "..."]:
    """Compute soft quantiles: convex combinations of the values near each level.

    As epsilon -> 0, tends to the average of the sorted values whose cumulative mass
    lies within `weight` of mass around the level: for `weight` <= 1 / n that is the
    value at the level itself, or the mean of the two that meet there. As epsilon
    grows, every quantile tends to the mean.

    Args:
        inputs: real numbers of any shape.
        q: a level or a vector of k levels in [0, 1], in any order; 0.2, 0.5 and 0.8
            by default. 0 and 1 are the soft minimum and maximum.
        axis: the axis, or several axes taken together as one; None for all.
        weight: mass of the target of each level, at most half the distance between
            neighbouring levels, to 0 and to 1. By default the smallest of that
            bound, 0.02 and 1.5 / n.
        epsilon: regularisation, positive, relative to squashed values in (0, 1).
        squashing_fun: see `sort`.
        input_weights: see `sort`.
        tolerance: see `sort`.
        where: see `sort`.
        fill: what stands for slices without any.

    Returns:
        The shape of `inputs` with size k on `axis` (1 for a scalar `q`), in the order
        of `q`; equal levels have equal values. A slice that contains NaN or infinity,
        or whose solve did not converge, is all NaN.

    Raises:
        SoftSortError: an argument out of its range, or no values. A level that is
            traced and out of its range makes all NaN.

    Examples:
        >>> import softsort_core as soft
        >>> soft.quantile([1.0, 5.0, 4.0, 8.0, 12.0], q=0.5).tolist()
        [4.996]
    """
    if slice_size(inputs, axis) == 0:
        raise SoftSortError("quantile of no values: inputs is empty along its axis")
    # Equal levels share one target.
    levels, share = as_levels(q), _level_share(weight, count_used(inputs, axis, where))
    if is_concrete(levels):
        distinct, places = np.unique(levels, return_inverse=True)
        targets = _of_shares(share, lambda w: _quantile_weights(distinct, w))
    else:
        # Their number is not known: what fills them up has no weight.
        k = levels.size
        distinct, places, counts = jnp.unique(
            levels, return_inverse=True, return_counts=True, size=k, fill_value=1.0
        )
        number = jnp.sum(counts > 0)
        y = jnp.minimum(jnp.arange(2 * k + 1) / (2 * number), 1.0)
        targets = _of_shares(
            share, lambda w: (y, _quantile_weights(distinct, w, number))
        )
    return over_plans(
        Reading(_read_quantiles),
        inputs,
        axis,
        targets,
        Softness(epsilon, squashing_fun, input_weights, tolerance, where, fill),
        places,
        same_shape=False,
    )


def _read_quantiles(plan: AnyPlan, values: Array, places: Array) -> Read:
    means, certain = read_sorted(plan, values)
    return _at_levels(means, places), certain


@jax.jit
def _at_levels(values: Array, places: Array) -> Array:
    """Return the values of 2 k + 1 targets at some of the k levels."""
    return values[1::2][places]


def _of_shares(share: Any, targets: Callable[[Any], Any]) -> Any:
    """Return the targets of levels of a share, or of that of each slice."""
    if not isinstance(share, PerSlice):
        return targets(share)
    each = jnp.ravel(share.each)
    rows = jax.vmap(targets)(each)
    return PerSlice(jax.tree.map(lambda row: row.reshape(*share.each.shape, -1), rows))


def _level_share(weight: float | Array | None, count: Count) -> Any:
    """Return the largest weight of the target that stands for a level."""
    if weight is None and isinstance(count, int):
        return min(0.02, 1.5 / max(count, 1))
    if weight is None:
        return PerSlice(jnp.minimum(0.02, 1.5 / jnp.maximum(count, 1)))
    is_number = np.shape(weight) == () and is_real(weight)
    if not is_number or (is_concrete(weight) and not weight >= 0):
        raise SoftSortError(
            f"weight is {weight!r}: give one number that is not negative, such as 0.02"
        )
    return weight


@jax.jit
def _quantile_weights(
    levels: Array | np.ndarray, share: float | Array, count: Any = None
) -> Array:
    """Return weights of 2 k + 1 targets: filler, level, filler, ..., level, filler.

    Args:
        levels: k that rise to up to 1.
        share: the weight of a level, if there is room for it.
        count: so many of them; the others are 1 and have no weight.
    """
    k = levels.size
    count = k if count is None else count
    places = jnp.arange(k + 1)
    gaps = jnp.diff(levels, prepend=0.0, append=1.0)
    room = jnp.min(jnp.where(places <= count, gaps, 1.0))
    w = jnp.minimum(jnp.minimum(0.5 / count, 0.5 * room), share)
    w = jnp.where(w >= 0, w, jnp.nan)
    ends = jnp.where((places == 0) | (places == count), 0.5, 1.0)
    fillers = jnp.where(places <= count, gaps - w * ends, 0.0)
    shares = jnp.where(places < count, w, 0.0)
    return jnp.stack([fillers, shares], axis=1).reshape(-1)[:-1]


def solve_quantile(
    summary: Summary,
    q: Values | None = None,
    *,
    epsilon: float = EPSILON,
    tolerance: float = TOLERANCE,
) -> Float[Array, " k"]:
    """Return soft quantiles, as `quantile` does.

    Args:
        summary: see `solve_sort`.
        q: levels in [0, 1], in any order; 0.2, 0.5 and 0.8 by default.
        epsilon: see `solve_sort`.
        tolerance: see `solve_sort`.

    Returns:
        The quantiles, in the order of `q`, or NaN if they are not certain.

    Raises:
        SoftSortError: an argument out of its range.

    Examples:
        >>> import softsort_core as soft
        >>> x = [1.0, 5.0, 4.0, 8.0, 12.0]
        >>> soft.solve_quantile(soft.summarise(x, soft.describe(x)), 0.5).tolist()
        [4.996]
    """
    levels = np.asarray(as_levels(q))
    distinct, places = np.unique(levels, return_inverse=True)
    weights = _quantile_weights(distinct, _level_share(None, summary.statistics.count))
    values = expected_values(summary, point_targets(weights), epsilon, tolerance)
    return values[1::2][places]


def forms(q: Sequence[float], *, jointly: bool = True) -> Forms:
    """Return the forms of `quantile` at some levels.

    Of one plan if `jointly`, where they change each other; else of a plan for each.
    """
    plans = [np.array(q)] if jointly else [np.array([level]) for level in q]

    def alone(values: Values, counts: Values | None = None, **softness: Any) -> Array:
        softness["weight"] = _level_share(None, number_of(values, counts))
        softness["input_weights"] = counts
        return jnp.concatenate([quantile(values, q, **softness) for q in plans])

    def group(group: Group) -> Array:
        # The mass that a level gets by itself, by the size of the group.
        mass = jnp.minimum(0.02, 1.5 / group.number)

        def at(levels: Array | np.ndarray) -> Array:
            return quantile(group.values, levels, weight=mass, **group.softness)

        if len(plans) == 1:
            return at(plans[0])
        # One program for all of them.
        return jax.lax.map(lambda level: at(level[None])[0], jnp.array(q))

    def solve(summary: Summary, **softness: Any) -> Array:
        values = [solve_quantile(summary, levels, **softness) for levels in plans]
        return jnp.concatenate(values)

    return Forms(alone, group, solve=solve)
