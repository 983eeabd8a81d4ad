"""What epsilon does to the ranks of a column, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from softsort_cli import console
from softsort_cli.operate import blurring, exact, groups
from softsort_cli.operate.operator import Operator
from softsort_cli.options.softness import Solver
from softsort_cli.tables.column_data import Chosen

if TYPE_CHECKING:
    import numpy as np


class Ranks:
    """Tells how far soft ranks are from hard ones, and at a tenth of epsilon."""

    def __init__(self, operator: Operator, solver: Solver) -> None:
        self.operator, self.solver = operator, solver

    def __call__(self, data: Chosen, name: str, result: groups.Result) -> None:
        """Tell it of a column."""
        columns = [values for values in result.inputs if len(values)]
        if not columns:
            return
        solver, epsilons = self.solver, result.epsilons[result.inputs.sizes > 0]
        epsilon, blur = blurring.typical(result.inputs, result.epsilons, solver)
        hard = [exact.ranks(values, **self.operator.settings) for values in columns]
        average, most = _gaps(hard, list(result.outputs))
        are_grouped = data.groups is not None
        smaller = groups.apply(
            self.operator,
            result.inputs,
            solver,
            result.epsilons / 10,
            are_grouped=are_grouped,
        )
        tenth, _ = _gaps(hard, list(smaller))
        noise = ""
        if blur is not None:
            noise = f", a blur of {blur:.3g} in units of the column,"
        sharing, fewer = (
            _sharing(columns, solver, some) for some in (epsilons, epsilons / 10)
        )
        console.note(
            f"{name}: at epsilon {epsilon:.4g}{noise} soft ranks differ from the exact "
            f"ones by {average:.3g} on average and {most:.3g} at most, and each value "
            f"shares its rank with about {sharing:.3g} others; at {epsilon / 10:.4g} "
            f"they would differ by {tenth:.3g}, and share with about {fewer:.3g}"
        )


def _gaps(
    hard: Sequence[np.ndarray], soft: Sequence[np.ndarray]
) -> tuple[float, float]:
    import numpy as np

    there = [ranks for ranks in soft if len(ranks)]
    gaps = np.abs(np.concatenate(hard) - np.concatenate(there))
    return float(gaps.mean()), float(gaps.max())


def _sharing(
    groups: Sequence[np.ndarray], solver: Solver, epsilons: np.ndarray
) -> float:
    """How many others are within half the square root of epsilon, on average."""
    import numpy as np

    others = 0
    for values, epsilon in zip(groups, epsilons, strict=True):
        squashed = values
        deviation = values.std()
        if solver.squash == "sigmoid" and deviation > 0:
            squashed = 1 / (1 + np.exp((values.mean() - values) / deviation))
        ordered, reach = np.sort(squashed), epsilon**0.5 / 2
        ends = np.searchsorted(ordered, ordered + reach, "right")
        starts = np.searchsorted(ordered, ordered - reach, "left")
        others += int((ends - starts - 1).sum())
    return others / sum(map(len, groups))
