"""How a problem is solved and how certain the result is."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from softsort_core.arguments import (
    Values,
    as_count,
    as_epsilon,
    as_floating,
    as_tolerance,
    as_weights,
)
from softsort_core.defaults import EPSILON, TOLERANCE
from softsort_core.errors import SoftSortError
from softsort_core.numerics import largest, product
from softsort_core.operators.exact import hard_error, hard_ranks
from softsort_core.plans.choose import (
    LEAST_EPSILON,
    check_reach,
    plan_of,
    resolutions_for,
)
from softsort_core.plans.dense import Plan, first_order
from softsort_core.plans.panels import Resolution
from softsort_core.plans.quadrature import CompressedPlan
from softsort_core.squash import among_used


class Report(NamedTuple):
    """How soft ranks are found; see `solve_report`.

    Attributes:
        num_values: how many values.
        num_targets: how many rank levels.
        input_nodes: points that stand for the values, which may be these themselves.
        target_nodes: points that stand for the rank levels.
        steps: Newton steps, in all.
        residual: largest difference between the mass of a rank level, or of a node of
            these, and what it receives, relative to its mass.
        estimate: estimated largest error of a rank, relative to the highest.
        is_certain: whether that is within the tolerance. If not, ranks are NaN.
        is_hard: whether soft ranks are the hard ones, ties sharing their average, to
            the tolerance.
    """

    num_values: int
    num_targets: int
    input_nodes: int
    target_nodes: int
    steps: int
    residual: float
    estimate: float
    is_certain: bool
    is_hard: bool


def solve_report(
    inputs: Values,
    num_targets: int | None = None,
    *,
    epsilon: float = EPSILON,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
) -> Report:
    """Report how the soft ranks of some values are found, and how certain they are.

    Args:
        inputs: a vector of finite real numbers, at least one.
        num_targets: number of rank levels; that of the values by default.
        epsilon: regularisation.
        input_weights: non-negative weights of the values, likewise a vector.
        tolerance: largest error that counts as certain, relative to the highest rank.

    Raises:
        SoftSortError: an argument out of its range.

    Examples:
        >>> import numpy as np
        >>> import softsort_core as soft
        >>> report = soft.solve_report(np.arange(1000.0), epsilon=0.01)
        >>> report.target_nodes, report.is_certain, report.is_hard
        (48, True, False)
    """
    x = as_floating(inputs, "inputs")[0]
    a = as_weights(input_weights, "input_weights")
    if a is not None:
        if a.shape != x.shape:
            raise SoftSortError(f"input_weights has shape {a.shape}, inputs {x.shape}")
        a = a / jnp.sum(a)
        (x,) = among_used(a, x)
    if x.ndim != 1 or x.size == 0 or not bool(jnp.all(jnp.isfinite(x))):
        raise SoftSortError("inputs should be a vector of finite numbers, at least one")
    n = x.size
    m = as_count(n if num_targets is None else num_targets, "num_targets", 1)
    tolerance = as_tolerance(tolerance)
    may_be_hard = n == m and a is None
    if may_be_hard and epsilon < LEAST_EPSILON:
        bound = hard_error(np.asarray(x), None, float(epsilon))
        if bound <= tolerance:
            return Report(n, m, n, m, 0, 0.0, bound, True, True)
    check_reach(n, m, float(epsilon))
    ranks, numbers = x, np.zeros(3)
    nodes = n, m
    for resolution in resolutions_for(
        n, m, as_epsilon(epsilon), x.dtype, are_even=True
    ):
        ranks, *numbers = _solved(x, a, jnp.asarray(epsilon, x.dtype), m, resolution)
        if resolution is not None:
            nodes = resolution.finer * resolution.nodes, resolution.nodes
        if numbers[-1] <= tolerance:
            break
    steps, residual, estimate = map(float, numbers)
    is_certain = estimate <= tolerance
    is_hard = False
    if may_be_hard and is_certain:
        gaps = np.asarray(ranks, float) - hard_ranks(np.asarray(x)) / max(n - 1, 1)
        is_hard = bool(np.max(np.abs(gaps)) <= tolerance)
    return Report(n, m, *nodes, int(steps), residual, estimate, is_certain, is_hard)


def _solved(
    x: Array,
    a: Array | None,
    epsilon: Array,
    m: int,
    resolution: Resolution | None,
) -> tuple[Array, Array, Array, Array]:
    """Return ranks in [0, 1], steps, residual and estimate."""
    plan = plan_of(x, a, None, m, epsilon, jnp.inf, resolution)
    ranks, _ = plan.given_input(plan.targets)
    if isinstance(plan, CompressedPlan):
        _, estimate = plan.nodes.at_inputs(plan.targets)
        steps, residual = plan.nodes.effort()
        return ranks, steps, residual, estimate
    assert isinstance(plan, Plan)
    rows = jnp.exp(plan.log_rows)
    weights, b = plan.input_weights, plan.target_weights
    residual = largest((product(weights, rows) - b) / b)
    ulp = float(jnp.finfo(x.dtype).eps)
    error = largest(first_order(plan, plan.targets)) + plan.failure
    return ranks, plan.steps, residual, error + 2 * ulp * (10 + 1 / epsilon)
