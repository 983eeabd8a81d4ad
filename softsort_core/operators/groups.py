"""Many groups of values, of any sizes, solved at once; see `group_blocks` for how."""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core.arguments import Values, as_epsilon, as_floating, as_tolerance
from softsort_core.defaults import SMALL_EPSILON
from softsort_core.operators.group_blocks import (
    LARGEST,
    LEAST,
    MOST,
    Blocks,
    blocks_of_sizes,
    in_turn,
    narrow_blocks,
    narrowest_for,
)
from softsort_core.operators.read_slices import Read
from softsort_core.parallel import core_count
from softsort_core.plans.dense import Plan, transport
from softsort_core.plans.direct_plan import DirectPlan, direct_plan
from softsort_core.plans.gauss_rules import Rules, SharedNodes, rules, shared_nodes
from softsort_core.plans.shared_kernel import (
    RowPlan,
    RowSolution,
    point_moments,
    solve_row,
)
from softsort_core.precision import in_double
from softsort_core.squash import squash

# What reads a plan of a row, given that, the values, the targets and their number.
Reading: TypeAlias = Callable[[Any, Array, Array, Array], Read]


def over_groups(
    read: Reading,
    of_one: Callable[[np.ndarray], np.ndarray],
    values: Values,
    sizes: np.ndarray,
    epsilon: float,
    squashes: bool,
    tolerance: float,
) -> np.ndarray:
    """Return what is read of the plans of groups, and of values that are alone.

    See `group_ranks`; `of_one` maps such values to their results.
    """
    x = np.asarray(as_floating(values, "values")[0])
    epsilon, tolerance = as_epsilon(epsilon), as_tolerance(tolerance)
    sizes = np.asarray(sizes, np.int64)  # what programs are made for
    starts = np.cumsum(sizes) - sizes
    results = np.full(x.shape, np.nan, x.dtype)
    single = starts[sizes == 1]
    results[single] = np.where(np.isfinite(x[single]), of_one(x[single]), np.nan)
    if epsilon < SMALL_EPSILON:
        return results
    scale, most = np.asarray(epsilon, x.dtype), np.asarray(tolerance, x.dtype)
    # What is set for the thread that asks does not hold for others.
    device = jnp.zeros(()).device

    def solve(nodes: SharedNodes, blocks: Blocks) -> None:
        places, width = blocks
        counts, within = sizes[places], np.arange(width)
        used = within < counts[..., None]
        # What pads a group is its first value again: a number like the others.
        where = starts[places][..., None] + np.where(used, within, 0)
        rows = x[where]
        # Nodes are doubles.
        with jax.enable_x64(True), jax.default_device(device):
            if width <= MOST:
                arguments = rows, counts, scale, most
                read_values = _read_narrow(*arguments, read=read, squashes=squashes)
            else:
                counts = counts[:, 0]
                each = [rules(count, nodes) for count in counts.tolist()]
                stacked = jax.tree.map(lambda *some: np.stack(some), *each)
                order = nodes.order(int(counts[0]))
                s, moments = _placed(rows, counts, order=order, squashes=squashes)
                solved = _solved(moments, scale, stacked)
                arguments = rows, s, counts, scale, most, stacked, solved
                read_values = _read(*arguments, read=read)
        read_values, certain = map(np.asarray, read_values)
        results[where[used]] = np.where(certain[..., None], read_values, np.nan)[used]

    left = np.flatnonzero((sizes > MOST) & (sizes <= LARGEST))
    work, narrowest = narrow_blocks(sizes), 1
    # They are too little work for threads of their own. Some calls more than there are
    # cores, for they wait for the interpreter, and for what XLA is doing, now and then.
    with ThreadPoolExecutor(core_count() + 4) as pool:
        for nodes in shared_nodes(epsilon, x.dtype):
            work += blocks_of_sizes(sizes, left, narrowest)
            for some in in_turn(work):
                list(pool.map(functools.partial(solve, nodes), some))
            work = []
            left = left[np.isnan(results[starts[left]])]
            narrowest = narrowest_for(sizes[left])
    return results


def _weights(x: Float[Array, " n"], size: Array) -> Float[Array, " n"]:
    return ((jnp.arange(x.shape[0]) < size) / size).astype(x.dtype)


def _places(x: Float[Array, " n"], size: Array) -> Float[Array, " n"]:
    return jnp.minimum(jnp.arange(x.shape[0]) / (size - 1), 1.0).astype(x.dtype)


@functools.partial(jax.jit, static_argnames=("read", "squashes"))
def _read_narrow(
    x: Float[Array, "blocks rows width"],
    sizes: Array,
    epsilon: Array,
    tolerance: Array,
    *,
    read: Reading,
    squashes: bool,
) -> Read:
    """Return what is read of plans between all values of a row and all targets."""

    def of_row(x, size):
        a, targets = _weights(x, size), _places(x, size)
        s = squash(x, a) if squashes else x
        plan: Plan | DirectPlan
        if x.shape[0] <= LEAST:
            plan = transport(-((s[:, None] - targets) ** 2) / epsilon, a, a)
        else:
            plan = direct_plan(s, a, targets, a, epsilon, tolerance)
        return read(plan, x, targets, size)

    return jax.lax.map(lambda block: jax.vmap(of_row)(*block), (x, sizes))


@functools.partial(jax.jit, static_argnames=("order", "squashes"))
def _placed(x: Array, sizes: Array, *, order: int, squashes: bool) -> Any:
    """Return rows as they are squashed, and their moments."""

    def of_row(x, size):
        a = _weights(x, size)
        s = squash(x, a) if squashes else x
        return s, in_double(functools.partial(point_moments, order), s, a)

    rows = jax.vmap(of_row, (0, None))
    return jax.lax.map(lambda block: rows(*block), (x, sizes))


@jax.jit
def _solved(moments: Array, epsilon: Array, nodes: Rules) -> RowSolution:
    """Return plans of rows: the longest to compile, and the same for all widths."""

    def of_row(moments, nodes):
        return in_double(solve_row, moments, epsilon, nodes)

    rows = jax.vmap(of_row, (0, None))
    return jax.lax.map(lambda block: rows(*block), (moments, nodes))


@functools.partial(jax.jit, static_argnames="read")
def _read(
    x: Float[Array, "blocks rows width"],
    s: Array,
    sizes: Array,
    epsilon: Array,
    tolerance: Array,
    nodes: Rules,
    solved: RowSolution,
    *,
    read: Reading,
) -> Read:
    """Return what is read of plans, by their nodes and what `_solved` returned."""

    def of_row(x, s, solved, size, nodes):
        a, places = _weights(x, size), _places(x, size)
        plan = RowPlan(s, a, epsilon, nodes, solved, tolerance, places)
        return read(plan, x, plan.targets, size)

    rows = jax.vmap(of_row, (0, 0, 0, None, None))
    return jax.lax.map(lambda block: rows(*block), (x, s, solved, sizes, nodes))
