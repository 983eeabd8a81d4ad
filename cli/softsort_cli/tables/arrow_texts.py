"""Texts for polars that lie in a longer one, of which nothing is copied.

By Arrow's C data interface, which polars reads through capsules. See
https://arrow.apache.org/docs/format/CDataInterface.html. What polars can do itself, to
slice bytes, takes ten times as long, and a whole command a fifth longer.
"""

import ctypes
import itertools
from typing import Any

import numpy as np
import polars as pl


def _words(names: str) -> list[tuple[str, Any]]:
    # Numbers and addresses have 64 bits wherever JAX runs.
    return [(name, ctypes.c_int64) for name in names.split()]


class _Schema(ctypes.Structure):
    """What an array holds: struct ArrowSchema."""

    _fields_ = (
        ("format", ctypes.c_char_p),
        *_words("name metadata flags n_children children dictionary release private"),
    )


class _Array(ctypes.Structure):
    """Where it is: struct ArrowArray."""

    _fields_ = (
        *_words("length null_count offset n_buffers n_children buffers children"),
        *_words("dictionary release private"),
    )


# What polars still reads, by a number for each array.
_lent: dict[int, Any] = {}
_numbers = itertools.count(1)


@ctypes.CFUNCTYPE(None, ctypes.POINTER(_Schema))
def _release_schema(schema: Any) -> None:
    schema.contents.release = 0


@ctypes.CFUNCTYPE(None, ctypes.POINTER(_Array))
def _release_array(array: Any) -> None:
    del _lent[array.contents.private]
    array.contents.release = 0


_capsule = ctypes.PYFUNCTYPE(
    ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
)(("PyCapsule_New", ctypes.pythonapi))


class _Texts:
    """What polars asks for the capsules."""

    def __init__(self, text: bytes, ends: np.ndarray) -> None:
        codes, number = np.frombuffer(text, np.uint8), next(_numbers)
        buffers = (ctypes.c_void_p * 3)(None, ends.ctypes.data, codes.ctypes.data)
        _lent[number] = codes, ends, buffers
        releases = [
            ctypes.cast(function, ctypes.c_void_p).value
            for function in (_release_schema, _release_array)
        ]
        self._schema = _Schema(
            format=b"u" if ends.dtype == np.int32 else b"U", release=releases[0]
        )
        self._array = _Array(
            length=len(ends) - 1,
            n_buffers=len(buffers),
            buffers=ctypes.addressof(buffers),
            release=releases[1],
            private=number,
        )

    def __arrow_c_array__(self, _: Any = None) -> tuple[Any, Any]:
        # Polars moves what they hold away, and releases it when it needs it no more.
        schema, array = map(ctypes.addressof, (self._schema, self._array))
        return _capsule(schema, b"arrow_schema", None), _capsule(
            array, b"arrow_array", None
        )


def texts(text: bytes, ends: np.ndarray) -> pl.Series:
    """The texts that lie one after another in a longer one, which is UTF-8.

    Each begins where the one before ends; the first begins at the first of the `ends`,
    which are 32 or 64 bits wide.
    """
    return pl.Series(_Texts(text, ends))  # pyright: ignore[reportArgumentType]
