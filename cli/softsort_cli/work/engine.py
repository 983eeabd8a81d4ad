"""Where tasks run: in threads of this process, or on the workers of a cluster.

Whoever submits tasks need not know: both engines take functions of a module with
arguments that can be pickled, futures among them, and give futures.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future as Promise
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import typer

from softsort_cli import console, interrupts, jax_setup
from softsort_cli.errors import SOME_FAILED, CommandError
from softsort_cli.io import files
from softsort_cli.options.softness import Computing

if TYPE_CHECKING:
    from softsort_cli.work.dask import Workers

# Each holds an image, or a block of a table. One more than processors, for those that
# wait for a file, or for the slowest part of what is computed on all processors.
THREADS = min((os.cpu_count() or 1) + 1, 8)
MERGED = 8  # futures by one task
_abandoned = threading.Event()  # nobody waits any more for what threads do


# Where tasks run. Futures among the arguments of a task are waited for.
Engine: TypeAlias = "Threads | Workers"


@contextmanager
def open_engine(
    solver: Computing,
    bits: str,
    folder: Path | None,
    inputs: Sequence[Path],
    outputs: Sequence[Path] = (),
) -> Iterator[Engine]:
    """The engine that --cluster asks for: threads, if it was not given.

    Workers must see the folder that is written to, if any, and what is read. What
    processes that were killed, now or before, have left of the outputs is removed.
    """
    with interrupts.cleanup(partial(files.remove_leftovers, outputs)):
        if solver.cluster is not None:
            from softsort_cli.work import dask

            with dask.workers(solver.cluster, solver, bits, folder, inputs) as workers:
                yield workers
        else:
            if not solver.hard:
                jax_setup.start(solver, bits)
            with Threads() as threads:
                yield threads


class Threads:
    """Threads of this process."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS)
        _abandoned.clear()

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Promise[Any]:
        """Have a thread call a function."""
        # Tasks start in the order in which they are submitted, so that a task that
        # waits for others in its thread waits for what has started already.
        return self._pool.submit(_call, function, arguments)

    def finished(self, futures: Iterable[Any], /) -> Iterator[Any]:
        """Yield the futures as their tasks end."""
        return as_completed(futures)

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is not None:
            _abandoned.set()
        # What tasks in work have begun to write, they remove; if that takes too long
        # for an interrupt, who ends the process does it.
        self._pool.shutdown(cancel_futures=True)


def _call(function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    return function(
        *(each.result() if isinstance(each, Promise) else each for each in arguments)
    )


def check_wanted() -> None:
    """End a long task, between two steps of it, if nobody waits for it any more."""
    if _abandoned.is_set():
        raise CommandError("interrupted")


def merged(engine: Engine, merge: Callable[..., Any], futures: Sequence[Any]) -> Any:
    """All results merged, eight at a time, in an order that no worker changes."""
    while len(futures) > 1:
        starts = range(0, len(futures), MERGED)
        groups = [futures[start : start + MERGED] for start in starts]
        futures = [
            engine.submit(merge, *group) if len(group) > 1 else group[0]
            for group in groups
        ]
    return futures[0]


def finish(
    engine: Engine,
    tasks: Mapping[Any, Any],
    what: str,
    done: Callable[[Any, Any], None],
    total: int,
    failed: int = 0,
) -> None:
    """Wait for the tasks that make an `output` of a `path`, and tell which failed.

    The results of the others are passed to `done`. Of the total, the rest were done
    before, or failed.
    """
    with console.progress(what, len(tasks)) as step:
        for future in engine.finished(tasks):
            error = future.exception()
            if error is None:
                done(tasks[future], future.result())
            else:
                console.error(with_name(error, tasks[future].path))
                failed += 1
            step()
    if failed:
        console.error(f"{failed} of {total} {what} failed")
        raise typer.Exit(CommandError.exit_code if failed == total else SOME_FAILED)


def with_name(error: BaseException, path: Path) -> str:
    """What went wrong, and with which file."""
    text = str(error) or type(error).__name__
    if type(error).__name__ == "KilledWorker":
        text = "every worker that took it was lost: it may need more memory"
    elif isinstance(error, MemoryError):
        text = "not enough memory"
    return text if str(path) in text else f"{path}: {text}"
