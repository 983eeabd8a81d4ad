"""Tables in many parts that are one: each part is a task, wherever tasks run.

Three passes, as in `cli.inparts`: each part is surveyed, then summarised given the
statistics of the whole; the merged summaries are solved once; and each part is
evaluated and written.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import (
    chosen,
    cluster,
    columns,
    columnwise,
    console,
    files,
    formats,
    inparts,
    manifest,
    results,
    tables,
)
from cli.errors import CommandError, UsageError
from cli.options import PartsWriting, Reading, Solver

if TYPE_CHECKING:
    import numpy as np

    from softsort_core import Statistics, Summary

# Options that do not change what is written.
APART = {"cluster", "device", "max_memory", "output", "force", "dry_run", "out_dir"}


@dataclass(frozen=True)
class Part:
    """A file that holds a part of a table, and the one that is written."""

    path: Path
    output: Path
    stamp: tuple[int, int]  # size and time of change

    @property
    def name(self) -> str:
        """Its name among the outputs."""
        return self.output.name

    def form(self, reading: Reading) -> formats.Form:
        """The form of the output."""
        came = formats.form_in(self.path, reading.form, reading.delimiter)
        return formats.form_out(self.output, reading.form, came)

    def open(self, reading: Reading) -> tables.Table:
        """The part as a table, if it has not changed."""
        table = tables.open_table(self.path, reading)
        if table.input.stamp != self.stamp:
            raise CommandError(f"{self.path} has changed: run the command again")
        return table


@dataclass(frozen=True)
class Survey:
    """What is known of a part after the first pass."""

    names: list[str]
    height: int
    kept: int  # rows that are in the output
    tallies: dict[int, chosen.Tally]
    statistics: dict[int, Statistics]


@dataclass(frozen=True)
class Work:
    """What is done to each part; its methods are tasks."""

    suffix: str
    parted: inparts.Parted
    solver: Solver
    reading: Reading
    writing: PartsWriting

    def survey(self, part: Part, wanted: Sequence[int]) -> Survey:
        """Go over a part for the first time."""
        table = part.open(self.reading)
        tallies = {column: chosen.Tally() for column in wanted}
        height = left_out = 0

        def pieces() -> Iterator[dict[int, np.ndarray]]:
            nonlocal height, left_out
            for block in table.parts(wanted):
                found = chosen.parse(block, wanted)
                for column, numbers in found.items():
                    tallies[column].add(block, column, numbers)
                kept = chosen.skip(found, block.height, self.reading.on_invalid)
                height += block.height
                left_out += 0 if kept is None else block.height - int(kept.sum())
                yield {column: each.values for column, each in found.items()}

        statistics = inparts.described(pieces())
        for tally in tallies.values():
            tally.first = tally.first and f"{part.path.name}, {tally.first}"
        return Survey(table.names, height, height - left_out, tallies, statistics)

    def summarise(
        self, part: Part, statistics: Mapping[int, Statistics]
    ) -> dict[int, Summary]:
        """Go over a part for the second time."""
        data = self._chosen(part, list(statistics))
        return inparts.summarised(data, statistics, self.solver.epsilon)

    def solve(
        self, summaries: Mapping[int, Summary], names: Mapping[int, str]
    ) -> dict[str, Any]:
        """Solve for the whole: what JSON can hold of it."""
        return inparts.encoded(inparts.solved(summaries, names, self.solver))

    def evaluate(
        self,
        part: Part,
        wanted: Sequence[int],
        before: int,
        texts: Mapping[str, Any],
    ) -> str | None:
        """Go over a part for the last time, and write it: its checksum."""
        data = self._chosen(part, wanted)
        names = [f"{name}_{self.suffix}" for name in data.names()]
        solutions = inparts.decoded(texts)
        rows = inparts.evaluated(data, names, self.parted, solutions, before)
        form = part.form(self.reading)
        # Whether it may be replaced was asked at the start: a task can run twice.
        writing = replace(self.writing, output=part.output, force=True)
        results.write_appended(data.table, rows, form, writing)
        return manifest.checksum(part.output)

    def _chosen(self, part: Part, wanted: Sequence[int]) -> chosen.Chosen:
        import numpy as np

        table, kept = part.open(self.reading), np.zeros(0, np.int64)
        on_invalid = self.reading.on_invalid
        return chosen.Chosen(table, list(wanted), {}, 0, on_invalid, {}, kept)


def wanted(paths: Sequence[Path] | None, solver: Solver, writing: PartsWriting) -> bool:
    """Whether a table is in parts, or its only part is for a cluster."""
    several = len(paths or []) > 1 or any(map(_is_pattern, paths or []))
    return several or solver.cluster is not None or writing.out_dir is not None


def only(paths: Sequence[Path] | None) -> Path | None:
    """The path of a table that is not in parts."""
    return paths[0] if paths else None


def append(
    paths: Sequence[Path] | None,
    suffix: str,
    parted: inparts.Parted,
    solver: Solver,
    reading: Reading,
    writing: PartsWriting,
) -> None:
    """Append `{column}_{suffix}` to each part of a table."""
    inparts.check(solver)
    _check(reading)
    work = Work(suffix, parted, solver, reading, writing)
    parts = _parts(paths, work)
    run = manifest.Manifest(
        parts[0].output.parent,
        _settings(work),
        {part.name: list(part.stamp) for part in parts},
        whole=True,
    )
    old = None
    if writing.out_dir is not None and not writing.force:
        old = manifest.read(run.folder)
    fresh = writing.dry_run and not run.folder.is_dir()
    for part in [] if fresh else parts:
        if old is None or part.name not in old.inputs:
            files.check_output(part.output, force=writing.force)
    inputs = [part.path for part in parts]
    folder = None if writing.dry_run else run.folder
    with cluster.engine(solver, columnwise.BITS, folder, inputs) as engine:
        if old is not None and not writing.dry_run:
            run.resume(old, engine)
        if run.solved is None:
            run.solved = _solved(engine, parts, work)
        if run.solved is not None:
            _evaluate(engine, parts, work, run)


def _check(reading: Reading) -> None:
    if reading.by:
        raise UsageError(
            "--by needs all rows together: leave it out, or --out-dir and --cluster"
        )
    if reading.on_invalid == "skip" and not reading.columns:
        raise UsageError("--on-invalid skip, of a table in parts: choose columns by -c")


def _parts(paths: Sequence[Path] | None, work: Work) -> list[Part]:
    """The parts of a table by their names, which is the order of its rows."""
    writing = work.writing
    found = sorted(_found(paths), key=lambda path: path.name)
    names = [path.name for path in found]
    if writing.output is not None and (len(found) > 1 or writing.out_dir is not None):
        raise UsageError("-o names one file: use --out-dir for several, not both")
    if writing.output is None and writing.out_dir is None:
        raise UsageError("a table in parts, or from a cluster: give --out-dir FOLDER")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"several parts would be written under one name, {twice}")
    if writing.out_dir is not None and not writing.dry_run:
        files.make_folder(writing.out_dir)
    parts = []
    for path in found:
        size, modified = manifest.stamp(path)
        output = writing.output or Path(writing.out_dir or "", path.name)
        if work.solver.cluster is not None:  # whose workers are in other folders
            path, output = path.absolute(), output.absolute()
        if output.resolve() == path.resolve():
            raise UsageError(f"{output} is a part itself: name another --out-dir")
        part = Part(path, output, (size, modified))
        columnwise.check_spec(part.form(work.reading), writing)
        parts.append(part)
    return parts


def _found(paths: Sequence[Path] | None) -> Iterator[Path]:
    for path in paths or [None]:
        if path is None or files.is_stream(path):
            raise UsageError(
                "standard input is no part of a table, and no worker sees it: name "
                "files"
            )
        if _is_pattern(path):
            matches = files.matches(path)
            if not matches:
                raise CommandError(f"no file matches {path}")
            yield from (match for match, _ in matches)
        else:
            yield path


def _is_pattern(path: Path) -> bool:
    return files.is_pattern(path) and not path.exists()


def _settings(work: Work) -> dict[str, Any]:
    """What the results depend on besides the parts."""
    given = asdict(work.solver) | asdict(work.reading) | asdict(work.writing)
    options = {name: value for name, value in given.items() if name not in APART}
    keywords = getattr(work.parted, "keywords", {})
    return {"results": work.suffix, **keywords, **options}


def _solved(
    engine: cluster.Engine, parts: Sequence[Part], work: Work
) -> dict[str, Any] | None:
    """The first two passes, and what is solved after them; None for a dry run."""
    reading, writing = work.reading, work.writing
    table = _table(parts, reading)
    chosen_columns, excluded = columns.choose(reading.columns or [], table.names)
    candidates = chosen_columns or chosen.candidates_of(table, excluded)
    with console.progress("surveying", len(parts)) as step:
        tasks = [engine.submit(work.survey, part, candidates) for part in parts]
        surveys = _results(engine, tasks, step)
    for part, survey in zip(parts, surveys, strict=True):
        if survey.names != table.names:
            raise CommandError(
                f"{part.path} has other columns than {parts[0].path}: the parts of a "
                "table have the same, in the same order"
            )
    tallies = {
        column: functools.reduce(
            chosen.Tally.__add__, (s.tallies[column] for s in surveys)
        )
        for column in candidates
    }
    if chosen_columns is None:
        candidates = chosen.numeric(table, candidates, tallies, reading.on_invalid)
    wrong = chosen.judge(table, candidates, tallies, reading.on_invalid)
    if wrong:
        cells = sum(tallies[column].invalid for column in wrong)
        console.note(
            f"{table.source}: cells that are not a number: {cells}, "
            f"{chosen.FATES[reading.on_invalid]}"
        )
    sources = {column: table.names[column] for column in candidates}
    names = [f"{name}_{work.suffix}" for name in sources.values()]
    results.check_names(table, list(sources.values()), names, writing.replace)
    if writing.dry_run:
        rows = sum(survey.height for survey in surveys)
        console.note(
            f"dry run: {table.source}: {rows:,} rows; would write {', '.join(names)} "
            f"to {writing.output or writing.out_dir}"
        )
        return None
    statistics = _merge(*(survey.statistics for survey in surveys))
    statistics = {c: statistics[c] for c in candidates if c in statistics}
    tasks = [engine.submit(work.summarise, part, statistics) for part in parts]
    whole = cluster.merged(engine, _merge, tasks)
    solutions = engine.submit(work.solve, whole, sources)
    with console.progress("summarising", len(parts)) as step:
        for _ in engine.finished(tasks):
            step()
    return {
        "columns": candidates,
        "kept": [survey.kept for survey in surveys],
        "solutions": solutions.result(),
    }


def _table(parts: Sequence[Part], reading: Reading) -> Any:
    """The first part, which messages call by the name of all."""
    table = parts[0].open(reading)
    more = f" and {len(parts) - 1} more parts" if len(parts) > 1 else ""
    given = replace(table.input, source=table.source + more, first=table.input)
    return replace(table, input=given)


def _results(
    engine: cluster.Engine, tasks: Sequence[cluster.Future], step: Callable[[], None]
) -> list[Any]:
    """The results of tasks, in their order; the first that fails ends the command."""
    found = {}
    for task in engine.finished(tasks):
        found[id(task)] = task.result()
        step()
    return [found[id(task)] for task in tasks]


def _merge(*parts: Mapping[int, Any]) -> dict[int, Any]:
    """Statistics or summaries of some parts together, column by column."""
    import softsort_core as soft

    found: dict[int, Any] = {}
    for part in parts:
        for column, known in part.items():
            found[column] = (
                soft.merge(found[column], known) if column in found else known
            )
    return found


def _same(value: Any) -> Any:
    return value


def _evaluate(
    engine: cluster.Engine, parts: Sequence[Part], work: Work, run: manifest.Manifest
) -> None:
    """Write the parts that are not finished."""
    keeps = work.writing.out_dir is not None
    if keeps:
        run.begin()
    if run.entries:
        console.note(
            f"{run.folder}: {len(run.entries)} of {len(parts)} parts are finished "
            "already"
        )
    # As a result it goes to each worker once, and from worker to worker.
    solutions = engine.submit(_same, run.solved["solutions"])
    befores = itertools.accumulate(run.solved["kept"], initial=0)
    wanted, tasks = run.solved["columns"], {}
    for part, before in zip(parts, befores, strict=False):
        if part.name not in run.entries:
            task = engine.submit(work.evaluate, part, wanted, before, solutions)
            tasks[task] = part

    def done(part: Part, checksum: str) -> None:
        if keeps:
            run.add(part.name, checksum)

    cluster.finish(engine, tasks, "parts", done, len(parts))
