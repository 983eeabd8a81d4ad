"""Tables in many parts that are one: each part is a task, wherever tasks run.

Three passes, as in `streaming`: each part is surveyed, then summarised given the
statistics of the whole; the merged summaries are solved once; and each part is
evaluated and written, unless the results are few.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softsort_cli import console, jax_setup
from softsort_cli.errors import CommandError, UsageError
from softsort_cli.io import files
from softsort_cli.operate import streaming, target
from softsort_cli.operate.file_parts import Part, parts_of, with_outputs
from softsort_cli.operate.operator import BITS, Operator
from softsort_cli.operate.part_tasks import Work
from softsort_cli.operate.result_table import ResultTable
from softsort_cli.operate.target import Naming
from softsort_cli.operate.views import View
from softsort_cli.options.tables import PartsWriting, Reading, TableWriting
from softsort_cli.tables import candidates, column_data, columnar, select, tally
from softsort_cli.tables.counted import Meaning
from softsort_cli.tables.times import Time
from softsort_cli.work import manifest
from softsort_cli.work.engine import Engine, finish, merged, open_engine

if TYPE_CHECKING:
    from softsort_core import Statistics

    # The statistics of columns, and which are of few rows.
    Known = tuple[dict[int, Statistics], list[int]]

# Options that do not change what is written.
APART = {"cluster", "device", "max_memory", "output", "force", "dry_run", "out_dir"}


def append(
    paths: Sequence[Path] | None,
    suffix: str,
    operator: Operator,
    reading: Reading,
    writing: PartsWriting,
    *,
    views: Sequence[View] = (),
) -> None:
    """Append `{column}_{suffix}` to each part of a table, and show what was solved."""
    work = _work(operator, reading)
    solver = operator.solver
    parts = with_outputs(parts_of(paths, solver), solver, reading, writing)
    run = manifest.Manifest(
        parts[0].output.parent,
        _settings(work, suffix, writing),
        {part.name: list(part.stamp) for part in parts},
        whole=True,
    )
    with manifest.lock(None if writing.dry_run else writing.out_dir):
        _append(parts, suffix, work, run, writing)
        if views:
            _show(views, parts, work, run.solved)


def _show(
    views: Sequence[View], parts: Sequence[Part], work: Work, solved: Mapping[str, Any]
) -> None:
    data = _timed(work, solved).chosen(parts[0], solved["columns"])
    with jax_setup.for_this_thread(work.operator.solver, BITS):
        streaming.show_solved(views, data, streaming.decoded(solved["solutions"]))


def _timed(work: Work, solved: Mapping[str, Any]) -> Work:
    """What is done to each part, once it is known which columns are times."""
    times = {int(column): Time(**each) for column, each in solved["times"].items()}
    return replace(work, times=times)


def _append(
    parts: Sequence[Part],
    suffix: str,
    work: Work,
    run: manifest.Manifest,
    writing: PartsWriting,
) -> None:
    old = None
    if writing.out_dir is not None and not writing.force:
        old = manifest.read(run.folder)
    fresh = writing.dry_run and not run.folder.is_dir()
    for part in [] if fresh else parts:
        if old is None or part.name not in old.inputs:
            files.check_output(part.output, force=writing.force)
    folder = None if writing.dry_run else run.folder
    with _engine(work, folder, parts) as engine:
        if old is not None and not writing.dry_run:
            run.resume(old, engine)
        if run.solved is None:
            data, kept, known = _surveyed(engine, parts, work)
            _, form = parts[0].forms(work.reading)
            names = target.result_names(data, suffix, form, writing)
            if not writing.only:
                columnar.tell_changes(data.table, form, names)
            target.end_dry_run(data, names, writing)
            run.solved = {
                "columns": data.columns,
                "names": names,
                "kept": kept,
                "times": {c: asdict(t) for c, t in data.meaning.times.items()},
                "solutions": _solved(engine, parts, work, data, known),
            }
        _evaluate(engine, parts, _timed(work, run.solved), run, writing)


def tabulate(
    paths: Sequence[Path] | None,
    operator: Operator,
    reading: Reading,
    writing: TableWriting,
    naming: Naming,
) -> ResultTable:
    """The few results for each column."""
    work = _work(operator, reading)
    parts = parts_of(paths, operator.solver)
    form = target.check(parts[0].path, reading, writing)
    with _engine(work, None, parts) as engine:
        data, _, known = _surveyed(engine, parts, work)
        names = naming(data)
        target.check_names_alone(data, names)
        target.end_dry_run(data, names, writing)
        solved = _solved(engine, parts, work, data, known)
    outputs = streaming.of_columns(data, solved)
    return ResultTable(data, form, names, operator, outputs)


def _work(operator: Operator, reading: Reading) -> Work:
    streaming.check(operator.solver)
    if reading.by:
        raise UsageError(
            "--by needs all rows together: leave it out, or --out-dir and --cluster"
        )
    if reading.on_invalid == "skip" and not reading.columns:
        raise UsageError("--on-invalid skip, of a table in parts: choose columns by -c")
    return Work(operator, reading)


def _settings(work: Work, suffix: str, writing: PartsWriting) -> dict[str, Any]:
    """What the results depend on besides the parts."""
    options = asdict(work.operator.solver) | asdict(work.reading) | asdict(writing)
    settings = {
        name: manifest.digest_of(value) if hasattr(value, "shape") else value
        for name, value in work.operator.settings.items()
    }
    options = {name: value for name, value in options.items() if name not in APART}
    return {"results": suffix, **settings, **options}


def _engine(
    work: Work, folder: Path | None, parts: Sequence[Part]
) -> AbstractContextManager[Engine]:
    inputs = [part.path for part in parts]
    outputs = [] if folder is None else [part.output for part in parts]
    return open_engine(work.operator.solver, BITS, folder, inputs, outputs)


def _surveyed(
    engine: Engine, parts: Sequence[Part], work: Work
) -> tuple[column_data.Chosen, list[int], Known]:
    """The first pass: the first part, by the name of all, and without numbers.

    And how many rows of each part are in the output, and what is known of the columns.
    """
    reading = work.reading
    table = _table(parts, reading)
    chosen_columns, excluded = select.choose(reading.columns or [], table.names)
    meaning = Meaning.of(table, reading)
    excluded |= set() if meaning.weights is None else {meaning.weights}
    columns = chosen_columns or candidates.candidates_of(table, excluded)
    meaning = candidates.with_times(table, meaning, chosen_columns or [])
    work = replace(work, times=meaning.times)
    with console.progress("surveying", len(parts)) as step:
        tasks = [engine.submit(work.survey, part, columns) for part in parts]
        surveys = _results(engine, tasks, step)
    for part, survey in zip(parts, surveys, strict=True):
        # NDJSON without objects has none.
        if survey.names and survey.names != table.names:
            raise CommandError(
                f"{part.path} has other columns than {parts[0].path}: the parts of a "
                "table have the same, in the same order"
            )
    tallies = {
        column: functools.reduce(
            tally.Tally.__add__, (s.tallies[column] for s in surveys)
        )
        for column in columns
    }
    if chosen_columns is None:
        columns = candidates.numeric(table, columns, tallies, reading.on_invalid)
    wrong = tally.report_bad_cells(table, columns, tallies, meaning, reading.on_invalid)
    if wrong:
        cells = sum(tallies[column].invalid for column in wrong)
        console.note(
            f"{table.source}: cells that are not a number: {cells}, "
            f"{tally.FATES[reading.on_invalid]}"
        )
    height = sum(survey.height for survey in surveys)
    if not height:
        console.note(f"{table.source}: no rows")
    meaning = tally.with_steps(meaning, tallies)
    data = column_data.Chosen(
        table, columns, reading.on_invalid, height, meaning=meaning
    )
    described = _merge(*(survey.statistics for survey in surveys))
    rows = {column: described[column] for column in columns if column in described}
    known = streaming.by_counts(rows, work.operator), streaming.few(rows)
    return data, [survey.kept for survey in surveys], known


def _solved(
    engine: Engine,
    parts: Sequence[Part],
    work: Work,
    data: column_data.Chosen,
    known: Known,
) -> dict[Any, Any]:
    """The second pass, and what is solved after it."""
    work = replace(work, times=data.meaning.times)
    names = dict(zip(data.columns, data.names(), strict=True))
    tasks = [engine.submit(work.summarise, part, *known) for part in parts]
    summaries = merged(engine, _merge, tasks)
    solutions = engine.submit(work.solve, summaries, names)
    with console.progress("summarising", len(parts)) as step:
        for _ in engine.finished(tasks):
            step()
    return solutions.result()


def _table(parts: Sequence[Part], reading: Reading) -> Any:
    """The first part that has columns, which messages call by the name of all."""
    tables = (part.open(reading) for part in parts)
    table = next((each for each in tables if each.names), None)
    table = table or parts[0].open(reading)
    more = f" and {len(parts) - 1} more parts" if len(parts) > 1 else ""
    named = replace(table.input, source=table.source + more, first=table.input)
    return replace(table, input=named)


def _results(
    engine: Engine, tasks: Sequence[Any], step: Callable[[], None]
) -> list[Any]:
    """The results of tasks, in their order; the first that fails ends the command."""
    results = {}
    for task in engine.finished(tasks):
        results[id(task)] = task.result()
        step()
    return [results[id(task)] for task in tasks]


def _merge(*parts: Mapping[int, Any]) -> dict[int, Any]:
    """Statistics or summaries of some parts together, column by column."""
    together: dict[int, Any] = {}
    for part in parts:
        for column, known in part.items():
            before = together.get(column)
            whole = known if before is None else streaming.merged(before, known)
            together[column] = whole
    return together


def _evaluate(
    engine: Engine,
    parts: Sequence[Part],
    work: Work,
    run: manifest.Manifest,
    writing: PartsWriting,
) -> None:
    """Write the parts that are not finished."""
    keeps = writing.out_dir is not None
    if keeps:
        run.write()
    if run.entries:
        console.note(
            f"{run.folder}: {len(run.entries)} of {len(parts)} parts are finished "
            "already"
        )
    # As a result it goes to each worker once, and from worker to worker.
    solutions = engine.submit(dict, run.solved["solutions"])
    befores = itertools.accumulate(run.solved["kept"], initial=0)
    columns, tasks = (run.solved["columns"], run.solved["names"]), {}
    for part, before in zip(parts, befores, strict=False):
        if part.name not in run.entries:
            arguments = part, *columns, before, solutions, writing
            tasks[engine.submit(work.evaluate, *arguments)] = part

    def done(part: Part, checksum: str) -> None:
        if keeps:
            run.add(part.name, checksum)

    finish(engine, tasks, "parts", done, len(parts))
