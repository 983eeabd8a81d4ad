"""What the command tells people: on stderr, so that stdout holds data only."""

import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from softsort_cli import interrupts

# Set by --quiet and --verbose before anything else happens: an error in the command
# line itself must already obey them.
quiet = False
verbose = False


def tell_who_waits(message: str) -> None:
    """Tell what takes so long, on a terminal alone, unless --quiet."""
    if not quiet and sys.stderr.isatty():
        _print(f"softsort: {message}")


_has_bar = False
_collecting = threading.local()  # the notes of a thread, if it keeps them


def note(message: str) -> None:
    """Tell what a reader of the result should know, unless --quiet."""
    notes: list[str] | None = getattr(_collecting, "notes", None)
    if notes is not None:
        notes.append(message)
    elif not quiet:
        _print(f"softsort: {message}")


@contextmanager
def collected_notes() -> Iterator[list[str]]:
    """Keep the notes of this thread for who can tell them."""
    _collecting.notes = []
    try:
        yield _collecting.notes
    finally:
        _collecting.notes = None


@contextmanager
def libraries_silenced() -> Iterator[None]:
    """Let no library write to stderr in this block, unless --verbose: not even Rust.

    A panic tells of itself there, on whatever thread, before it becomes an error.
    """
    if verbose:
        yield
        return
    sys.stderr.flush()
    before, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)
        os.close(nowhere)


def silence_libraries() -> None:
    """Let no library warn, unless --verbose: what matters is told as an error."""
    import logging

    if verbose:
        return
    warnings.simplefilter("ignore")
    if not logging.getLogger().hasHandlers():
        # Else Python writes what nobody handles to stderr.
        logging.getLogger().addHandler(logging.NullHandler())


def error(message: str) -> None:
    """Tell in one line why the command failed."""
    _print("softsort: error: " + " ".join(message.split("\n")))


def _print(line: str) -> None:
    # A closed stderr must not turn a result into a failure.
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def show_cursor() -> None:
    """Take what is left of the bar of a process that was killed."""
    if sys.stderr.isatty():
        print("\r\x1b[K\x1b[?25h", end="", file=sys.stderr, flush=True)


@contextmanager
def progress(
    label: str, total: int, delay: float = 1.0
) -> Iterator[Callable[..., None]]:
    """Yield a function that counts one step, or so many; a bar tells of long work.

    There is one bar at a time: within other work, nothing is told, nor of no steps. The
    function takes the label from now on, if it changes.
    """
    global _has_bar
    if quiet or not total or _has_bar or not sys.stderr.isatty():
        yield lambda *_, **__: None
        return
    from rich.console import Console
    from rich.progress import Progress

    bar = Progress(console=Console(stderr=True), transient=True)
    task = bar.add_task(label, total=total)
    timer = threading.Timer(delay, bar.start)
    timer.daemon = True
    _has_bar = True

    def step(now: str | None = None, *, count: int = 1) -> None:
        bar.update(task, advance=count, description=now)

    # A bar hides the cursor.
    with interrupts.cleanup(bar.stop):
        try:
            timer.start()
            yield step
        finally:
            _has_bar = False
            timer.cancel()
            timer.join()
