"""The plan between a vector of inputs and its targets, at a given resolution."""

import math
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from softsort_core.arguments import as_epsilon, is_concrete
from softsort_core.defaults import SMALL_EPSILON
from softsort_core.errors import SoftSortError
from softsort_core.padding import with_last, with_zeros
from softsort_core.plans.dense import Plan, transport, without_lightest
from softsort_core.plans.gauss_rules import SharedNodes, rules, shared_nodes
from softsort_core.plans.monotone import MonotonePlan
from softsort_core.plans.panels import EvenTargets, PointTargets, Resolution
from softsort_core.plans.quadrature import MANY, CompressedPlan, compressed_plan
from softsort_core.plans.shared_kernel import RowPlan, row_plan
from softsort_core.squash import squash

AnyPlan: TypeAlias = Plan | CompressedPlan | RowPlan | MonotonePlan
AnyResolution: TypeAlias = Resolution | SharedNodes | None


_ORDER = 16
# Panels of this order times 1 / sqrt(epsilon) resolve whatever points there are.
_PANELS = 0.46
# Plans onto few targets are sharper in places, and cheap.
_FINER_FOR_FEW = 6
LEAST_EPSILON = 5e-5
# What is resolved of an epsilon that is traced: with up to `_FEW_TARGETS` targets, and
# with more, where a smaller one would take long.
_SMALL_TRACED, _TRACED = 1e-4, 1e-3
# Below this, plans onto more targets would take minutes and not be certain: from as
# many inputs as are taken as they are, and from more.
_SHARPEST, _MOST_SHARP, _FEWEST_SHARP = 1e-5, 2**10, 2**6
# So many targets are taken as they are if the panels may be too few.
_FEW_TARGETS = 2**12
# Epsilon of the first stage is at least this.
_SOFT = 0.1
# Cells are epsilon over this wide: two targets apart by 1 share inputs within epsilon.
# Few moments of small cells are faster to take than many of large ones.
_CELL, _CELL_ORDER = 10.0, 6
# Of the cells of single precision for many targets, which are twice as many.
_ROUGH_CELL_ORDER = 4
_MOST_CELLS = 2**16
# The first is enough for values that spread like normal ones, the second for skew ones.
# They are certain to the tolerance alone, cells to far more digits, which is what
# double precision is for.
SINGLE = tuple(Resolution(1, 1, order, 0, 1, cell_order=order) for order in (48, 96))
# Fewer rows, or of fewer targets, do not share nodes.
FEWEST_SHARED, _LEAST_SHARED = 64, 13


def resolution_for(
    epsilon: Any, m: int | None = None, *, is_even: bool = True
) -> Resolution:
    """Return how to resolve whatever inputs there are, and targets, m even ones."""
    if isinstance(as_epsilon(epsilon), Tracer):  # which cannot be looked at
        known = _SMALL_TRACED if m is not None and m <= _FEW_TARGETS else _TRACED
    else:
        known = max(float(epsilon), LEAST_EPSILON)
    return Resolution(
        panels=max(2, math.ceil(_PANELS / math.sqrt(known))),
        finer=2 if is_even else _FINER_FOR_FEW,
        order=_ORDER,
        stages=1 + max(0, math.ceil(math.log(_SOFT / known, 4) - 1e-9)),
        cells=min(_MOST_CELLS, 2 ** math.ceil(math.log2(max(16, _CELL / known)))),
        cell_order=_CELL_ORDER,
    )


def resolutions_for(
    n: int,
    m: int,
    epsilon: Any,
    dtype: Any,
    *,
    are_even: bool,
    have_rest: bool = False,
) -> tuple[Resolution | None, ...]:
    """Return how plans between n inputs and m targets are resolved, one after another.

    The later ones if the earlier are not certain. None takes all as they are.
    """
    is_even = are_even and are_many_targets(m, epsilon)
    if n <= MANY and not is_even:
        return (None,)
    even = m if is_even else None
    careful = resolution_for(epsilon, even, is_even=is_even and not have_rest)
    is_small = is_concrete(epsilon) and epsilon < SMALL_EPSILON
    if is_small or dtype == jnp.float64:
        return (careful,)
    if n > MANY and is_even:
        careful = careful._replace(
            cells=2 * careful.cells, cell_order=_ROUGH_CELL_ORDER
        )
    return (*SINGLE, careful) if is_even and not have_rest else (careful,)


def check_reach(n: int, m: int, epsilon: float) -> None:
    """Refuse a plan between n inputs and m targets that is sharper than can be solved.

    Raises:
        SoftSortError: naming the least epsilon.
    """
    if epsilon < _SHARPEST and m > (_MOST_SHARP if n <= MANY else _FEWEST_SHARP):
        raise SoftSortError(
            f"epsilon is {epsilon:g}: soft results of {n} values at {m} targets can be "
            f"computed from epsilon {_SHARPEST:g} on, and these are not so far apart "
            "that they are the exact ones; choose a larger epsilon or the exact results"
        )


def are_many_targets(m: int, epsilon: Any) -> bool:
    """Return whether m even targets are better resolved than taken as they are."""
    is_sharp = not isinstance(epsilon, Tracer) and epsilon < LEAST_EPSILON
    return m > (_FEW_TARGETS if is_sharp else 2 * resolution_for(epsilon, m).nodes)


def resolutions_of_slices(
    count: int,
    n: int,
    m: int,
    epsilon: Any,
    dtype: Any,
    are_even: bool,
    have_rest: bool,
    may_share: bool,
) -> tuple[AnyResolution, ...]:
    """Return how plans of so many slices are resolved; see `resolutions_for`.

    Nodes of equal targets may be the same for all slices, if these are read by nodes.
    """
    usual = resolutions_for(
        n, m, epsilon, dtype, are_even=are_even, have_rest=have_rest
    )
    are_rows = may_share and count >= FEWEST_SHARED and m >= _LEAST_SHARED and n <= MANY
    if not are_rows or not is_concrete(epsilon) or epsilon < SMALL_EPSILON:
        return usual
    return *shared_nodes(float(epsilon), dtype), *usual


def plan_of(
    values: Float[Array, " n"],
    weights: Float[Array, " n"] | None,
    squashed: Float[Array, " n"] | None,
    targets: Any,
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
        targets: the number of equal ones, which may be traced, or these and
            a rest, or their weights, or where in [0, 1] they are and their weights;
            else they are evenly spaced.
        epsilon: regularisation.
        tolerance: largest error that is returned, if fewer nodes stand for the points.
        resolution: how many do; None if all points are taken as they are.
        places: so many results there are at targets, those beyond the last like that,
            so that different numbers of targets share what is compiled.
    """
    inputs = values, weights, squashed
    if resolution is None:
        return _dense_plan(*inputs, *points_of(targets, places, values.dtype), epsilon)
    if isinstance(resolution, SharedNodes):
        assert isinstance(targets, int)
        y = jnp.asarray(positions(targets), values.dtype)
        nodes = resolution.order(targets), rules(targets, resolution)
        return row_plan(*inputs, *nodes, y, epsilon, tolerance)
    if isinstance(targets, EvenTargets):
        points = targets
    elif isinstance(targets, int) and targets > 1:
        points = EvenTargets(targets)
    elif isinstance(targets, jax.Array) and targets.ndim == 0:
        # A single value has the same results at two targets as at one.
        points = EvenTargets(jnp.maximum(targets, 2))
    else:
        y, b = map(jnp.asarray, points_of(targets, None, values.dtype))
        points = PointTargets(y, without_lightest(b))
    return compressed_plan(*inputs, points, epsilon, tolerance, resolution, places)


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
    if not isinstance(targets, int) and np.ndim(targets) > 0:
        return positions(targets.size).astype(dtype), targets
    if not isinstance(targets, int):
        indices = jnp.arange(places, dtype=dtype)
        y = jnp.minimum(indices / jnp.maximum(targets - 1, 1), 1.0)
        return y, (indices < targets) / jnp.asarray(targets, dtype)
    y = with_last(positions(targets), places or targets)
    b = with_zeros(np.full(targets, 1 / targets), places or targets)
    return y.astype(dtype), b.astype(dtype)


def positions(m: int) -> np.ndarray:
    """Return where in [0, 1] so many targets are."""
    # A single target lies in the middle.
    return np.linspace(0.0, 1.0, m) if m > 1 else np.array([0.5])
