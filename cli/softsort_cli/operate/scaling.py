"""Values near the ends of the range of numbers, brought to where nothing is lost.

Processors take numbers below 2e-308 for zero where that is quicker, and sums of numbers
above 1e307 overflow. A power of two changes no digit, and no soft order.
"""

from dataclasses import replace

import numpy as np

from softsort_cli.tables.group_keys import Grouped

LEAST, MOST = -960, 1000  # powers of two between which the largest value may be


def exponents(inputs: Grouped) -> np.ndarray | None:
    """By what power of two to divide the values of each group; None if by none.

    Of groups of rows, one for each column.
    """
    values, there = inputs.together, np.flatnonzero(inputs.sizes)
    if not len(there):
        return None
    starts = inputs.starts()[there]
    most = np.maximum.reduceat(values, starts)
    most = np.maximum(most, -np.minimum.reduceat(values, starts))
    power = np.frexp(most)[1]
    is_near = ((power >= LEAST) & (power <= MOST)) | (most == 0)
    if is_near.all():
        return None
    powers = np.zeros((len(inputs.sizes), *values.shape[1:]), np.int32)
    powers[there] = np.where(is_near, 0, power)
    return powers


def shifted(values: Grouped, powers: np.ndarray) -> Grouped:
    """The values of each group times a power of two."""
    shifts = np.repeat(powers, values.sizes, axis=0)
    # In single precision there is no room for what a shift may make of a result.
    scaled = np.ldexp(values.together.astype(float), shifts)
    return replace(values, together=scaled)
