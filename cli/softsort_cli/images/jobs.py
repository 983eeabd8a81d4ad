"""Many images: which ones, where each goes, and the work on all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from softsort_cli import console
from softsort_cli.errors import CommandError, UsageError
from softsort_cli.images.picture import FORMATS
from softsort_cli.io import files
from softsort_cli.options.images import BatchWriting
from softsort_cli.options.softness import Solver
from softsort_cli.work import manifest
from softsort_cli.work.engine import Engine, finish, open_engine, with_name


@dataclass(frozen=True)
class Job:
    """An image, and the file that is made of it; None for standard output."""

    path: Path
    output: Path | None


def jobs(images: Sequence[Path], addition: str, writing: BatchWriting) -> list[Job]:
    """What there is to do.

    By default, x.png becomes x{addition}.png beside it. Files that were found in a
    folder, not named, are left out if they are themselves outputs.
    """
    if writing.force and writing.skip_existing:
        raise UsageError("--force and --skip-existing exclude each other")
    found = list(_found(images, recursive=writing.recursive))
    if writing.output is not None:
        if len(found) > 1 or writing.out_dir is not None:
            raise UsageError("-o names one file: use --out-dir for several, not both")
        return _missing([Job(found[0][0], writing.output)], writing)
    folder = writing.out_dir
    named, others = [], []
    for path, within, by_name in found:
        if folder is not None and not files.is_stream(path):
            output = folder / within
        else:
            output = files.beside(path, addition)
        if by_name:
            named.append(Job(path, output))
        elif folder is None or not _is_inside(path, within, folder):
            others.append(Job(path, output))
    outputs = {job.output for job in named + others if job.output != job.path}
    chosen = named + [job for job in others if job.path not in outputs]
    names = [job.output for job in chosen if job.output is not None]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"several images would be written under one name, {twice}")
    return _missing(chosen, writing)


def _missing(jobs: list[Job], writing: BatchWriting) -> list[Job]:
    """Those jobs whose output is not there, if others are to be skipped."""
    if not writing.skip_existing:
        return jobs
    return [job for job in jobs if job.output is None or not job.output.is_file()]


def _is_inside(path: Path, within: Path, folder: Path) -> bool:
    """Whether a file is in a folder below the place where it was searched for."""
    place = path.parent.resolve() / path.name
    return folder.resolve() in place.parents[: len(within.parts) - 1]


def _found(
    images: Sequence[Path], *, recursive: bool
) -> Iterator[tuple[Path, Path, bool]]:
    """Each image, its place in the folder that was asked for, and if it was named."""
    for path in images:
        if files.is_stream(path) or path.is_file():
            yield path, Path(path.name), True
        elif path.is_dir() and recursive:
            inside = list(_images_in(path))
            if not inside:
                raise CommandError(f"{path} has no images in it")
            yield from ((each, each.relative_to(path), False) for each in inside)
        elif files.is_pattern(path) and not path.exists():
            matches = files.matches(path)
            if not matches:
                raise CommandError(f"no image matches {path}")
            yield from ((*match, False) for match in matches)
        else:
            yield path, Path(path.name), True


def _images_in(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in FORMATS:
                yield Path(where, name)


class Work(Protocol):
    """What is done to each image."""

    def __call__(self, job: Job, found: Sequence[Any] = ()) -> None:
        """Do an image, or put together the pieces of one that were done."""
        ...

    def pieces_of(self, job: Job) -> Sequence[Any]:
        """What of an image several workers can do at once."""
        ...

    def piece(self, job: Job, piece: Any) -> Any:
        """Do a piece."""
        ...


@dataclass(frozen=True)
class Plan:
    """What is done to images, and where; `work` can be sent to other machines."""

    work: Work
    options: dict[str, Any]  # what the results depend on besides the images
    solver: Solver
    bits: str
    writing: BatchWriting


def run(todo: Sequence[Job], plan: Plan) -> None:
    """Do all jobs, several at a time; a failing one is reported and the rest done."""
    alone = plan.solver.cluster is None and len(todo) == 1
    if alone:
        _prepare(todo[0], plan.writing, force=plan.writing.force)
    if plan.solver.cluster is not None:
        todo = [_everywhere(job) for job in todo]
    folder = plan.writing.out_dir or _folder(todo)
    if plan.writing.out_dir is not None:
        files.make_folder(folder)
    inputs = [job.path for job in todo]
    outputs = [] if alone else [job.output for job in todo if job.output is not None]
    # Images by threads have no manifest: several commands may fill a folder at once.
    keeps = plan.writing.out_dir is not None and plan.solver.cluster is not None
    with (
        manifest.lock(folder if keeps else None),
        open_engine(
            plan.solver, plan.bits, folder.absolute(), inputs, outputs
        ) as engine,
    ):
        if alone:
            plan.work(todo[0])
        else:
            _run(engine, todo, plan, keeps)


def _run(engine: Engine, todo: Sequence[Job], plan: Plan, keeps: bool) -> None:
    writing, folder = plan.writing, plan.writing.out_dir or Path()
    old = manifest.read(folder) if keeps and not writing.force else None
    ready, stamps, failed = {}, {}, 0
    for job in todo:
        name = os.path.relpath(job.output or "", folder)
        own = old is not None and name in old.inputs
        try:
            _prepare(job, writing, force=writing.force or own)
            if keeps:
                stamps[name] = manifest.stamp(job.path)
            ready[job] = name
        except CommandError as error:
            console.error(with_name(error, job.path))
            failed += 1
    run = None
    if stamps:
        run = manifest.Manifest(folder, plan.options, stamps, whole=False)
        if old is not None:
            run.resume(old, engine)
        run.write()
    work = engine.submit(_same, plan.work)  # each worker gets it once
    tasks, in_pieces = {}, set()
    for job, name in ready.items():
        if run is None or name not in run.entries:
            pieces = [
                engine.submit(_piece, work, job, piece)
                for piece in plan.work.pieces_of(job)
            ]
            if pieces:
                in_pieces.add(job)
            tasks[engine.submit(_noting, work, job, keeps, *pieces)] = job
    if done := len(ready) - len(tasks):
        console.note(f"{folder}: {done} of {len(todo)} images are done already")

    def finished(job: Job, result: tuple[list[str], str | None]) -> None:
        notes, checksum = result
        for note in notes:
            console.note(note)
        if run is not None and checksum is not None:
            run.add(ready[job], checksum)
        if job in in_pieces and job.output is not None:
            files.remove_leftovers([job.output])

    finish(engine, tasks, "images", finished, len(todo), failed)


def _prepare(job: Job, writing: BatchWriting, *, force: bool) -> None:
    """Refuse an output that must not be written, and make its folder."""
    if writing.out_dir is not None and job.output is not None:
        files.make_folder(job.output.parent)
    files.check_output(job.output, force=force)


def _everywhere(job: Job) -> Job:
    """A job whose paths are the same wherever it is done."""
    if files.is_stream(job.path) or files.is_stream(job.output):
        raise UsageError("--cluster: workers see no standard input or output")
    assert job.output is not None
    return Job(job.path.absolute(), job.output.absolute())


def _folder(todo: Sequence[Job]) -> Path:
    """One that is written to."""
    return next((job.output.parent for job in todo if job.output), Path())


def _same(work: Work) -> Work:
    return work


def _piece(work: Work, job: Job, piece: Any) -> Any:
    return work.piece(job, piece)


def _noting(
    work: Work, job: Job, keeps: bool, *pieces: Any
) -> tuple[list[str], str | None]:
    """Do a job: what there is to say of it, and the checksum of its output."""
    with console.collected_notes() as notes:
        work(job, pieces)
    return notes, manifest.checksum(job.output) if keeps and job.output else None
