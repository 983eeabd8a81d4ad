"""Groups of values, of any sizes, in batches for the programs of `_groups`.

What is compiled is the same for all sizes. Groups of few values are padded to one of
some widths, in blocks of any of them. Of others, those of a size are the rows of a
block, padded to one of few widths, and the nodes that stand for their targets are
given. What pads them has no weight.
"""

import functools
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np

from softsort_core._defaults import SMALL_EPSILON, TOLERANCE
from softsort_core._jaxlib import core_count
from softsort_core._nodes import SharedNodes, rules, shared_nodes

# Groups of more values are not worth it.
LARGEST = 2**14
# The widths of few values, and how many blocks of how many rows are solved by one call,
# whatever their sizes are. Plans of the least are certain to be found.
_FEW = {8: (8, 64), 32: (8, 32), 64: (32, 8)}
_LEAST, _MOST = 8, 64
# Rows of other blocks, more would be filled less, and how many blocks are solved by one
# call.
_HEIGHT, _AT_ONCE = 32, 8
# So few rows of a size are a block each: to fill one up would take longer.
_SPARSE = 8
# Few groups are of the same size if that is larger; sparse ones are as wide.
_SINGLE = 2**9

Fixed: TypeAlias = tuple[tuple[str, Any], ...]
Shape: TypeAlias = tuple[int, ...]
# Where the groups of blocks are, row by row, and how wide the rows are.
_Blocks: TypeAlias = tuple[np.ndarray, int]


class How(NamedTuple):
    """The options of `group_ranks`."""

    epsilon: float = 1e-2
    squashes: bool = True
    tolerance: float = TOLERANCE


@runtime_checkable
class Runner(Protocol):
    """What runs programs by their names, on several threads."""

    def __call__(
        self, name: str, fixed: Fixed, shape: Shape, *arrays: Any
    ) -> Sequence[Any]:
        """Return the arrays that a program makes of arrays.

        Its name, what is fixed in it and the shape of its work tell which it is.
        """
        ...

    def get(self, array: Any) -> np.ndarray:
        """Return what is in an array that a program made."""
        ...


def over_groups(
    run: Runner,
    read: str,
    values: np.ndarray,
    sizes: np.ndarray,
    how: How,
) -> np.ndarray:
    """Return what is read of the plans of groups: their "ranks", or what "sort" gives.

    See `group_ranks` for the other arguments.
    """
    epsilon, squashes, tolerance = how
    sizes = np.asarray(sizes, np.int64)  # what programs are made for
    starts = np.cumsum(sizes) - sizes
    results = np.full(values.shape, np.nan, values.dtype)
    single = starts[sizes == 1]
    alone = values[single] if read == "sort" else np.zeros(single.shape)
    results[single] = np.where(np.isfinite(values[single]), alone, np.nan)
    if epsilon < SMALL_EPSILON:
        return results
    scale, most = np.asarray(epsilon, values.dtype), np.asarray(tolerance, values.dtype)
    squashed = ("squashes", squashes)

    def solve(nodes: SharedNodes, blocks: _Blocks) -> None:
        places, width = blocks
        shape = *places.shape, width
        counts, within = sizes[places], np.arange(width)
        used = within < counts[..., None]
        # What pads a group is its first value again: a number like the others.
        where = starts[places][..., None] + np.where(used, within, 0)
        x = values[where]
        if width <= _MOST:
            fixed = ("is_least", width <= _LEAST), squashed
            read_of = run(f"few_{read}", fixed, shape, x, counts, scale, most)
        else:
            counts = counts[:, 0]
            each = (rules(count, nodes) for count in counts.tolist())
            of_nodes = [
                np.stack(some)
                for some in zip(*(sum(rule, ()) for rule in each), strict=True)
            ]
            order = nodes.order(int(counts[0]))
            s, moments = run("placed", (squashed, ("order", order)), shape, x, counts)
            rows = *places.shape, order, of_nodes[-1].shape[-1]
            solved = run("solved", (), rows, moments, scale, *of_nodes)
            given = x, s, counts, scale, most, *of_nodes, *solved
            read_of = run(f"read_{read}", (), (*shape, order), *given)
        found, certain = map(run.get, read_of)
        results[where[used]] = np.where(certain[..., None], found, np.nan)[used]

    left = np.flatnonzero((sizes > _MOST) & (sizes <= LARGEST))
    work, narrowest = _of_few(sizes), 1
    # They are too little work for threads of their own. Some calls more than there are
    # cores, for they wait for the interpreter, and for what XLA is doing, now and then.
    with ThreadPoolExecutor(core_count() + 4) as pool:
        for nodes in shared_nodes(epsilon, values.dtype):
            work += _of_a_size(sizes, left, narrowest)
            for some in _in_turn(work):
                list(pool.map(functools.partial(solve, nodes), some))
            work = []
            left = left[np.isnan(results[starts[left]])]
            # Those few are not worth compiling for more than one width.
            narrow = sizes[left[sizes[left] <= _SINGLE]]
            narrowest = _width(int(narrow.max(initial=1)))
    return results


def _of_few(sizes: np.ndarray) -> list[_Blocks]:
    """Return blocks of all groups of few values."""
    work, least = [], 2
    for width, shape in _FEW.items():
        places = np.flatnonzero((least <= sizes) & (sizes <= width))
        count = math.prod(shape)
        for some in np.split(places, range(count, len(places), count)):
            if some.size:
                work.append((np.resize(some, shape), width))
        least = width + 1
    return work


def _of_a_size(sizes: np.ndarray, left: np.ndarray, narrowest: int) -> list[_Blocks]:
    """Return blocks of these groups, each of groups of one size."""
    if left.size == 0:
        return []
    blocks: dict[tuple[int, int], list[np.ndarray]] = {}
    order = left[np.argsort(sizes[left], kind="stable")]
    for same in np.split(order, np.flatnonzero(np.diff(sizes[order])) + 1):
        size = int(sizes[same[0]])
        for some in np.split(same, range(_HEIGHT, len(same), _HEIGHT)):
            if size > _SINGLE or len(some) <= _SPARSE:
                each, width = some[:, None], _width(max(size, _SINGLE))
            else:
                each = np.resize(some, (1, _HEIGHT))
                width = max(narrowest, _width(size))
            blocks.setdefault((each.shape[1], width), []).extend(each)
    work = []
    for (_, width), each in blocks.items():
        for start in range(0, len(each), _AT_ONCE):
            some = each[start : start + _AT_ONCE]
            filled = [some[i % len(some)] for i in range(_AT_ONCE)]
            work.append((np.stack(filled), width))
    return work


def _width(size: int) -> int:
    return 1 << (size - 1).bit_length()


def _in_turn(work: list[_Blocks]) -> list[list[_Blocks]]:
    """Return it in parts, of which each is to be done before the next is begun.

    What the first of a height compiles, and then that of a width, is not to be compiled
    by others as well.
    """
    if not work:
        return []
    parts, done = [], set()
    shapes = np.array([(places.shape[1], width) for places, width in work])
    for some in (*(np.unique(each, return_index=True)[1] for each in shapes.T), None):
        numbers = range(len(work)) if some is None else some.tolist()
        parts.append([work[number] for number in numbers if number not in done])
        done.update(numbers)
    return parts
