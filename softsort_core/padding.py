"""Vectors that are padded to lengths that others have, which share what is compiled.

What pads them depends on lengths alone, and needs NumPy alone.
"""

import math

import numpy as np

# Vectors of up to so many values share what is compiled with others.
MOST_PADDED = 2**17


def rounded_up(n: int) -> int:
    """Return the next power of 2, or 3 / 4 of it."""
    power = 2 ** max(4, math.ceil(math.log2(n)))
    return 3 * power // 4 if n <= 3 * power // 4 else power


def with_last(values: np.ndarray, size: int) -> np.ndarray:
    """Return so many values, those that are more like the last."""
    if size == len(values):
        return values  # np.pad would copy them
    return np.concatenate([values, np.full(size - len(values), values[-1])])


def with_zeros(values: np.ndarray, size: int) -> np.ndarray:
    """Return so many values, those that are more 0."""
    return np.concatenate([values, np.zeros(size - len(values), values.dtype)])
