"""Many images: which ones, where each goes, and the work on all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import typer

from cli import console, files
from cli.errors import CommandError, UsageError
from cli.images import FORMATS
from cli.options import BatchWriting

WORKERS = min(os.cpu_count() or 1, 8)  # each holds an image in memory


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
        return [Job(found[0][0], writing.output)]
    folder = writing.out_dir
    every = []
    for path, within, named in found:
        if folder is not None and not files.is_stream(path):
            output = folder / within
        else:
            output = files.beside(path, addition)
        every.append((Job(path, output), named))
    outputs = {job.output for job, _ in every}
    chosen = [job for job, named in every if named or not _made(job, outputs, folder)]
    names = [job.output for job in chosen if job.output is not None]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"several images would be written under one name, {twice}")
    if writing.skip_existing:
        chosen = [job for job in chosen if not (job.output and job.output.exists())]
    return chosen


def _made(job: Job, outputs: set[Path | None], folder: Path | None) -> bool:
    return job.path in outputs or (folder is not None and folder in job.path.parents)


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


def run(todo: Sequence[Job], work: Callable[[Job], None]) -> None:
    """Do all jobs, several at a time; a failing one is reported and the rest done."""
    if len(todo) == 1:
        work(todo[0])
        return
    failures = 0
    pool = ThreadPoolExecutor(WORKERS)
    try:
        with console.progress("images", len(todo)) as step:
            futures = {pool.submit(work, job): job for job in todo}
            for future in as_completed(futures):
                error = future.exception()
                if error is not None:
                    console.error(_with_name(error, futures[future].path))
                    failures += 1
                step()
    finally:
        # Interrupted, it ends when the images in work are written.
        pool.shutdown(cancel_futures=True)
    if failures:
        console.error(f"{failures} of {len(todo)} images failed")
        raise typer.Exit(1 if failures == len(todo) else 3)


def _with_name(error: BaseException, path: Path) -> str:
    text = str(error) or type(error).__name__
    return text if str(path) in text else f"{path}: {text}"
