"""Plans of slices are solved and read, at one resolution after another.

The later ones for slices for which the earlier are not certain.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Bool

from softsort_core.axis import (
    are_lacking,
    as_slices,
    completed,
    over_slices,
    slice_size,
    weight_slices,
)
from softsort_core.errors import SoftSortError
from softsort_core.plans.choose import FEWEST_SHARED, AnyResolution, plan_of
from softsort_core.plans.gauss_rules import SharedNodes
from softsort_core.plans.monotone import monotone_plan
from softsort_core.plans.panels import EvenTargets
from softsort_core.plans.quadrature import MANY

# Entries of a plan, or of the system that is solved for it.
_LARGEST_PLAN = 2**28

# Values, and whether they are certain.
Read: TypeAlias = tuple[Array, Bool[Array, "..."]]


class Slices(NamedTuple):
    """What slices are made of.

    Attributes:
        values: the inputs.
        weights: theirs, not normalised; None for equal ones.
        squashed: the values as the caller squashes them; None for the default.
        own: what differs from slice to slice: targets, see `Problem`, if these do, and
            arguments. The first axis of all arrays of it is that of the slices.
    """

    values: Any
    weights: Any
    squashed: Any
    own: Any = (None, ())


class Problem(NamedTuple):
    """What is the same for all slices.

    Attributes:
        targets: their weights, or their positions and weights; of equal ones, how
            many more the first stands for, or None; and None if slices have their own.
        epsilon: regularisation.
        tolerance: largest error that is certain enough.
        arguments: what is read of a plan depends on.
    """

    targets: Any
    epsilon: Any
    tolerance: Any
    arguments: tuple[Any, ...]


def read_slices(
    read: Callable[..., Read],
    slices: Slices,
    problem: Problem,
    number: int | None,
    resolutions: tuple[AnyResolution, ...],
    axes: tuple[int, ...],
    places: int | None = None,
) -> Read:
    """Read plans as `_read_with` does, of slices and a problem that are at hand.

    What is read in one call may be in arrays of NumPy's. What need not be traced, for
    what was before is certain, need not be compiled.
    """
    x, a, *_ = slices
    first, *others = resolutions
    # What is to be compiled for one vector by nodes is mostly the same for other
    # operators, and other lengths if they are large: each step of it is on its own.
    in_steps = x.ndim == 1 and first is not None
    read_plans = _read_with if in_steps else read_with
    results = read_plans(read, slices, problem, number, first, axes, places)
    for resolution in others:
        lacking = np.ravel(_lacking(x, a, results[1], axes))
        missing = np.flatnonzero(lacking)
        if missing.size == 0:
            break
        if isinstance(resolution, SharedNodes) and missing.size < FEWEST_SHARED:
            continue
        if missing.size == lacking.size:
            again = read_plans(read, slices, problem, number, resolution, axes, places)
            results = completed(results, again) if results[1].any() else again
            continue
        # Few numbers of slices share what is compiled.
        size = min(lacking.size, 4 ** math.ceil(math.log(missing.size, 4)))
        missing = np.resize(missing, size)

        def rows(array: Array, missing: np.ndarray = missing) -> Array:
            are_slices = array.ndim == x.ndim
            return as_slices(array, axes)[missing] if are_slices else array

        own = jax.tree.map(lambda array, missing=missing: array[missing], slices.own)
        some = jax.tree.map(rows, slices._replace(own=()))._replace(own=own)
        mended = read_plans(read, some, problem, number, resolution, (1,))
        results = jax.tree.map(
            lambda all_, few, missing=missing: all_.at[missing].set(few),
            results,
            mended,
        )
    return results


@functools.partial(jax.jit, static_argnames="axes")
def _lacking(x: Array, a: Array | None, certain: Array, axes: tuple[int, ...]) -> Array:
    """Return which slices of numbers have results that are not certain."""
    if x.ndim == 1:
        return are_lacking(a, x, certain)
    slices = weight_slices(a, x, axes), as_slices(x, axes)
    return jax.vmap(are_lacking)(*slices, certain)


def _read_with(
    read: Callable[..., Read],
    slices: Slices,
    problem: Problem,
    number: int | None,
    resolution: AnyResolution,
    axes: tuple[int, ...],
    places: int | None = None,
) -> Read:
    """Read a plan of each slice, at one resolution.

    Args:
        read: see `Reading`.
        slices: arrays of these.
        problem: what is the same for all.
        number: that of targets, if they are equal; or no slice has more.
        resolution: see `plan_of`.
        axes: those along which slices are.
        places: see `plan_of`.
    """
    n = slice_size(slices.values, axes)

    def operator(own, weights, values, squashed=None):
        targets = _targets(own, problem.targets, number)
        softness = problem.epsilon, problem.tolerance, resolution, places or number
        plan = plan_of(values, weights, squashed, targets, *softness)
        results, certain = read(plan, values, *own[1], *problem.arguments)
        return results, certain[None]

    rows, columns = n, target_count(slices, problem.targets, number)
    if resolution is not None:
        columns = columns if number is None else resolution.nodes
        rows = max(n if n <= MANY else 0, resolution.nodes)
    # Newton's system is the larger one if there are more targets than inputs.
    rows = max(rows, columns)
    if rows * columns > _LARGEST_PLAN:
        raise SoftSortError(
            f"between {n} values and {columns} targets the system to solve is too "
            f"large (more than {_LARGEST_PLAN} entries): use fewer targets or "
            "shorter slices"
        )
    return over_slices(
        operator,
        [each for each in (slices.values, slices.squashed) if each is not None],
        slices.weights,
        axes,
        entries=max(n, rows * columns),
        own=slices.own,
    )


def _targets(own: Any, targets: Any, number: int | None) -> Any:
    """Return the targets of a slice, as `plan_of` takes them."""
    if number is None or own[0] is not None:
        return targets if own[0] is None else own[0]
    return number if targets is None else EvenTargets(number, targets)


def target_count(slices: Slices, targets: Any, number: int | None) -> int:
    """Return how many targets a slice has, at most."""
    if number is not None:
        return number
    own = slices.own[0]
    return jax.tree.leaves(targets if own is None else own)[0].shape[-1]


read_with = jax.jit(
    _read_with, static_argnames=("read", "number", "resolution", "axes", "places")
)


@functools.partial(jax.jit, static_argnames=("read", "number", "axes"))
def read_limit(
    read: Callable[..., Read],
    slices: Slices,
    targets: Any,
    number: int | None,
    arguments: tuple[Any, ...],
    axes: tuple[int, ...],
) -> Read:
    """Read the plan that plans tend to as epsilon -> 0; see `read_slices`."""

    def operator(own, weights, values, squashed=None):
        keys = values if squashed is None else squashed
        each = _targets(own, targets, number)
        plan = monotone_plan(keys, weights, each, number)
        results, certain = read(plan, values, *own[1], *arguments)
        return results, certain[None]

    arrays = [each for each in (slices.values, slices.squashed) if each is not None]
    n, own = slice_size(slices.values, axes), slices.own
    return over_slices(operator, arrays, slices.weights, axes, entries=n, own=own)
