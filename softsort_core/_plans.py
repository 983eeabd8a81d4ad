"""The plan between a vector of inputs and its targets, at a given resolution."""

from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core import _kept as kept
from softsort_core._compressed import CompressedPlan, compressed_plan
from softsort_core._hard import hard_potentials
from softsort_core._panels import EvenTargets, FewPoints, Resolution
from softsort_core._rows import RowPlan, SharedNodes, row_plan, rules
from softsort_core._squash import squash
from softsort_core._transport import Plan, transport, without_lightest

AnyPlan: TypeAlias = Plan | CompressedPlan | RowPlan
AnyResolution: TypeAlias = Resolution | SharedNodes | None


def plan_of(
    values: Float[Array, " n"],
    weights: Float[Array, " n"] | None,
    squashed: Float[Array, " n"] | None,
    targets: int | Float[Array, " m"],
    epsilon: Float[Array, ""],
    tolerance: Any,
    resolution: AnyResolution,
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
    given = values, weights, squashed
    if resolution is None:
        b, m = (None, targets) if isinstance(targets, int) else (targets, targets.size)
        return _dense_plan(*given, b, epsilon, m)
    if isinstance(resolution, SharedNodes):
        assert isinstance(targets, int)
        y = _positions(targets, values.dtype)
        return row_plan(*given, rules(targets, resolution), y, epsilon, tolerance)
    if isinstance(targets, int):
        points = EvenTargets(targets)
    else:
        y = _positions(targets.size, values.dtype)
        points = FewPoints(y, jnp.zeros_like(y), without_lightest(targets))
    return compressed_plan(*given, points, epsilon, tolerance, resolution)


@kept.jit(static_argnames="m")
def _dense_plan(
    values: Float[Array, " n"],
    weights: Float[Array, " n"] | None,
    squashed: Float[Array, " n"] | None,
    target_weights: Float[Array, " m"] | None,
    epsilon: Float[Array, ""],
    m: int,
) -> Plan:
    y, (a, b) = _positions(m, values.dtype), (weights, target_weights)
    if b is None:
        b = jnp.full(m, 1 / m, values.dtype)
    if a is None:
        a = jnp.full(values.shape, 1 / values.size, values.dtype)
    s = squash(values, a) if squashed is None else squashed
    logits = -((s[:, None] - y) ** 2) / epsilon
    guess = hard_potentials(s, a, y, b, epsilon)
    return transport(logits.astype(values.dtype), a, b, guess)._replace(targets=y)


def _positions(m: int, dtype: Any) -> Array:
    # A single target lies in the middle.
    return jnp.asarray(np.linspace(0.0, 1.0, m) if m > 1 else [0.5], dtype)
