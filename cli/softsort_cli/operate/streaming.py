"""Operators on values that are never together: three passes, whatever their number."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from softsort_cli import console, jax_setup
from softsort_cli.errors import CommandError, UsageError
from softsort_cli.options.softness import Solver
from softsort_cli.tables import column_data, write

if TYPE_CHECKING:
    import numpy as np

    from softsort_core import Curve, Solution, Statistics, Summary

SIZE = 1 << 18  # values at a time
FEW = 100  # values that may be too few to be summarised


@dataclass(frozen=True)
class Parted:
    """An operator on numbers that are never together."""

    # The function of softsort_core that solves it, from a summary and epsilon, and what
    # else this is given.
    solve: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    # From what was solved, the numbers of a part and how many rows were written before
    # to the results for the part; None where what was solved are the results.
    evaluate: Callable[[Any, np.ndarray, range], np.ndarray] | None = None
    # What of these the command was asked for, as JSON can hold it.
    options: Mapping[str, Any] = field(default_factory=dict)


def check(solver: Solver) -> None:
    """Refuse what cannot be done in parts."""
    if solver.hard or solver.squash == "none":
        raise UsageError(
            "--hard and --squash none need all numbers together, in one process: leave "
            "them out, or --max-memory, --out-dir and --cluster"
        )


def rows(
    data: column_data.Chosen, names: Sequence[str], parted: Parted, solver: Solver
) -> Iterator[write.Rows]:
    """The table part by part, with its part of the results."""
    check(solver)
    return evaluated(data, names, parted, _solved(data, parted, solver), 0)


def few(
    data: column_data.Chosen, parted: Parted, solver: Solver
) -> list[list[np.ndarray]]:
    """The few results for each column, as one group."""
    check(solver)
    return of_columns(data, _solved(data, parted, solver))


def of_columns(
    data: column_data.Chosen, solved: Mapping[int, np.ndarray]
) -> list[list[np.ndarray]]:
    """The few results for each column, as one group: none for one without numbers."""
    import numpy as np

    return [[solved.get(column, np.zeros(0))] for column in data.columns]


def _solved(data: column_data.Chosen, parted: Parted, solver: Solver) -> dict[int, Any]:
    console.note(
        f"note: {data.height:,} rows are more than --max-memory allows to keep: the "
        "file is read in several passes"
    )
    statistics = described(found for _, found, _ in data.reread())
    pieces = (found for _, found, _ in data.reread())
    summaries = summarised(pieces, statistics, solver.epsilon)
    names = dict(zip(data.columns, data.names(), strict=True))
    return solved(summaries, names, parted, solver)


def described(pieces: Iterable[Mapping[int, np.ndarray]]) -> dict[int, Statistics]:
    """The statistics of each column that has numbers."""
    jax_setup.ready()
    import softsort_core as soft

    found = {}
    for column, values, there in _chunks(pieces):
        known = found.get(column)
        some = replace(soft.describe(values, _weights(values, there)), count=there)
        found[column] = soft.merge(known, some) if known else some
    return found


def summarised(
    pieces: Iterable[Mapping[int, np.ndarray]],
    statistics: Mapping[int, Statistics],
    epsilon: float,
) -> dict[int, Summary]:
    """The summary of each column that has numbers, by statistics of the whole."""
    import softsort_core as soft

    found: dict[int, Summary] = {}
    for column, values, there in _chunks(pieces):
        weights = _weights(values, there)
        some = soft.summarise(values, statistics[column], weights, epsilon=epsilon)
        known = found.get(column)
        found[column] = soft.merge(known, some) if known else some
    return found


def solved(
    summaries: Mapping[int, Summary],
    names: Mapping[int, str],
    parted: Parted,
    solver: Solver,
) -> dict[int, Any]:
    """What is solved for each column that has numbers."""
    found = {}
    for column, summary in summaries.items():
        try:
            found[column] = _solution(summary, parted, solver)
        except (CommandError, ValueError) as error:
            raise CommandError(f"column {names[column]!r}: {error}") from error
    return found


def _solution(summary: Summary, parted: Parted, solver: Solver) -> Any:
    """What is solved, if it is certain."""
    import numpy as np

    import softsort_core as soft

    solve = getattr(soft, parted.solve)
    solution = solve(summary, epsilon=solver.epsilon, **parted.settings)
    if parted.evaluate is None:
        solution = np.asarray(solution)
        certain = not np.isnan(solution).any()
    else:
        certain = solution.error <= solution.tolerance
    if not certain:
        count = summary.statistics.count
        remedy = "choose a larger --epsilon"
        if count < FEW:
            remedy = (
                f"its {count} values are too few for this: leave out --max-memory, "
                "--out-dir and --cluster"
            )
        raise CommandError(
            f"the solver did not converge at epsilon {solver.epsilon:g}; {remedy}"
        )
    return solution


def together(values: np.ndarray, parted: Parted, solver: Solver) -> np.ndarray:
    """The results for values that are together after all."""
    assert parted.evaluate is not None
    pieces = [{0: values}]
    statistics = described(pieces)
    (summary,) = summarised(pieces, statistics, solver.epsilon).values()
    solution = _solution(summary, parted, solver)
    return parted.evaluate(solution, values, range(len(values)))


def encoded(solutions: Mapping[int, Solution | Curve]) -> dict[str, Any]:
    """Solutions as what JSON can hold, and any process can read in its precision."""
    return {
        str(column): {
            name: _text(value) if hasattr(value, "shape") else value
            for name, value in solution._asdict().items()
        }
        | {"statistics": asdict(solution.statistics), "kind": type(solution).__name__}
        for column, solution in solutions.items()
    }


def decoded(texts: Mapping[str, Mapping[str, Any]]) -> dict[int, Solution | Curve]:
    """Solutions from what JSON holds."""
    import softsort_core as soft

    return {
        int(column): getattr(soft, text["kind"])(
            **{
                name: _array(value) if isinstance(value, list) else value
                for name, value in text.items()
                if name != "kind"
            }
            | {"statistics": soft.Statistics(**text["statistics"])}
        )
        for column, text in texts.items()
    }


def _text(series: Any) -> list[Any]:
    import numpy as np

    array = np.asarray(series)
    return [str(array.dtype), array.shape, base64.b64encode(array.tobytes()).decode()]


def _array(text: Sequence[Any]) -> Any:
    import jax.numpy as jnp
    import numpy as np

    dtype, shape, data = text
    return jnp.asarray(np.frombuffer(base64.b64decode(data), dtype).reshape(shape))


def evaluated(
    data: column_data.Chosen,
    names: Sequence[str],
    parted: Parted,
    solutions: Mapping[int, Any],
    before: int,
) -> Iterator[write.Rows]:
    """The table part by part, with its part of the results.

    So many rows of results were written before.
    """
    import numpy as np

    assert parted.evaluate is not None
    for part, values, kept in data.reread():
        count = part.height if kept is None else int(kept.sum())
        places = range(before, before + count)
        before += count
        found = {}
        for name, column in zip(names, data.columns, strict=True):
            if column not in solutions:
                found[name] = np.full(part.height, np.nan)
                continue
            result = parted.evaluate(solutions[column], values[column], places)
            if len(result) < part.height:  # results for the first rows that are kept
                filled = np.full(part.height, np.nan)
                room = np.arange(part.height) if kept is None else np.flatnonzero(kept)
                filled[room[: len(result)]] = result
                result = filled
            found[name] = result
        yield part, found, kept


def _chunks(
    pieces: Iterable[Mapping[int, np.ndarray]],
) -> Iterator[tuple[int, np.ndarray, int]]:
    """The numbers of each column, by as many at a time, for what jax has compiled.

    The last are repeated to be as many; how many there really are comes with them.
    """
    import numpy as np

    rest: dict[int, np.ndarray] = {}
    for found in pieces:
        for column, values in found.items():
            held = np.concatenate(
                [rest.get(column, values[:0]), values[~np.isnan(values)]]
            )
            whole = len(held) - len(held) % SIZE
            for start in range(0, whole, SIZE):
                yield column, held[start : start + SIZE], SIZE
            rest[column] = held[whole:]
    for column, values in rest.items():
        if len(values):
            yield column, np.resize(values, SIZE), len(values)


def _weights(values: np.ndarray, there: int) -> np.ndarray | None:
    """One for each of the values that are there, zero for those repeated."""
    import numpy as np

    if there == len(values):
        return None
    return (np.arange(len(values)) < there).astype(values.dtype)


def ranks(
    solution: Solution, values: np.ndarray, places: range, *, start: int = 0
) -> np.ndarray:
    """The ranks of some of the values, from `start`, whatever their places."""
    del places
    return elementwise(solution.ranks, values) + start


def along(curve: Curve, values: np.ndarray, places: range) -> np.ndarray:
    """What a curve makes of some of the values, whatever their places."""
    del places
    return elementwise(curve, values)


def sorted_values(solution: Solution, values: np.ndarray, places: range) -> np.ndarray:
    """The sorted values at these places, as far as there are any."""
    import numpy as np

    del values
    count = solution.statistics.count
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
