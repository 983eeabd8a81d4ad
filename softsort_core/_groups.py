"""Groups of values, of any sizes: those of a size are the rows of one problem.

What is compiled is the same for all sizes: groups are padded by values of weight zero
to one of few widths, and the nodes of their targets are given.
"""

import functools
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
from softsort_core._cores import core_count
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
SMALLEST, LARGEST = 13, 2**14
# Rows of a block, for more would be filled less, and how wide they are.
_HEIGHT, _NARROWEST = 32, 32
# Few groups are of the same size if that is large: each is a block.
_SINGLE = 2**9
# Blocks, of one width, that are solved by one call.
_AT_ONCE = 8


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
        The ranks of the values. Those of a group are NaN if that is of 2 to 12 values
        or more than 16,384, or not certain: `ranks` is slower but finds them.

    Example:
        >>> import numpy as np
        >>> import softsort_core as soft
        >>> found = soft.group_ranks(np.arange(40.0) % 20, np.array([20, 15, 5]))
        >>> found[[0, 19, 34]].tolist(), bool(np.isnan(found[-1]))
        ([1.1, 17.9, 13.3], True)
    """
    options = epsilon, squashes, tolerance
    return _over_groups(_read_ranks, np.zeros_like, values, sizes, *options)


def group_sort(
    values: Values,
    sizes: np.ndarray,
    *,
    epsilon: float = 1e-2,
    squashes: bool = True,
    tolerance: float = TOLERANCE,
) -> np.ndarray:
    """Sort softly within each of many groups; see `group_ranks` and `sort`."""
    options = epsilon, squashes, tolerance
    return _over_groups(_read_sorted, np.array, values, sizes, *options)


def _over_groups(
    read: Callable[[RowPlan, Array, Array], Array],
    alone: Callable[[np.ndarray], np.ndarray],
    values: Values,
    sizes: np.ndarray,
    epsilon: float,
    squashes: bool,
    tolerance: float,
) -> np.ndarray:
    """Read plans of groups; `alone` maps the values of groups of one to results."""
    x, sizes = np.asarray(as_floating(values, "values")[0]), np.asarray(sizes)
    starts = np.cumsum(sizes) - sizes
    results = np.full(x.shape, np.nan, x.dtype)
    single = starts[sizes == 1]
    results[single] = np.where(np.isfinite(x[single]), alone(x[single]), np.nan)
    if as_epsilon(epsilon) < SMALL_EPSILON:
        return results
    options = np.asarray(epsilon, x.dtype), as_tolerance(tolerance), squashes
    device = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    left = np.flatnonzero((sizes >= SMALLEST) & (sizes <= LARGEST))
    narrowest = _NARROWEST
    for nodes in shared_nodes(epsilon, x.dtype):
        if left.size == 0:
            break
        parts = _parts(sizes, left)

        def solve(
            blocks: list[np.ndarray],
            nodes: SharedNodes = nodes,
            narrowest: int = narrowest,
        ) -> None:
            filled = [blocks[i % len(blocks)] for i in range(_AT_ONCE)]
            counts = sizes[[block[0] for block in filled]]
            height, width = _shape(int(counts[0]), narrowest)
            filled = np.stack([np.resize(block, height) for block in filled])
            within = np.arange(width)
            within = np.where(within < counts[:, None], within, 0)
            rows = starts[filled][..., None] + within[:, None]
            # Nodes are doubles.
            with jax.enable_x64(True), jax.default_device(device):
                stacked = jax.tree.map(
                    lambda *each: np.stack(each),
                    *(rules(count, nodes) for count in counts.tolist()),
                )
                found = _solved_blocks(read, x[rows], counts, stacked, *options)
                found = np.asarray(found)
            for block, size, row, each in zip(
                blocks, counts.tolist(), rows, found, strict=False
            ):
                kept = slice(len(block)), slice(size)
                results[row[kept]] = each[kept]

        # What the first of a height compiles, and then that of a width, is not to be
        # compiled by others as well. They are too little work for threads of their own.
        with ThreadPoolExecutor(core_count()) as pool:
            done: set[int] = set()
            for some in (*_firsts(sizes, parts), range(len(parts))):
                fresh = [place for place in some if place not in done]
                list(pool.map(solve, [parts[place] for place in fresh]))
                done.update(fresh)
        left = left[np.isnan(results[starts[left]])]
        # Those few are not worth compiling for more than one width.
        narrow = sizes[left[sizes[left] <= _SINGLE]]
        _, narrowest = _shape(int(narrow.max(initial=1)))
    return results


def _firsts(sizes: np.ndarray, parts: list[list[np.ndarray]]) -> list[list[int]]:
    """Return the places of the first part of each height, and of each width."""
    shapes = np.array([_shape(int(sizes[part[0][0]])) for part in parts])
    return [np.unique(each, return_index=True)[1].tolist() for each in shapes.T]


def _parts(sizes: np.ndarray, left: np.ndarray) -> list[list[np.ndarray]]:
    """Return the places of groups in blocks of a size, in parts of a shape."""
    blocks: dict[tuple[int, int], list[np.ndarray]] = {}
    order = left[np.argsort(sizes[left], kind="stable")]
    for same in np.split(order, np.flatnonzero(np.diff(sizes[order])) + 1):
        shape = _shape(int(sizes[same[0]]))
        some = np.split(same, range(shape[0], len(same), shape[0]))
        blocks.setdefault(shape, []).extend(some)
    return [
        each[start : start + _AT_ONCE]
        for each in blocks.values()
        for start in range(0, len(each), _AT_ONCE)
    ]


def _shape(size: int, narrowest: int = _NARROWEST) -> tuple[int, int]:
    """Return the rows of a block of groups of a size, and how wide they are."""
    width = max(narrowest, 1 << (size - 1).bit_length())
    return (_HEIGHT if size <= _SINGLE else 1), width


def _solved_blocks(
    read: Callable[[RowPlan, Array, Array], Array],
    x: np.ndarray,
    sizes: np.ndarray,
    rules: Rules,
    epsilon: np.ndarray,
    tolerance: Any,
    squashes: bool,
) -> Array:
    """Read the plans of blocks of rows of which so many values count.

    In steps, of which the longest to compile is the same for all widths.
    """
    s, moments = _placed(x, sizes, order_of(rules), squashes)
    solved = _solutions(moments, epsilon, rules)
    return _read(read, x, s, sizes, epsilon, rules, solved, tolerance)


def _weights(x: Float[Array, " n"], size: Array) -> Float[Array, " n"]:
    return ((jnp.arange(x.shape[0]) < size) / size).astype(x.dtype)


@kept.jit(static_argnames=("order", "squashes"))
def _placed(x: Array, sizes: Array, order: int, squashes: bool) -> tuple[Array, Array]:
    """Return rows as they are squashed, and their moments."""

    def of_row(x, size):
        a = _weights(x, size)
        s = squash(x, a) if squashes else x
        return s, in_double(functools.partial(point_moments, order), s, a)

    rows = jax.vmap(of_row, (0, None))
    return jax.lax.map(lambda block: rows(*block), (x, sizes))


@kept.jit
def _solutions(moments: Array, epsilon: Array, rules: Rules) -> Solved:
    def of_row(moments, rules):
        return in_double(solved_by, moments, epsilon, rules)

    rows = jax.vmap(of_row, (0, None))
    return jax.lax.map(lambda block: rows(*block), (moments, rules))


@kept.jit(static_argnames="read")
def _read(
    read: Callable[[RowPlan, Array, Array], Array],
    x: Array,
    s: Array,
    sizes: Array,
    epsilon: Array,
    rules: Rules,
    solved: Solved,
    tolerance: Any,
) -> Array:
    def of_row(x, s, solved, size, rules):
        places = jnp.minimum(jnp.arange(x.size) / (size - 1), 1.0).astype(x.dtype)
        a = _weights(x, size)
        plan = RowPlan(s, a, epsilon, rules, solved, tolerance, places)
        return read(plan, x, size)

    rows = jax.vmap(of_row, (0, 0, 0, None, None))
    return jax.lax.map(lambda block: rows(*block), (x, s, solved, sizes, rules))


def _read_ranks(plan: RowPlan, values: Array, size: Array) -> Array:
    del values
    highest = (size - 1).astype(plan.s.dtype)
    return plan.given_input(highest * plan.targets)


def _read_sorted(plan: RowPlan, values: Array, size: Array) -> Array:
    del size
    return increasing(plan.given_target(values))
