"""Groups of values of like size, solved together as padded rows of an array."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from softsort_core.axis import on_rows
from softsort_core.defaults import EPSILON
from softsort_core.operators.forms import Forms, Group, Squashing

# Widths of the rows. Up to 12 targets are solved for in another, quicker way.
_WIDTHS = 8, 12, 16, 32, 64, 128, 256, 512
WIDEST_GROUP = _WIDTHS[-1]  # larger groups are not worth it
_AT_ONCE = 1 << 22  # entries of the plans that are solved together
_FEWEST = 16  # rows of an array


def over_padded_groups(
    forms: Forms,
    values: np.ndarray,
    sizes: np.ndarray,
    places: np.ndarray,
    *,
    counts: np.ndarray | None = None,
    numbers: np.ndarray | None = None,
    epsilon: float | np.ndarray = EPSILON,
    squashing_fun: Squashing = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the results of some of many groups: their places, and results as padded.

    Args:
        forms: those of an operator, whose `group` is traced.
        values: of the groups, one after another; a value may be a row.
        sizes: how many values each group has.
        places: which groups, each of a width (see `Forms.widths`) of 1 to 512.
        counts: how often each value counts; None for once.
        numbers: how many values each group has by these; `sizes` by default.
        epsilon: regularisation, of all groups or of each.
        squashing_fun: see `softsort_core.sort`.
    """

    def on_row(one: tuple[Array, ...]) -> Array:
        row, size, epsilon, *counted = one
        number, counts = counted or (size, None)
        return forms.group(Group(row, size, epsilon, squashing_fun, number, counts))

    @jax.jit
    def on_group_rows(rows: Any) -> Array:
        return on_rows(on_row, rows, entries=rows[0].shape[1] ** 2)

    starts, epsilons = np.cumsum(sizes) - sizes, np.broadcast_to(epsilon, sizes.shape)
    numbers = sizes if numbers is None else numbers
    widths = forms.widths(sizes, numbers)[places]
    widths = np.array(_WIDTHS)[np.searchsorted(_WIDTHS, widths)]
    for width in np.unique(widths).tolist():
        same = places[widths == width]
        # One height for all, for another would have to be compiled.
        height = _height(width, len(same))
        for some in np.split(same, range(height, len(same), height)):
            filled = np.resize(some, height)
            within = np.arange(width)
            # What pads a group is its first value again: a number like the others,
            # wherever they are.
            used = within < sizes[filled, None]
            rows = starts[filled, None] + np.where(used, within, 0)
            counted = ()
            if counts is not None:
                counted = numbers[filled], np.where(used, counts[rows], 0)
            sized = sizes[filled], epsilons[filled], *counted
            results = np.asarray(on_group_rows((values[rows], *sized)))
            yield from zip(some.tolist(), results, strict=False)


def _height(width: int, count: int) -> int:
    """Return how many rows an array has: a power of 4, for few shapes are compiled."""
    most = max(1, _AT_ONCE // width**2)
    height = _FEWEST
    # The last array is filled up: little, if there are some.
    while 4 * height < min(count, most):
        height *= 4
    return min(height, most)
