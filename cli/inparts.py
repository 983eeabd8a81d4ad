"""Operators on values that are never together: three passes, whatever their number."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from cli import chosen, console, results
from cli.errors import CommandError, UsageError
from cli.options import Solver

if TYPE_CHECKING:
    import numpy as np

    from softsort_core import Solution

SIZE = 1 << 18  # values at a time

# From what was solved, the numbers of a part and how many rows were written before to
# the results for the part.
Parted: TypeAlias = "Callable[[Solution, np.ndarray, range], np.ndarray]"


def rows(
    data: chosen.Chosen, names: Sequence[str], parted: Parted, solver: Solver
) -> Iterator[results.Rows]:
    """The table part by part, with its part of the results."""
    import numpy as np

    if solver.hard or solver.squash == "none":
        raise UsageError(
            "--hard and --squash none need all numbers together: allow more by "
            "--max-memory"
        )
    console.note(
        f"note: {data.height:,} rows are more than --max-memory allows to keep: the "
        "file is read in several passes"
    )
    solutions = _solutions(data, solver)
    before = 0
    for part, values, kept in data.reread():
        count = part.height if kept is None else int(kept.sum())
        places = range(before, before + count)
        before += count
        found = {}
        for name, column in zip(names, data.columns, strict=True):
            solution = solutions[column]
            if solution is None:
                found[name] = np.full(part.height, np.nan)
                continue
            result = parted(solution, values[column], places)
            if len(result) < part.height:  # results for the first rows that are kept
                filled = np.full(part.height, np.nan)
                room = np.arange(part.height) if kept is None else np.flatnonzero(kept)
                filled[room[: len(result)]] = result
                result = filled
            found[name] = result
        yield part, found, kept


def _solutions(data: chosen.Chosen, solver: Solver) -> dict[int, Solution | None]:
    import softsort_core as soft

    wholes = {}
    for column, values in _chunks(data):
        described = soft.describe(values)
        known = wholes.get(column)
        wholes[column] = soft.merge(known, described) if known else described
    summaries: dict[int, Any] = {}
    summarise = functools.partial(soft.summarise, epsilon=solver.epsilon)
    for column, values in _chunks(data):
        summary = summarise(values, wholes[column])
        known = summaries.get(column)
        summaries[column] = soft.merge(known, summary) if known else summary
    solved: dict[int, Solution | None] = {}
    for name, column in zip(data.names(), data.columns, strict=True):
        solution = None
        if column in summaries:
            solution = soft.solve(summaries[column], epsilon=solver.epsilon)
            if not max(solution.rank_error, solution.value_error) <= solution.tolerance:
                raise CommandError(
                    f"column {name!r}: the solver did not converge at epsilon "
                    f"{solver.epsilon:g}; choose a larger --epsilon"
                )
        solved[column] = solution
    return solved


def _chunks(data: chosen.Chosen) -> Iterator[tuple[int, np.ndarray]]:
    """The numbers of each column, by as many at a time, for what jax has compiled."""
    import numpy as np

    rest = {column: np.zeros(0) for column in data.columns}
    for _, found, _ in data.reread():
        for column, values in found.items():
            held = np.concatenate([rest[column], values[~np.isnan(values)]])
            whole = len(held) - len(held) % SIZE
            for start in range(0, whole, SIZE):
                yield column, held[start : start + SIZE]
            rest[column] = held[whole:]
    for column, values in rest.items():
        if len(values):
            yield column, values


def sorted_values(solution: Solution, places: range, count: int) -> np.ndarray:
    """The sorted values at these places, as far as there are any."""
    import numpy as np

    # Always as many at a time, for what jax has compiled, from the last place back.
    parts = [np.zeros(0)]
    for start in range(places.start, min(places.stop, count), SIZE):
        stop = min(start + SIZE, places.stop, count)
        first = max(0, stop - SIZE)
        found = np.asarray(solution.sorted_values(first, stop))
        parts.append(found[start - first :])
    return np.concatenate(parts)


def elementwise(function: Callable[[Any], Any], values: np.ndarray) -> np.ndarray:
    """A function of each number, by as many at a time; NaN stays NaN."""
    import numpy as np

    there = ~np.isnan(values)
    result = np.full(len(values), np.nan)
    numbers = values[there]
    padded = np.resize(numbers, -(-len(numbers) // SIZE) * SIZE)
    parts: Iterable[Any] = np.split(padded, len(padded) // SIZE) if len(numbers) else []
    done = [np.asarray(function(part)) for part in parts]
    if done:
        result[there] = np.concatenate(done)[: len(numbers)]
    return result
