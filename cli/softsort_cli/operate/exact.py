"""The exact operators, which the soft ones tend to as epsilon -> 0, for --hard.

They take what the modules of `softsort_core.operators` are told, and need NumPy alone:
jax takes longer to start than most exact results to compute.

Values side by side, in ascending order and each as wide as it counts, reach from 0 to
n, the number of values; what an operator makes of some is the average of what it makes
of the unit intervals there. A value without a count is one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from softsort_cli.errors import CommandError
from softsort_cli.tables.counted import Counts

MOST_TARGETS = 100_000_000  # of a distribution


def ranks(
    inputs: np.ndarray,
    counts: Counts = None,
    *,
    start: int = 0,
    pct: bool = False,
    descends: bool = False,
) -> np.ndarray:
    """Ranks from `start`, or as shares from 0 to 1; equal values share an average.

    The share of a single value is 1 / 2.
    """
    ties = _Ties.of(-inputs if descends else inputs, counts)
    low, high, number = ties.low, ties.high, ties.number
    averages = (low + high - 1) / 2
    if counts is not None:
        # The average of floor(x) from low to high, which may be between integers.
        first, last = np.floor(low), np.floor(high)
        beyond = (high - last) ** 2 - (low - first) ** 2
        averages = (low + high - (last - first + beyond) / (high - low)) / 2
    if pct:
        averages = averages / (number - 1) if number > 1 else averages + 0.5
    return ties.spread(averages if pct or not start else averages + start)


def sort(
    inputs: np.ndarray,
    counts: Counts = None,
    *,
    num_targets: int | None = None,
    descends: bool = False,
) -> np.ndarray:
    """The values in order, or the averages of as many equal shares."""
    ordered, edges = _ordered(inputs, counts)
    m = len(ordered) if num_targets is None else num_targets
    if counts is not None or m != len(ordered):
        shares = np.arange(m + 1) * edges[-1] / m
        ordered = _rising(ordered, edges, shares[:-1], shares[1:])
    return ordered[::-1] if descends else ordered


def topk(inputs: np.ndarray, counts: Counts = None, *, k: int) -> np.ndarray:
    """The k largest values, ascending; all, if there are fewer."""
    ordered, edges = _ordered(inputs, counts)
    number = int(edges[-1])
    places = np.arange(max(0, number - k), number)
    return _rising(ordered, edges, places, places + 1)


def topk_mask(inputs: np.ndarray, counts: Counts = None, *, k: int) -> np.ndarray:
    """1 for the k largest values, 0 for the others; equal values share what is left."""
    ties = _Ties.of(inputs, counts)
    widths = ties.high - ties.low
    inside = np.clip(ties.high - (ties.number - k), 0, widths)
    return ties.spread(inside / widths)


def quantile(
    inputs: np.ndarray, counts: Counts = None, *, q: tuple[float, ...]
) -> np.ndarray:
    """Quantiles, interpolated linearly."""
    if counts is None:
        return np.quantile(inputs, q)
    ordered, edges = _ordered(inputs, counts)
    places = np.asarray(q) * (edges[-1] - 1)
    first = np.floor(places)
    last = np.minimum(first + 1, edges[-1] - 1)
    # The values of the unit intervals from there on are those at their middles.
    low, high = (
        ordered[np.searchsorted(edges, each + 0.5, "right") - 1]
        for each in (first, last)
    )
    return low + (high - low) * (places - first)


def quantile_normalization(
    inputs: np.ndarray, counts: Counts = None, *, targets: str | np.ndarray
) -> np.ndarray:
    """The targets at the quantiles of the values; equal values share an average.

    Targets are values in ascending order, or the distribution "normal" or "uniform".
    """
    from scipy.special import ndtri

    ties, levels = _Ties.of(inputs, counts), targets
    number = ties.number
    if isinstance(levels, str):
        if number > MOST_TARGETS:
            raise CommandError(
                f"{number:,} values, by their weights, are more than "
                f"{MOST_TARGETS:,} targets: scale the weights down, or name a "
                "reference by --to FILE:COLUMN"
            )
        shares = (np.arange(number) + 0.5) / number
        levels = ndtri(shares) if levels == "normal" else shares
    m = len(levels)
    low, high = (each * m / number for each in (ties.low, ties.high))
    return ties.spread(_rising(levels, np.arange(m + 1), low, high))


def quantize(
    inputs: np.ndarray, counts: Counts = None, *, num_levels: int
) -> np.ndarray:
    """The average of the values in the same of `num_levels` equal shares."""
    levels = sort(inputs, counts, num_targets=num_levels)
    return quantile_normalization(inputs, counts, targets=levels)


def sort_with(rows: np.ndarray, counts: Counts = None) -> np.ndarray:
    """Rows by their first number, and without it; equal ones stay in their order."""
    order = np.argsort(rows[:, 0], kind="stable")
    ordered = rows[order, 1:]
    if counts is None:
        return ordered
    edges = _edges(counts, order)
    shares = np.arange(len(rows) + 1) * edges[-1] / len(rows)
    columns = [_averages(each, edges, shares[:-1], shares[1:]) for each in ordered.T]
    return np.stack(columns, axis=1)


@dataclass(frozen=True)
class _Ties:
    """Values that are equal, side by side: where each of them begins and ends."""

    order: np.ndarray
    sizes: np.ndarray
    number: int  # of all values, by their counts
    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of(cls, inputs: np.ndarray, counts: Counts) -> _Ties:
        order = np.argsort(inputs)
        ordered = inputs[order]
        are_new = np.ones(len(ordered) + 1, bool)
        np.not_equal(ordered[1:], ordered[:-1], out=are_new[1:-1])
        starts, ends = (edges := np.flatnonzero(are_new))[:-1], edges[1:]
        if counts is None:
            return cls(order, ends - starts, len(ordered), starts, ends)
        edges = _edges(counts, order)
        number = round(edges[-1])
        return cls(order, ends - starts, number, edges[starts], edges[ends])

    def spread(self, results: np.ndarray) -> np.ndarray:
        """A result for each value, from one for all that are equal."""
        spread = np.empty(len(self.order))
        spread[self.order] = np.repeat(results, self.sizes)
        return spread


def _ordered(inputs: np.ndarray, counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    """The values in ascending order, and between which edges each is."""
    if counts is None:
        return np.sort(inputs), _edges(None, inputs)
    order = np.argsort(inputs)
    return inputs[order], _edges(counts, order)


def _edges(counts: Counts, order: np.ndarray) -> np.ndarray:
    """The edges of values in this order, from 0 to how many they are."""
    if counts is None:
        return np.arange(len(order) + 1.0)
    edges = np.concatenate([[0.0], np.cumsum(counts[order])])
    return edges * (max(1, round(edges[-1])) / edges[-1])


def _rising(
    levels: np.ndarray, edges: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Average levels that ascend, and let no rounding take them beyond their ends."""
    first, last = _places(edges, low, high)
    return np.clip(_averages(levels, edges, low, high), levels[first], levels[last])


def _averages(
    levels: np.ndarray, edges: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Average what is a level between its edges, from each low to its high."""
    first, last = _places(edges, low, high)
    sums = np.concatenate([[0.0], np.cumsum(levels * np.diff(edges))])
    area = np.interp(high, edges, sums) - np.interp(low, edges, sums)
    # Within a single level there is nothing to average, and nothing to round.
    return np.where(first == last, levels[first], area / (high - low))


def _places(
    edges: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Between which edges each low begins and each high ends."""
    first = np.searchsorted(edges, low, "right") - 1
    last = np.searchsorted(edges, high, "left") - 1
    return np.minimum(first, len(edges) - 2), np.maximum(last, 0)
