"""Soft ranks within segments that need not lie together, for what JAX traces."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from softsort_core.arguments import Values, as_count, as_floating, as_weights
from softsort_core.defaults import EPSILON, TOLERANCE
from softsort_core.errors import SoftSortError
from softsort_core.operators.over_plans import Squashing
from softsort_core.operators.ranks import ranks


def segment_ranks(
    values: Values,
    segment_ids: Values,
    num_segments: int,
    *,
    most: int | None = None,
    epsilon: float | Array = EPSILON,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
) -> Float[Array, " n"]:
    """Rank softly within segments, under `jax.jit` and with derivatives of any order.

    As epsilon -> 0, tends to the ranks within the segment. `group_ranks` is faster for
    what is not traced.

    Args:
        values: a vector of n real numbers.
        segment_ids: the segment of each, from 0 on, in any order.
        num_segments: how many there are, as in `jax.ops.segment_sum`.
        most: no segment has more values than this; n by default. Time and memory grow
            with the product of it and `num_segments`.
        epsilon: see `ranks`.
        squashing_fun: see `sort`; of a segment, and what pads it, the least value.
        input_weights: of each value; see `ranks`.
        tolerance: see `sort`.

    Returns:
        The ranks of the values. They are NaN in segments of more values than `most`, or
        that contain NaN or infinity, or are not certain, and for ids out of range.

    Raises:
        SoftSortError: an argument out of its range, or shapes that do not match.

    Examples:
        >>> import softsort_core as soft
        >>> ids = [0, 1, 0, 1, 0]
        >>> x = [3.0, 9.0, 1.0, 8.0, 2.0]
        >>> soft.segment_ranks(x, ids, 2, epsilon=1e-3).tolist()
        [2.0, 1.0, 0.0, 0.0, 1.0]
    """
    x, dtype = as_floating(values, "values")
    ids = jnp.asarray(segment_ids)
    weights = as_weights(input_weights, "input_weights")
    shapes = {"segment_ids": ids.shape}
    if weights is not None:
        shapes["input_weights"] = weights.shape
    for name, shape in shapes.items():
        if x.ndim != 1 or shape != x.shape:
            raise SoftSortError(
                f"values has shape {x.shape} and {name} {shape}: give vectors of the "
                "same size"
            )
    if not jnp.issubdtype(ids.dtype, jnp.integer):
        raise SoftSortError(f"segment_ids has dtype {ids.dtype}: give integers")
    count, n = as_count(num_segments, "num_segments", 1), x.size
    width = n if most is None else as_count(most, "most", 1)
    if n == 0:
        return x.astype(dtype)
    source, used = _rows(ids, count, width)
    softness: dict[str, Any] = {"epsilon": epsilon, "squashing_fun": squashing_fun}
    if weights is not None:
        softness["input_weights"] = weights[source]
    results = ranks(x[source], where=used, fill=0.0, tolerance=tolerance, **softness)
    places = jnp.where(used, source, n)
    # Where no rank is put, in no row: NaN on the way could be taken for an error.
    placed = jnp.zeros(n, results.dtype).at[places].set(results, mode="drop")
    is_known = jnp.zeros(n, bool).at[places].set(True, mode="drop")
    return jnp.where(is_known, placed, jnp.nan)


def _rows(ids: Array, count: int, width: int) -> tuple[Array, Array]:
    """Return the places of the values of segments, one a row, and which there are."""
    n = ids.size
    keys = jnp.where((ids >= 0) & (ids < count), ids, count)
    order = jnp.argsort(keys)
    ends = jnp.searchsorted(keys[order], jnp.arange(count), side="right")
    sizes = jnp.diff(ends, prepend=0)
    within = jnp.arange(width)
    source = order[jnp.clip((ends - sizes)[:, None] + within, 0, n - 1)]
    return source, (within < sizes[:, None]) & (sizes <= width)[:, None]
