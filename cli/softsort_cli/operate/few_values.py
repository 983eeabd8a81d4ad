"""Columns of few values, in however many parts: kept, and solved as in one piece.

What a summary says of a handful of values is too little for a plan.
"""

from typing import NamedTuple

import numpy as np

from softsort_cli.operate import blurring, groups
from softsort_cli.operate.operator import Operator
from softsort_cli.tables.group_keys import Grouped

FEW = 4096  # values: as much as a summary takes


class Known(NamedTuple):
    """The results of all values, which are in ascending order."""

    values: np.ndarray
    results: np.ndarray

    def at_values(self, values: np.ndarray) -> np.ndarray:
        """The results of some of the values; NaN stays NaN."""
        there = ~np.isnan(values)
        results = np.full(len(values), np.nan)
        results[there] = self.results[np.searchsorted(self.values, values[there])]
        return results

    def at_places(self, start: int, stop: int) -> np.ndarray:
        """The results at these places, as far as there are any."""
        return self.results[start:stop]


def solve(
    values: np.ndarray,
    counts: np.ndarray,
    operator: Operator,
    per_unit: int,
) -> Known:
    """The results of all values, whatever their order, by how often each counts."""
    order = np.argsort(values, kind="stable")
    values, counts = values[order], counts[order]
    often = None if (counts == 1).all() else counts
    inputs = Grouped.whole(values, often)
    epsilons = blurring.epsilons(inputs, None, operator.solver, per_unit)
    results = groups.apply(operator, inputs, epsilons)
    return Known(values, results.together)
