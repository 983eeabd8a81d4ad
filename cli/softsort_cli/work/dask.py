"""Tasks on the workers of a Dask cluster, which --cluster names or has started here."""

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
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softsort_cli import console, interrupts, jax_setup
from softsort_cli.errors import CommandError, UsageError, reported
from softsort_cli.options.softness import Computing

if TYPE_CHECKING:
    from distributed import Client

PATIENCE = 4.5  # seconds for the scheduler to answer, and again for its workers
# What must be the same on all machines, for tasks to be understood and results equal.
PACKAGES = ("softsort-cli", "distributed", "jax", "numpy", "polars")


@dataclass(frozen=True)
class Workers:
    """An engine: tasks are called by `call`, which gets their function, on a worker."""

    client: Client
    call: Callable[..., Any]

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """Have a worker call a function."""
        key = f"{getattr(function, '__name__', 'task')}-{secrets.token_hex(8)}"
        # Without pure=False Dask would take two equal calls for one.
        return self.client.submit(self.call, function, *arguments, key=key, pure=False)

    def finished(self, futures: Iterable[Any], /) -> Iterator[Any]:
        """Yield the futures as their tasks end."""
        from distributed import as_completed

        for future in as_completed(futures):
            yield future
            # Dask does a finished task again if its worker is lost and the result is
            # still asked for: what is known here needs no second time.
            future.release()


@contextmanager
def workers(
    place: str,
    solver: Computing,
    bits: str,
    folder: Path | None,
    inputs: Sequence[Path],
) -> Iterator[Workers]:
    """The workers at the place that --cluster names, once they are known to be fit.

    They must see the folder that is written to, if any, and what is read.
    """
    if not console.verbose:
        # Dask logs what is told here in one line.
        os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", "critical")
    console.silence_libraries()
    try:
        from distributed import Client
    except ImportError as error:
        raise CommandError(
            f"--cluster needs Dask: pip install 'softsort-cli[cluster]' ({error})"
        ) from error
    local = re.fullmatch(r"local(?::([1-9]\d{0,2}))?", place)
    with ExitStack() as stack:
        if local:
            count = int(local[1] or os.cpu_count() or 1)
            client = Client(stack.enter_context(_local_cluster(count)))
        else:
            client = _connect(place)
        stack.enter_context(client)
        _check_workers(client, folder, inputs)
        yield Workers(client, partial(_on_worker, _versions(), solver, bits))


def _on_worker(
    versions: Mapping[str, str],
    solver: Computing,
    bits: str,
    function: Callable[..., Any],
    *arguments: Any,
) -> Any:
    from distributed import get_worker

    if wrong := _mismatch(versions):
        raise CommandError(wrong)
    jax_setup.share_machine(get_worker().state.nthreads)
    with nullcontext() if solver.hard else jax_setup.for_this_thread(solver, bits):
        return function(*arguments)


@contextmanager
def _local_cluster(count: int) -> Iterator[Any]:
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
    # HTTP servers ask for no key, so they have nothing to tell.
    settings = {
        "temporary-directory": folder,
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
    }
    with (
        interrupts.cleanup(partial(shutil.rmtree, folder, ignore_errors=True)),
        # Workers end with this process, but not before what they write is removed.
        interrupts.on_forced_exit(_kill_workers),
        dask.config.set(settings),
    ):
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
        with cluster:
            yield cluster


def _kill_workers() -> None:
    import multiprocessing

    for process in multiprocessing.active_children():
        process.kill()


def _connect(place: str) -> Client:
    """A connection to a scheduler, with the certificates of Dask's configuration."""
    from distributed import Client, Security

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
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        reason = _why_not_connected(error, address)
        raise CommandError(f"--cluster {place}: {reason}") from error


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


def _why_not_connected(error: Exception, address: str) -> str:
    from distributed.comm.core import CommClosedError

    if isinstance(error, TypeError):
        return (
            "TLS needs certificates: have Dask's configuration name them, "
            "distributed.comm.tls.ca-file, .client.cert and .client.key "
            f"({error})"
        )
    if isinstance(error, RuntimeError):
        return (
            "Dask's configuration requires encryption: give the tls:// address of a "
            f"scheduler ({error})"
        )
    if isinstance(error, CommClosedError):
        remedy = (
            "their certificates must be of one authority, which is "
            "distributed.comm.tls.ca-file in Dask's configuration"
            if address.startswith("tls://")
            else "if it takes TLS, give its tls:// address"
        )
        return (
            "the scheduler and the command do not understand each other: "
            f"{remedy} ({error.__cause__ or error})"
        )
    return (
        "no scheduler answers there; start one by `dask scheduler` and workers by "
        "`dask worker`, or correct the address"
    )


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


def _check_workers(client: Client, folder: Path | None, inputs: Sequence[Path]) -> None:
    """Refuse workers that cannot do what is asked, before anything is."""
    deadline = time.monotonic() + PATIENCE
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError as error:
        raise CommandError(
            "--cluster: the scheduler has no workers; start some by `dask worker`"
        ) from error
    # Each worker is asked for a few inputs only: there may be many.
    sample = inputs[:: max(len(inputs) // 8, 1)]
    pool = ThreadPoolExecutor(1)
    try:
        with _probe(folder) as probe:
            asked = pool.submit(
                client.run, _unfit, _versions(), probe, sample, on_error="return"
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
    with reported(f"cannot write in {folder}"):
        probe.touch()
    with interrupts.cleanup(partial(probe.unlink, missing_ok=True)):
        yield probe


def _unfit(
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
