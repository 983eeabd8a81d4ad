"""Device, precision and compilation cache, set when jax is imported."""

import concurrent.futures
import functools
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from softsort_cli import compile_cache, console
from softsort_cli.errors import CommandError
from softsort_cli.io import prefetch
from softsort_cli.options.softness import Device

_shares_machine = False  # with other processes that work for any command
_starting: concurrent.futures.Future[None] | None = None  # on another thread


def start_in_background(where: Device, bits: str) -> None:
    """Start jax while this thread reads what is to be computed with."""
    global _starting
    if "jax" in sys.modules:
        start(where, bits)
        return

    # Both threads need it. Where one imports a package and the other a module of it,
    # Python 3.11 can give one of them a half of it.
    import numpy as np  # noqa: F401

    def load() -> None:
        start(where, bits)
        import softsort_core  # noqa: F401

    console.silence_libraries()
    _starting = concurrent.futures.ThreadPoolExecutor(1).submit(load)


def wait_until_started() -> None:
    """Wait for jax, if it starts in the background, and fail if that failed."""
    if _starting is not None:
        prefetch.awaited(_starting)


def start(where: Device, bits: str) -> Any:
    """Import jax with the device and the precision that the options ask for."""
    console.silence_libraries()
    if where.device == "cpu" and not _shares_machine:
        os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    if not console.verbose:
        # What jax and XLA say about devices that are not there is not for the user, nor
        # that a processor lacks `prefer-no-scatter`, which is no ability of any.
        jax.config.update("jax_logging_level", "CRITICAL")
    jax.config.update("jax_enable_x64", (where.precision or bits) == "64")
    if not compile_cache.is_left_to_jax():
        cache = compile_cache.folder()
        path = None if cache is None else str(cache.location)
        if cache is not None and cache.is_cold and not _shares_machine:
            _tell_of_compiling()
        jax.config.update("jax_compilation_cache_dir", path)
        # By default only slow compilations are kept: here every one counts, because
        # each command is a new process.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
        # Caches of XLA's own would make the path of the folder a part of what tells
        # programs apart, and that is another for each command.
        jax.config.update("jax_persistent_cache_enable_xla_caches", "none")
    kind = None if where.device == "auto" else where.device
    try:
        devices = jax.devices(kind)
        place = _claimed_device(len(devices)) if _shares_machine else 0
        device = devices[place]
    except RuntimeError as error:
        raise CommandError(
            f"--device {where.device}: jax finds no such device; use --device cpu, or "
            f"install jax for it ({error})"
        ) from error
    jax.config.update("jax_default_device", device)
    return device


@functools.cache
def _tell_of_compiling() -> None:
    """Tell it once: what is compiled now is there for the commands that come after."""
    console.tell_who_waits(
        "compiling what the first command of a kind needs, which takes some seconds; "
        "later ones find it in the cache"
    )


def share_machine(threads: int) -> None:
    """Make this process one of several that compute on this machine.

    It takes so many threads, and of a GPU's memory only what it needs.
    """
    global _shares_machine
    _shares_machine = True
    # jax, scipy and polars read these when they are first used.
    os.environ.setdefault("NPROC", str(threads))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("POLARS_MAX_THREADS", str(threads))
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


@contextmanager
def for_this_thread(where: Device, bits: str) -> Iterator[None]:
    """Start jax with a device and a precision that hold for this thread.

    Other threads may work for commands with other options.
    """
    device = start(where, bits)
    import jax

    double = (where.precision or bits) == "64"
    with jax.enable_x64(double), jax.default_device(device):
        yield
    compile_cache.seal()


@functools.cache
def _claimed_device(count: int) -> int:
    """Which of so many devices is for this process: one that no other has, if any."""
    if count == 1 or os.name != "posix":
        return os.getpid() % count
    import fcntl

    for place in range(count):
        # Locked until the process ends.
        name = Path(tempfile.gettempdir(), f"softsort-device-{os.getuid()}-{place}")
        with suppress(OSError):
            lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
            else:
                return place
    return os.getpid() % count
