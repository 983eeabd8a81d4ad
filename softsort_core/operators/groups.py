"""Many groups of values, of any sizes, solved at once; see `group_blocks` for how."""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeAlias

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
    alike,
    blocks_of_numbers,
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


class Groups(NamedTuple):
    """Groups of values, one after another.

    Attributes:
        values: those of all groups.
        sizes: how many values each group has.
        weights: how often each value counts; None for once.
        numbers: how many even targets each group has.
    """

    values: Values
    sizes: np.ndarray
    weights: Values | None
    numbers: np.ndarray


def over_groups(
    read: Reading,
    of_one: Callable[[np.ndarray, np.ndarray], np.ndarray],
    groups: Groups,
    epsilon: float,
    squashes: bool,
    tolerance: float,
) -> np.ndarray:
    """Return what is read of the plans of groups, and of values that are alone.

    See `group_ranks`; `of_one` maps such values, and how many targets they have, to
    their results.
    """
    x, weights = np.asarray(as_floating(groups.values, "values")[0]), groups.weights
    a = np.ones_like(x) if weights is None else np.asarray(weights, x.dtype)
    epsilon, tolerance = as_epsilon(epsilon), as_tolerance(tolerance)
    # What programs are made for.
    sizes = np.asarray(groups.sizes, np.int64)
    numbers = np.asarray(groups.numbers, np.int64)
    starts = np.cumsum(sizes) - sizes
    results = np.full(x.shape, np.nan, x.dtype)
    are_single = sizes == 1
    single = starts[are_single]
    alone = of_one(x[single], numbers[are_single])
    results[single] = np.where(np.isfinite(x[single]), alone, np.nan)
    if epsilon < SMALL_EPSILON:
        return results
    widths = np.maximum(sizes, numbers) * ((sizes > 1) & (numbers > 1))
    scale, most = np.asarray(epsilon, x.dtype), np.asarray(tolerance, x.dtype)
    # What is set for the thread that asks does not hold for others.
    device = jnp.zeros(()).device

    def solve(nodes: SharedNodes, blocks: Blocks) -> None:
        places, width = blocks
        counts, within = numbers[places], np.arange(width)
        used = within < sizes[places][..., None]
        # What pads a group is its first value again: a number like the others.
        where = starts[places][..., None] + np.where(used, within, 0)
        rows, often = x[where], a[where] * used
        often /= often.sum(-1, keepdims=True)
        # Nodes are doubles.
        arguments, how = (rows, often, counts, scale, most), {"squashes": squashes}
        with jax.enable_x64(True), jax.default_device(device):
            if width <= MOST:
                read_values = _read_narrow(*arguments, read=read, **how)
            else:
                read_values = _read_wide(*arguments, nodes=nodes, read=read, **how)
        read_values, certain = map(np.asarray, read_values)
        results[where[used]] = np.where(certain[..., None], read_values, np.nan)[used]

    left = np.flatnonzero((widths > MOST) & (widths <= LARGEST))
    work, narrowest = narrow_blocks(widths), 1
    # They are too little work for threads of their own. Some calls more than there are
    # cores, for they wait for the interpreter, and for what XLA is doing, now and then.
    with ThreadPoolExecutor(core_count() + 4) as pool:
        for nodes in shared_nodes(epsilon, x.dtype):
            work += blocks_of_numbers(numbers, widths, left, narrowest)
            _do_all(pool, functools.partial(solve, nodes), work)
            work = []
            left = left[np.isnan(results[starts[left]])]
            narrowest = narrowest_for(widths[left])
    return results


def _do_all(
    pool: ThreadPoolExecutor, solve: Callable[[Blocks], None], work: list[Blocks]
) -> None:
    """Solve all blocks, the first of each shape alone: others use what it compiles."""
    done = []
    for first, *others in alike(work):
        solve(first)
        done.append(pool.map(solve, others))
    for each in done:
        list(each)


def _places(x: Float[Array, " n"], number: Array) -> Float[Array, " n"]:
    return jnp.minimum(jnp.arange(x.shape[0]) / (number - 1), 1.0).astype(x.dtype)


@functools.partial(jax.jit, static_argnames=("read", "squashes"))
def _read_narrow(
    x: Float[Array, "blocks rows width"],
    weights: Float[Array, "blocks rows width"],
    numbers: Array,
    epsilon: Array,
    tolerance: Array,
    *,
    read: Reading,
    squashes: bool,
) -> Read:
    """Return what is read of plans between all values of a row and all targets."""

    def of_row(x, a, number):
        b = ((jnp.arange(x.shape[0]) < number) / number).astype(x.dtype)
        s, targets = squash(x, a) if squashes else x, _places(x, number)
        plan: Plan | DirectPlan
        if x.shape[0] <= LEAST:
            plan = transport(-((s[:, None] - targets) ** 2) / epsilon, a, b)
        else:
            plan = direct_plan(s, a, targets, b, epsilon, tolerance)
        return read(plan, x, targets, number)

    return jax.lax.map(lambda block: jax.vmap(of_row)(*block), (x, weights, numbers))


def _read_wide(
    x: np.ndarray,
    weights: np.ndarray,
    numbers: np.ndarray,
    epsilon: np.ndarray,
    tolerance: np.ndarray,
    *,
    nodes: SharedNodes,
    read: Reading,
    squashes: bool,
) -> Read:
    """Return what is read of plans by nodes of targets, as many in rows of a block."""
    numbers = numbers[:, 0]
    each = [rules(number, nodes) for number in numbers.tolist()]
    stacked = jax.tree.map(lambda *some: np.stack(some), *each)
    order = nodes.order(int(numbers[0]))
    s, moments = _placed(x, weights, order=order, squashes=squashes)
    solved = _solved(moments, epsilon, stacked)
    rows = x, s, weights, solved
    return _read(rows, numbers, epsilon, tolerance, stacked, read=read)


@functools.partial(jax.jit, static_argnames=("order", "squashes"))
def _placed(x: Array, weights: Array, *, order: int, squashes: bool) -> Any:
    """Return rows as they are squashed, and their moments."""

    def of_row(x, a):
        s = squash(x, a) if squashes else x
        return s, in_double(functools.partial(point_moments, order), s, a)

    return jax.lax.map(lambda block: jax.vmap(of_row)(*block), (x, weights))


@jax.jit
def _solved(moments: Array, epsilon: Array, nodes: Rules) -> RowSolution:
    """Return plans of rows: the longest to compile, and the same for all widths."""

    def of_row(moments, nodes):
        return in_double(solve_row, moments, epsilon, nodes)

    rows = jax.vmap(of_row, (0, None))
    return jax.lax.map(lambda block: rows(*block), (moments, nodes))


@functools.partial(jax.jit, static_argnames="read")
def _read(
    rows: tuple[Array, Array, Array, RowSolution],
    numbers: Array,
    epsilon: Array,
    tolerance: Array,
    nodes: Rules,
    *,
    read: Reading,
) -> Read:
    """Return what is read of plans.

    Args:
        rows: the values, as they are squashed, their weights and what is solved.
        numbers: how many targets the rows of each block have.
        epsilon: regularisation.
        tolerance: largest error that is certain enough.
        nodes: what stands for the targets of each block.
        read: what is read.
    """

    def of_row(x, s, a, solved, number, nodes):
        places = _places(x, number)
        plan = RowPlan(s, a, epsilon, nodes, solved, tolerance, places)
        return read(plan, x, plan.targets, number)

    of_rows = jax.vmap(of_row, (0, 0, 0, 0, None, None))
    return jax.lax.map(lambda block: of_rows(*block), (*rows, numbers, nodes))
