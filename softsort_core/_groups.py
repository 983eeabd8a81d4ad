"""Programs that solve many groups of values, of any sizes, at once.

See `_batches` for how groups are put into blocks. Arguments are arrays alone, one after
another, for who runs what is kept of them without JAX.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core import _kept as kept
from softsort_core._arguments import Values, as_epsilon, as_floating, as_tolerance
from softsort_core._batches import Fixed, How, Shape, over_groups
from softsort_core._defaults import TOLERANCE
from softsort_core._nodes import Rules
from softsort_core._rounding import increasing
from softsort_core._rows import (
    DirectPlan,
    RowPlan,
    Solution,
    Solved,
    direct_plan,
    point_moments,
    solved_by,
)
from softsort_core._squash import in_double, squash
from softsort_core._transport import Plan, transport


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
        The ranks of the values. Those of a group are NaN if that is of more than 16,384
        values, or epsilon less than 0.003, or they are not certain: `ranks` is slower
        but finds them.

    Example:
        >>> import numpy as np
        >>> import softsort_core as soft
        >>> found = soft.group_ranks(np.arange(40.0) % 20, np.array([20, 15, 5]))
        >>> found[[0, 19, 34, 39]].tolist()
        [1.1, 17.9, 13.3, 3.9]
    """
    return _over_groups("ranks", values, sizes, epsilon, squashes, tolerance)


def group_sort(
    values: Values,
    sizes: np.ndarray,
    *,
    epsilon: float = 1e-2,
    squashes: bool = True,
    tolerance: float = TOLERANCE,
) -> np.ndarray:
    """Sort softly within each of many groups; see `group_ranks` and `sort`."""
    return _over_groups("sort", values, sizes, epsilon, squashes, tolerance)


def _over_groups(
    read: str,
    values: Values,
    sizes: np.ndarray,
    epsilon: float,
    squashes: bool,
    tolerance: float,
) -> np.ndarray:
    x = np.asarray(as_floating(values, "values")[0])
    how = How(as_epsilon(epsilon), squashes, as_tolerance(tolerance))
    return over_groups(Runner(), read, x, sizes, how)


class Runner:
    """Runs programs by JAX, where it computes by default.

    Attributes:
        keys: of the programs that have run; None if they are not kept.
    """

    def __init__(self) -> None:
        self._device = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
        self.keys: dict[tuple[str, Fixed, Shape], str | None] = {}

    def __call__(
        self, name: str, fixed: Fixed, shape: Shape, *arrays: Any
    ) -> Sequence[Any]:
        program, options = _PROGRAMS[name], dict(fixed)
        # Nodes are doubles. What is set for the thread that asks does not hold here.
        with jax.enable_x64(True), jax.default_device(self._device):
            if (name, fixed, shape) not in self.keys:
                key = kept.key_of(program, *arrays, **options)
                self.keys[name, fixed, shape] = key
            return program(*arrays, **options)

    def get(self, array: Any) -> np.ndarray:
        return np.asarray(array)


def _weights(x: Float[Array, " n"], size: Array) -> Float[Array, " n"]:
    return ((jnp.arange(x.shape[0]) < size) / size).astype(x.dtype)


def _places(x: Float[Array, " n"], size: Array) -> Float[Array, " n"]:
    return jnp.minimum(jnp.arange(x.shape[0]) / (size - 1), 1.0).astype(x.dtype)


# What is read comes with whether it is certain.
_Read: TypeAlias = tuple[Array, Array]


def _ranks(plan: Plan | DirectPlan, x: Array, targets: Array, size: Array) -> _Read:
    del x
    return plan.given_input((size - 1).astype(targets.dtype) * targets)


def _sorted(plan: Plan | DirectPlan | RowPlan, x: Array, *_: Array) -> _Read:
    values, certain = plan.given_target(x)
    return increasing(values), certain


@kept.jit(static_argnames=("is_least", "squashes"))
def _few_ranks(*given: Array, is_least: bool, squashes: bool) -> Any:
    return _of_few(_ranks, *given, is_least=is_least, squashes=squashes)


@kept.jit(static_argnames=("is_least", "squashes"))
def _few_sort(*given: Array, is_least: bool, squashes: bool) -> Any:
    return _of_few(_sorted, *given, is_least=is_least, squashes=squashes)


def _of_few(
    read: Callable[[Plan | DirectPlan, Array, Array, Array], _Read],
    x: Array,
    sizes: Array,
    epsilon: Array,
    tolerance: Array,
    *,
    is_least: bool,
    squashes: bool,
) -> _Read:
    """Return what is read of plans between all values of a row and all targets."""

    def of_row(x, size):
        a, targets = _weights(x, size), _places(x, size)
        s = squash(x, a) if squashes else x
        if is_least:
            plan = transport(-((s[:, None] - targets) ** 2) / epsilon, a, a)
        else:
            plan = direct_plan(s, a, targets, a, epsilon, tolerance)
        return read(plan, x, targets, size)

    return jax.lax.map(lambda block: jax.vmap(of_row)(*block), (x, sizes))


@kept.jit(static_argnames=("order", "squashes"))
def _placed(x: Array, sizes: Array, *, order: int, squashes: bool) -> Any:
    """Return rows as they are squashed, and their moments."""

    def of_row(x, size):
        a = _weights(x, size)
        s = squash(x, a) if squashes else x
        return s, in_double(functools.partial(point_moments, order), s, a)

    rows = jax.vmap(of_row, (0, None))
    return jax.lax.map(lambda block: rows(*block), (x, sizes))


@kept.jit
def _solved(moments: Array, epsilon: Array, *nodes: Array) -> Any:
    """Return plans of rows: the longest to compile, and the same for all widths."""

    def of_row(moments, rules):
        return in_double(solved_by, moments, epsilon, rules)

    rows = jax.vmap(of_row, (0, None))
    found = jax.lax.map(lambda block: rows(*block), (moments, _rules(nodes)))
    return jax.tree.leaves(found)


@kept.jit
def _read_ranks(x, s, sizes, epsilon, tolerance, *found):
    def read(plan, x, size):
        del x
        return plan.given_input((size - 1).astype(plan.s.dtype) * plan.targets)

    return _read(read, x, s, sizes, epsilon, tolerance, found)


@kept.jit
def _read_sort(x, s, sizes, epsilon, tolerance, *found):
    return _read(_sorted, x, s, sizes, epsilon, tolerance, found)


def _read(
    read: Callable[[RowPlan, Array, Array], _Read],
    x: Array,
    s: Array,
    sizes: Array,
    epsilon: Array,
    tolerance: Any,
    found: Sequence[Array],
) -> _Read:
    """Return what is read of plans, by their nodes and what `_solved` returned."""
    rules = _rules(found[:6])
    solutions = (Solution(*found[start:][:3]) for start in (6, 9, 12))
    solved = Solved(tuple(solutions), found[15])

    def of_row(x, s, solved, size, rules):
        a, places = _weights(x, size), _places(x, size)
        plan = RowPlan(s, a, epsilon, rules, solved, tolerance, places)
        return read(plan, x, size)

    rows = jax.vmap(of_row, (0, 0, 0, None, None))
    return jax.lax.map(lambda block: rows(*block), (x, s, solved, sizes, rules))


def _rules(nodes: Sequence[Array]) -> Rules:
    """Return nodes and their weights, that are given one after another, in pairs."""
    return tuple(zip(nodes[::2], nodes[1::2], strict=True))


_PROGRAMS = {
    "few_ranks": _few_ranks,
    "few_sort": _few_sort,
    "placed": _placed,
    "solved": _solved,
    "read_ranks": _read_ranks,
    "read_sort": _read_sort,
}
