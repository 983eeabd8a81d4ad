"""Values are softly given another distribution: arrays and streams."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float

from softsort_core.arguments import Values, as_distribution, as_ladder
from softsort_core.defaults import EPSILON, TOLERANCE
from softsort_core.errors import SoftSortError
from softsort_core.operators.forms import Forms, Group, counted, number_of
from softsort_core.operators.over_plans import (
    Reading,
    Softness,
    Squashing,
    equal_targets,
    over_plans,
    read_levels,
)
from softsort_core.plans.choose import are_many_targets
from softsort_core.plans.panels import EvenTargets
from softsort_core.solver_options import explains_solver_options
from softsort_core.streaming.curves import (
    Curve,
    Distribution,
    even_targets,
    expected_levels,
)
from softsort_core.streaming.summaries import Summary


@explains_solver_options
def quantile_normalization(
    inputs: Values,
    targets: Values,
    weights: Values | None = None,
    axis: int | Sequence[int] | None = -1,
    *,
    epsilon: float | Array = EPSILON,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
    where: Values | None = None,
    fill: float = np.nan,
) -> Float[Array, "..."]:
    """Give the values the distribution of `targets`, keeping their order.

    As epsilon -> 0, each value becomes the target at its own quantile; as epsilon
    grows, the mean of the targets.

    Args:
        inputs: real numbers of any shape.
        targets: m values in ascending order.
        weights: non-negative masses of the targets, shape (m,); uniform by default.
            Time grows with m, but if masses are given with its third power.
        axis: the axis to normalise along; several axes are taken together as one, and
            for None all.
        epsilon: regularisation, positive, relative to squashed values in (0, 1).
        squashing_fun: see `sort`.
        input_weights: see `ranks`.
        tolerance: see `sort`.
        where: see `sort`.
        fill: what stands at values that take no part.

    Returns:
        Normalised values in the shape of `inputs`, and in their dtype; of inputs of
        half precision in single precision, unless targets are of the same dtype. A
        slice that contains NaN or infinity, or whose solve did not converge, is all
        NaN.

    Raises:
        SoftSortError: an argument out of its range; targets that are not ascending. If
            they are traced, results are NaN instead.

    Examples:
        >>> import softsort_core as soft
        >>> soft.quantile_normalization([3.0, 9.0, 1.0], [10.0, 20.0, 30.0]).tolist()
        [19.985, 30.0, 10.015]
    """
    ladder, levels_dtype = as_ladder(targets)
    m = ladder.size
    if weights is None:
        b = equal_targets(m, epsilon)
    else:
        b = as_distribution(weights, "weights")
        if b.shape != ladder.shape:
            raise SoftSortError(
                f"weights and targets should have the same shape: {b.shape} != "
                f"{ladder.shape}"
            )
    return over_plans(
        Reading(read_levels, for_each=True),
        inputs,
        axis,
        b,
        Softness(epsilon, squashing_fun, input_weights, tolerance, where, fill),
        ladder,
        levels_dtype=levels_dtype,
    )


def solve_quantile_normalization(
    summary: Summary,
    targets: Values | Distribution,
    *,
    epsilon: float = EPSILON,
    tolerance: float = TOLERANCE,
) -> Curve:
    """Return how values are given another distribution, as `quantile_normalization`.

    Args:
        summary: see `solve_sort`.
        targets: m values in ascending order, of equal weight; or a smooth function that
            gives the value of a distribution with a share, in (0, 1), below it: then
            there are as many targets as values, at the middles of equal shares.
        epsilon: see `solve_sort`.
        tolerance: see `solve_sort`.

    Raises:
        SoftSortError: an argument out of its range; targets that are not ascending.

    Examples:
        >>> import softsort_core as soft
        >>> x = [3.0, 9.0, 1.0]
        >>> summary = soft.summarise(x, soft.describe(x))
        >>> soft.solve_quantile_normalization(summary, [10.0, 20.0, 30.0])(x).tolist()
        [19.985, 30.0, 10.015]
    """
    n = summary.statistics.count
    if not callable(targets):
        levels = np.asarray(as_ladder(targets)[0])
    elif are_many_targets(n, epsilon):
        return expected_levels(summary, EvenTargets(n), targets, epsilon, tolerance)
    else:
        levels = targets((np.arange(n) + 0.5) / n)
    points = even_targets(levels.size, epsilon)
    return expected_levels(summary, points, levels, epsilon, tolerance)


def forms(targets: str | np.ndarray) -> Forms:
    """Return the forms of `quantile_normalization`.

    Args:
        targets: values in ascending order, or a distribution: "normal", or "uniform" on
            [0, 1], of which there are as many targets as values.
    """
    if not isinstance(targets, str):

        def to_targets(group: Group) -> Array:
            return quantile_normalization(group.values, targets, **group.softness)

        return Forms(
            counted(functools.partial(quantile_normalization, targets=targets)),
            to_targets,
            solve=functools.partial(solve_quantile_normalization, targets=targets),
            at_values=Curve.__call__,
        )

    def at_shares(shares: Any) -> Any:
        if targets == "uniform":
            return shares
        special = scipy.special if isinstance(shares, np.ndarray) else jax.scipy.special
        return special.ndtri(shares)

    def alone(values: Values, counts: Values | None = None, **softness: Any) -> Array:
        n = number_of(values, counts)
        levels = at_shares((np.arange(n) + 0.5) / n)
        softness["input_weights"] = counts
        return quantile_normalization(values, levels, **softness)

    def group(group: Group) -> Array:
        width, number = group.values.shape[0], group.number
        shares = (jnp.minimum(jnp.arange(width), number - 1) + 0.5) / number
        targets, softness = group.even(number), group.padded_softness(number)
        levels = at_shares(shares)
        return quantile_normalization(group.values, levels, targets, **softness)

    return Forms(
        alone,
        group,
        has_all_targets=True,
        solve=functools.partial(solve_quantile_normalization, targets=at_shares),
        at_values=Curve.__call__,
    )


def means_at_targets(
    group: Group,
    target_weights: Float[Array, " m"],
    values: Float[Array, " width"],
    **softness: Any,
) -> Float[Array, " m"]:
    """Return the means of the values of a group that targets of some weights receive.

    How much arrives where is how the means of levels at the inputs depend on these.
    """
    key = group.values if group.values.ndim == 1 else group.values[:, 0]

    def levels(of_targets: Array) -> Array:
        return quantile_normalization(key, of_targets, target_weights, **softness)

    used = group.weights > 0
    low = jnp.min(values, where=used, initial=jnp.inf)
    high = jnp.max(values, where=used, initial=-jnp.inf)
    middle = low / 2 + high / 2
    transposed = jax.vjp(levels, jnp.zeros_like(target_weights))[1]
    (sums,) = transposed(group.weights * (values - middle))
    (masses,) = transposed(group.weights)
    means = middle + sums / jnp.where(target_weights > 0, masses, 1)
    return jnp.clip(means, low, high)
