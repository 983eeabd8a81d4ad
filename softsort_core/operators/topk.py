"""The k largest values, softly: `sort` with its argument `topk`."""

import functools
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from softsort_core.arguments import Values
from softsort_core.operators.forms import Forms, Group, number_of
from softsort_core.operators.over_plans import Softness
from softsort_core.operators.quantile_normalization import means_at_targets
from softsort_core.operators.sort import solve_topk, sort, sort_largest


def forms(k: int) -> Forms:
    """Return the forms of the k largest values of `sort`, or all if there are less."""

    def alone(values: Values, counts: Values | None = None, **softness: Any) -> Array:
        number = number_of(values, counts)
        if k < number:
            weighted = Softness(**softness, input_weights=counts)
            return sort_largest(values, -1, k, number, weighted)
        return sort(values, num_targets=number, input_weights=counts, **softness)

    def group(group: Group) -> Array:
        targets = jnp.ones(k + 1).at[0].set(group.number - k)
        return means_at_targets(group, targets, group.values, **group.softness)[1:]

    return Forms(alone, group, fewest=k + 1, solve=functools.partial(solve_topk, k=k))
