"""Device, precision and compilation cache, set before jax is imported."""

from __future__ import annotations

import concurrent.futures
import functools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli import ahead, console
from cli.errors import CommandError
from cli.options import Device, Solver

if TYPE_CHECKING:
    import numpy as np

    from softsort_core import Recordings

shared = False  # whether this process works for any command that asks it to
_begun: concurrent.futures.Future[None] | None = None  # on another thread
_unstarted: Callable[[], None] | None = None  # starts jax, if it is needed after all


def operator(
    function: str,
    solver: Solver,
    bits: str,
    *,
    records: bool = False,
    before: Recordings | None = None,
) -> Callable[..., np.ndarray]:
    """The operator of this name: the exact one for --hard, else the soft one.

    It takes arrays by position and everything else, hashable, by keyword. Soft
    results have `bits` bits unless --precision says otherwise. An operator that
    `records` what it does with a vector does it again without jax, which need not be
    started either if `before` has what is to be done before.
    """
    if solver.hard:
        from cli import hard

        return getattr(hard, function)
    recordings = _recordings(function, solver, bits) if records else None
    begin(solver, bits, recordings or before)

    def soft(*arrays: np.ndarray, **settings: Any) -> Any:
        ready()
        import softsort_core

        return getattr(softsort_core, function)(*arrays, **settings)

    call = with_options(soft, solver)
    if recordings is None:
        return call

    def again(*arrays: np.ndarray, **settings: Any) -> np.ndarray:
        values, *others = arrays
        if others:
            return call(*arrays, **settings)
        _wait()
        found = recordings.play(values, settings)
        if found is None:
            found = recordings.record(partial(call, **settings), values, settings)
        return found

    return again


def _recordings(function: str, solver: Solver, bits: str) -> Recordings | None:
    """What the operator did before, if that tells what it does now."""
    if shared or "jax" in sys.modules or (solver.precision or bits) != "64":
        return None
    if solver.device not in ("auto", "cpu"):
        return None
    # Whether there is another device, jax finds out by plugins.
    if solver.device == "auto" and any(map(find_spec, ("jax_plugins", "libtpu"))):
        return None
    folder = cache_folder()
    if folder is None:
        return None
    from softsort_core import Recordings

    return Recordings(folder, function, solver.epsilon, solver.squash)


def filter_operator(solver: Solver, bits: str) -> Callable[..., np.ndarray]:
    """The filter of images, likewise."""
    if solver.hard:
        from cli import hard

        return hard.quantile_filter
    start(solver, bits)
    import filters

    return with_options(filters.soft_quantile_filter, solver)


def strips_operator(solver: Solver, bits: str) -> Callable[..., Any]:
    """The soft filter of images that are too large for memory, strip by strip."""
    start(solver, bits)
    import filters

    squashing = None if solver.squash == "sigmoid" else lambda values: values
    return partial(
        filters.soft_quantile_strips, epsilon=solver.epsilon, squashing_fun=squashing
    )


def with_options(
    function: Callable[..., Any], solver: Solver
) -> Callable[..., np.ndarray]:
    """A soft operator with the options of `solver`, from arrays to an array."""
    import numpy as np

    squashing = None if solver.squash == "sigmoid" else lambda values: values
    options = {"epsilon": solver.epsilon, "squashing_fun": squashing}

    def call(*arrays: np.ndarray, **settings: Any) -> np.ndarray:
        return np.asarray(function(*arrays, **(options | settings)))

    return call


def traced(function: str, solver: Solver) -> Callable[..., Any]:
    """The soft operator of this name, to be traced by jax: epsilon is left open."""
    ready()
    import softsort_core

    squashing = None if solver.squash == "sigmoid" else lambda values: values
    return functools.partial(getattr(softsort_core, function), squashing_fun=squashing)


def operators(
    function: str, solver: Solver, bits: str, *, by: bool, records: bool = True
) -> tuple[Callable[..., np.ndarray], Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """The operator of this name, and the soft one on many groups.

    What is done for groups is recorded if the rows are grouped `by` columns, else what
    is done with all values.
    """
    groups = None
    if by and not solver.hard:
        groups = _recordings(f"group_{function}", solver, bits)
    one = operator(function, solver, bits, records=records and not by, before=groups)
    options = {"epsilon": solver.epsilon, "squashes": solver.squash == "sigmoid"}

    def together(values: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        if groups is not None:
            _wait()
            found = groups.play_groups(function, values, sizes, options)
            if found is not None:
                return found
        ready()
        if groups is not None:
            return groups.record_groups(function, values, sizes, options)
        import softsort_core

        return getattr(softsort_core, f"group_{function}")(values, sizes, **options)

    return one, together


def begin(where: Device, bits: str, recordings: Recordings | None = None) -> None:
    """Start jax while this thread reads what is to be computed with; see `ready`.

    If there are recordings of what is to be done, these are loaded in its stead.
    """
    global _begun, _unstarted
    if "jax" in sys.modules:
        start(where, bits)
        return

    # Both threads need it. Where one imports a package and the other a module of it,
    # Python 3.11 can give one of them a half of it.
    import numpy as np  # noqa: F401

    def load() -> None:
        start(where, bits)
        import softsort_core

        dir(softsort_core)  # imports what it offers

    console.silence_libraries()
    _unstarted = partial(start, where, bits) if recordings else None
    work = recordings.load if recordings else load
    _begun = concurrent.futures.ThreadPoolExecutor(1).submit(work)


def ready() -> None:
    """Wait until jax is started, and fail if that failed."""
    global _unstarted
    _wait()
    if _unstarted is not None:
        begun, _unstarted = _unstarted, None
        begun()


def _wait() -> None:
    """Wait for what `begin` has begun."""
    if _begun is not None:
        ahead.awaited(_begun)


def start(where: Device, bits: str) -> None:
    """Import jax with the device and the precision that the options ask for."""
    console.silence_libraries()
    if where.device == "cpu" and not shared:
        os.environ["JAX_PLATFORMS"] = "cpu"
    with _hidden("etils.epath"):
        import jax

    if not console.verbose:
        # What jax and XLA say about devices that are not there is not for the user, nor
        # that a processor lacks `prefer-no-scatter`, which is no ability of any.
        jax.config.update("jax_logging_level", "CRITICAL")
    jax.config.update("jax_enable_x64", (where.precision or bits) == "64")
    cache = cache_folder()
    if cache is not None:
        jax.config.update("jax_compilation_cache_dir", str(cache))
        # By default only slow compilations are kept: here every one counts, because
        # each command is a new process.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
        import softsort_core

        softsort_core.keep_compiled(cache)
    kind = None if where.device == "auto" else where.device
    try:
        devices = jax.devices(kind)
        place = _claimed(len(devices)) if shared else 0
        jax.config.update("jax_default_device", devices[place])
    except RuntimeError as error:
        raise CommandError(
            f"--device {where.device}: jax finds no such device; use --device cpu, or "
            f"install jax for it ({error})"
        ) from error


@contextmanager
def _hidden(name: str) -> Iterator[None]:
    """Keep jax from importing what it does without, if it is there at all.

    That would take a tenth of a second, for folders on other machines.
    """
    hides = not {"jax", name} & sys.modules.keys()
    if hides:
        sys.modules[name] = None  # pyright: ignore[reportArgumentType]
    try:
        yield
    finally:
        if hides:
            del sys.modules[name]


def share(threads: int) -> None:
    """Make this process one of several that compute on this machine.

    It takes so many threads, and of a GPU's memory only what it needs.
    """
    global shared
    shared = True
    # jax, scipy and polars read these when they are first used.
    os.environ.setdefault("NPROC", str(threads))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    os.environ.setdefault("POLARS_MAX_THREADS", str(threads))
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


@contextmanager
def alone(where: Device, bits: str) -> Iterator[None]:
    """Start jax with a device and a precision that hold for this thread.

    Other threads may work for commands with other options.
    """
    start(where, bits)
    import jax

    device = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    double = (where.precision or bits) == "64"
    with jax.enable_x64(double), jax.default_device(device):
        yield


@functools.cache
def _claimed(count: int) -> int:
    """Which of so many devices is for this process: one that no other has, if any."""
    if count == 1 or os.name != "posix":
        return os.getpid() % count
    import fcntl

    for place in range(count):
        # Locked until the process ends.
        name = Path(tempfile.gettempdir(), f"softsort-device-{os.getuid()}-{place}")
        lock = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
        else:
            return place
    return os.getpid() % count


def cache_folder() -> Path | None:
    """The folder of compiled functions, or None where there cannot be one.

    Whoever can write there can make this program run other code, so it must belong to
    the user alone.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    from jaxlib.version import __version__ as version
    from platformdirs import user_cache_path

    name = f"jaxlib-{version}-{_processor()}"
    folder = user_cache_path("softsort") / name
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError:
        return None
    own = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    return folder if own and not status.st_mode & 0o022 else None


def _processor() -> str:
    """Return a name for what this processor can do.

    Compiled functions use all of it, and a home may be shared by several machines.
    """
    import hashlib
    import platform

    abilities = [platform.machine()]
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        abilities.append(platform.processor())  # asks another process
    else:
        # `flags`, or `Features` on Arm, of the first core stand for those of all.
        named = (line for line in lines if line.lower().startswith(("flags", "feat")))
        abilities.append(next(named, ""))
    return hashlib.sha256("\n".join(abilities).encode()).hexdigest()[:12]
