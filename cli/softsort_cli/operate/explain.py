"""What epsilon does to the ranks of a column, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from softsort_cli import console
from softsort_cli.operate import exact as hard
from softsort_cli.options.softness import Solver

if TYPE_CHECKING:
    import numpy as np


def ranks(
    name: str,
    groups: Sequence[np.ndarray],
    soft: Sequence[np.ndarray],
    smaller: Sequence[np.ndarray],
    solver: Solver,
) -> None:
    """Tell how far soft ranks are from hard ones, and at a tenth of epsilon."""
    groups = [values for values in groups if len(values)]
    if not groups:
        return
    exact = [hard.ranks(values) for values in groups]
    average, most = _gaps(exact, soft)
    tenth, _ = _gaps(exact, smaller)
    epsilon = solver.epsilon
    console.note(
        f"{name}: at epsilon {epsilon:g} soft ranks differ from the exact ones by "
        f"{average:.3g} on average and {most:.3g} at most, and each value shares its "
        f"rank with about {_sharing(groups, solver, epsilon):.3g} others; at "
        f"{epsilon / 10:g} they would differ by {tenth:.3g}, and share with about "
        f"{_sharing(groups, solver, epsilon / 10):.3g}"
    )


def _gaps(
    exact: Sequence[np.ndarray], found: Sequence[np.ndarray]
) -> tuple[float, float]:
    import numpy as np

    there = [ranks for ranks in found if len(ranks)]
    gaps = np.abs(np.concatenate(exact) - np.concatenate(there))
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
