"""Where tasks run: in threads of this process, or on the workers of a Dask cluster.

Whoever submits tasks need not know: both engines take functions of a module with
arguments that can be pickled, futures among them, and give futures.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import platform
import re
import secrets
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future as Promise
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import typer

from softsort_cli import console, interrupts
from softsort_cli.errors import CommandError, UsageError
from softsort_cli.io import files
from softsort_cli.options.softness import Solver

if TYPE_CHECKING:
    from distributed import Client

# Each holds an image, or a block of a table. One more than processors, for those that
# wait for a file, or for the slowest part of what is computed on all processors.
THREADS = min((os.cpu_count() or 1) + 1, 8)
PATIENCE = 4.5  # seconds for the scheduler to answer, and again for its workers
MERGED = 8  # futures by one task
# What must be the same on all machines, for tasks to be understood and results equal.
PACKAGES = ("softsort-cli", "distributed", "jax", "numpy", "polars")
_given_up = threading.Event()  # nobody waits any more for what threads do


class Future(Protocol):
    """What will be the result of a task."""

    def result(self) -> Any:
        """Wait for the result; raise what the task raised."""
        ...

    def exception(self) -> BaseException | None:
        """Wait for the task; what it raised, if anything."""
        ...


class Engine(Protocol):
    """Where tasks run."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Have a function called; futures among its arguments are waited for."""
        ...

    def finished(self, futures: Iterable[Future]) -> Iterator[Future]:
        """Yield the futures as their tasks end."""
        ...


@contextmanager
def engine(
    solver: Solver,
    bits: str,
    folder: Path | None,
    inputs: Sequence[Path],
    outputs: Sequence[Path] = (),
) -> Iterator[Engine]:
    """The engine that --cluster asks for: threads, if it was not given.

    Workers must see the folder that is written to, if any, and what is read. What
    processes that were killed, now or before, have left of the outputs is removed.
    """
    clean = partial(files.remove_leftovers, outputs)
    try:
        with interrupts.at_abort(clean), _engine(solver, bits, folder, inputs) as found:
            yield found
    finally:
        clean()


@contextmanager
def _engine(
    solver: Solver, bits: str, folder: Path | None, inputs: Sequence[Path]
) -> Iterator[Engine]:
    if solver.cluster is None:
        if not solver.hard:
            from softsort_cli import jax_setup

            jax_setup.start(solver, bits)
        threads = Threads()
        _given_up.clear()
        try:
            yield threads
        except BaseException:
            _given_up.set()
            raise
        finally:
            # What tasks in work have begun to write, they remove; if that takes too
            # long for an interrupt, who ends the process does it.
            threads.pool.shutdown(cancel_futures=True)
        return
    with _client(solver.cluster) as client:
        setup = Setup(_versions(), solver, bits)
        _check_workers(client, setup.versions, folder, inputs)
        yield Workers(client, setup)


def check_wanted() -> None:
    """End a long task, between two steps of it, if nobody waits for it any more."""
    if _given_up.is_set():
        raise CommandError("interrupted")


class Threads:
    """Threads of this process."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(THREADS)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Promise[Any]:
        """Have a thread call a function."""
        # Tasks start in the order in which they are submitted, so that a task that
        # waits for others in its thread waits for what has started already.
        return self.pool.submit(_called, function, arguments)

    def finished(self, futures: Iterable[Any]) -> Iterator[Any]:
        """Yield the futures as their tasks end."""
        return as_completed(futures)


def _called(function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    return function(
        *(each.result() if isinstance(each, Promise) else each for each in arguments)
    )


@dataclass(frozen=True)
class Setup:
    """What a worker needs to know before it computes."""

    versions: Mapping[str, str]
    solver: Solver
    bits: str


class Workers:
    """The workers of a Dask cluster."""

    def __init__(self, client: Client, setup: Setup) -> None:
        self.client, self.setup = client, setup

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Have a worker call a function."""
        key = f"{getattr(function, '__name__', 'task')}-{secrets.token_hex(8)}"
        # Without pure=False Dask would take two equal calls for one.
        return self.client.submit(
            _on_worker, self.setup, function, *arguments, key=key, pure=False
        )

    def finished(self, futures: Iterable[Any]) -> Iterator[Any]:
        """Yield the futures as their tasks end."""
        from distributed import as_completed

        for future in as_completed(futures):
            yield future
            # Dask does a finished task again if its worker is lost and the result is
            # still asked for: what is known here needs no second time.
            future.release()


def _on_worker(setup: Setup, function: Callable[..., Any], *arguments: Any) -> Any:
    from distributed import get_worker

    from softsort_cli import jax_setup

    if wrong := _mismatch(setup.versions):
        raise CommandError(wrong)
    jax_setup.share(get_worker().state.nthreads)
    if setup.solver.hard:
        return function(*arguments)
    with jax_setup.alone(setup.solver, setup.bits):
        return function(*arguments)


def merged(
    engine: Engine, merge: Callable[..., Any], futures: Sequence[Future]
) -> Future:
    """All results merged, few at a time, in an order that no worker changes."""
    while len(futures) > 1:
        groups = [
            futures[start : start + MERGED] for start in range(0, len(futures), MERGED)
        ]
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

    The results of the others are given to `done`. Of the total, the rest were done
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
        raise typer.Exit(1 if failed == total else 3)


def with_name(error: BaseException, path: Path) -> str:
    """What went wrong, and with which file."""
    text = str(error) or type(error).__name__
    if type(error).__name__ == "KilledWorker":
        text = "every worker that took it was lost: it may need more memory"
    elif isinstance(error, MemoryError):
        text = "not enough memory"
    return text if str(path) in text else f"{path}: {text}"


@contextmanager
def _client(place: str) -> Iterator[Client]:
    """A connection to the scheduler that --cluster names."""
    if not console.verbose:
        # Dask logs what is said here in one line.
        os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")
    console.silence_libraries()
    try:
        from distributed import Client
    except ImportError as error:
        raise CommandError(
            f"--cluster needs Dask: pip install 'softsort-cli[cluster]' ({error})"
        ) from error
    local = re.fullmatch(r"local(?::([1-9]\d{0,2}))?", place)
    if local:
        count = int(local[1] or os.cpu_count() or 1)
        with _local(count) as here, Client(here) as client:
            yield client
        return
    with _connected(place) as client:
        yield client


def _kill_workers() -> None:
    import multiprocessing

    for process in multiprocessing.active_children():
        process.kill()


@contextmanager
def _local(count: int) -> Iterator[Any]:
    """A scheduler and so many worker processes on this machine, for nobody else.

    Whoever may talk to them can have them run anything, and ports of this machine are
    open to all its users: so they talk by TLS, with a key that is made for this run.
    """
    from multiprocessing import resource_tracker

    import dask.config
    from distributed import LocalCluster, Security

    try:
        security = Security.temporary()
    except ImportError as error:
        raise CommandError(
            "--cluster local needs cryptography: pip install 'softsort-cli[cluster]' "
            f"({error})"
        ) from error
    if not console.verbose:
        # Python warns of what an abort leaves, and removes it.
        os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker")
    # Dask has Python look for modules in this folder first.
    folder = tempfile.mkdtemp(prefix="softsort-")
    remove = functools.partial(shutil.rmtree, folder, ignore_errors=True)
    # HTTP servers ask for no key, so they have nothing to tell.
    settings = {
        "temporary-directory": folder,
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
    }
    # Workers end with this process, but not before what they write is removed.
    aborted = interrupts.at_abort(_kill_workers)
    with interrupts.at_abort(remove), aborted, ExitStack() as stack:
        stack.callback(remove)
        stack.enter_context(dask.config.set(settings))
        # A terminal interrupts all processes. This one alone ends, and ends the
        # workers: they inherit what is blocked from the threads that the cluster starts
        # here. If one of these started the resource tracker, it would be unblocked.
        resource_tracker.ensure_running()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            cluster = LocalCluster(
                n_workers=count,
                threads_per_worker=max((os.cpu_count() or 1) // count, 1),
                host="127.0.0.1",
                security=security,
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
                silence_logs=logging.WARNING if console.verbose else logging.CRITICAL,
                memory_limit=0,  # as for a command without a cluster
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        yield stack.enter_context(cluster)


def _connected(place: str) -> Client:
    """A connection to a scheduler, with the certificates of Dask's configuration."""
    from distributed import Client, Security
    from distributed.comm.core import CommClosedError

    address = _address(place)
    try:
        Security().get_connection_args("client")
    except OSError as error:
        raise CommandError(
            "--cluster: cannot read the certificates or keys that distributed.comm.tls "
            f"in Dask's configuration names: correct it ({error})"
        ) from error
    try:
        return Client(address, timeout=PATIENCE)
    except TypeError as error:
        raise CommandError(
            f"--cluster {place}: TLS needs certificates: have Dask's configuration "
            "name them, distributed.comm.tls.ca-file, .client.cert and .client.key "
            f"({error})"
        ) from error
    except RuntimeError as error:
        raise CommandError(
            f"--cluster {place}: Dask's configuration requires encryption: give the "
            f"tls:// address of a scheduler ({error})"
        ) from error
    except CommClosedError as error:
        remedy = (
            "their certificates must be of one authority, which is "
            "distributed.comm.tls.ca-file in Dask's configuration"
            if address.startswith("tls://")
            else "if it takes TLS, give its tls:// address"
        )
        raise CommandError(
            f"--cluster {place}: the scheduler and the command do not understand each "
            f"other: {remedy} ({error.__cause__ or error})"
        ) from error
    except (OSError, ValueError) as error:
        raise CommandError(
            f"--cluster {place}: no scheduler answers there; start one by `dask "
            "scheduler` and workers by `dask worker`, or correct the address"
        ) from error


def _address(place: str) -> str:
    """The address of the scheduler that --cluster names, itself or by a file."""
    if "://" in place:
        return place
    if not Path(place).is_file():
        raise UsageError(
            f"--cluster {place!r}: give tcp://HOST:PORT or tls://HOST:PORT, the "
            "scheduler file that `dask scheduler --scheduler-file` wrote, or local:N "
            "with N up to 999"
        )
    try:
        return str(json.loads(Path(place).read_bytes())["address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandError(
            f"--cluster {place}: this is no scheduler file: give the one that `dask "
            f"scheduler --scheduler-file` wrote ({error})"
        ) from error


@functools.cache
def _versions() -> dict[str, str]:
    from importlib.metadata import version

    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python} | {name: version(name) for name in PACKAGES}


def _mismatch(versions: Mapping[str, str]) -> str | None:
    """What is wrong with the versions on this machine, if anything."""
    for name, here in _versions().items():
        if versions[name] != here:
            return (
                f"a worker on {platform.node()} has {name} {here}, the command has "
                f"{versions[name]}: install the same on both"
            )
    return None


def _check_workers(
    client: Client,
    versions: Mapping[str, str],
    folder: Path | None,
    inputs: Sequence[Path],
) -> None:
    """Refuse workers that cannot do what is asked, before anything is."""
    deadline = time.monotonic() + PATIENCE
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError as error:
        raise CommandError(
            "--cluster: the scheduler has no workers; start some by `dask worker`"
        ) from error
    # Each worker is asked for a few inputs only: there may be many.
    seen = inputs[:: max(len(inputs) // 8, 1)]
    pool = ThreadPoolExecutor(1)
    try:
        with _probe(folder) as probe:
            asked = pool.submit(
                client.run, _greet, versions, probe, seen, on_error="return"
            )
            answers: Any = asked.result(deadline - time.monotonic())
    except TimeoutError as error:
        raise CommandError(
            "--cluster: some workers do not answer; look at the scheduler's dashboard, "
            "and restart them"
        ) from error
    finally:
        pool.shutdown(wait=False)
    for address, answer in sorted(answers.items()):
        if isinstance(answer, ModuleNotFoundError):
            raise CommandError(
                f"the worker {address} has no softsort: install there what is here "
                f"({answer})"
            )
        if isinstance(answer, BaseException):
            raise CommandError(f"the worker {address} fails: {answer}")
        if answer:
            raise CommandError(answer)


@contextmanager
def _probe(folder: Path | None) -> Iterator[Path | None]:
    """A file in a folder that shows who sees the folder."""
    if folder is None:
        yield None
        return
    probe = folder / f".softsort-{secrets.token_hex(4)}.probe"
    try:
        probe.touch()
    except OSError as error:
        raise CommandError(f"cannot write in {folder}: {error.strerror}") from error
    remove = partial(probe.unlink, missing_ok=True)
    with interrupts.at_abort(remove):
        try:
            yield probe
        finally:
            remove()


def _greet(
    versions: Mapping[str, str], probe: Path | None, inputs: Sequence[Path]
) -> str | None:
    """What keeps this worker from doing its tasks, if anything."""
    if wrong := _mismatch(versions):
        return wrong
    for path in [probe, *inputs] if probe else inputs:
        if not path.exists():
            return (
                f"a worker on {platform.node()} cannot see {path.parent}: put it on a "
                "file system that all workers share"
            )
    if probe and not os.access(probe.parent, os.W_OK):
        return f"a worker on {platform.node()} cannot write in {probe.parent}"
    return None
