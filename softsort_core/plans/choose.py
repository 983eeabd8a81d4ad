"""The plan between a vector of inputs and its targets, at a given resolution."""

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from softsort_core.padding import positions, shares, with_last, with_zeros
from softsort_core.plans.adaptive_panels import EvenTargets, FewPoints, Resolution
from softsort_core.plans.dense import Plan, transport, without_lightest
from softsort_core.plans.gauss_rules import SharedNodes, rules
from softsort_core.plans.quadrature import CompressedPlan, compressed_plan
from softsort_core.plans.shared_kernel import RowPlan, row_plan
from softsort_core.squash import squash

AnyPlan: TypeAlias = Plan | CompressedPlan | RowPlan
AnyResolution: TypeAlias = Resolution | SharedNodes | None


def plan_of(
    values: Float[Array, " n"],
    weights: Float[Array, " n"] | None,
    squashed: Float[Array, " n"] | None,
    targets: int | Float[Array, " m"] | tuple[Float[Array, " m"], Float[Array, " m"]],
    epsilon: Float[Array, ""],
    tolerance: Any,
    resolution: AnyResolution,
    places: int | None = None,
) -> AnyPlan:
    """Return the plan between values and targets.

    Args:
        values: the inputs.
        weights: they sum to 1; None for equal ones.
        squashed: the values in about [0, 1]; None for the default squashing.
        targets: the number of equal ones, or their weights, or where in [0, 1] they
            are and their weights; else they are evenly spaced.
        epsilon: regularisation.
        tolerance: largest error that is returned, if fewer nodes stand for the points.
        resolution: how many do; None if all points are taken as they are.
        places: so many results there are at targets, those beyond the last like that,
            so that different numbers of targets share what is compiled.
    """
    given = values, weights, squashed
    if resolution is None:
        return _dense_plan(*given, *points_of(targets, places, values.dtype), epsilon)
    if isinstance(resolution, SharedNodes):
        assert isinstance(targets, int)
        y = jnp.asarray(positions(targets), values.dtype)
        nodes = resolution.order(targets), rules(targets, resolution)
        return row_plan(*given, *nodes, y, epsilon, tolerance)
    if isinstance(targets, int):
        points = EvenTargets(targets)
    else:
        y, b = points_of(targets, None, values.dtype)
        points = FewPoints(y, without_lightest(b))
    return compressed_plan(*given, points, epsilon, tolerance, resolution, places)


@jax.jit
def _dense_plan(
    values: Float[Array, " n"],
    weights: Float[Array, " n"] | None,
    squashed: Float[Array, " n"] | None,
    y: Float[Array, " m"],
    b: Float[Array, " m"],
    epsilon: Float[Array, ""],
) -> Plan:
    a = jnp.full(values.shape, 1 / values.size, values.dtype)
    a = a if weights is None else weights
    s = squash(values, a) if squashed is None else squashed
    logits = -((s[:, None] - y) ** 2) / epsilon
    return transport(logits.astype(values.dtype), a, b)._replace(targets=y)


def points_of(
    targets: int | Array | tuple[Array, Array], places: int | None, dtype: Any
) -> tuple[Any, Any]:
    """Return the positions of targets and their weights; see `plan_of`."""
    if isinstance(targets, tuple):
        return targets
    if not isinstance(targets, int):
        return positions(targets.size).astype(dtype), targets
    y = with_last(positions(targets), places or targets)
    b = with_zeros(shares(targets), places or targets)
    return y.astype(dtype), b.astype(dtype)
