"""Compiled programs run on the processor by jaxlib alone.

Importing JAX takes longer than ranking a million values. What jaxlib lacks without it
is little: how arrays are laid out, which on one device is always the same. These are
details of the releases of jaxlib that the project asks for; with others a program may
fail to run, which whoever runs it has to expect.
"""

import functools
import importlib.util
import os
import sys
import types
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import numpy as np


class Processor:
    """Runs programs and holds arrays."""

    def __init__(self) -> None:
        # As JAX does: what devices there are is not for the user.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
        from jaxlib import lapack, xla_client

        jaxlib = xla_client._xla  # pyright: ignore[reportPrivateImportUsage]
        self._jaxlib = jaxlib
        _load_literals(jaxlib)
        self._client = xla_client.make_cpu_client()
        self._device = self._client.devices()[0]
        for name, targets in lapack.registrations().items():
            for target, function, version in targets:
                xla_client.register_custom_call_target(
                    target, function, platform=name, api_version=version
                )

        class Whole(jaxlib.SingleDeviceSharding):
            memory_kind = None

            def _to_xla_hlo_sharding(self, _: int) -> Any:
                return jaxlib.HloSharding.replicate()

        self._place = Whole(self._device)
        # Their shapes are known to what exports them.
        self._result = xla_client.array_result_handler(
            _Shape((), np.dtype(float)), self._place, committed=True, _skip_checks=True
        )

    def put(self, array: np.ndarray) -> Any:
        """Return an array for programs."""
        semantics = self._jaxlib.HostBufferSemantics.ZERO_COPY
        place = [_Shape(array.shape, array.dtype), self._place, [array], [self._device]]
        return self._jaxlib.batched_device_put(*place, True, False, semantics, True)

    def get(self, array: Any) -> np.ndarray:
        """Return an array of a program, not to be written to."""
        array.block_until_ready()
        return np.from_dlpack(_Exported(self._jaxlib, array))

    def load(self, program: bytes, count: int) -> "Program":
        """Return a serialised executable that has so many results."""
        devices = self._jaxlib.DeviceList((self._device,))
        loaded = self._client.deserialize_executable(
            program, executable_devices=devices
        )
        return Program(loaded, [self._result] * count)


class Program:
    """A loaded executable: from arrays to arrays."""

    def __init__(self, executable: Any, handlers: list[Any]) -> None:
        self._executable, self._handlers = executable, handlers

    def __call__(self, arrays: Sequence[Any]) -> list[Any]:
        results = self._executable.execute_sharded(arrays)
        return results.consume_with_handlers(self._handlers)


class _Shape:
    """What jaxlib asks of the abstract value of an array."""

    weak_type = False

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.shape, self.dtype, self.ndim = shape, dtype, len(shape)


class _Exported:
    """An array by DLPack, which JAX would else have to be imported for."""

    def __init__(self, jaxlib: Any, array: Any) -> None:
        self._jaxlib, self._array = jaxlib, array

    def __dlpack__(self, **_: Any) -> Any:
        return self._jaxlib.buffer_to_dlpack_managed_tensor(self._array)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # the processor


def _load_literals(jaxlib: Any) -> None:
    """Load the types of JAX that jaxlib has to know before it is given an array.

    What it has not met by then it would not take later, if JAX is imported after all.
    """
    name, stand_in = "jax._src.literals", "jax._src.lib"
    jax = importlib.util.find_spec("jax")
    if name in sys.modules or jax is None or jax.origin is None:
        return
    path = Path(jax.origin).parent / "_src" / "literals.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # All that it imports.
    sys.modules[stand_in] = types.SimpleNamespace(_jax=jaxlib)  # pyright: ignore[reportArgumentType]
    try:
        spec.loader.exec_module(module)
        sys.modules[name] = module
    finally:
        del sys.modules[stand_in]


@functools.cache
def linear_algebra(name: str) -> types.ModuleType:
    """Return a module of `scipy.linalg`, without all else that is in it."""
    whole = f"scipy.linalg.{name}"
    scipy = importlib.util.find_spec("scipy")
    if whole not in sys.modules and scipy and scipy.submodule_search_locations:
        folder = str(Path(scipy.submodule_search_locations[0], "linalg"))
        spec = PathFinder.find_spec(whole, [folder])
        if spec is not None and spec.loader is not None:
            sys.modules[whole] = module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
    return importlib.import_module(whole)


@functools.cache
def load_lapack() -> None:
    """Give jaxlib the functions of LAPACK, which are SciPy's.

    It would import all of `scipy.linalg`, which takes several times as long.
    """
    from jaxlib import lapack

    for name in ("cython_blas", "cython_lapack"):
        linear_algebra(name)
    lapack.prepare_lapack_call("potrf", np.dtype(np.float64))


def core_count() -> int:
    """Return how many cores this process may use; NPROC tells XLA the same."""
    if "NPROC" in os.environ:
        return int(os.environ["NPROC"])
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
