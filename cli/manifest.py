"""What a run over many files has done, so that a second run need not do it again.

A manifest lies in the folder of the outputs. Its first line tells what was asked for,
and each other line tells of an output that is finished.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cli import cluster, console, files
from cli.errors import CommandError

NAME = ".softsort.jsonl"


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
    outputs: list[str]  # that this run writes, and may write over
    inputs: dict[str, list[int]] = field(default_factory=dict)  # that all depend on
    solved: Any = None  # what was made of all inputs
    entries: dict[str, Entry] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Of the options."""
        text = json.dumps([self.options, self.inputs], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def begin(self) -> None:
        """Write what is known, in place of an older manifest."""
        head = {
            "options": self.options,
            "outputs": self.outputs,
            "inputs": self.inputs,
            "solved": self.solved,
        }
        lines = [head, *map(asdict, self.entries.values())]
        with files.open_output(self.folder / NAME, force=True) as stream:
            stream.writelines(json.dumps(line).encode() + b"\n" for line in lines)

    def resume(self, old: Manifest, engine: cluster.Engine) -> None:
        """Take over what is finished, if nothing has changed that it depends on."""
        if change := self._change(old):
            console.note(f"{self.folder}: {change} since it was begun: starting over")
            return
        self.solved = old.solved
        kept = {name: old.entries[name] for name in self.outputs if name in old.entries}
        checks = {
            name: engine.submit(checksum, self.folder.absolute() / name)
            for name in kept
        }
        self.entries = {
            name: entry
            for name, entry in kept.items()
            if checks[name].result() == entry.checksum
        }

    def _change(self, old: Manifest) -> str | None:
        for name in [*self.options, *old.options]:
            before, now = old.options.get(name), self.options.get(name)
            if before != now:
                return f"{name} was {before} and is {now}"
        for name in [*self.inputs, *old.inputs]:
            if old.inputs.get(name) != self.inputs.get(name):
                return f"{name} has changed"
        return None

    def add(self, part: str, stamp: tuple[int, int], checksum: str) -> None:
        """Note that an output is finished."""
        entry = Entry(part, *stamp, self.digest, checksum)
        self.entries[part] = entry
        try:
            with (self.folder / NAME).open("ab") as stream:
                stream.write(json.dumps(asdict(entry)).encode() + b"\n")
        except OSError as error:
            reason = error.strerror
            raise CommandError(
                f"cannot write {self.folder / NAME}: {reason}"
            ) from error


def read(folder: Path) -> Manifest | None:
    """The manifest in a folder, if there is one."""
    try:
        lines = (folder / NAME).read_bytes().split(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CommandError(f"cannot read {folder / NAME}: {error.strerror}") from error
    try:
        head = json.loads(lines[0])
        # A line that was not written to its end has no line end: it is left out.
        entries = [Entry(**json.loads(line)) for line in lines[1:-1]]
        return Manifest(folder, **head, entries={each.part: each for each in entries})
    except (ValueError, TypeError) as error:
        raise CommandError(
            f"{folder / NAME} is damaged: remove it, and what it tells of ({error})"
        ) from error


def stamps(paths: Iterable[Path]) -> list[tuple[int, int]]:
    """Size and time of change of each file."""
    found = []
    for path in paths:
        try:
            status = path.stat()
        except OSError as error:
            raise CommandError(f"cannot read {path}: {error.strerror}") from error
        found.append((status.st_size, status.st_mtime_ns))
    return found


def checksum(path: Path) -> str | None:
    """That of a file, or None where there is none."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from error
