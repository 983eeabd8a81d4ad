"""What epsilon does to the ranks of a column, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from softsort_cli import console
from softsort_cli.operate import exact, groups
from softsort_cli.operate.operator import Operator
from softsort_cli.options.softness import Solver
from softsort_cli.tables.column_data import Chosen

if TYPE_CHECKING:
    import numpy as np


class Ranks:
    """Tells how far soft ranks are from hard ones, and at a tenth of epsilon."""

    needs_all = True

    def __init__(self, operator: Operator, solver: Solver) -> None:
        self.operator, self.solver = operator, solver

    def show_solved(self, operator: Operator, solved: Mapping[str, Any]) -> None:
        """Not possible: exact ranks need all values."""
        raise NotImplementedError

    def show(self, data: Chosen, name: str, result: groups.Result) -> None:
        """Tell it of a column."""
        groups_of = [each for each in result.inputs.each() if len(each[0])]
        columns = [values for values, _ in groups_of]
        if not columns:
            return
        solver, epsilon = self.solver, self.solver.epsilon
        hard = [exact.ranks(*each, **self.operator.settings) for each in groups_of]
        average, most = _gaps(hard, list(result.outputs))
        softer = replace(solver, epsilon=epsilon / 10)
        are_grouped = data.groups is not None
        smaller = groups.apply(
            self.operator, result.inputs, softer, are_grouped=are_grouped
        )
        tenth, _ = _gaps(hard, list(smaller))
        console.note(
            f"{name}: at epsilon {epsilon:g} soft ranks differ from the exact ones by "
            f"{average:.3g} on average and {most:.3g} at most, and each value shares "
            f"its rank with about {_sharing(columns, solver, epsilon):.3g} others; at "
            f"{epsilon / 10:g} they would differ by {tenth:.3g}, and share with about "
            f"{_sharing(columns, solver, epsilon / 10):.3g}"
        )


def _gaps(
    hard: Sequence[np.ndarray], soft: Sequence[np.ndarray]
) -> tuple[float, float]:
    import numpy as np

    there = [ranks for ranks in soft if len(ranks)]
    gaps = np.abs(np.concatenate(hard) - np.concatenate(there))
    return float(gaps.mean()), float(gaps.max())


def _sharing(groups: Sequence[np.ndarray], solver: Solver, epsilon: float) -> float:
    """How many others are within half the square root of epsilon, on average."""
    import numpy as np

    others = 0
    for values in groups:
        squashed = values
        deviation = values.std()
        if solver.squash == "sigmoid" and deviation > 0:
            squashed = 1 / (1 + np.exp((values.mean() - values) / deviation))
        ordered, reach = np.sort(squashed), epsilon**0.5 / 2
        ends = np.searchsorted(ordered, ordered + reach, "right")
        starts = np.searchsorted(ordered, ordered - reach, "left")
        others += int((ends - starts - 1).sum())
    return others / sum(map(len, groups))
