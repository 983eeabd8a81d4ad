"""Tasks on files one of which may kill the process: the others are done by another.

A decoder that is not Python's may crash, and a system without memory kills. So the
process that was started only waits for one that it forks before there are threads and
jax, and forks again if that is killed. What was in work then is done one at a time, so
that it is known which it was.
"""

import mmap
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import typer

from softsort_cli import console, interrupts
from softsort_cli.errors import CommandError

WAITING, TRIED, SUSPECT, RETRIED, DONE, FAILED = range(6)


class Fates:
    """What has become of each task with a `path`, in memory that processes share."""

    def __init__(self, tasks: Sequence[Any]) -> None:
        self._places = {task: place for place, task in enumerate(tasks)}
        self._states = mmap.mmap(-1, len(self._places))

    def __len__(self) -> int:
        """How many tasks there are."""
        return len(self._places)

    def of(self, *states: int) -> list[Any]:
        """The tasks of which one of these is true."""
        known = zip(self._places, self._states[:], strict=True)
        return [task for task, state in known if state in states]

    def set(self, task: Any, state: int) -> None:
        """Say what has become of a task."""
        self._states[self._places[task]] = state

    @contextmanager
    def noted(self, task: Any) -> Iterator[None]:
        """Say what becomes of a task in this block."""
        is_suspect = self._states[self._places[task]] == SUSPECT
        self.set(task, RETRIED if is_suspect else TRIED)
        try:
            yield
        except BaseException:
            self.set(task, FAILED)
            raise
        self.set(task, DONE)


def supervise(fates: Fates) -> None:
    """Go on in a process of its own, and in another if that is killed.

    It returns in these alone; the process that was started ends as the last one does.
    """
    # Elsewhere libraries of the system do not work in a process that was forked.
    while sys.platform == "linux" and interrupts.are_watched():
        status = _ended()
        if status is None:
            return
        if not os.WIFSIGNALED(status):
            raise typer.Exit(os.WEXITSTATUS(status))
        console.show_cursor()
        _blame(fates, signal.Signals(os.WTERMSIG(status)))


def _blame(fates: Fates, number: signal.Signals) -> None:
    """Find out what a process was killed for."""
    killed = f"was killed ({number.name})"
    tried, retried = fates.of(TRIED), fates.of(RETRIED)
    if not tried + retried:
        raise CommandError(f"the process {killed}: it may need more memory")
    for task in tried:
        fates.set(task, SUSPECT)
    for task in retried:  # it was alone
        fates.set(task, FAILED)
        lacks_memory = number == signal.SIGKILL
        why = "it may need more memory" if lacks_memory else "the file may be damaged"
        console.error(f"{task.path}: the process that read it {killed}: {why}")


def _ended() -> int | None:
    """How a process has ended that is forked here; None in that process itself."""
    # Its end tells that process of the end of this one, whatever that is.
    reader, writer = os.pipe()
    if sys.stdout is not None:
        sys.stdout.flush()
    process = os.fork()
    if not process:
        os.close(writer)
        interrupts.watch()
        threading.Thread(target=_end_with, args=[reader], daemon=True).start()
        return None
    os.close(reader)
    wait = partial(os.waitpid, process, 0)
    with interrupts.on_forced_exit(wait):
        try:
            _, status = wait()
        except BaseException:
            os.close(writer)
            wait()
            raise
    os.close(writer)
    return status


def _end_with(reader: int) -> None:
    os.read(reader, 1)
    os.kill(os.getpid(), signal.SIGTERM)
