"""Which images there are to do, and where each goes."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from softsort_cli import console
from softsort_cli.errors import CommandError, UsageError
from softsort_cli.images import formats
from softsort_cli.io import files
from softsort_cli.options.images import BatchWriting


class Job(NamedTuple):
    """An image, and the file that is made of it; None for standard output."""

    path: Path
    output: Path | None


class _Source(NamedTuple):
    path: Path
    within: Path  # from the folder that was asked for, or from the first wildcard on
    is_named: bool = False


def select(images: Sequence[Path], addition: str, writing: BatchWriting) -> list[Job]:
    """What there is to do.

    By default, x.png becomes x{addition}.png beside it. Files that are in a folder or
    match a pattern are left out if they are themselves outputs.
    """
    if writing.force and writing.skip_existing:
        raise UsageError("--force and --skip-existing exclude each other")
    sources = list(_sources(images, recursive=writing.recursive))
    if writing.output is None:
        jobs = _jobs(sources, addition, writing.out_dir)
    elif len(sources) == 1 and writing.out_dir is None:
        jobs = [Job(sources[0].path, writing.output)]
    else:
        raise UsageError("-o names one file: use --out-dir for several, not both")
    if writing.skip_existing:
        jobs = [job for job in jobs if job.output is None or not job.output.is_file()]
    return jobs


def _jobs(sources: Sequence[_Source], addition: str, folder: Path | None) -> list[Job]:
    named, others = [], []
    for source in sources:
        if folder is None or files.is_stream(source.path):
            job = Job(source.path, files.beside(source.path, addition))
        else:
            job = Job(source.path, folder / source.within)
        if source.is_named:
            named.append(job)
        elif folder is None or not _is_inside(source, folder):
            others.append(job)
    outputs = {job.output for job in named + others if job.output != job.path}
    jobs = named + [job for job in others if job.path not in outputs]
    names = [job.output for job in jobs if job.output is not None]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"several images would be written under one name, {twice}")
    return jobs


def _is_inside(source: _Source, folder: Path) -> bool:
    """Whether a file is in a folder below the place where it was searched for."""
    place = source.path.parent.resolve() / source.path.name
    return folder.resolve() in place.parents[: len(source.within.parts) - 1]


def _sources(images: Sequence[Path], *, recursive: bool) -> Iterator[_Source]:
    for path in images:
        if recursive and path.is_dir() and not files.is_stream(path):
            images_in, others = _in(path)
            if others:
                kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(others.items()))
                console.note(f"note: {path}: not taken are {kinds}")
            if not images_in:
                raise CommandError(f"{path} has no images in it")
            yield from (_Source(each, each.relative_to(path)) for each in images_in)
        elif files.is_pattern(path) and not path.exists():
            yield from (_Source(*match) for match in files.matches(path, "image"))
        else:
            yield _Source(path, Path(path.name), is_named=True)


def _in(folder: Path) -> tuple[list[Path], Counter[str]]:
    """The images in a folder, and in those that it holds; and how many others of what.

    Pipes and devices are no images, whatever their names: they may never end.
    """
    images, others = [], Counter[str]()
    for where, folders, names in os.walk(folder):
        folders.sort()
        for path in (Path(where, name) for name in sorted(names)):
            if path.name.startswith("."):
                continue
            if not path.is_file():
                others["broken link" if path.is_symlink() else "pipe or device"] += 1
            elif formats.by_suffix(path):
                images.append(path)
            else:
                others[path.suffix or "without extension"] += 1
    return images, others
