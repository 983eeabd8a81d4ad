"""Groups of values, of any sizes: those of a size are the rows of one problem.

What is compiled is the same for all sizes: groups are padded by values of weight zero
to one of few widths, and the nodes of their targets are given.
"""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core import _kept as kept
from softsort_core._arguments import Values, as_epsilon, as_floating, as_tolerance
from softsort_core._compressed import SMALL_EPSILON, TOLERANCE
from softsort_core._rounding import increasing
from softsort_core._rows import (
    RowPlan,
    Rules,
    SharedNodes,
    Solved,
    order_of,
    point_moments,
    rules,
    shared_nodes,
    solved_by,
)
from softsort_core._squash import in_double, squash

# Smaller ones have too few targets, larger ones are not worth it.
SMALLEST, LARGEST = 13, 512
# Rows that are solved together, for more would be filled less, and how wide they are.
_HEIGHT, _NARROWEST = 32, 32


def group_ranks(
    values: Values,
    sizes: np.ndarray,
    *,
    epsilon: float = 1e-2,
    squashes: bool = True,
    tolerance: float = TOLERANCE,
) -> np.ndarray:
    """Rank softly within each of many groups.

    As epsilon -> 0, tends to the ranks within the group.

    Args:
        values: those of the groups, one after another.
        sizes: how many values each group has.
        epsilon: see `ranks`.
        squashes: whether values are squashed by default; else they are in [0, 1].
        tolerance: see `ranks`.

    Returns:
        The ranks of the values. Those of a group are NaN if that is of less than 13
        values or more than 512, or not certain: `ranks` is slower but finds them.

    Example:
        >>> import numpy as np
        >>> import softsort_core as soft
        >>> found = soft.group_ranks(np.arange(40.0) % 20, np.array([20, 15, 5]))
        >>> found[[0, 19, 34]].round(1).tolist(), bool(np.isnan(found[-1]))
        ([0.6, 18.4, 13.6], True)
    """
    return _over_groups(_read_ranks, values, sizes, epsilon, squashes, tolerance)


def group_sort(
    values: Values,
    sizes: np.ndarray,
    *,
    epsilon: float = 1e-2,
    squashes: bool = True,
    tolerance: float = TOLERANCE,
) -> np.ndarray:
    """Sort softly within each of many groups; see `group_ranks` and `sort`."""
    return _over_groups(_read_sorted, values, sizes, epsilon, squashes, tolerance)


def _over_groups(
    read: Callable[[RowPlan, Array, Array], Array],
    values: Values,
    sizes: np.ndarray,
    epsilon: float,
    squashes: bool,
    tolerance: float,
) -> np.ndarray:
    x = np.asarray(as_floating(values, "values")[0])
    sizes = np.asarray(sizes)
    starts = np.cumsum(sizes) - sizes
    results = np.full(x.shape, np.nan, x.dtype)
    device = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    limit = as_tolerance(tolerance)
    left = np.flatnonzero((sizes >= SMALLEST) & (sizes <= LARGEST))
    if as_epsilon(epsilon) < SMALL_EPSILON:
        return results
    narrowest = _NARROWEST
    for nodes in shared_nodes(epsilon, x.dtype):
        if left.size == 0:
            break

        def solve(
            places: np.ndarray, nodes: SharedNodes = nodes, narrowest: int = narrowest
        ) -> None:
            size = int(sizes[places[0]])
            within = np.arange(max(narrowest, _width(size)))
            within = np.where(within < size, within, 0)
            rows = starts[np.resize(places, _HEIGHT), None] + within
            # Nodes are doubles.
            with jax.enable_x64(True), jax.default_device(device):
                given = size, np.asarray(epsilon, x.dtype), rules(size, nodes)
                found = _solved_rows(read, x[rows], *given, limit, squashes)
            kept = slice(len(places)), slice(size)
            results[rows[kept]] = np.asarray(found)[kept]

        blocks = [
            block
            for size in np.unique(sizes[left])
            for some in [left[sizes[left] == size]]
            for block in np.split(some, range(_HEIGHT, len(some), _HEIGHT))
        ]
        # What the first of a width compiles is not to be compiled by others as well.
        first = {_width(int(sizes[block[0]])): block for block in blocks}
        for block in first.values():
            solve(block)
        # A block is too little work for several threads.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(solve, blocks))
        left = left[np.isnan(results[starts[left]])]
        # Those few are not worth compiling for more than one width.
        narrowest = _width(int(sizes[left].max(initial=1)))
    return results


def _width(size: int) -> int:
    """Return the next power of 2."""
    return max(_NARROWEST, 1 << (size - 1).bit_length())


def _solved_rows(
    read: Callable[[RowPlan, Array, Array], Array],
    x: np.ndarray,
    size: int,
    epsilon: np.ndarray,
    rules: Rules,
    tolerance: Any,
    squashes: bool,
) -> Array:
    """Read the plans of rows of which so many values count.

    In steps, of which the longest to compile is the same for all widths.
    """
    s, moments = _placed(x, size, order_of(rules), squashes)
    solved = _solutions(moments, epsilon, rules)
    return _read(read, x, s, size, epsilon, rules, solved, tolerance)


def _weights(x: Float[Array, " n"], size: Any) -> Float[Array, " n"]:
    return (jnp.arange(x.shape[0]) < size).astype(x.dtype) / size


@kept.jit(static_argnames=("order", "squashes"))
def _placed(x: Array, size: Any, order: int, squashes: bool) -> tuple[Array, Array]:
    """Return rows as they are squashed, and their moments."""

    def of_row(x):
        a = _weights(x, size).astype(x.dtype)
        s = squash(x, a) if squashes else x
        return s, in_double(functools.partial(point_moments, order), s, a)

    return jax.vmap(of_row)(x)


@kept.jit
def _solutions(moments: Array, epsilon: Array, rules: Rules) -> Solved:
    def of_row(moments):
        return in_double(solved_by, moments, epsilon, rules)

    return jax.vmap(of_row)(moments)


@kept.jit(static_argnames="read")
def _read(
    read: Callable[[RowPlan, Array, Array], Array],
    x: Array,
    s: Array,
    size: Any,
    epsilon: Array,
    rules: Rules,
    solved: Solved,
    tolerance: Any,
) -> Array:
    places = jnp.minimum(jnp.arange(x.shape[1]) / (size - 1), 1.0).astype(x.dtype)

    def of_row(x, s, solved):
        a = _weights(x, size).astype(x.dtype)
        plan = RowPlan(s, a, epsilon, rules, solved, tolerance, places)
        return read(plan, x, size)

    return jax.vmap(of_row)(x, s, solved)


def _read_ranks(plan: RowPlan, values: Array, size: Array) -> Array:
    del values
    highest = (size - 1).astype(plan.s.dtype)
    return plan.given_input(highest * plan.targets)


def _read_sorted(plan: RowPlan, values: Array, size: Array) -> Array:
    del size
    return increasing(plan.given_target(values))
