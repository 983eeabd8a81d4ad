"""What is compiled, kept in a folder for the processes that come after.

JAX can keep what XLA has made of a function, but has to trace and lower the function
again to find out whether it has: most of the time that a first call takes then. Here a
program is found by what determines it: which function of these sources it is, its
static arguments, the types of the others and where it is to run.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import os
import pickle
import secrets
import threading
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any

import jax
import jax.core as jax_core
from jaxlib.version import __version__ as jaxlib_version

from softsort_core._arguments import is_concrete

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

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not is_concrete((args, kwargs)):
            # How it is compiled is up to what it is a part of.
            return inlined(*args, **kwargs)
        if _folder is None:
            # Even where a function is traced: it may not be part of that.
            with _evaluating():
                return compiled(*args, **kwargs)
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

        key = _key(folder, name, fixed, leaves, structure)
        program = _programs.get(key) or _load(key)
        if program is None:
            lowered = jax.jit(flat, compiler_options=_WIDE_VECTORS).lower(*leaves)
            program = _compile(key, lowered)
        _programs[key] = program
        return program(*leaves)

    return call


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
    return hashlib.sha256(repr(what).encode()).hexdigest()


def _said(value: Any) -> str:
    return (
        f"{value.__module__}.{value.__qualname__}" if callable(value) else repr(value)
    )


def _is_weak(leaf: Any) -> bool:
    return getattr(jax.typeof(leaf), "weak_type", False)


@functools.cache
def _sources(folder: Path) -> str:
    """What programs are made from: sources in a folder and in this one, and JAX."""
    found = hashlib.sha256(f"{jax.__version__} {jaxlib_version}".encode())
    for each in sorted({folder, Path(__file__).parent}):
        for path in sorted(each.glob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()


def _path(key: str) -> Path:
    assert _folder is not None
    return _folder / f"softsort-{key}"


def _load(key: str) -> Callable[..., Any] | None:
    from jax.experimental import serialize_executable

    try:
        uses_lapack, *program = pickle.loads(zlib.decompress(_path(key).read_bytes()))
        if uses_lapack:
            _load_lapack()
        return serialize_executable.deserialize_and_load(*program)
    except Exception:
        # Not there, or damaged: it is made again.
        return None


@functools.cache
def _load_lapack() -> None:
    # JAX loads it when it lowers what uses it.
    jax.jit(jax.numpy.linalg.cholesky).lower(jax.ShapeDtypeStruct((1, 1), "float32"))


def _compile(key: str, lowered: Any) -> Callable[..., Any]:
    from jax.experimental import serialize_executable
    from jax.experimental.compilation_cache import compilation_cache

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
    kept = "lapack" in lowered.as_text(), *serialized
    path = _path(key)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.write_bytes(zlib.compress(pickle.dumps(kept), 1))
        temporary.replace(path)
    except OSError:
        # It works without.
        with suppress(OSError):
            temporary.unlink()
    return program
