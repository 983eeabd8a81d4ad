"""The exact operators, which the soft ones tend to as epsilon -> 0, for --hard.

They take what the modules of `softsort_core.operators` are told, and need NumPy alone:
jax takes longer to start than most exact results to compute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def ranks(inputs: np.ndarray, *, start: int = 0) -> np.ndarray:
    """Ascending ranks from `start`; equal values share the average of theirs."""
    import numpy as np

    order = np.argsort(inputs)
    ordered = inputs[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    ends = np.r_[starts[1:], len(ordered)]
    result = np.empty(len(inputs))
    result[order] = np.repeat((starts + ends - 1) / 2, ends - starts)
    return result + start


def sort(inputs: np.ndarray, *, num_targets: int | None = None) -> np.ndarray:
    """The values in ascending order, or the averages of as many equal shares."""
    import numpy as np

    ordered = np.sort(inputs)
    if num_targets is None or num_targets == len(ordered):
        return ordered
    edges = np.arange(num_targets + 1)
    return _averages(ordered, edges[:-1], edges[1:], num_targets)


def topk(inputs: np.ndarray, *, k: int) -> np.ndarray:
    """The k largest values, ascending; all, if there are fewer."""
    import numpy as np

    return np.sort(inputs)[-k:]


def topk_mask(inputs: np.ndarray, *, k: int) -> np.ndarray:
    """1 for the k largest values, 0 for the others; equal values share what is left."""
    import numpy as np

    k = min(k, len(inputs))
    last = np.partition(inputs, -k)[-k]
    above, level = inputs > last, inputs == last
    return above + level * (k - above.sum()) / level.sum()


def quantile(inputs: np.ndarray, *, q: tuple[float, ...]) -> np.ndarray:
    """Quantiles, interpolated linearly."""
    import numpy as np

    return np.quantile(inputs, q)


def quantile_normalization(
    inputs: np.ndarray, *, targets: str | np.ndarray
) -> np.ndarray:
    """The targets at the quantiles of the values; equal values share an average.

    Targets are values in ascending order, or the distribution "normal" or "uniform".
    """
    import numpy as np
    from scipy.special import ndtri

    levels = targets
    if isinstance(levels, str):
        shares = (np.arange(len(inputs)) + 0.5) / len(inputs)
        levels = ndtri(shares) if levels == "normal" else shares
    ordered = np.sort(inputs)
    starts = np.searchsorted(ordered, inputs, "left")
    ends = np.searchsorted(ordered, inputs, "right")
    return _averages(levels, starts, ends, len(inputs))


def quantize(inputs: np.ndarray, *, num_levels: int) -> np.ndarray:
    """The average of the values in the same of `num_levels` equal shares."""
    levels = sort(inputs, num_targets=num_levels)
    return quantile_normalization(inputs, targets=levels)


def sort_with(rows: np.ndarray) -> np.ndarray:
    """Rows by their first number, and without it; equal ones stay in their order."""
    import numpy as np

    return rows[np.argsort(rows[:, 0], kind="stable"), 1:]


def _averages(
    ordered: np.ndarray, starts: np.ndarray, ends: np.ndarray, whole: int
) -> np.ndarray:
    """Average the values between the shares starts / whole and ends / whole."""
    import numpy as np

    count = len(ordered)
    first, last = starts * count // whole, (ends * count - 1) // whole
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    places = np.arange(count + 1)
    area = np.interp(ends * (count / whole), places, sums)
    area -= np.interp(starts * (count / whole), places, sums)
    averages = area * whole / ((ends - starts) * count)
    # Within a single value there is nothing to average, and nothing to round.
    averages = np.where(first == last, ordered[first], averages)
    return np.clip(averages, ordered[first], ordered[last])
