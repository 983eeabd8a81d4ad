"""Bytes in and bytes out: files, pipes, and outputs that are whole or absent."""

import hashlib
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from softsort_cli import interrupts
from softsort_cli.errors import ClosedPipeError, CommandError, UsageError, reported

STDIN = "standard input"
LONGEST_NAME = 200  # bytes, of 255, that leave room for what marks a temporary file


def is_stream(path: Path | None) -> bool:
    """Whether `path` stands for standard input or output."""
    return path is None or str(path) == "-"


def is_terminal(output: Path | None) -> bool:
    """Whether what is written there is shown on a terminal."""
    return is_stream(output) and sys.stdout is not None and sys.stdout.isatty()


def is_device(path: Path) -> bool:
    """Whether a path is there and is no file: a device, or a named pipe."""
    return path.exists() and not path.is_file()


def label(path: Path | None) -> str:
    """The name of an input in messages."""
    return STDIN if path is None or is_stream(path) else str(path)


def beside(path: Path, addition: str) -> Path | None:
    """The default output of an input, `{stem}{addition}{ext}`.

    None, for standard output, if the input is standard input.
    """
    if is_stream(path):
        return None
    # A folder such as . has no name that `with_name` could replace.
    return path.parent / (path.stem + addition + path.suffix)


def open_input(path: Path | None) -> BinaryIO:
    """Open a file, or standard input for None and `-`."""
    if path is not None and not is_stream(path):
        return path.open("rb")
    if sys.stdin is None:
        raise UsageError("standard input is closed: name a file or pipe data in")
    if path is None and sys.stdin.isatty():
        raise UsageError(
            "no FILE, and standard input is a terminal: name a file or pipe data in"
        )
    return sys.stdin.buffer


def read_bytes(path: Path | None) -> bytes:
    """All bytes of a file, or of standard input for None and `-`."""
    if path is None or is_stream(path):
        return open_input(path).read()
    with reported(f"cannot read {path}"):
        return path.read_bytes()


def is_pattern(path: Path) -> bool:
    """Whether a path has wildcards."""
    return any(character in str(path) for character in "*?[")


def matches(pattern: Path, what: str = "file") -> list[tuple[Path, Path]]:
    """The files that match a pattern, and where each is from its first wildcard on.

    There must be one, which messages call so.
    """
    root = next(folder for folder in pattern.parents if not is_pattern(folder))
    paths = sorted(root.glob(str(pattern.relative_to(root))))
    matching = [(path, path.relative_to(root)) for path in paths if path.is_file()]
    if not matching:
        raise CommandError(f"no {what} matches {pattern}")
    return matching


def make_folder(path: Path) -> None:
    """Make a folder, and those that it is in, if they are not there."""
    with reported(f"cannot make {path}"):
        path.mkdir(parents=True, exist_ok=True)


def check_output(path: Path | None, *, force: bool) -> None:
    """Refuse an output that cannot or must not be written, before any work is done."""
    if path is None or is_stream(path):
        return
    if path.is_dir():
        raise CommandError(f"cannot write {path}: it is a folder; name a file in it")
    if path.is_file() and not force:
        raise CommandError(
            f"{path} exists: name another output, or --force to replace it"
        )
    if not path.parent.is_dir():
        raise CommandError(f"cannot write {path}: there is no folder {path.parent}")


@contextmanager
def open_output(path: Path | None, *, force: bool) -> Iterator[BinaryIO]:
    """Yield a file that becomes `path` when all went well, and leaves nothing if not.

    Standard output, and devices and named pipes given as `path`, are written to
    directly, for nothing could be renamed onto them.
    """
    check_output(path, force=force)
    try:
        if path is None or is_stream(path):
            with _stdout() as stream:
                yield stream
        elif is_device(path):
            with path.open("wb") as stream:
                yield stream
        else:
            with _replacing(path) as stream:
                yield stream
    except BrokenPipeError as error:
        raise ClosedPipeError from error
    except OSError as error:
        where = "standard output" if is_stream(path) else str(path)
        reason = error.strerror or str(error)
        raise CommandError(f"cannot write {where}: {reason}") from error


@contextmanager
def _stdout() -> Iterator[BinaryIO]:
    if sys.stdout is None:
        raise UsageError("standard output is closed: name a file with -o")
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    # The file behind a link is replaced, not the link; and the new file appears in
    # the same folder, because a rename cannot cross file systems.
    target = Path(os.path.realpath(path))
    # Its own name, because processes on several machines may write one file.
    name = f"{hidden(target.name)}.{secrets.token_hex(4)}.tmp"
    temporary = target.with_name(name)
    remove = partial(temporary.unlink, missing_ok=True)
    with interrupts.on_forced_exit(remove):
        try:
            with temporary.open("xb") as stream:
                yield stream
            if target.exists():
                shutil.copymode(target, temporary)
            temporary.replace(target)
        finally:
            remove()


def hidden(name: str) -> str:
    """The start of the names of temporary files for an output of this name.

    A long name is shortened to what no other file has: with more behind it, it could be
    longer than file systems allow. Pieces of outputs are named so already.
    """
    if len(os.fsencode(name)) > LONGEST_NAME and not name.endswith(".tmp"):
        name = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    return f".{name}"


@contextmanager
def in_temporary_folder(source: str) -> Iterator[None]:
    """Tell that what is kept of `source` meanwhile cannot be, if that fails."""
    try:
        yield
    except OSError as error:
        folder = tempfile.tempdir or "a temporary folder"
        raise CommandError(
            f"cannot keep {source} in {folder} meanwhile: {error.strerror}; name a "
            "folder with more room, as in TMPDIR=/var/tmp"
        ) from error


def remove_leftovers(paths: Iterable[Path]) -> None:
    """Remove what processes that were killed have left of these outputs."""
    wanted = {path.parent / hidden(path.name) for path in paths}
    for folder in {path.parent for path in wanted}:
        for path in folder.glob(".*.tmp"):
            owner = path
            # A piece of an output that is written has itself a temporary file.
            while owner not in wanted and owner.suffix == ".tmp":
                owner = owner.with_suffix("").with_suffix("")
                if owner.name.startswith(".."):
                    owner = owner.with_name(owner.name[1:])
            if owner in wanted:
                path.unlink(missing_ok=True)


def discard_stdout() -> None:
    """Send what Python still holds for a closed standard output nowhere.

    Otherwise the interpreter meets the closed pipe once more when it flushes at exit,
    and reports it.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
