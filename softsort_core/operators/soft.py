"""The soft operators: each squashes, solves one transport problem and reads the plan.

Inputs are transported, at entropic regularisation epsilon, onto targets that are
evenly spaced in [0, 1]; the weights of the targets make the operator (Cuturi, Teboul
and Vert 2019, "Differentiable ranks and sorting using optimal transport").
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core.arguments import (
    Values,
    as_count,
    as_distribution,
    as_epsilon,
    as_floating,
    as_ladder,
    as_levels,
    as_tolerance,
    as_weights,
    is_concrete,
    is_staging,
)
from softsort_core.axis import (
    are_lacking,
    as_slices,
    completed,
    in_place,
    normalised_axes,
    over_slices,
    slice_size,
    weight_slices,
)
from softsort_core.defaults import SMALL_EPSILON, TOLERANCE
from softsort_core.errors import SoftSortError
from softsort_core.numerics import increasing, marked
from softsort_core.operators.exact import hard_if_certain, hard_ranks
from softsort_core.padding import (
    MOST_PADDED,
    level_share,
    rounded_up,
    shares,
    with_last,
    with_zeros,
)
from softsort_core.plans.choose import AnyPlan, AnyResolution, plan_of, points_of
from softsort_core.plans.gauss_rules import SharedNodes, shared_nodes
from softsort_core.plans.quadrature import (
    LEAST_EPSILON,
    MANY,
    are_many_targets,
    check_reach,
    resolutions_for,
)

# Fewer rows, or of fewer targets, do not share nodes.
_FEWEST_SHARED, _LEAST_SHARED = 64, 13
# Levels of quantize, unless there are more values.
_MOST_LEVELS = 2**14
# Entries of a plan, or of the system that is solved for it.
_LARGEST_PLAN = 2**28

Squashing: TypeAlias = Callable[[Array], Array] | None
# Targets that are not even and equal: their weights, or their positions and weights.
_Targets: TypeAlias = Array | tuple[Array, Array]
# Values and whether they are certain.
_Read: TypeAlias = tuple[Array, Array]


def sort(
    inputs: Values,
    axis: int | Sequence[int] = -1,
    topk: int = -1,
    num_targets: int | None = None,
    *,
    epsilon: float | Array = 1e-2,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
) -> Float[Array, "..."]:
    """Sort softly: increasing convex combinations of the values along an axis.

    As epsilon -> 0, tends to the sorted values; as epsilon grows, every entry tends
    to the mean. The entries of a full sort sum to the sum of the values.

    Beyond about 15 / sqrt(epsilon) results, time and memory grow with the number of
    values only, and the error is at most 1e-6 of their range, as estimated.

    Args:
        inputs: real numbers of any shape.
        axis: the axis to sort along; several axes are sorted together as one.
        topk: if in [1, n - 1], only the `topk` largest are returned. Time grows with
            its third power: some hundred take seconds.
        num_targets: return this many sorted values instead of n, each standing for
            an equal share of the mass. Not used with `topk`.
        epsilon: regularisation, positive, relative to squashed values in (0, 1).
            For one that JAX traces, programs for many values are made for 1e-3 and
            more; below, results may be NaN.
        squashing_fun: maps the n values of a slice to about [0, 1], increasing. By
            default the sigmoid of the values less their mean over their standard
            deviation.
        input_weights: non-negative weights of the values, of shape (n,) or that of
            `inputs`; uniform by default. A value of weight 0 takes no part, whatever it
            is, NaN and infinity included.
        tolerance: largest error of a result by fewer nodes, relative to the range of
            what results can be, as estimated.

    Returns:
        The shape of `inputs` with size n, `topk` or `num_targets` on `axis`, in their
        dtype, or JAX's default float for integers. A slice that contains NaN or
        infinity, or whose solve did not converge or is not as certain as that, is all
        NaN, and so are its derivatives. A single value is returned as it is, an empty
        axis as an empty axis.

    Raises:
        SoftSortError: an argument out of its range, or masked arrays. Numbers that are
            traced by JAX cannot be checked: such an epsilon or weight makes NaN.

    Example:
        >>> import softsort_core as soft
        >>> soft.sort([1.0, 5.0, 4.0, 8.0, 12.0]).tolist()
        [1.048, 4.118, 4.854, 8.006, 11.975]
    """
    n = slice_size(inputs, axis)
    if n == 0 and num_targets is not None:
        raise SoftSortError(
            f"num_targets is {num_targets}, but inputs is empty along its axis"
        )
    topk = as_count(topk, "topk", -1)
    is_topk = 0 < topk < n
    return _over_plans(
        _read_topk if is_topk else _read_sorted,
        inputs,
        axis,
        _sort_targets(n, topk, num_targets),
        epsilon,
        squashing_fun,
        input_weights,
        tolerance,
        same_shape=not is_topk and num_targets in (None, n),
    )


def ranks(
    inputs: Values,
    axis: int | Sequence[int] = -1,
    num_targets: int | None = None,
    target_weights: Values | None = None,
    *,
    epsilon: float | Array = 1e-2,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
) -> Float[Array, "..."]:
    """Rank softly: the ascending rank of each value, a real number in [0, n - 1].

    As epsilon -> 0, tends to the ranks 0 ... n - 1, ties sharing their average; as
    epsilon grows, every rank tends to (n - 1) / 2, which is always their mean.

    Beyond about 15 / sqrt(epsilon) levels, time and memory grow with the number of
    values only, and the error is at most 1e-6 of n - 1, as estimated.

    Args:
        inputs: real numbers of any shape.
        axis: the axis to rank along; several axes are ranked together as one.
        num_targets: number of rank levels in [0, n - 1]; n by default.
        target_weights: masses of the rank levels, instead of `num_targets`. Time grows
            with the third power of their number.
        epsilon: regularisation, positive, relative to squashed values in (0, 1).
        squashing_fun: see `sort`.
        input_weights: see `sort`. A value of weight 0 is ranked among the others
            without influencing them; one that is NaN or infinite has the rank NaN.
        tolerance: see `sort`.

    Returns:
        Ranks in the shape of `inputs`, and in single precision for values of half: this
        cannot tell ranks beyond 2,048 apart. A slice that contains NaN or infinity, or
        whose solve did not converge, is all NaN. A single value has rank 0.

    Raises:
        SoftSortError: as `sort`.

    Example:
        >>> import softsort_core as soft
        >>> soft.ranks([1.0, 5.0, 4.0, 8.0, 12.0]).tolist()
        [0.016, 1.841, 1.15, 3.0, 3.994]
    """
    n = slice_size(inputs, axis)
    if target_weights is None:
        targets = max(n, 1) if num_targets is None else num_targets
        targets = as_count(targets, "num_targets", 1)
    else:
        targets = as_distribution(target_weights, "target_weights")
    return _over_plans(
        _read_ranks,
        inputs,
        axis,
        targets,
        epsilon,
        squashing_fun,
        input_weights,
        tolerance,
        np.array(n - 1.0),
        levels_dtype=jnp.float32,
    )


def topk_mask(
    inputs: Values,
    axis: int | Sequence[int] = -1,
    k: int = 1,
    *,
    epsilon: float | Array = 1e-2,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
) -> Float[Array, "..."]:
    """Select softly: how far each value belongs to the k largest, in [0, 1].

    As epsilon -> 0, tends to 1 at the k largest values and 0 at the others. The mask
    sums to k.

    Args:
        inputs: real numbers of any shape.
        axis: the axis to select along; several axes are taken together as one.
        k: how many values to select, in [0, n].
        epsilon: regularisation, positive, relative to squashed values in (0, 1).
        squashing_fun: see `sort`.
        input_weights: see `ranks`; then the selected weight is k / n of the whole.
        tolerance: see `sort`.

    Returns:
        The mask in the shape of `inputs`. A slice that contains NaN or infinity, or
        whose solve did not converge, is all NaN.

    Raises:
        SoftSortError: an argument out of its range.

    Example:
        >>> import softsort_core as soft
        >>> soft.topk_mask([1.0, 5.0, 4.0, 8.0, 12.0], k=2, epsilon=0.1).tolist()
        [0.001, 0.108, 0.032, 0.861, 0.997]
    """
    n = slice_size(inputs, axis)
    share = as_count(k, "k", 0, n) / max(n, 1)
    return _over_plans(
        _read_levels,
        inputs,
        axis,
        np.array([1 - share, share]),
        epsilon,
        squashing_fun,
        input_weights,
        tolerance,
        np.array([0.0, 1.0]),
    )


def quantile(
    inputs: Values,
    q: Values | None = None,
    axis: int | Sequence[int] = -1,
    weight: float | Array | None = None,
    *,
    epsilon: float | Array = 1e-2,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
) -> Float[Array, "..."]:
    """Compute soft quantiles: convex combinations of the values near each level.

    As epsilon -> 0, tends to the average of the sorted values whose cumulative mass
    lies within `weight` of mass around the level: for `weight` <= 1 / n that is the
    value at the level itself, or the mean of the two that meet there. As epsilon
    grows, every quantile tends to the mean.

    Args:
        inputs: real numbers of any shape.
        q: a level or a vector of k levels in [0, 1], in any order; 0.2, 0.5 and 0.8
            by default. 0 and 1 are the soft minimum and maximum.
        axis: the axis, or several axes taken together as one.
        weight: mass of the target of each level, at most half the distance between
            neighbouring levels, to 0 and to 1. By default the smallest of that
            bound, 0.02 and 1.5 / n.
        epsilon: regularisation, positive, relative to squashed values in (0, 1).
        squashing_fun: see `sort`.
        input_weights: see `sort`.
        tolerance: see `sort`.

    Returns:
        The shape of `inputs` with size k on `axis` (1 for a scalar `q`), in the order
        of `q`; equal levels have equal values. A slice that contains NaN or infinity,
        or whose solve did not converge, is all NaN.

    Raises:
        SoftSortError: an argument out of its range, or no values. A level that is
            traced and out of its range makes all NaN.

    Example:
        >>> import softsort_core as soft
        >>> soft.quantile([1.0, 5.0, 4.0, 8.0, 12.0], q=0.5).tolist()
        [4.996]
    """
    n = slice_size(inputs, axis)
    if n == 0:
        raise SoftSortError("quantile of no values: inputs is empty along its axis")
    # Equal levels share one target.
    levels, share = as_levels(q), _level_share(weight, n)
    if is_concrete(levels):
        distinct, places = np.unique(levels, return_inverse=True)
        targets = quantile_weights(distinct, share)
    else:
        # Their number is not known: what fills them up has no weight.
        k = levels.size
        distinct, places, counts = jnp.unique(
            levels, return_inverse=True, return_counts=True, size=k, fill_value=1.0
        )
        count = jnp.sum(counts > 0)
        y = jnp.minimum(jnp.arange(2 * k + 1) / (2 * count), 1.0)
        targets = y, quantile_weights(distinct, share, count)
    return _over_plans(
        _read_quantiles,
        inputs,
        axis,
        targets,
        epsilon,
        squashing_fun,
        input_weights,
        tolerance,
        places,
        same_shape=False,
    )


def quantile_normalization(
    inputs: Values,
    targets: Values,
    weights: Values | None = None,
    axis: int | Sequence[int] = -1,
    *,
    epsilon: float | Array = 1e-2,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
) -> Float[Array, "..."]:
    """Give the values the distribution of `targets`, keeping their order.

    As epsilon -> 0, each value becomes the target at its own quantile; as epsilon
    grows, the mean of the targets.

    Args:
        inputs: real numbers of any shape.
        targets: m values in ascending order.
        weights: non-negative masses of the targets, shape (m,); uniform by default.
            Time grows with m, but if masses are given with its third power.
        axis: the axis to normalise along; several axes are taken together as one.
        epsilon: regularisation, positive, relative to squashed values in (0, 1).
        squashing_fun: see `sort`.
        input_weights: see `ranks`.
        tolerance: see `sort`.

    Returns:
        Normalised values in the shape of `inputs`, and in their dtype; of inputs of
        half precision in single precision, unless targets are of the same dtype. A
        slice that contains NaN or infinity, or whose solve did not converge, is all
        NaN.

    Raises:
        SoftSortError: an argument out of its range; targets that are not ascending. If
            they are traced, results are NaN instead.

    Example:
        >>> import softsort_core as soft
        >>> soft.quantile_normalization([3.0, 9.0, 1.0], [10.0, 20.0, 30.0]).tolist()
        [19.985, 30.0, 10.015]
    """
    ladder, levels_dtype = as_ladder(targets)
    m = ladder.size
    if weights is None:
        b = _equal(m, epsilon)
    else:
        b = as_distribution(weights, "weights")
        if b.shape != ladder.shape:
            raise SoftSortError(
                f"weights and targets should have the same shape: {b.shape} != "
                f"{ladder.shape}"
            )
    return _over_plans(
        _read_levels,
        inputs,
        axis,
        b,
        epsilon,
        squashing_fun,
        input_weights,
        tolerance,
        ladder,
        levels_dtype=levels_dtype,
    )


def quantize(
    inputs: Values,
    num_levels: int = 10,
    axis: int | Sequence[int] = -1,
    *,
    epsilon: float | Array = 1e-2,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
) -> Float[Array, "..."]:
    """Quantize softly: draw the values to `num_levels` levels of equal mass.

    As epsilon -> 0, each value becomes the mean of the values in its own quantile
    group; as epsilon grows, the mean of all.

    Args:
        inputs: real numbers of any shape.
        num_levels: number of levels, up to 16,384 or the number of values.
        axis: the axis to quantize along; several axes are taken together as one.
        epsilon: regularisation, positive, relative to squashed values in (0, 1).
        squashing_fun: see `sort`.
        input_weights: see `ranks`.
        tolerance: see `sort`.

    Returns:
        Quantized values in the shape of `inputs`. A slice that contains NaN or
        infinity, or whose solve did not converge, is all NaN.

    Raises:
        SoftSortError: an argument out of its range.

    Example:
        >>> import softsort_core as soft
        >>> soft.quantize([1.0, 2.0, 8.0, 9.0], num_levels=2).tolist()
        [1.5, 1.5, 8.5, 8.5]
    """
    levels = as_count(num_levels, "num_levels", 1)
    n = slice_size(inputs, axis)
    if levels > max(n, _MOST_LEVELS):
        raise SoftSortError(
            f"num_levels is {levels}, which is too large for {n} values: give up to "
            f"{max(n, _MOST_LEVELS)}"
        )
    return _over_plans(
        _read_quantized,
        inputs,
        axis,
        _equal(levels, epsilon),
        epsilon,
        squashing_fun,
        input_weights,
        tolerance,
    )


def sort_with(
    inputs: Values,
    criterion: Values,
    topk: int = -1,
    *,
    axis: int = 0,
    epsilon: float | Array = 1e-2,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
) -> Float[Array, "..."]:
    """Sort vectors softly by a criterion: convex combinations, by rising criterion.

    As epsilon -> 0, tends to the vectors in the order of the criterion; as epsilon
    grows, to their mean.

    Args:
        inputs: n vectors, of shape (n, d) by default.
        criterion: what to sort by, shape (n,) or (n, 1).
        topk: if in [1, n - 1], only the vectors of the `topk` largest criteria.
        axis: the axis of `inputs` that counts the n vectors.
        epsilon: regularisation, positive, relative to squashed criteria in (0, 1).
        squashing_fun: maps the criterion to about [0, 1]; see `sort`.
        input_weights: non-negative weights of the vectors, shape (n,).
        tolerance: see `sort`.

    Returns:
        The shape of `inputs`, with size n or `topk` on `axis`. NaN or infinity in the
        criterion makes all of it NaN, in the vectors only what is at the same place.

    Raises:
        SoftSortError: an argument out of its range; sizes that do not match.

    Example:
        >>> import softsort_core as soft
        >>> soft.sort_with([[1.0, 0.0], [2.0, 5.0]], [7.0, 3.0], epsilon=1e-3).tolist()
        [[2.0, 5.0], [1.0, 0.0]]
    """
    vectors, dtype = as_floating(inputs, "inputs")
    n = slice_size(vectors, axis)
    keys = as_floating(criterion, "criterion")[0]
    keys = keys.astype(jnp.promote_types(keys.dtype, vectors.dtype))
    if keys.shape not in ((n,), (n, 1)):
        raise SoftSortError(
            f"criterion has shape {keys.shape}: give one number for each of the {n} "
            f"vectors along axis {axis} of the inputs"
        )
    if n == 0:
        return vectors.astype(dtype)
    topk = as_count(topk, "topk", -1)
    composites = _over_plans(
        _read_vectors,
        keys.reshape(n),
        0,
        _sort_targets(n, topk, None),
        epsilon,
        squashing_fun,
        input_weights,
        tolerance,
        jnp.moveaxis(vectors, axis, 0),
        same_shape=False,
    )[-topk if 0 < topk < n else 0 :]
    return jnp.moveaxis(composites, 0, axis).astype(dtype)


# How operators read a plan, given what is not transported.


def _read_sorted(plan: AnyPlan, values: Array) -> _Read:
    found, certain = plan.given_target(values)
    return increasing(found), certain


def _read_topk(plan: AnyPlan, values: Array) -> _Read:
    found, certain = _read_sorted(plan, values)
    return found[1:], certain


def _read_ranks(plan: AnyPlan, values: Array, highest: Array) -> _Read:
    return plan.given_input(_scaled(highest.astype(values.dtype), plan.targets))


@jax.jit
def _scaled(factor: Array, values: Array) -> Array:
    return factor * values


def _read_levels(plan: AnyPlan, values: Array, levels: Array) -> _Read:
    """Read a mean of levels, one per target, for each value."""
    return plan.given_input(levels.astype(values.dtype))


def _read_quantized(plan: AnyPlan, values: Array) -> _Read:
    levels, are_certain = plan.given_target(values)
    found, certain = _read_levels(plan, values, levels)
    return found, certain & are_certain


def _read_quantiles(plan: AnyPlan, values: Array, places: Array) -> _Read:
    found, certain = _read_sorted(plan, values)
    return _at_levels(found, places), certain


@jax.jit
def _at_levels(values: Array, places: Array) -> Array:
    """Return the values of 2 k + 1 targets at some of the k levels."""
    return values[1::2][places]


def _read_vectors(plan: AnyPlan, keys: Array, vectors: Array) -> _Read:
    # Vectors of weightless keys; see `_padded`.
    if (more := keys.shape[0] - vectors.shape[0]) > 0:
        padding = (0, more), *[(0, 0)] * (vectors.ndim - 1)
        if is_concrete(vectors):
            vectors = _beside(vectors, np.pad(np.asarray(vectors), padding))
        else:
            vectors = jnp.pad(vectors, padding)
    return plan.given_target(vectors.astype(keys.dtype))


# What they tend to as epsilon -> 0, with as many targets as inputs.
_HARD = {_read_sorted: np.sort, _read_ranks: hard_ranks}
# Those with a result for each value.
_FOR_EACH = _read_ranks, _read_levels, _read_quantized


def _over_plans(
    read: Callable[..., _Read],
    inputs: Values,
    axis: int | Sequence[int],
    targets: int | np.ndarray | _Targets,
    epsilon: Any,
    squashing_fun: Squashing,
    input_weights: Values | None,
    tolerance: Any,
    *given: Array | np.ndarray,
    same_shape: bool = True,
    levels_dtype: Any = None,
) -> Array:
    """Call `read(plan, values, *given)` for each slice and its plan.

    Targets are given by their number, by their weights, or by positions and weights.
    See `over_slices` for the shape of the result. Its dtype is that of the inputs,
    unless these have half precision and results are levels that have not.
    """
    x, dtype = as_floating(inputs, "inputs")
    if levels_dtype is not None and jnp.promote_types(dtype, levels_dtype) != dtype:
        dtype = x.dtype
    a = as_weights(input_weights, "input_weights")
    axes = normalised_axes(axis, x.ndim)
    # The caller's function is called here, not compiled, for it may be new every time.
    squashed = None
    if squashing_fun is not None:
        squashed = _squashed_by(squashing_fun, x, a, axes)
    n = slice_size(x, axes)
    are_even = isinstance(targets, int)
    m = targets if are_even else jax.tree.leaves(targets)[0].size
    if n == 0:
        return x.astype(dtype)
    resolutions = _resolutions(read, x, axes, m, as_epsilon(epsilon), are_even=are_even)
    slices = x, a, squashed
    problem: Any = (
        None
        if are_even
        else jax.tree.map(lambda each: _converted(each, x.dtype), targets),
        _converted(as_epsilon(epsilon), x.dtype),
        as_tolerance(tolerance),
        given,
    )
    number = m if are_even else None

    def finished(results: Array) -> Array:
        results = in_place(results, x.shape, axes, same_shape=same_shape)
        if a is not None and read in _FOR_EACH:
            # Values without weight take no part, but may still not be numbers.
            results = jnp.where(jnp.isfinite(x), results, jnp.nan)
        return results.astype(dtype)

    if not is_concrete((slices, problem)) or is_staging():
        # All would be compiled; the last is enough for all.
        last = resolutions[-1]
        values, certain = _compiled_read_plans(
            read, *slices, *problem, number, last, axes
        )
        # What is wrong with those that are traced has made them NaN.
        numbers = [jnp.sum(each) for each in jax.tree.leaves(problem[:3])]
        results = marked(values, certain & jnp.isfinite(sum(numbers)))
        return finished(results)
    if (read in _HARD and are_even and m == n and a is None and len(axes) == 1) and (
        epsilon < LEAST_EPSILON and n > 1
    ):
        # So small an epsilon is costly, if it can be solved for at all.
        result = hard_if_certain(
            _HARD[read], x, squashed, axes[0], float(epsilon), float(tolerance)
        )
        if result is not None:
            return result.astype(dtype)
    check_reach(n, m, float(epsilon))
    is_short = x.ndim == 1 and max(n, m) <= MOST_PADDED and len(x.devices()) == 1
    if is_short and (a is None or a.shape == x.shape):
        slices = _padded(*slices)
        places = rounded_up(m) if are_even else None
        if are_even and resolutions[0] is None:
            problem, number = (points_of(m, places, x.dtype), *problem[1:]), None
            places = None
        if x.committed or resolutions[0] is not None:
            slices, problem = _beside(x, (slices, problem))
        values, certain = _read_in_turn(
            read, slices, (*problem, number), resolutions, axes, places
        )
        size = n if same_shape else m if are_even else None
        # What was to be compiled for this would be so for each length.
        results = np.where(np.asarray(certain), np.asarray(values), np.nan)[:size]
        if a is not None and read in _FOR_EACH:
            results = np.where(np.isfinite(np.asarray(x)), results, np.nan)
        return _beside(x, results.astype(dtype))
    problem = *jax.device_put(problem), number
    return finished(_marked(*_read_in_turn(read, slices, problem, resolutions, axes)))


_marked = jax.jit(marked)


def _padded(x: Array, a: Array | None, squashed: Array | None) -> Any:
    """Return a vector with more values, of no weight, to a length that others have."""
    size = rounded_up(x.size)
    weights = np.ones(x.shape) if a is None else np.asarray(a)
    return (
        with_last(np.asarray(x), size),
        with_zeros(weights.astype(x.dtype), size),
        None if squashed is None else with_last(np.asarray(squashed), size),
    )


def _converted(value: Any, dtype: Any) -> Any:
    # JAX would compile the conversion of a number.
    return (np if is_concrete(value) else jnp).asarray(value, dtype)


def _beside(x: Array, arrays: Any) -> Any:
    """Return arrays on the device of x, if it has to be there."""
    (device,) = x.devices()
    return jax.device_put(arrays, device if x.committed else None)


def _read_in_turn(
    read: Callable[..., _Read],
    slices: tuple[Any, Any, Any],
    problem: tuple[Any, Any, Any, Any, Any],
    resolutions: tuple[AnyResolution, ...],
    axes: tuple[int, ...],
    places: int | None = None,
) -> _Read:
    """Read plans as `_read_plans` does, of slices and a problem that are at hand.

    Slices are values, their weights and what they are squashed to. What is read in one
    call may be in arrays of NumPy's.

    What need not be traced, for what was before is certain, need not be compiled.
    """
    x, a, _ = slices
    first, *others = resolutions
    # What is to be compiled for one vector by nodes is mostly the same for other
    # operators, and other lengths if they are large: each step of it is on its own.
    in_steps = x.ndim == 1 and first is not None
    read_plans = _read_plans if in_steps else _compiled_read_plans
    results = read_plans(read, *slices, *problem, first, axes, places)
    for each in others:
        lacking = np.ravel(_lacking(x, a, results[1], axes))
        missing = np.flatnonzero(lacking)
        if missing.size == 0:
            break
        if isinstance(each, SharedNodes) and missing.size < _FEWEST_SHARED:
            continue
        if missing.size == lacking.size:
            others = read_plans(read, *slices, *problem, each, axes, places)
            results = completed(results, others) if results[1].any() else others
            continue
        # Few numbers of slices share what is compiled.
        size = min(lacking.size, 4 ** math.ceil(math.log(missing.size, 4)))
        missing = np.resize(missing, size)

        def some(array: Array, missing: np.ndarray = missing) -> Array:
            are_slices = array.ndim == x.ndim
            return as_slices(array, axes)[missing] if are_slices else array

        values, weights, points = jax.tree.map(some, slices)
        mended = read_plans(read, values, weights, points, *problem, each, (1,))
        results = jax.tree.map(
            lambda all_, few, missing=missing: all_.at[missing].set(few),
            results,
            mended,
        )
    return results


def _resolutions(
    read: Callable[..., _Read],
    x: Array,
    axes: tuple[int, ...],
    m: int,
    epsilon: Any,
    *,
    are_even: bool,
) -> tuple[AnyResolution, ...]:
    """Return how the plans of slices are resolved, one after another.

    The later ones for slices for which the earlier are not certain.
    """
    n = slice_size(x, axes)
    usual = resolutions_for(n, m, epsilon, x.dtype, are_even=are_even)
    are_rows = read in _HARD and are_even and m >= _LEAST_SHARED and n <= MANY
    are_rows = are_rows and x.size >= _FEWEST_SHARED * n
    if not are_rows or not is_concrete(epsilon) or epsilon < SMALL_EPSILON:
        return usual
    return *shared_nodes(float(epsilon), x.dtype), *usual


def _squashed_by(
    squashing_fun: Callable[[Array], Array],
    x: Array,
    a: Array | None,
    axes: tuple[int, ...],
) -> Array:
    def squashed(_, values):
        result = squashing_fun(values)
        if result.shape != values.shape:
            raise SoftSortError(
                f"squashing_fun returned shape {result.shape} for values of shape "
                f"{values.shape}: it must squash each value"
            )
        return result.astype(x.dtype)

    results = over_slices(squashed, (x,), a, axes, entries=x.size)
    return in_place(results, x.shape, axes, same_shape=True)


def _read_plans(
    read: Callable[..., _Read],
    x: Array,
    input_weights: Array | None,
    squashed: Array | None,
    given_targets: _Targets | None,
    epsilon: Array,
    tolerance: Any,
    given: tuple[Array, ...],
    m: int | None,
    resolution: AnyResolution,
    axes: tuple[int, ...],
    places: int | None = None,
) -> _Read:
    """Read a plan of each slice.

    Targets are given if they are not equal, else by their number m; see `plan_of` for
    their places.
    """
    n = slice_size(x, axes)
    targets: Any = given_targets if m is None else m

    def operator(weights, values, squashed=None):
        plan = plan_of(
            values, weights, squashed, targets, epsilon, tolerance, resolution, places
        )
        found, certain = read(plan, values, *given)
        return found, certain[None]

    rows, columns = n, jax.tree.leaves(targets)[0].size if m is None else m
    if resolution is not None:
        columns = columns if m is None else resolution.nodes
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
        (x,) if squashed is None else (x, squashed),
        input_weights,
        axes,
        entries=max(n, rows * columns),
    )


_compiled_read_plans = jax.jit(
    _read_plans, static_argnames=("read", "m", "resolution", "axes", "places")
)


@functools.partial(jax.jit, static_argnames="axes")
def _lacking(x: Array, a: Array | None, certain: Array, axes: tuple[int, ...]) -> Array:
    """Return which slices of numbers have results that are not certain."""
    if x.ndim == 1:
        return are_lacking(a, x, certain)
    slices = weight_slices(a, x, axes), as_slices(x, axes)
    return jax.vmap(are_lacking)(*slices, certain)


def _sort_targets(n: int, topk: int, num_targets: int | None) -> int | np.ndarray:
    """Return how many targets, or for top-k weights of the rest and k of 1 / n."""
    if 0 < topk < n:
        return np.concatenate([[n - topk], np.ones(topk)]) / n
    return as_count(max(n, 1) if num_targets is None else num_targets, "num_targets", 1)


def _equal(m: int, epsilon: Any) -> int | np.ndarray:
    """Return how many equal targets there are, or the weights of few."""
    return m if are_many_targets(m, as_epsilon(epsilon)) else shares(m)


def _level_share(weight: float | Array | None, n: int) -> float | Array:
    """Return the largest weight of the target of a level."""
    if weight is None:
        return level_share(n)
    if np.shape(weight) != () or (is_concrete(weight) and not weight >= 0):
        raise SoftSortError(
            f"weight is {weight!r}: give one number that is not negative, such as 0.02"
        )
    return weight


@jax.jit
def quantile_weights(
    levels: Array | np.ndarray, share: float | Array, count: Any = None
) -> Array:
    """Return weights of 2 k + 1 targets: filler, level, filler, ..., level, filler.

    Args:
        levels: k that rise to up to 1.
        share: the weight of a level, if there is room for it.
        count: so many of them; the others are 1 and have no weight.
    """
    k = levels.size
    count = k if count is None else count
    places = jnp.arange(k + 1)
    gaps = jnp.diff(levels, prepend=0.0, append=1.0)
    room = jnp.min(jnp.where(places <= count, gaps, 1.0))
    w = jnp.minimum(jnp.minimum(0.5 / count, 0.5 * room), share)
    w = jnp.where(w >= 0, w, jnp.nan)
    ends = jnp.where((places == 0) | (places == count), 0.5, 1.0)
    fillers = jnp.where(places <= count, gaps - w * ends, 0.0)
    shares = jnp.where(places < count, w, 0.0)
    return jnp.stack([fillers, shares], axis=1).reshape(-1)[:-1]
