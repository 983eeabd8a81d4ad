"""Operators on values that are never together: three passes, whatever their number.

The first describes the values, the second summarises them, by the statistics of all,
and the third evaluates what was solved for between.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from softsort_cli import console, jax_setup
from softsort_cli.errors import CommandError, UsageError
from softsort_cli.operate import blurring
from softsort_cli.operate.operator import Operator
from softsort_cli.options.softness import Solver
from softsort_cli.tables import write
from softsort_cli.tables.column_data import Chosen

if TYPE_CHECKING:
    import numpy as np

    from softsort_core import Curve, Forms, Solution, Statistics, Summary

SIZE = 1 << 18  # values at a time
FEW = 100  # values that may be too few to be summarised


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


def rows(
    data: Chosen, names: Sequence[str], operator: Operator, solver: Solver
) -> Iterator[write.Rows]:
    """The table part by part, with its part of the results."""
    return evaluated(data, names, operator, _solutions(data, operator, solver), 0)


def few(data: Chosen, operator: Operator, solver: Solver) -> list[list[np.ndarray]]:
    """The few results for each column, as one group."""
    return of_columns(data, _solutions(data, operator, solver))


def of_columns(
    data: Chosen, solutions: Mapping[int, np.ndarray]
) -> list[list[np.ndarray]]:
    """The few results for each column, as one group: none for one without numbers."""
    import numpy as np

    return [[solutions.get(column, np.zeros(0))] for column in data.columns]


def _solutions(data: Chosen, operator: Operator, solver: Solver) -> dict[int, Any]:
    check(solver)
    console.note(
        f"note: {data.height:,} rows are more than --max-memory allows to keep: the "
        "file is read in several passes"
    )
    statistics = described(numbers for _, numbers, _ in data.reread())
    blocks = (numbers for _, numbers, _ in data.reread())
    summaries = summarised(blocks, statistics, solver)
    names = dict(zip(data.columns, data.names(), strict=True))
    return solved(summaries, names, operator, solver)


def described(blocks: Iterable[Mapping[int, np.ndarray]]) -> dict[int, Statistics]:
    """The statistics of each column that has numbers."""
    jax_setup.wait_until_started()
    import softsort_core as soft

    statistics = {}
    for column, values, count in _chunks(blocks):
        some = replace(soft.describe(values, _weights(values, count)), count=count)
        known = statistics.get(column)
        statistics[column] = soft.merge(known, some) if known else some
    return statistics


def summarised(
    blocks: Iterable[Mapping[int, np.ndarray]],
    statistics: Mapping[int, Statistics],
    solver: Solver,
) -> dict[int, Summary]:
    """The summary of each column that has numbers, by statistics of all."""
    import softsort_core as soft

    epsilons = {
        column: blurring.least_epsilon(some, solver)
        for column, some in statistics.items()
    }
    summaries: dict[int, Summary] = {}
    for column, values, count in _chunks(blocks):
        weights = _weights(values, count)
        some = soft.summarise(
            values, statistics[column], weights, epsilon=epsilons[column]
        )
        known = summaries.get(column)
        summaries[column] = soft.merge(known, some) if known else some
    return summaries


def solved(
    summaries: Mapping[int, Summary],
    names: Mapping[int, str],
    operator: Operator,
    solver: Solver,
) -> dict[int, Any]:
    """What is solved for each column that has numbers."""
    solutions = {}
    for column, summary in summaries.items():
        try:
            solutions[column] = _solution(summary, operator.forms(), solver)
        except (CommandError, ValueError) as error:
            raise CommandError(f"column {names[column]!r}: {error}") from error
    return solutions


def _solution(summary: Summary, forms: Forms, solver: Solver) -> Any:
    """What is solved, if it is certain."""
    import numpy as np

    if forms.solve is None:
        raise CommandError(
            "this needs all numbers together: leave out --max-memory, --out-dir and "
            "--cluster, and name one file"
        )
    solution = forms.solve(summary, epsilon=blurring.epsilon(summary, solver))
    if forms.are_few:
        solution = np.asarray(solution)
        certain = not np.isnan(solution).any()
    else:
        certain = solution.error <= solution.tolerance
    if not certain:
        count = summary.statistics.count
        remedy = solver.remedy()
        if count < FEW:
            remedy = (
                f"its {count} values are too few for this: leave out --max-memory, "
                "--out-dir and --cluster"
            )
        raise CommandError(f"the solver did not converge at {solver.told()}; {remedy}")
    return solution


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
    data: Chosen,
    names: Sequence[str],
    operator: Operator,
    solutions: Mapping[int, Any],
    before: int,
) -> Iterator[write.Rows]:
    """The table part by part, with its part of the results.

    So many rows of results were written before.
    """
    import numpy as np

    forms = operator.forms()
    for part, values, kept in data.reread():
        count = part.height if kept is None else int(kept.sum())
        first, before = before, before + count
        columns = {}
        for name, column in zip(names, data.columns, strict=True):
            results = np.full(part.height, np.nan)
            columns[name] = results
            if column not in solutions:
                continue
            solution = solutions[column]
            if forms.at_places is None:
                results[:] = at_values(forms, solution, values[column])
                continue
            # Results for the first rows that are kept.
            some = at_places(forms, solution, first, before)
            room = np.arange(part.height) if kept is None else np.flatnonzero(kept)
            results[room[: len(some)]] = some
        yield part, columns, kept


def _chunks(
    blocks: Iterable[Mapping[int, np.ndarray]],
) -> Iterator[tuple[int, np.ndarray, int]]:
    """The numbers of each column, by as many at a time, for what jax has compiled.

    The last are repeated to be as many; how many there really are comes with them.
    """
    import numpy as np

    rest: dict[int, np.ndarray] = {}
    for block in blocks:
        for column, values in block.items():
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


def _weights(values: np.ndarray, count: int) -> np.ndarray | None:
    """One for so many of the values, zero for those repeated."""
    import numpy as np

    if count == len(values):
        return None
    return (np.arange(len(values)) < count).astype(values.dtype)


def at_places(forms: Forms, solution: Any, start: int, stop: int) -> np.ndarray:
    """The results at these places, as far as there are any."""
    import numpy as np

    assert forms.at_places is not None
    count = solution.statistics.count
    # Always as many at a time, for what jax has compiled, from the last place back.
    chunks = [np.zeros(0)]
    for low in range(start, min(stop, count), SIZE):
        high = min(low + SIZE, stop, count)
        first = max(0, high - SIZE)
        results = np.asarray(forms.at_places(solution, first, high))
        chunks.append(results[low - first :])
    return np.concatenate(chunks)


def at_values(forms: Forms, solution: Any, values: np.ndarray) -> np.ndarray:
    """The results of each number, by as many at a time; NaN stays NaN."""
    import numpy as np

    assert forms.at_values is not None
    there = ~np.isnan(values)
    results = np.full(len(values), np.nan)
    numbers = values[there]
    if len(numbers):
        padded = np.resize(numbers, -(-len(numbers) // SIZE) * SIZE)
        chunks = np.split(padded, len(padded) // SIZE)
        done = [np.asarray(forms.at_values(solution, each)) for each in chunks]
        results[there] = np.concatenate(done)[: len(numbers)]
    return results
