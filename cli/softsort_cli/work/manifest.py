"""What a run over many files has done, so that a second run need not do it again.

A manifest lies in the folder of the outputs. Its first line tells what was asked for,
and each other line tells of an output that is finished.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from softsort_cli import console
from softsort_cli.errors import CommandError, reported
from softsort_cli.io import files
from softsort_cli.work.engine import Engine

NAME = ".softsort.jsonl"
LOCK = ".softsort.lock"


@dataclass(frozen=True)
class Entry:
    """An output that is finished."""

    part: str  # its name in the folder
    size: int  # of the input
    modified: int  # likewise, in nanoseconds
    options: str  # a digest of them
    checksum: str  # of the output


@dataclass
class Manifest:
    """What was asked for, and what is finished."""

    folder: Path
    options: dict[str, Any]
    # Size and time of change of the input of each output that this run may write over.
    inputs: dict[str, list[int]]
    whole: bool  # whether each output depends on all inputs
    solved: Any = None  # what was made of all inputs
    entries: dict[str, Entry] = field(default_factory=dict)

    def resume(self, old: Manifest, engine: Engine) -> None:
        """Take over what is finished, if nothing has changed that it depends on."""
        if change := self._change(old):
            console.note(f"{self.folder}: {change} since it was begun: starting over")
            return
        self.solved = old.solved
        own = {n: entry for n, entry in old.entries.items() if n in self.inputs}
        unchanged = {
            n: e for n, e in own.items() if self.inputs[n] == [e.size, e.modified]
        }
        if changed := len(own) - len(unchanged):
            console.note(
                f"{self.folder}: {changed} inputs have changed since they were done: "
                "they are done again"
            )
        # Another command may have noted its outputs here, where no lock kept it out.
        alike = {n: e for n, e in unchanged.items() if e.options == self.digest}
        if other := len(unchanged) - len(alike):
            console.note(
                f"{self.folder}: {other} outputs were made with other options: they "
                "are done again"
            )
        folder = self.folder.absolute()
        checks = {n: engine.submit(checksum, folder / n) for n in alike}
        intact = {n: e for n, e in alike.items() if checks[n].result() == e.checksum}
        others = {n: e for n, e in old.entries.items() if n not in self.inputs}
        self.entries = intact | others
        self.inputs = self.inputs | old.inputs | self.inputs  # these before others

    def _change(self, old: Manifest) -> str | None:
        for name in [*self.options, *old.options]:
            before, now = old.options.get(name), self.options.get(name)
            if before != now:
                return f"{name} was {before} and is {now}"
        for name in [*self.inputs, *old.inputs] if self.whole else []:
            if old.inputs.get(name) != self.inputs.get(name):
                return f"{name} has changed"
        return None

    @functools.cached_property
    def digest(self) -> str:
        """Of the options, and of the inputs if each output depends on them."""
        text = json.dumps([self.options, self.whole and self.inputs], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def write(self) -> None:
        """Write all of it, in place of an older manifest."""
        names = ("options", "inputs", "whole", "solved")
        head = {name: getattr(self, name) for name in names}
        lines = [head, *map(asdict, self.entries.values())]
        with files.open_output(self.folder / NAME, force=True) as stream:
            stream.writelines(json.dumps(line).encode() + b"\n" for line in lines)

    def add(self, part: str, checksum: str) -> None:
        """Note that an output is finished."""
        size, modified = self.inputs[part]
        entry = Entry(part, size, modified, self.digest, checksum)
        self.entries[part] = entry
        path = self.folder / NAME
        with reported(f"cannot write {path}"), path.open("ab") as stream:
            stream.write(json.dumps(asdict(entry)).encode() + b"\n")


@contextmanager
def lock(folder: Path | None) -> Iterator[None]:
    """Keep other commands from writing to a folder, if one is given, for a while.

    Raises:
        CommandError: Another command writes to it.
    """
    if folder is None or os.name != "posix":
        yield
        return
    import fcntl

    path = folder / LOCK
    while True:
        with reported(f"cannot write {path}"):
            file = path.open("ab")
        with file:
            # The system unlocks what a process had locked when that ends.
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CommandError(
                    f"another command writes to {folder}: wait for it, or name another "
                    "--out-dir"
                ) from error
            except OSError as error:
                console.note(
                    f"{folder}: its file system has no locks ({error.strerror}): let "
                    "no other command write there meanwhile"
                )
            if not _is(path, file.fileno()):
                continue  # who had it locked has removed it since it was opened
            try:
                yield
            finally:
                # While it is locked, so that nobody else has it.
                with suppress(OSError):
                    path.unlink()
            return


def _is(path: Path, opened: int) -> bool:
    """Whether an open file is the one of this name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(opened))
    except FileNotFoundError:
        return False


def read(folder: Path) -> Manifest | None:
    """The manifest in a folder, if there is one."""
    path = folder / NAME
    with reported(f"cannot read {path}"):
        if not path.exists():
            return None
        lines = path.read_bytes().split(b"\n")
    try:
        # A line that was not written to its end has no line end: it is left out.
        head, *entries = map(json.loads, lines[:-1])
        by_name = {entry["part"]: Entry(**entry) for entry in entries}
        return Manifest(folder, **head, entries=by_name)
    except (ValueError, TypeError, KeyError) as error:
        raise CommandError(
            f"{path} is damaged: --force to do everything again ({error})"
        ) from error


def stamp(path: Path) -> list[int]:
    """Size and time of change of a file."""
    with reported(f"cannot read {path}"):
        status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def digest_of(numbers: np.ndarray | None) -> str | None:
    """What tells an array from others, or None for none."""
    if numbers is None:
        return None
    form = f"{numbers.dtype} {numbers.shape} ".encode()
    return hashlib.sha256(form + numbers.tobytes()).hexdigest()[:16]


def fingerprint(arrays: Iterable[np.ndarray]) -> int:
    """A number that tells these arrays from others."""
    checksum = 0
    for array in arrays:
        checksum = zlib.crc32(f"{array.shape} {array.dtype}".encode(), checksum)
        checksum = zlib.crc32(np.ascontiguousarray(array).data, checksum)
    return checksum


def checksum(path: Path) -> str | None:
    """That of a file, or None where there is none."""
    with reported(f"cannot read {path}"):
        if not path.exists():
            return None
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
