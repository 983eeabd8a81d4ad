"""Groups of values, of any sizes, in blocks for `groups`.

What is compiled is the same for all sizes. A group is as wide as it has values, or
targets if these are more. Narrow groups are padded to one of some widths, in blocks of
any of them. Of others, those of a number of targets are the rows of a block, padded to
one of few widths, and the nodes that stand for their targets are given. What pads them
has no weight.
"""

import math
from typing import TypeAlias

import numpy as np

# Groups of more values are not worth it.
LARGEST = 2**14
# The narrow widths, and how many blocks of how many rows are solved by one call,
# whatever their sizes are. Plans of the least are certain to be found.
_FEW = {8: (8, 64), 32: (8, 32), 64: (32, 8)}
LEAST, MOST = 8, 64
# Rows of other blocks, more would be filled less, and how many blocks are solved by one
# call.
_HEIGHT, _AT_ONCE = 32, 8
# So few rows of a number are a block each: to fill one up would take longer. But not as
# long as to trace other programs, if those filled up are but a share of all.
_SPARSE, _FILLED = 8, 0.5
# Few groups are of the same number if that is larger; sparse ones are as wide.
_SINGLE = 2**9

# Where the groups of blocks are, row by row, and how wide the rows are.
Blocks: TypeAlias = tuple[np.ndarray, int]


def narrow_blocks(widths: np.ndarray) -> list[Blocks]:
    """Return blocks of all groups that are narrow."""
    work, least = [], 2
    for width, shape in _FEW.items():
        places = np.flatnonzero((least <= widths) & (widths <= width))
        count = math.prod(shape)
        for some in np.split(places, range(count, len(places), count)):
            if some.size:
                work.append((np.resize(some, shape), width))
        least = width + 1
    return work


def blocks_of_numbers(
    numbers: np.ndarray, widths: np.ndarray, left: np.ndarray, narrowest: int
) -> list[Blocks]:
    """Return blocks of these groups, each of groups of one number of targets."""
    if left.size == 0:
        return []
    blocks: dict[tuple[int, int], list[np.ndarray]] = {}
    order = left[np.argsort(numbers[left], kind="stable")]
    parts = [
        some
        for same in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)
        for some in np.split(same, range(_HEIGHT, len(same), _HEIGHT))
    ]
    filled = _HEIGHT * sum(len(some) <= _SPARSE for some in parts)
    sparse = _SPARSE if filled > _FILLED * len(left) else 0
    for some in parts:
        widest = int(widths[some].max())
        if widest > _SINGLE or len(some) <= sparse:
            each, width = some[:, None], _width(max(widest, _SINGLE))
        else:
            each = np.resize(some, (1, _HEIGHT))
            width = max(narrowest, _width(widest))
        blocks.setdefault((each.shape[1], width), []).extend(each)
    work = []
    for (_, width), each in blocks.items():
        for start in range(0, len(each), _AT_ONCE):
            some = each[start : start + _AT_ONCE]
            filled = [some[i % len(some)] for i in range(_AT_ONCE)]
            work.append((np.stack(filled), width))
    return work


def narrowest_for(widths: np.ndarray) -> int:
    """Return a width for the few groups that are left, of these widths.

    They are not worth compiling for more than one.
    """
    return _width(int(widths[widths <= _SINGLE].max(initial=1)))


def _width(least: int) -> int:
    return 1 << (least - 1).bit_length()


def alike(work: list[Blocks]) -> list[list[Blocks]]:
    """Return it in parts of the same shape, which share what is compiled."""
    parts: dict[tuple[int, int], list[Blocks]] = {}
    for blocks in work:
        places, width = blocks
        parts.setdefault((places.shape[1], width), []).append(blocks)
    return list(parts.values())
