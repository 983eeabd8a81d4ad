"""What is compiled, kept in a folder for the processes that come after.

JAX can keep what XLA has made of a function, but has to trace and lower the function
again to find out whether it has: most of the time that a first call takes then. Here a
program is found by what determines it: which function of these sources it is, its
static arguments, the types of the others and where it is to run.
"""

from __future__ import annotations

import functools
import inspect
import os
import pickle
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.core as jax_core
from jaxlib.version import __version__ as jaxlib_version

from softsort_core import _store as store
from softsort_core._arguments import is_concrete
from softsort_core._jaxlib import load_lapack

# What else of JAX's state tells how a function is compiled.
_OPTIONS = ("jax_enable_x64", "jax_default_matmul_precision")
# Processors that have such wide vectors are up to twice as fast with them, but are not
# asked to use them by default. A later XLA may not know this.
_WIDE_VECTORS = (
    {"xla_cpu_prefer_vector_width": 512} if jax.__version_info__ < (0, 9) else None
)

# In this context jax computes with what is at hand. The other one would also compute
# constants of a function that is traced in it one by one, to other digits.
_evaluating = getattr(jax_core, "eval_context", jax.ensure_compile_time_eval)

_folder: Path | None = None
_programs: dict[str, Callable[..., Any]] = {}
# What tells which program a function that `jit` made would run.
_asked: dict[Callable[..., Any], Callable[..., tuple[str, list[Any], Any]]] = {}
_compiling = threading.Lock()


def keep_compiled(folder: str | os.PathLike[str] | None) -> None:
    """Keep what is compiled in a folder, or no longer if that is None.

    A later process that calls this with the same folder neither traces nor compiles
    an operator again for the same shapes, on the same kind of machine. Whoever can
    write to the folder can make such a process run other code.

    >>> keep_compiled(None)
    """
    global _folder
    before, _folder = _folder, None if folder is None else Path(folder)
    if before != _folder:
        _programs.clear()


class NotKeptError(Exception):
    """A program is not kept and may not be compiled."""


class Run(NamedTuple):
    """A program that has run: what it was given and what it gave, array by array."""

    key: str
    given: list[Any]
    results: list[Any]


@dataclass
class Watch:
    """What happens while it is watched.

    Attributes:
        compiles: whether programs that are not kept may be compiled.
        runs: the programs that ran.
        is_open: whether values have decided what is done in ways that programs do not
            show.
    """

    compiles: bool
    runs: list[Run] = field(default_factory=list)
    is_open: bool = False


_watch: Watch | None = None


@contextmanager
def watched(*, compiles: bool) -> Iterator[Watch]:
    """Watch which kept programs run, one after another."""
    global _watch
    _watch = Watch(compiles)
    try:
        yield _watch
    finally:
        _watch = None


def is_watched() -> bool:
    """Return whether programs have to run one after another."""
    return _watch is not None


def values_decide() -> None:
    """Tell that what is done depends on values that are at hand."""
    if _watch is not None:
        _watch.is_open = True


def jit(
    function: Callable[..., Any] | None = None,
    *,
    static_argnames: str | Iterable[str] = (),
    name: str | None = None,
) -> Any:
    """Compile a function as `jax.jit` does, or take what `keep_compiled` keeps of it.

    Args:
        function: whose result depends on its arguments and on the sources in the folder
            of its own, and here, alone.
        static_argnames: as for `jax.jit`.
        name: what tells the function from all others in that folder; by default it is
            where it is defined, so that it must not be made by a function.
    """
    if function is None:
        return functools.partial(jit, static_argnames=static_argnames, name=name)
    if isinstance(static_argnames, str):
        static_argnames = (static_argnames,)
    static = frozenset(static_argnames)
    inlined = jax.jit(function, static_argnames=tuple(static))
    compiled = jax.jit(
        function, static_argnames=tuple(static), compiler_options=_WIDE_VECTORS
    )
    name = name or f"{function.__module__}.{function.__qualname__}"
    folder = Path(inspect.getfile(inspect.unwrap(function))).parent
    positions = [
        key if each.kind is each.POSITIONAL_OR_KEYWORD else None
        for key, each in inspect.signature(function).parameters.items()
    ]

    def asked(
        args: Sequence[Any], kwargs: dict[str, Any]
    ) -> tuple[str, list[Any], Callable[..., Any]]:
        """Return the key of a program, what it is given, and what it is made of."""
        placed = list(zip_longest(positions[: len(args)], args))
        fixed = {key: each for key, each in [*placed, *kwargs.items()] if key in static}
        given = [each for key, each in placed if key not in static]
        named = {key: each for key, each in kwargs.items() if key not in static}
        leaves, structure = jax.tree.flatten((given, named))

        # JAX has not met this function: what it has compiled of the other may have run,
        # or be from its own cache, and cannot be serialised then.
        def flat(*leaves: Any) -> Any:
            given, named = jax.tree.unflatten(structure, leaves)
            rest = iter(given)
            again = [each if key in static else next(rest) for key, each in placed]
            return function(*again, **{**kwargs, **named})

        return _key(folder, name, fixed, leaves, structure), leaves, flat

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not is_concrete((args, kwargs)):
            # How it is compiled is up to what it is a part of.
            return inlined(*args, **kwargs)
        if _folder is None:
            # Even where a function is traced: it may not be part of that.
            with _evaluating():
                return compiled(*args, **kwargs)
        key, leaves, flat = asked(args, kwargs)
        program = _programs.get(key) or _load(key)
        if program is None:
            # All arguments, so that who runs it alone need not know which it needs.
            entire = jax.jit(flat, compiler_options=_WIDE_VECTORS, keep_unused=True)
            program = _compile(key, entire.lower(*leaves))
        _programs[key] = program
        results = program(*leaves)
        if _watch is not None:
            _watch.runs.append(Run(key, leaves, jax.tree.leaves(results)))
        return results

    _asked[call] = asked
    return call


def key_of(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str | None:
    """Return the key of what a function of `jit` runs, if that is kept."""
    return None if _folder is None else _asked[function](args, kwargs)[0]


def _key(
    folder: Path, name: str, fixed: dict[str, Any], leaves: list[Any], structure: Any
) -> str:
    default = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    device = default or jax.devices()[0]
    what = (
        name,
        sorted((key, _said(each)) for key, each in fixed.items()),
        structure,
        [jax.typeof(leaf).str_short() + str(_is_weak(leaf)) for leaf in leaves],
        [getattr(jax.config, option) for option in _OPTIONS],
        os.environ.get("XLA_FLAGS"),
        device.device_kind,
        device.id,
        _sources(folder),
    )
    return store.digest(*what)


def _said(value: Any) -> str:
    return (
        f"{value.__module__}.{value.__qualname__}" if callable(value) else repr(value)
    )


def _is_weak(leaf: Any) -> bool:
    return getattr(jax.typeof(leaf), "weak_type", False)


@functools.cache
def _sources(folder: Path) -> str:
    """What programs are made from: sources in a folder and in this one, and JAX."""
    folders = {folder, Path(__file__).parent}
    return store.sources_digest(folders, jax.__version__, jaxlib_version)


def _path(key: str) -> Path:
    assert _folder is not None
    return store.program_path(_folder, key)


def _load(key: str) -> Callable[..., Any] | None:
    from jax.experimental import serialize_executable

    try:
        stored = store.Stored(*store.read(_path(key)))
        if stored.uses_lapack:
            load_lapack()
        program = pickle.loads(store.decompressed(stored.whole))
        return serialize_executable.deserialize_and_load(*program)
    except Exception:
        # Not there, or damaged: it is made again.
        return None


def _compile(key: str, lowered: Any) -> Callable[..., Any]:
    from jax.experimental import serialize_executable
    from jax.experimental.compilation_cache import compilation_cache

    if _watch is not None and not _watch.compiles:
        raise NotKeptError
    # What JAX has taken from its own cache cannot be serialised once more.
    with _compiling:
        used = jax.config.jax_enable_compilation_cache  # pyright: ignore[reportAttributeAccessIssue]
        jax.config.update("jax_enable_compilation_cache", False)
        compilation_cache.reset_cache()
        try:
            program = lowered.compile()
        finally:
            jax.config.update("jax_enable_compilation_cache", used)
            compilation_cache.reset_cache()
    try:
        serialized = serialize_executable.serialize(program)
    except jax.errors.JaxRuntimeError:
        # Not all can be, on every device.
        return program
    executable = program.runtime_executable()
    stored = store.Stored(
        uses_lapack="lapack" in lowered.as_text(),
        results=len(jax.tree.leaves(lowered.out_info)),
        alone=store.compressed(executable.client.serialize_executable(executable)),
        whole=store.compressed(pickle.dumps(serialized)),
    )
    store.write(_path(key), tuple(stored))
    return program
