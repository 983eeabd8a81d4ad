"""Operators on columns: on all numbers of one, or on each group of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from softsort_cli import console, jax_setup
from softsort_cli.errors import CommandError
from softsort_cli.operate import blurring, scaling
from softsort_cli.operate.operator import Operator
from softsort_cli.options.softness import Solver
from softsort_cli.tables.column_data import Chosen
from softsort_cli.tables.group_keys import Grouped

MANY = 64  # groups for which it is worth compiling more
FEW = 12  # values of groups for which there is no more to be compiled
WIDE = 128  # values of a group that takes longer if it is padded to a width of others
TOO_FEW = 1.5  # values, by their weights, of which all have one rank
TINY = 1e-8  # plans at a smaller epsilon are certain only if they are exact ones

# Rows of a table; a slice for all, of which nothing is copied then.
Places: TypeAlias = "np.ndarray | slice"


@dataclass(frozen=True)
class Result:
    """The results for a column, group by group."""

    places: Places  # the rows that have a number, group by group
    inputs: Grouped  # these numbers
    outputs: Grouped
    epsilons: np.ndarray  # of each group

    def column(self, place: int) -> Result:
        """One column of results that are rows."""
        outputs = Grouped(self.outputs.together[:, place], self.outputs.sizes)
        return Result(self.places, self.inputs, outputs, self.epsilons)


def results(data: Chosen, operator: Operator) -> Iterator[Result]:
    """The results for each chosen column."""
    if data.criterion is not None and operator.criterion is not None:
        # The criterion goes first in the rows that belong together.
        rows = [data.values[column] for column in (data.criterion, *data.columns)]
        rows[0] = -rows[0] if operator.criterion[1] else rows[0]
        whole = result(data, np.column_stack(rows), operator, data.criterion)
        yield from (whole.column(place) for place in range(len(data.columns)))
        return
    with console.progress("columns", len(data.columns)) as step:
        for column in data.columns:
            yield result(data, data.values.pop(column), operator, column)
            step()


def result(data: Chosen, values: np.ndarray, operator: Operator, column: int) -> Result:
    """The results for values of a column, or rows that begin with them."""
    name = data.table.names[column]
    absent = np.isnan(values)
    there = ~(absent if values.ndim == 1 else absent.any(axis=1))
    places, sizes = _grouped(data, there)
    # For so many places np.take is faster than an index.
    is_slice = isinstance(places, slice)
    numbers = values[places] if is_slice else np.take(values, places, axis=0)
    counts = None if data.counts is None else data.counts[places]
    inputs = Grouped(numbers, sizes, counts, is_whole=data.groups is None)
    if not operator.solver.hard:
        jax_setup.wait_until_started()  # no fault of the column if it does not
    try:
        if counts is not None:
            check_counts(len(counts), float(counts.sum()))
        errors = None if data.errors is None else data.errors[places]
        per_unit = data.meaning.per_unit(column)
        epsilons = blurring.epsilons(inputs, errors, operator.solver, per_unit)
        outputs = apply(operator, inputs, epsilons)
    except (CommandError, ValueError) as error:
        raise CommandError(f"column {name!r}: {error}") from error
    require_converged(outputs.together, name, operator.solver)
    return Result(places, inputs, outputs, epsilons)


def apply(operator: Operator, inputs: Grouped, epsilons: np.ndarray) -> Grouped:
    """The results for each group, or for all values if they are in none."""
    solver = operator.solver
    is_relative = solver.hard or solver.squash == "sigmoid"
    powers = scaling.exponents(inputs) if is_relative else None
    if powers is None:
        return _applied(operator, inputs, epsilons)
    outputs = _applied(operator, scaling.shifted(inputs, -powers), epsilons)
    if not operator.are_values:
        return outputs
    # A criterion, which comes first, is not among the results.
    return scaling.shifted(outputs, powers[:, 1:] if powers.ndim > 1 else powers)


def _applied(operator: Operator, inputs: Grouped, epsilons: np.ndarray) -> Grouped:
    sizes, starts, hard = inputs.sizes, inputs.starts(), operator.solver.hard
    left = sizes > 0
    if inputs.is_whole and left.all():
        if operator.check is not None:
            operator.check(int(inputs.numbers()[0]))
        alone = operator.alone(float(epsilons[0]))
        return Grouped.whole(alone(inputs.together, inputs.counts))
    by_value = None if hard else _many(operator, inputs, left, epsilons)
    outputs = {} if hard else _padded(operator, inputs, left, epsilons)
    known = operator.solver.epsilon
    alone = operator.alone(known)
    for place, (values, counts) in enumerate(inputs.each()):
        if not left[place]:
            continue
        if epsilons[place] != known:
            known = float(epsilons[place])
            alone = operator.alone(known)
        outputs[place] = alone(values, counts)
    if by_value is not None:
        for place, output in outputs.items():
            by_value[starts[place] :][: len(output)] = output
        return Grouped(by_value, sizes)
    none = next(iter(outputs.values()), inputs.together)[:0]
    if not len(sizes):
        return Grouped(none, sizes)
    return Grouped.of([outputs.get(i, none) for i in range(len(sizes))])


def _many(
    operator: Operator, inputs: Grouped, left: np.ndarray, epsilons: np.ndarray
) -> np.ndarray | None:
    """A result for each value, by what is quicker for many groups, if it is worth it.

    Groups for which there is one are not left any more.
    """
    sizes, solve = inputs.sizes, operator.forms().groups
    largest = sizes.max(initial=0)
    is_worth = left.sum() >= MANY or 0 < largest <= FEW or largest > WIDE
    # All have one epsilon there.
    is_one = len(epsilons) and (epsilons == epsilons[0]).all()
    if solve is None or not (is_worth and is_one):
        return None
    outputs = solve(
        inputs.together,
        sizes,
        inputs.counts,
        epsilon=float(epsilons[0]),
        squashes=operator.solver.squash == "sigmoid",
    )
    left[left] = np.isnan(outputs[inputs.starts()[left]])
    return outputs


def _padded(
    operator: Operator, inputs: Grouped, left: np.ndarray, epsilons: np.ndarray
) -> dict[int, np.ndarray]:
    """The results of groups that are left and small enough to be padded.

    They are not left any more.
    """
    forms, sizes, numbers = operator.forms(), inputs.sizes, inputs.numbers()
    from softsort_core import WIDEST_GROUP, over_padded_groups

    are_narrow = forms.widths(sizes, numbers) <= WIDEST_GROUP
    are_small = (numbers >= forms.fewest) & are_narrow & (epsilons >= TINY)
    small = np.flatnonzero(left & are_small)
    left[small] = False
    outputs = {}
    with console.progress("groups", len(small)) as step:
        for place, output in over_padded_groups(
            forms,
            inputs.together,
            sizes,
            small,
            counts=inputs.counts,
            numbers=numbers,
            epsilon=epsilons,
            squashing_fun=operator.solver.squashing_fun,
        ):
            size = operator.results(int(sizes[place]), int(numbers[place]))
            outputs[place] = output[:size]
            step()
    return outputs


def _grouped(data: Chosen, there: Any) -> tuple[Places, np.ndarray]:
    """The rows that have a number, group by group, and how many each group has."""
    if data.groups is None:
        rows = slice(None) if there.all() else np.flatnonzero(there)
        return rows, np.array([np.count_nonzero(there)])
    order, codes = data.groups.order(), data.groups.codes
    if not there.all():
        order, codes = order[there[order]], codes[there]
    return order, np.bincount(codes, minlength=data.groups.count)


def spread(data: Chosen, result: Result, *, from_top: bool) -> np.ndarray:
    """The results at the rows of their values, or in the first rows of each group."""
    outputs = result.outputs.together
    if isinstance(result.places, slice) and not from_top:
        return outputs
    column = np.full(data.height, np.nan, outputs.dtype)
    if not from_top:
        column[result.places] = outputs
        return column
    kept = data.kept()
    places, sizes = _grouped(data, np.ones(data.height, bool) if kept is None else kept)
    rows = np.arange(data.height)[places]
    starts, counts = np.cumsum(sizes) - sizes, result.outputs.sizes
    within = np.arange(counts.sum()) - np.repeat(result.outputs.starts(), counts)
    column[rows[np.repeat(starts, counts) + within]] = outputs
    return column


def check_counts(size: int, total: float) -> None:
    """Refuse weights that cannot say how often so many values count."""
    if size > 1 and total < TOO_FEW:
        raise CommandError(
            f"the weights of its {size} values sum to {total:g}, but they say how "
            "often each counts, as if its row were repeated: scale them, so that their "
            "mean is 1 for example"
        )


def require_converged(outputs: np.ndarray, column: str, solver: Solver) -> None:
    """Refuse a result that is not a number: the solver did not converge."""
    bad = outputs.size - np.count_nonzero(np.isfinite(outputs))
    if bad:
        remedy = solver.remedy()
        remedy += " or --precision 64" if solver.precision == "32" else ""
        raise CommandError(
            f"column {column!r}: the solver did not converge at "
            f"{solver.told()} ({bad} of {outputs.size} results); {remedy}"
        )
