"""Losses of an order: Spearman's correlation, NDCG and the likelihood of an order."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Real

from softsort_core import SoftSortError, ranks
from softsort_core.arguments import as_array, as_count, as_floating, is_concrete
from softsort_core.defaults import EPSILON, LIMIT
from softsort_core.losses.samples import (
    Epsilon,
    Numbers,
    average,
    shares_of,
    without_others,
)
from softsort_core.operators.masks import PerSlice, count_used, per_slice
from softsort_core.operators.over_plans import Reading, Softness, over_plans
from softsort_core.operators.read_slices import Read
from softsort_core.plans.choose import AnyPlan
from softsort_core.plans.dense import Plan
from softsort_core.plans.quadrature import MANY


def soft_spearman_loss(
    predictions: Real[Numbers, "*batch n"] | list[Any],
    targets: Real[Numbers, "*batch n"] | list[Any],
    *,
    epsilon: Epsilon = EPSILON,
    soft_targets: bool = False,
    weights: Real[Numbers, "*batch n"] | list[Any] | None = None,
    where: Bool[Numbers, "*batch n"] | list[Any] | None = None,
) -> Float[Array, ""]:
    """Return 1 less the correlation of soft ranks of predictions and ranks of targets.

    It lies between 0, the same order, and 2, the opposite order. As epsilon -> 0 it
    tends to 1 less Spearman's rank correlation, ties having their average rank.
    Constant predictions or targets are correlated with nothing: the loss is 1.

    Args:
        predictions: ranked along the last axis, of at least 2 values.
        targets: what their order should be, of the same shape.
        epsilon: regularisation, as in `softsort_core.ranks`.
        soft_targets: whether targets are ranked softly, too, with a gradient, and not
            exactly: outlying ones then leave little between the others.
        weights: how much each value counts, in ranks as well, at 0 as if it were not
            there; non-negative, equal by default.
        where: which values count; others may be anything. Rows with fewer than 2 of
            them have a loss of 1, with none they are left out.

    Returns:
        The mean over the batch.

    Raises:
        SoftSortError: an argument out of its range, shapes that differ, or with fewer
            than 2 values on the last axis.

    Examples:
        >>> import jax.numpy as jnp
        >>> from softsort_core.losses import soft_spearman_loss
        >>> wanted = jnp.array([-1.0, 0.0, 2.0])
        >>> loss = soft_spearman_loss(jnp.array([1.0, 4.0, 9.0]), wanted, epsilon=1e-3)
        >>> print(loss.round(3))
        0.0
    """
    predictions, targets = _lists("predictions", predictions, "targets", targets, 2)
    shares = shares_of(targets.shape, weights, where)
    x = _ranked(predictions, weights, where, epsilon)
    y = _ranked(targets, weights, where, epsilon if soft_targets else LIMIT)
    x, y = _direction(x, shares), _direction(y.astype(x.dtype), shares)
    return average(1 - jnp.sum(x * y, axis=-1), _any(shares))


def soft_ndcg_loss(
    scores: Real[Numbers, "*batch n"] | list[Any],
    relevance: Real[Numbers, "*batch n"] | list[Any],
    k: int | None = None,
    *,
    epsilon: Epsilon = EPSILON,
    weights: Real[Numbers, "*batch n"] | list[Any] | None = None,
    where: Bool[Numbers, "*batch n"] | list[Any] | None = None,
) -> Float[Array, ""]:
    """Return 1 less the normalised discounted cumulative gain at soft places.

    The gain of an item is divided by log2(2 + place), with the place from 0, that of
    the highest score, on; the sum by the largest that any order has. As epsilon -> 0 it
    tends to 1 less NDCG, which is 0 if higher scores are never of less relevance.

    Args:
        scores: of the items of a list, along the last axis.
        relevance: the gain of each, not negative; 2**grade - 1 is another convention.
        k: so many places have a discount above 0; softly, for the last of them fades
            out over a place. All by default.
        epsilon: regularisation, as in `softsort_core.ranks`.
        weights: factors of the gains; non-negative, equal by default.
        where: which items there are; others may be anything. Lists without any are left
            out.

    Returns:
        The mean over the lists. That of a list without gains is 0.

    Raises:
        SoftSortError: an argument out of its range, or shapes that differ.

    Examples:
        >>> import jax.numpy as jnp
        >>> from softsort_core.losses import soft_ndcg_loss
        >>> scores, relevance = jnp.array([3.0, 2.0, 1.0]), jnp.array([1.0, 0.0, 0.0])
        >>> print(soft_ndcg_loss(scores, relevance, epsilon=1e-3).round(3))
        0.0
        >>> print(soft_ndcg_loss(-scores, relevance, epsilon=1e-3).round(3))
        0.5
    """
    scores, relevance = _lists("scores", scores, "relevance", relevance, 1)
    n = scores.shape[-1]
    last = n if k is None else as_count(k, "k", 1)
    shares = shares_of(scores.shape, weights, where)
    items = shares_of(scores.shape, None, where)
    if is_concrete((relevance, where)):
        counted = True if where is None else np.asarray(where)
        if np.any((np.asarray(relevance) < 0) & counted):
            raise SoftSortError("relevance is negative somewhere: give gains from 0 on")
    from_below = _ranked(scores, None, where, epsilon)
    gains = without_others(relevance, items, "relevance").astype(from_below.dtype)
    gains = jnp.where(gains < 0, jnp.nan, gains)
    gains = gains if shares is None else gains * shares

    def discounts(places: Array) -> Array:
        return jnp.clip(last - places, 0, 1) / jnp.log2(2 + jnp.maximum(places, 0))

    count = n if items is None else jnp.sum(items, axis=-1, keepdims=True)
    sums = jnp.sum(gains * discounts(count - 1 - from_below), axis=-1)
    ideal = jnp.flip(jnp.sort(gains, axis=-1), axis=-1)
    most = jnp.sum(ideal * discounts(jnp.arange(n)), axis=-1)
    ratio = jnp.where(most == 0, 1.0, sums / jnp.where(most == 0, 1.0, most))
    return average(1 - ratio, _any(items))


def soft_listwise_loss(
    scores: Real[Numbers, "*batch n"] | list[Any],
    targets: Real[Numbers, "*batch n"] | list[Any],
    *,
    epsilon: Epsilon = EPSILON,
    weights: Real[Numbers, "*batch n"] | list[Any] | None = None,
    where: Bool[Numbers, "*batch n"] | list[Any] | None = None,
) -> Float[Array, ""]:
    """Return how unlikely the soft order of scores makes the order of the targets.

    That is the cross-entropy between the permutation that sorts the targets and the
    soft one of the scores (as of Grover et al. 2019, "Stochastic optimization of
    sorting networks via continuous relaxations"): the mean of -log p, where p is how
    much of an item goes to its place. As epsilon -> 0 it tends to 0 if the orders
    agree, and beyond all bounds if not. Ties of targets are between places.

    Args:
        scores: of the items of a list, along the last axis; up to 4,096, and time grows
            with the third power of their number.
        targets: what their order should be, of the same shape.
        epsilon: regularisation, as in `softsort_core.ranks`.
        weights: how much each item counts in the mean; non-negative, equal by default.
        where: which items there are; others may be anything.

    Returns:
        The mean over the items.

    Raises:
        SoftSortError: an argument out of its range, lists that are too long, or shapes
            that differ.

    Examples:
        >>> import jax.numpy as jnp
        >>> from softsort_core.losses import soft_listwise_loss
        >>> scores, wanted = jnp.array([3.0, 2.0, 1.0]), jnp.array([9.0, 8.0, 7.0])
        >>> print(soft_listwise_loss(scores, wanted).round(3))
        0.0
        >>> print(soft_listwise_loss(scores, -wanted).round(1))
        36.4
    """
    scores, targets = _lists("scores", scores, "targets", targets, 1)
    n = scores.shape[-1]
    if n > MANY:
        raise SoftSortError(f"lists have {n} items: give up to {MANY}")
    shares = shares_of(scores.shape, weights, where)
    places = _ranked(targets, None, where, LIMIT)

    def levels(xp: Any, count: Any) -> tuple[Any, Any]:
        indices = np.arange(n)
        y = xp.minimum(indices / xp.maximum(count - 1, 1), 1.0)
        return y, (indices < count) / count

    likelihood = over_plans(
        Reading(_read_likelihood, for_each=True),
        scores,
        -1,
        per_slice(count_used(scores, -1, where), levels),
        Softness(epsilon, where=where, fill=0.0),
        PerSlice(places),
    )
    return average(-likelihood, shares)


def _read_likelihood(plan: AnyPlan, values: Array, places: Array) -> Read:
    """Read log p of each value at its place, which may be between two."""
    assert isinstance(plan, Plan)
    # Short lists may be padded; their places are of no account.
    places = jnp.pad(places, (0, values.shape[0] - places.shape[0]))
    before = jnp.floor(places)
    share = (places - before).astype(values.dtype)
    before = before.astype(jnp.int32)[:, None]
    low, high = (
        jnp.take_along_axis(plan.log_rows, each, axis=1, mode="clip")[:, 0]
        for each in (before, before + 1)
    )
    high = jnp.where(share > 0, high, low)
    return (1 - share) * low + share * high, jnp.isfinite(plan.failure)


def _lists(
    name: str, first: Any, other: str, second: Any, fewest: int
) -> tuple[Numbers, Numbers]:
    """Return two arrays of lists, along the last axis, that belong together."""
    x, y = as_array(first, name), as_array(second, other)
    if x.shape != y.shape or x.shape[-1:] < (fewest,):
        raise SoftSortError(
            f"{name} has shape {x.shape} and {other} {y.shape}: give the same shape to "
            f"both, with at least {fewest} values on the last axis"
        )
    return x, y


def _ranked(
    values: Numbers, weights: Any, where: Any, epsilon: Epsilon
) -> Float[Array, "*batch n"]:
    """Return ranks among the values that count, and 0 for others."""
    if epsilon is LIMIT and weights is None:
        return _exact_ranks(values, True if where is None else where)
    if where is not None or weights is not None:
        where = shares_of(values.shape, weights, where) != 0
    return ranks(values, epsilon=epsilon, input_weights=weights, where=where, fill=0.0)


def _exact_ranks(values: Numbers, where: Any) -> Float[Array, "*batch n"]:
    """Return ranks that ties share, as `_ranked` does by a program four times as large.

    That also knows weights.
    """
    x, where = as_floating(values, "targets")[0], jnp.asarray(where)
    numbers = jnp.all(jnp.isfinite(x) | ~where, axis=-1, keepdims=True)
    x = jnp.where(where, x, jnp.inf)

    def among(ascending: Array, x: Array) -> Array:
        below, up_to = (
            jnp.searchsorted(ascending, x, side=side) for side in ("left", "right")
        )
        return (below + up_to - 1) / 2

    rows = x.reshape(-1, x.shape[-1])
    results = jax.vmap(among)(jnp.sort(rows, axis=-1), rows).reshape(x.shape)
    return jnp.where(where, jnp.where(numbers, results, jnp.nan), 0.0)


def _any(shares: Array | None) -> Array | None:
    """Return which rows have values that count."""
    if shares is None:
        return None
    return jnp.any(shares != 0, axis=-1).astype(shares.dtype)


def _direction(
    values: Float[Array, "*batch n"], shares: Array | None
) -> Float[Array, "*batch n"]:
    """Return the ranks less their mean, divided by their norm; 0 if all agree."""
    n = values.shape[-1]
    if shares is None:
        mass, centred = 1 / n, values - (n - 1) / 2
    else:
        total = jnp.sum(shares, axis=-1, keepdims=True)
        mass = shares / jnp.where(total == 0, 1.0, total)
        centred = values - jnp.sum(mass * values, axis=-1, keepdims=True)
    squares = jnp.sum(mass * centred**2, axis=-1, keepdims=True)
    # Ranks are rounded numbers of up to n.
    equal = squares <= (n * jnp.finfo(centred.dtype).eps) ** 2
    norm = jnp.sqrt(jnp.where(equal, 1.0, squares))
    # A root has no derivative at 0.
    root = jnp.sqrt(jnp.where(mass == 0, 1.0, mass))
    return jnp.where(equal | (mass == 0), 0.0, root * centred / norm)
