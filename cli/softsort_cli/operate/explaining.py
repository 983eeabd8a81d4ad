"""What epsilon does to the ranks of a column, in words."""

from collections.abc import Sequence

import numpy as np

from softsort_cli import console
from softsort_cli.operate import blurring, exact, groups
from softsort_cli.operate.operator import Operator
from softsort_cli.options.softness import Solver
from softsort_cli.tables.column_data import Chosen
from softsort_cli.tables.counted import Counts


class Ranks:
    """Tells how far soft ranks are from hard ones, and at a tenth of epsilon."""

    show_solved = None  # exact ranks need all values

    def __init__(self, operator: Operator) -> None:
        self.operator = operator

    def show(self, data: Chosen, column: int, result: groups.Result) -> None:
        """Tell it of a column."""
        name, time = data.table.names[column], data.meaning.times.get(column)
        groups_of = [each for each in result.inputs.each() if len(each[0])]
        if not groups_of:
            return
        solver, epsilons = (
            self.operator.solver,
            result.epsilons[result.inputs.sizes > 0],
        )
        epsilon, blur = blurring.typical(result.inputs, result.epsilons, solver)
        hard = [exact.ranks(*each, **self.operator.settings) for each in groups_of]
        counts = result.inputs.counts
        average, most = _gaps(hard, list(result.outputs), counts)
        smaller = groups.apply(self.operator, result.inputs, result.epsilons / 10)
        tenth, _ = _gaps(hard, list(smaller), counts)
        noise = ""
        if blur is not None:
            units = "units of the column" if time is None else time.units
            blur /= data.meaning.per_unit(column)
            noise = f", a blur of {blur:.3g} in {units},"
        sharing, fewer = (
            _sharing(groups_of, solver, some) for some in (epsilons, epsilons / 10)
        )
        console.note(
            f"{name}: at epsilon {epsilon:.4g}{noise} soft ranks differ from the exact "
            f"ones by {average:.3g} on average and {most:.3g} at most, and each value "
            f"shares its rank with about {sharing:.3g} others; at {epsilon / 10:.4g} "
            f"they would differ by {tenth:.3g}, and share with about {fewer:.3g}"
        )


def _gaps(
    hard: Sequence[np.ndarray], soft: Sequence[np.ndarray], counts: Counts
) -> tuple[float, float]:
    """How far ranks are apart, on average and at most."""
    there = [ranks for ranks in soft if len(ranks)]
    gaps = np.abs(np.concatenate(hard) - np.concatenate(there))
    return float(np.average(gaps, weights=counts)), float(gaps.max())


def _sharing(
    groups: Sequence[tuple[np.ndarray, Counts]], solver: Solver, epsilons: np.ndarray
) -> float:
    """How many others are within half the square root of epsilon, on average.

    A value that counts several times is as many.
    """
    others = number = 0.0
    for (values, counts), epsilon in zip(groups, epsilons, strict=True):
        squashed = values
        mean = np.average(values, weights=counts)
        deviation = np.average((values - mean) ** 2, weights=counts) ** 0.5
        if solver.squash == "sigmoid" and deviation > 0:
            squashed = 1 / (1 + np.exp((mean - values) / deviation))
        order, reach = np.argsort(squashed), epsilon**0.5 / 2
        ordered = squashed[order]
        often = np.ones(len(order)) if counts is None else counts[order]
        edges = np.concatenate([[0], np.cumsum(often)])
        ends = np.searchsorted(ordered, ordered + reach, "right")
        starts = np.searchsorted(ordered, ordered - reach, "left")
        others += often @ np.maximum(edges[ends] - edges[starts] - 1, 0)
        number += edges[-1]
    return float(others / number)
