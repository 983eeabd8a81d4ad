"""The k largest values, softly: `sort` with its argument `topk`."""

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from softsort_core.arguments import Values
from softsort_core.operators.forms import Forms, Group
from softsort_core.operators.quantile_normalization import means_at_targets
from softsort_core.operators.sort import solve_topk, sort


def forms(k: int) -> Forms:
    """Return the forms of the k largest values of `sort`, or all if there are less."""

    def alone(values: Values, **softness: Any) -> Array:
        return sort(values, topk=min(k, np.size(values)), **softness)

    def group(group: Group) -> Array:
        targets = jnp.ones(k + 1).at[0].set(group.size - k)
        return means_at_targets(group, targets, group.values, **group.softness)[1:]

    return Forms(alone, group, fewest=k + 1, solve=functools.partial(solve_topk, k=k))
