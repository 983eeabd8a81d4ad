"""Operators on values that are never together: three passes, whatever their number.

The first describes the values, the second summarises them, by the statistics of all,
and the third evaluates what was solved for between.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from softsort_cli import console
from softsort_cli.errors import CommandError, UsageError
from softsort_cli.operate import few_values, groups
from softsort_cli.operate.few_values import Known
from softsort_cli.operate.groups import require_converged
from softsort_cli.operate.operator import Operator
from softsort_cli.operate.views import View
from softsort_cli.options.softness import Solver
from softsort_cli.tables import write
from softsort_cli.tables.column_data import Chosen
from softsort_cli.tables.counted import Counts, Meaning, Parsed

if TYPE_CHECKING:
    from softsort_core import Curve, Forms, Solution, Statistics, Summary

SIZE = 1 << 18  # values at a time


def check(solver: Solver) -> None:
    """Refuse what cannot be done in parts."""
    if solver.blur_column is not None:
        raise UsageError(
            "--blur COLUMN needs all numbers together, in one process: give a number, "
            "or leave out --max-memory, --out-dir and --cluster"
        )
    if solver.hard or solver.squash == "none":
        raise UsageError(
            "--hard and --squash none need all numbers together, in one process: leave "
            "them out, or --max-memory, --out-dir and --cluster"
        )


def show_solved(views: Sequence[View], data: Chosen, solved: Mapping[int, Any]) -> None:
    """Have views show what was solved for each column."""
    for view in views:
        assert view.show_solved is not None  # for others all values would be here
        view.show_solved(data, solved)


def of_columns(
    data: Chosen, solutions: Mapping[int, np.ndarray]
) -> list[list[np.ndarray]]:
    """The few results for each column, as one group: none for one without numbers."""
    return [[solutions.get(column, np.zeros(0))] for column in data.columns]


def solutions(data: Chosen, operator: Operator) -> dict[int, Any]:
    """What is solved for each column that has numbers, by passes over the table."""
    check(operator.solver)
    console.note(
        f"note: {data.height:,} rows are more than --max-memory allows to keep: the "
        "file is read in several passes"
    )
    statistics = described((rows for _, rows, _ in data.reread()), operator)
    few_columns = few(statistics)
    statistics = by_counts(statistics, operator)
    blocks = (rows for _, rows, _ in data.reread())
    summaries = summarised(blocks, statistics, few_columns, operator, data.meaning)
    names = dict(zip(data.columns, data.names(), strict=True))
    return solved(summaries, names, operator, data.meaning)


def described(blocks: Iterable[Parsed], operator: Operator) -> dict[int, Statistics]:
    """The statistics of each column that has numbers."""
    descends = operator.forms().descends
    import softsort_core as soft

    statistics = {}
    for column, values, counts, count in _chunks(blocks, descends=descends):
        some = replace(soft.describe(values, counts), count=count)
        known = statistics.get(column)
        statistics[column] = merged(known, some) if known else some
    return statistics


def few(statistics: Mapping[int, Statistics]) -> list[int]:
    """The columns of so few values that they are kept."""
    return [c for c, known in statistics.items() if known.count <= few_values.FEW]


def by_counts(
    statistics: Mapping[int, Statistics], operator: Operator
) -> dict[int, Statistics]:
    """Statistics of as many values as there are by how often they count.

    Not for results at places, of which there are as many as values.
    """
    counted = {}
    for column, some in statistics.items():
        groups.check_counts(some.count, some.weight)
        number = max(1, round(some.weight))
        has_places = operator.forms().at_places is not None
        counted[column] = some if has_places else replace(some, count=number)
    return counted


def summarised(
    blocks: Iterable[Parsed],
    statistics: Mapping[int, Statistics],
    few: Container[int],
    operator: Operator,
    meaning: Meaning,
) -> dict[int, Summary | np.ndarray]:
    """The summary of each column that has numbers, by statistics of all.

    Where they are `few`, the values themselves, and how often each counts.
    """
    descends = operator.forms().descends
    import softsort_core as soft

    blur = operator.solver.blur_number
    epsilons = dict.fromkeys(statistics, operator.solver.epsilon)
    if blur is not None:
        epsilons = {
            column: soft.least_epsilon_for_blur(some, blur * meaning.per_unit(column))
            for column, some in statistics.items()
        }
    summaries: dict[int, Summary | np.ndarray] = {}
    for column, values, counts, count in _chunks(blocks, descends=descends):
        if column in few:
            # Without what only fills the chunk, and would stay in memory as well.
            values = values[:count]
            often = np.ones(count) if counts is None else counts[:count]
            some = np.stack([-values if descends else values, often])
        else:
            some = soft.summarise(
                values, statistics[column], counts, epsilon=epsilons[column]
            )
        known = summaries.get(column)
        summaries[column] = some if known is None else merged(known, some)
    return summaries


def merged(first: Any, second: Any) -> Any:
    """Statistics or summaries, or few values and counts, of two parts together."""
    import softsort_core as soft

    if isinstance(first, np.ndarray):
        return np.concatenate([first, second], axis=1)
    return soft.merge(first, second)


def solved(
    summaries: Mapping[int, Summary | np.ndarray],
    names: Mapping[int, str],
    operator: Operator,
    meaning: Meaning,
) -> dict[int, Any]:
    """What is solved for each column that has numbers."""
    solutions = {}
    for column, summary in summaries.items():
        per_unit = meaning.per_unit(column)
        try:
            if isinstance(summary, np.ndarray):
                values, counts = summary
                known = few_values.solve(values, counts, operator, per_unit)
                require_converged(known.results, names[column], operator.solver)
                solutions[column] = known.results if operator.forms().are_few else known
            else:
                solutions[column] = _solution(summary, operator, per_unit)
        except (CommandError, ValueError) as error:
            raise CommandError(f"column {names[column]!r}: {error}") from error
    return solutions


def _solution(summary: Summary, operator: Operator, per_unit: int) -> Any:
    """What is solved, if it is certain."""
    forms, solver = operator.forms(), operator.solver
    if forms.solve is None:
        raise CommandError(
            "this needs all numbers together: leave out --max-memory, --out-dir and "
            "--cluster, and name one file"
        )
    import softsort_core as soft

    blur, epsilon = solver.blur_number, solver.epsilon
    if blur is not None:
        epsilon = float(soft.epsilon_for_blur(summary, blur * per_unit))
    solution = forms.solve(summary, epsilon=epsilon)
    if forms.are_few:
        solution = np.asarray(solution)
        certain = not np.isnan(solution).any()
    else:
        certain = solution.error <= solution.tolerance
    if not certain:
        raise CommandError(
            f"the solver did not converge at {solver.told()}; {solver.remedy()}"
        )
    return solution


def encoded(solutions: Mapping[int, Solution | Curve | Known]) -> dict[str, Any]:
    """Solutions as what JSON can hold, and any process can read in its precision."""

    def plain(value: Any) -> Any:
        if hasattr(value, "shape"):
            return [str(value.dtype), np.asarray(value).tolist()]
        return asdict(value) if is_dataclass(value) else value  # pyright: ignore

    return {
        str(column): [type(each).__name__, *map(plain, each)]
        for column, each in solutions.items()
    }


def decoded(texts: Mapping[str, Sequence[Any]]) -> dict[int, Solution | Curve | Known]:
    """Solutions from what JSON holds."""
    import jax.numpy as jnp

    import softsort_core as soft

    def field(value: Any, to_array: Callable[..., Any]) -> Any:
        if isinstance(value, list):
            dtype, numbers = value
            return to_array(np.array(numbers, dtype))
        return soft.Statistics(**value) if isinstance(value, dict) else value

    solutions = {}
    for column, (name, *values) in texts.items():
        kind = Known if name == Known.__name__ else getattr(soft, name)
        to_array = np.asarray if kind is Known else jnp.asarray
        solutions[int(column)] = kind(*(field(each, to_array) for each in values))
    return solutions


def evaluated(
    data: Chosen,
    names: Sequence[str],
    operator: Operator,
    solutions: Mapping[int, Any],
    before: int = 0,
) -> Iterator[write.Rows]:
    """The table part by part, with its part of the results.

    So many rows of results were written before.
    """
    forms = operator.forms()
    for part, (numbers, _), kept in data.reread():
        count = part.height if kept is None else int(kept.sum())
        first, before = before, before + count
        columns = {}
        for name, column in zip(names, data.columns, strict=True):
            results = np.full(part.height, np.nan)
            solution = solutions.get(column)
            if solution is not None and forms.at_places is None:
                results = at_values(forms, solution, numbers[column].values)
            elif solution is not None:
                # Results for the first rows that are kept.
                some = at_places(forms, solution, first, before)
                room = np.arange(part.height) if kept is None else np.flatnonzero(kept)
                results[room[: len(some)]] = some
            columns[name] = operator.told(data, column, results)
        yield part, columns, kept


def _together(count: int) -> int:
    """How many values to take at a time, of so many: jax compiles for either size.

    Tables of many columns, or in many parts, have few in each.
    """
    return SIZE if count > few_values.FEW else min(SIZE, few_values.FEW)


def _chunks(
    blocks: Iterable[Parsed], *, descends: bool
) -> Iterator[tuple[int, np.ndarray, Counts, int]]:
    """The numbers of each column, by as many at a time as jax has compiled for.

    With how often each counts. The last are repeated to be as many, and do not count;
    how many there really are comes with them.
    """
    rest: dict[int, list[np.ndarray]] = {}
    for columns, of_rows in blocks:
        for column, numbers in columns.items():
            there = ~np.isnan(numbers.values)
            values = numbers.values[there]
            some = [-values if descends else values]
            if of_rows is not None:
                some.append(of_rows[there])
            if column in rest:
                pairs = zip(rest[column], some, strict=True)
                some = [np.concatenate(each) for each in pairs]
            whole = len(some[0]) - len(some[0]) % SIZE
            for start in range(0, whole, SIZE):
                chunk, *counts = (each[start : start + SIZE] for each in some)
                yield column, chunk, counts[0] if counts else None, SIZE
            rest[column] = [each[whole:] for each in some]
    for column, (values, *counts) in rest.items():
        if count := len(values):
            padded = np.zeros(_together(count))
            padded[:count] = counts[0] if counts else 1
            yield column, np.resize(values, len(padded)), padded, count


def at_places(forms: Forms, solution: Any, start: int, stop: int) -> np.ndarray:
    """The results at these places, as far as there are any."""
    if isinstance(solution, Known):
        return solution.at_places(start, stop)
    assert forms.at_places is not None
    count, size = solution.statistics.count, _together(stop - start)
    # Always as many at a time, from the last place back.
    chunks = [np.zeros(0)]
    for low in range(start, min(stop, count), size):
        high = min(low + size, stop, count)
        first = max(0, high - size)
        results = np.asarray(forms.at_places(solution, first, high))
        chunks.append(results[low - first :])
    return np.concatenate(chunks)


def at_values(forms: Forms, solution: Any, values: np.ndarray) -> np.ndarray:
    """The results of each number, by as many at a time; NaN stays NaN."""
    if isinstance(solution, Known):
        return solution.at_values(values)
    assert forms.at_values is not None
    there = ~np.isnan(values)
    results = np.full(len(values), np.nan)
    numbers = values[there]
    if len(numbers):
        size = _together(len(numbers))
        chunks = np.resize(numbers, (-(-len(numbers) // size), size))
        done = [np.asarray(forms.at_values(solution, each)) for each in chunks]
        results[there] = np.concatenate(done)[: len(numbers)]
    return results
