"""The plan between a vector of inputs and its targets, at a given resolution."""

from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core._compressed import CompressedPlan, compressed_plan
from softsort_core._hard import hard_potentials
from softsort_core._panels import EvenTargets, FewPoints, Resolution
from softsort_core._squash import squash
from softsort_core._transport import Plan, transport, without_lightest

AnyPlan: TypeAlias = Plan | CompressedPlan


def plan_of(
    values: Float[Array, " n"],
    weights: Float[Array, " n"] | None,
    squashed: Float[Array, " n"] | None,
    targets: int | Float[Array, " m"],
    epsilon: Float[Array, ""],
    tolerance: Any,
    resolution: Resolution | None,
) -> AnyPlan:
    """Return the plan between values and targets.

    Args:
        values: the inputs.
        weights: they sum to 1; None for equal ones.
        squashed: the values in about [0, 1]; None for the default squashing.
        targets: the number of equal ones, or their weights.
        epsilon: regularisation.
        tolerance: largest error that is returned, if fewer nodes stand for the points.
        resolution: how many do; None if all points are taken as they are.
    """
    m = targets if isinstance(targets, int) else targets.size
    if resolution is not None and isinstance(targets, int):
        return compressed_plan(
            values, weights, squashed, EvenTargets(m), epsilon, tolerance, resolution
        )
    # A single target lies in the middle.
    y = np.linspace(0.0, 1.0, m) if m > 1 else np.array([0.5])
    y = jnp.asarray(y, values.dtype)
    b = jnp.full(m, 1 / m, values.dtype) if isinstance(targets, int) else targets
    if resolution is not None:
        points = FewPoints(y, jnp.zeros_like(y), without_lightest(b))
        return compressed_plan(
            values, weights, squashed, points, epsilon, tolerance, resolution
        )
    a = weights
    if a is None:
        a = jnp.full(values.shape, 1 / values.size, values.dtype)
    s = squash(values, a) if squashed is None else squashed
    logits = -((s[:, None] - y) ** 2) / epsilon
    guess = hard_potentials(s, a, y, b, epsilon)
    return transport(logits.astype(values.dtype), a, b, guess)._replace(targets=y)
