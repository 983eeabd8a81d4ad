"""What operators share: they squash slices, solve a problem for each, read its plan.

Inputs are transported, at entropic regularisation epsilon, onto targets that are
evenly spaced in [0, 1]; the weights of the targets make the operator (Cuturi, Teboul
and Vert 2019, "Differentiable ranks and sorting using optimal transport").
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from softsort_core.arguments import (
    Values,
    as_epsilon,
    as_floating,
    as_tolerance,
    as_weights,
    is_concrete,
    is_staging,
)
from softsort_core.axis import in_place, normalised_axes, over_slices, slice_size
from softsort_core.defaults import LIMIT, TOLERANCE
from softsort_core.errors import SoftSortError
from softsort_core.operators.exact import hard_if_certain
from softsort_core.operators.read_slices import (
    Problem,
    Read,
    Slices,
    read_limit,
    read_slices,
    read_with,
)
from softsort_core.padding import MOST_PADDED, rounded_up, with_last, with_zeros
from softsort_core.plans.certificate import marked
from softsort_core.plans.choose import (
    LEAST_EPSILON,
    AnyPlan,
    AnyResolution,
    are_many_targets,
    check_reach,
    points_of,
    resolutions_of_slices,
)

Squashing: TypeAlias = Callable[[Array], Array] | None
# How many equal targets there are, or their weights, or their positions and weights.
Targets: TypeAlias = int | Array | np.ndarray | tuple[Array, Array]


class Softness(NamedTuple):
    """What every operator takes by name; see `sort`."""

    epsilon: Any = 1e-2
    squashing_fun: Squashing = None
    input_weights: Values | None = None
    tolerance: Any = TOLERANCE


class Reading(NamedTuple):
    """How an operator reads the plan of a slice.

    Attributes:
        read: maps a plan, the values and what else `over_plans` is given to results
            and whether they are certain.
        for_each: whether there is a result for each value.
        limit: what results tend to as epsilon -> 0, onto as many equal targets as there
            are values; None if there may be other targets.
    """

    read: Callable[..., Read]
    for_each: bool = False
    limit: Callable[[np.ndarray], np.ndarray] | None = None


def over_plans(
    reading: Reading,
    inputs: Values,
    axis: int | Sequence[int],
    targets: Targets,
    softness: Softness,
    *arguments: Array | np.ndarray,
    same_shape: bool = True,
    levels_dtype: Any = None,
) -> Array:
    """Call `reading.read(plan, values, *arguments)` for each slice and its plan.

    See `over_slices` for the shape of the result. Its dtype is that of the inputs,
    unless these have half precision and results are levels that have not.
    """
    x, dtype = as_floating(inputs, "inputs")
    if levels_dtype is not None and jnp.promote_types(dtype, levels_dtype) != dtype:
        dtype = x.dtype
    a = as_weights(softness.input_weights, "input_weights")
    axes = normalised_axes(axis, x.ndim)
    # The caller's function is called here, not compiled, for it may be new every time.
    squashed = _squashed_by(softness.squashing_fun, x, a, axes)
    if slice_size(x, axes) == 0:
        return x.astype(dtype)
    slices = Slices(x, a, squashed)
    if softness.epsilon is LIMIT:
        results = marked(*read_limit(reading.read, slices, targets, arguments, axes))
        results = in_place(results, x.shape, axes, same_shape=same_shape)
        return _where_numbers(reading, a, x, results).astype(dtype)
    epsilon, tolerance = as_epsilon(softness.epsilon), as_tolerance(softness.tolerance)
    number = targets if isinstance(targets, int) else None
    points = None if number is not None else targets
    points, scale = jax.tree.map(
        lambda each: _converted(each, x.dtype), (points, epsilon)
    )
    problem = Problem(points, scale, tolerance, arguments)
    n, m = slice_size(x, axes), number or jax.tree.leaves(targets)[0].size
    limit = reading.limit if number is not None else None
    resolutions = resolutions_of_slices(
        x.size // n, n, m, epsilon, x.dtype, number is not None, limit is not None
    )
    if not is_concrete((slices, problem)) or is_staging():
        results = _read_traced(reading, slices, problem, number, resolutions[-1], axes)
    else:
        if limit is not None and m == n > 1 and epsilon < LEAST_EPSILON:
            results = _at_limit(limit, slices, axes, float(epsilon), float(tolerance))
            if results is not None:
                return results.astype(dtype)
        check_reach(n, m, float(epsilon))
        # Results at values do not grow with the number of even targets.
        most = n if reading.for_each and number is not None else max(n, m)
        is_short = x.ndim == 1 and most <= MOST_PADDED and len(x.devices()) == 1
        if is_short and (a is None or a.shape == x.shape):
            size = n if same_shape else number
            results = _read_padded(reading, slices, problem, number, resolutions)[:size]
            if a is not None and reading.for_each:
                results = np.where(np.isfinite(np.asarray(x)), results, np.nan)
            return beside(x, results.astype(dtype))
        problem = jax.device_put(problem)
        results = _marked(
            *read_slices(reading.read, slices, problem, number, resolutions, axes)
        )
    results = in_place(results, x.shape, axes, same_shape=same_shape)
    return _where_numbers(reading, a, x, results).astype(dtype)


def _where_numbers(
    reading: Reading, a: Array | None, x: Array, results: Array
) -> Array:
    """Return NaN for values that take no part for they have no weight and are NaN."""
    if a is None or not reading.for_each:
        return results
    return jnp.where(jnp.isfinite(x), results, jnp.nan)


def _read_traced(
    reading: Reading,
    slices: Slices,
    problem: Problem,
    number: int | None,
    resolution: AnyResolution,
    axes: tuple[int, ...],
) -> Array:
    """Return results at the one resolution that is enough for all: all is compiled."""
    values, certain = read_with(reading.read, slices, problem, number, resolution, axes)
    # What is wrong with those that are traced has made them NaN.
    numbers = [jnp.sum(each) for each in jax.tree.leaves(problem[:3])]
    return marked(values, certain & jnp.isfinite(sum(numbers)))


def _at_limit(
    limit: Callable[[np.ndarray], np.ndarray],
    slices: Slices,
    axes: tuple[int, ...],
    epsilon: float,
    tolerance: float,
) -> Array | None:
    """Return what results tend to, if that is what they are.

    So small an epsilon is costly, if it can be solved for at all.
    """
    x, a, squashed = slices
    axis, *others = axes
    if a is not None or others:
        return None
    return hard_if_certain(limit, x, squashed, axis, epsilon, tolerance)


def _read_padded(
    reading: Reading,
    slices: Slices,
    problem: Problem,
    number: int | None,
    resolutions: tuple[AnyResolution, ...],
) -> np.ndarray:
    """Return the results of a vector, padded to a length that others have.

    It shares what is compiled with these, so that nothing is made by JAX that would be
    compiled for each length. Results at equal targets are padded as well.
    """
    x, a, squashed = slices
    size = rounded_up(x.size)
    weights = np.ones(x.shape) if a is None else np.asarray(a)
    slices = Slices(
        with_last(np.asarray(x), size),
        with_zeros(weights.astype(x.dtype), size),
        None if squashed is None else with_last(np.asarray(squashed), size),
    )
    places = None if number is None else rounded_up(number)
    if number is not None and resolutions[0] is None:
        problem = problem._replace(targets=points_of(number, places, x.dtype))
        number = places = None
    if x.committed or resolutions[0] is not None:
        slices, problem = beside(x, (slices, problem))
    values, certain = read_slices(
        reading.read, slices, problem, number, resolutions, (0,), places
    )
    return np.where(np.asarray(certain), np.asarray(values), np.nan)


_marked = jax.jit(marked)


def _converted(value: Any, dtype: Any) -> Any:
    # JAX would compile the conversion of a number.
    return (np if is_concrete(value) else jnp).asarray(value, dtype)


def beside(x: Array, arrays: Any) -> Any:
    """Return arrays on the device of x, if it has to be there."""
    (device,) = x.devices()
    return jax.device_put(arrays, device if x.committed else None)


def _squashed_by(
    squashing_fun: Squashing, x: Array, a: Array | None, axes: tuple[int, ...]
) -> Array | None:
    """Return the inputs as the caller's function squashes them, if there is one."""
    if squashing_fun is None:
        return None

    def squashed(_, values):
        result = squashing_fun(values)
        if result.shape != values.shape:
            raise SoftSortError(
                f"squashing_fun returned shape {result.shape} for values of shape "
                f"{values.shape}: it must squash each value"
            )
        return result.astype(x.dtype)

    results = over_slices(squashed, (x,), a, axes, entries=0)
    return in_place(results, x.shape, axes, same_shape=True)


def equal_targets(m: int, epsilon: Any) -> int | np.ndarray:
    """Return how many equal targets there are, or the weights of few."""
    if epsilon is LIMIT or are_many_targets(m, as_epsilon(epsilon)):
        return m
    return np.full(m, 1 / m)


def read_levels(plan: AnyPlan, values: Array, levels: Array) -> Read:
    """Read a mean of levels, one per target, for each value."""
    return plan.given_input(levels.astype(values.dtype))
