"""What operators share: they squash slices, solve a problem for each, read its plan.

Inputs are transported, at entropic regularisation epsilon, onto targets that are
evenly spaced in [0, 1]; the weights of the targets make the operator (Cuturi, Teboul
and Vert 2019, "Differentiable ranks and sorting using optimal transport").
"""

import functools
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
    is_real,
    is_staging,
)
from softsort_core.axis import (
    as_slices,
    check_weights,
    in_place,
    normalised_axes,
    over_slices,
    slice_size,
)
from softsort_core.defaults import EPSILON, LIMIT, TOLERANCE
from softsort_core.errors import SoftSortError
from softsort_core.operators.exact import hard_if_certain
from softsort_core.operators.mapped import read_mapped
from softsort_core.operators.masks import (
    EvenPerSlice,
    PerSlice,
    as_mask,
    filled,
    masked,
)
from softsort_core.operators.read_slices import (
    Problem,
    Read,
    Slices,
    read_limit,
    read_slices,
    read_with,
    target_count,
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
from softsort_core.plans.panels import EvenTargets

Squashing: TypeAlias = Callable[[Array], Array] | None
# How many equal targets there are, or their weights, or their positions and weights.
Targets: TypeAlias = (
    int | Array | np.ndarray | tuple[Any, Any] | EvenTargets | EvenPerSlice | PerSlice
)


class Softness(NamedTuple):
    """What every operator takes by name; see `sort`."""

    epsilon: Any = EPSILON
    squashing_fun: Squashing = None
    input_weights: Values | None = None
    tolerance: Any = TOLERANCE
    where: Any = None
    fill: Any = np.nan


class Reading(NamedTuple):
    """How an operator reads the plan of a slice.

    Attributes:
        read: maps a plan, the values and what else `over_plans` is given to results
            and whether they are certain.
        for_each: whether there is a result for each value.
        of_one: else, whether each result stands for a value: there are as many.
        limit: what results tend to as epsilon -> 0, onto as many equal targets as there
            are values; None if there may be other targets.
    """

    read: Callable[..., Read]
    for_each: bool = False
    of_one: bool = False
    limit: Callable[[np.ndarray], np.ndarray] | None = None

    @property
    def kind(self) -> tuple[bool, bool]:
        """What there is a result for: values, or each as many."""
        return self.for_each, self.of_one


def over_plans(
    reading: Reading,
    inputs: Values,
    axis: int | Sequence[int] | None,
    targets: Targets,
    softness: Softness,
    *arguments: Any,
    same_shape: bool = True,
    levels_dtype: Any = None,
) -> Array:
    """Call `reading.read(plan, values, *arguments)` for each slice and its plan.

    See `over_slices` for the shape of the result. Its dtype is that of the inputs,
    unless these have half precision and results are levels that have not. Arguments
    that are `PerSlice` come first.
    """
    x, dtype = as_floating(inputs, "inputs")
    if levels_dtype is not None and jnp.promote_types(dtype, levels_dtype) != dtype:
        dtype = x.dtype
    a = as_weights(softness.input_weights, "input_weights")
    axes = normalised_axes(axis, x.ndim)
    n = slice_size(x, axes)
    mask = as_mask(softness.where, x.shape)
    if mask is not None and not is_real(softness.fill):
        raise SoftSortError(f"fill is {softness.fill!r}: give a number, such as 0")
    if n > 0 and mask is not None:
        check_weights(a, x.shape, n)
        x, a = masked(x, a, mask, axes)
    # The caller's function is called here, not compiled, for it may be new every time.
    squashed = _squashed_by(softness.squashing_fun, x, a, axes)
    if n == 0:
        return x.astype(dtype)
    own, common, arguments = _parted(targets, arguments, x, axes)
    slices = Slices(x, a, squashed, own)
    number, points = _number_of(common)
    if softness.epsilon is LIMIT:
        results = marked(
            *read_limit(reading.read, slices, points, number, arguments, axes)
        )
    else:
        problem = Problem(points, softness.epsilon, softness.tolerance, arguments)
        results = _read(reading, slices, problem, number, axes)
    if mask is not None:
        size = n if same_shape else None
        if isinstance(results, np.ndarray):
            results = beside(x, results)
        results = filled(results, mask, softness.fill, axes, size, *reading.kind)
    elif isinstance(results, np.ndarray):
        if a is not None and reading.for_each:
            results = _where_numbers(np, np.asarray(x), results)
        return beside(x, results.astype(dtype))
    results = in_place(results, x.shape, axes, same_shape=same_shape)
    if a is not None and mask is None and reading.for_each:
        results = _where_numbers(jnp, x, results)
    return results.astype(dtype)


def _where_numbers(xp: Any, x: Any, results: Any) -> Any:
    """Return NaN for values that take no part for they have no weight and are NaN."""
    more = [1] * (results.ndim - x.ndim)
    return xp.where(xp.isfinite(x).reshape(*x.shape, *more), results, xp.nan)


def _parted(
    targets: Targets, arguments: tuple[Any, ...], x: Array, axes: tuple[int, ...]
) -> tuple[tuple[Any, tuple[Array, ...]], Any, tuple[Any, ...]]:
    """Return what slices have of their own, and targets and arguments of all.

    Slices that have even targets of their own have those of all at most.
    """
    others = x.ndim - len(axes)

    def of_slices(array: Any) -> Any:
        return jnp.reshape(array, (-1, *array.shape[others:]))

    own_targets, common_targets = None, targets
    if isinstance(targets, EvenPerSlice):
        own_targets, common_targets = of_slices(targets.number), targets.most
    elif isinstance(targets, PerSlice):
        own_targets = jax.tree.map(
            lambda each: of_slices(_converted(each, x.dtype)), targets.each
        )
        common_targets = None
    own, common = [], []
    for each in arguments:
        is_own = isinstance(each, PerSlice)
        (own if is_own else common).append(of_slices(each.each) if is_own else each)
    return (own_targets, tuple(own)), common_targets, tuple(common)


def _number_of(targets: Any) -> tuple[int | None, Any]:
    """Return the number of equal targets, and what they are besides, or else."""
    if isinstance(targets, EvenTargets):
        return targets
    return (targets, None) if isinstance(targets, int) else (None, targets)


def _read(
    reading: Reading,
    slices: Slices,
    problem: Problem,
    number: int | None,
    axes: tuple[int, ...],
) -> Array | np.ndarray:
    """Return what is read of the plans of slices, in the order of `as_slices`.

    Arrays of NumPy's are made into others without anything that would be compiled.
    """
    x, a, *_ = slices
    epsilon, tolerance = as_epsilon(problem.epsilon), as_tolerance(problem.tolerance)
    points, scale = jax.tree.map(
        lambda each: _converted(each, x.dtype), (problem.targets, epsilon)
    )
    problem = Problem(points, scale, tolerance, problem.arguments)
    n, m = slice_size(x, axes), target_count(slices, points, number)
    is_even, have_rest = number is not None, number is not None and points is not None
    is_same = is_even and slices.own[0] is None
    limit = reading.limit if is_same else None
    are = is_even, have_rest, limit is not None
    resolutions = resolutions_of_slices(x.size // n, n, m, epsilon, x.dtype, *are)
    if not is_same and is_even:
        # The others have nodes that depend on the number of targets.
        resolutions = resolutions[-1:]
    if not is_concrete((slices, problem)) or is_staging():
        how = number, resolutions[-1], axes

        def read_rows(rows: Slices, problem: Problem) -> Any:
            if is_concrete(epsilon):
                problem = problem._replace(epsilon=epsilon)
            return _read(reading, rows, problem, number, (1,))

        read = functools.partial(_read_traced, reading, how)
        return read_mapped(read, read_rows, slices, problem, axes)
    if limit is not None and m == n > 1 and epsilon < LEAST_EPSILON:
        results = _at_limit(limit, slices, axes, float(epsilon), float(tolerance))
        if results is not None:
            return results
    check_reach(n, m, float(epsilon))
    # Results at values do not grow with the number of even targets.
    most = n if reading.for_each and number is not None else max(n, m)
    is_short = x.ndim == 1 and most <= MOST_PADDED and len(x.devices()) == 1
    if is_short and (a is None or a.shape == x.shape):
        size = n if reading.for_each else number
        if have_rest:
            size = m - 1  # it has no result
        return _read_padded(reading, slices, problem, number, resolutions)[:size]
    problem = jax.device_put(problem)
    values, certain = read_slices(
        reading.read, slices, problem, number, resolutions, axes
    )
    # To mark them takes another array as large.
    return values if np.all(certain) else _marked(values, certain)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _read_traced(
    reading: Reading,
    how: tuple[int | None, AnyResolution, tuple[int, ...]],
    slices: Slices,
    problem: Problem,
) -> Array:
    """Return results at the one resolution that is enough for all: all is compiled."""
    values, certain = read_with(reading.read, slices, problem, *how)
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
    x, a, squashed, _ = slices
    if a is not None or x.size == 0:
        return None
    rows = np.asarray(as_slices(x, axes))
    points = None if squashed is None else np.asarray(as_slices(squashed, axes))
    results = hard_if_certain(limit, rows, points, epsilon, tolerance)
    if results is None:
        return None
    return jnp.asarray(results[0] if x.ndim == 1 else results, x.dtype)


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
    x, a, squashed, own = slices
    size = rounded_up(x.size)
    weights = np.ones(x.shape) if a is None else np.asarray(a)
    slices = Slices(
        with_last(np.asarray(x), size),
        with_zeros(weights.astype(x.dtype), size),
        None if squashed is None else with_last(np.asarray(squashed), size),
        own,
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

    def squashed(own, weights, values):
        del own, weights
        result = squashing_fun(values)
        if np.shape(result) != values.shape:
            raise SoftSortError(
                f"squashing_fun returned shape {np.shape(result)} for values of shape "
                f"{values.shape}: it must squash each value"
            )
        return jnp.asarray(result, x.dtype)

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
