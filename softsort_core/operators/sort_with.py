"""Vectors are softly sorted by a criterion."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core.arguments import (
    Values,
    as_array,
    as_count,
    as_floating,
    is_concrete,
    shape_of,
)
from softsort_core.axis import slice_size
from softsort_core.defaults import EPSILON, TOLERANCE
from softsort_core.errors import SoftSortError
from softsort_core.operators.forms import Forms, Group
from softsort_core.operators.masks import count_used, targets_of_each
from softsort_core.operators.over_plans import (
    Reading,
    Softness,
    Squashing,
    beside,
    over_plans,
)
from softsort_core.operators.read_slices import Read
from softsort_core.operators.sort import largest_targets, sorted_group
from softsort_core.plans.choose import AnyPlan
from softsort_core.solver_options import explains_solver_options


@explains_solver_options
def sort_with(
    inputs: Values,
    criterion: Values,
    topk: int = -1,
    *,
    axis: int = 0,
    epsilon: float | Array = EPSILON,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
    where: Values | None = None,
    fill: float = np.nan,
) -> Float[Array, "..."]:
    """Sort vectors softly by a criterion: convex combinations, by rising criterion.

    As epsilon -> 0, tends to the vectors in the order of the criterion; as epsilon
    grows, to their mean.

    Args:
        inputs: n vectors, of shape (n, d) by default.
        criterion: what to sort by, shape (n,) or (n, 1).
        topk: if in [1, n - 1], only the vectors of the `topk` largest criteria.
        axis: the axis of `inputs` that counts the n vectors.
        epsilon: regularisation, positive, relative to squashed criteria in (0, 1).
        squashing_fun: maps the criterion to about [0, 1]; see `sort`.
        input_weights: non-negative weights of the vectors, shape (n,).
        tolerance: see `sort`.
        where: booleans, shape (n,) or (n, 1), true for vectors that take part.
        fill: see `sort`.

    Returns:
        The shape of `inputs`, with size n or `topk` on `axis`. NaN or infinity in the
        criterion makes all of it NaN, in the vectors only what is at the same place.

    Raises:
        SoftSortError: an argument out of its range; sizes that do not match.

    Examples:
        >>> import softsort_core as soft
        >>> soft.sort_with([[1.0, 0.0], [2.0, 5.0]], [7.0, 3.0], epsilon=1e-3).tolist()
        [[2.0, 5.0], [1.0, 0.0]]
    """
    vectors, dtype = as_floating(inputs, "inputs")
    n = slice_size(vectors, axis)
    keys = as_floating(criterion, "criterion")[0]
    keys = keys.astype(jnp.promote_types(keys.dtype, vectors.dtype))
    if keys.shape not in ((n,), (n, 1)):
        raise SoftSortError(
            f"criterion has shape {keys.shape}: give one number for each of the {n} "
            f"vectors along axis {axis} of the inputs"
        )
    if n == 0:
        return vectors.astype(dtype)
    topk = as_count(topk, "topk", -1)
    mask = where
    if where is not None and shape_of(where) == (n, 1):
        mask = as_array(where, "where").reshape(n)
    count, are_all = count_used(keys.reshape(n), 0, mask), not 0 < topk < n
    composites = over_plans(
        Reading(read_vectors if are_all else read_largest, of_one=True),
        keys.reshape(n),
        0,
        targets_of_each(count, n) if are_all else largest_targets(count, topk, epsilon),
        Softness(epsilon, squashing_fun, input_weights, tolerance, mask, fill),
        jnp.moveaxis(vectors, axis, 0),
        same_shape=are_all,
    )
    return jnp.moveaxis(composites, 0, axis).astype(dtype)


def read_vectors(plan: AnyPlan, keys: Array, vectors: Array) -> Read:
    """Read the mean of vectors, one per key, at each target."""
    # The keys of a short criterion may be padded; their vectors are of no weight.
    if (more := keys.shape[0] - vectors.shape[0]) > 0:
        padding = (0, more), *[(0, 0)] * (vectors.ndim - 1)
        if is_concrete(vectors):
            vectors = beside(vectors, np.pad(np.asarray(vectors), padding))
        else:
            vectors = jnp.pad(vectors, padding)
    return plan.given_target(vectors.astype(keys.dtype))


def read_largest(plan: AnyPlan, keys: Array, vectors: Array) -> Read:
    """Read the mean of vectors at all targets but the first, that of the rest."""
    means, certain = read_vectors(plan, keys, vectors)
    return means[1:], certain


def forms() -> Forms:
    """Return the forms of `sort_with`, of rows whose first number is the criterion."""

    def alone(rows: np.ndarray, counts: Values | None = None, **softness: Any) -> Array:
        softness["input_weights"] = counts
        return sort_with(rows[:, 1:], rows[:, 0], **softness)

    def group(group: Group) -> Array:
        columns = functools.partial(sorted_group, group)
        return jax.vmap(columns, 1, 1)(group.values[:, 1:])

    return Forms(alone, group)
