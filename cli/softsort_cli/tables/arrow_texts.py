"""Texts for polars that lie in a longer one, of which nothing is copied.

By Arrow's C data interface, which polars reads through capsules. See
https://arrow.apache.org/docs/format/CDataInterface.html
"""

from __future__ import annotations

import ctypes
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import polars as pl


class _Schema(ctypes.Structure):
    """What an array holds: struct ArrowSchema."""

    _fields_ = (
        ("format", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
        ("metadata", ctypes.c_char_p),
        ("flags", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


class _Array(ctypes.Structure):
    """Where it is: struct ArrowArray."""

    _fields_ = (
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.c_void_p),
        ("children", ctypes.c_void_p),
        ("dictionary", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


# What polars still reads, by a number for each array.
_lent: dict[int, Any] = {}
_numbers = itertools.count(1)


@ctypes.CFUNCTYPE(None, ctypes.POINTER(_Schema))
def _release_schema(schema: Any) -> None:
    schema.contents.release = None


@ctypes.CFUNCTYPE(None, ctypes.POINTER(_Array))
def _release_array(array: Any) -> None:
    del _lent[array.contents.private_data]
    array.contents.release = None


_capsule = ctypes.PYFUNCTYPE(
    ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
)(("PyCapsule_New", ctypes.pythonapi))


class _Texts:
    """What polars asks for the capsules."""

    def __init__(self, text: bytes, ends: np.ndarray) -> None:
        codes = np.frombuffer(text, np.uint8)
        places = (None, ends.ctypes.data, codes.ctypes.data)
        buffers = (ctypes.c_void_p * len(places))(*places)
        number = next(_numbers)
        _lent[number] = codes, ends, buffers
        self._schema = _Schema(
            format=b"u" if ends.dtype == np.int32 else b"U",
            name=b"",
            release=ctypes.cast(_release_schema, ctypes.c_void_p),
        )
        self._array = _Array(
            length=len(ends) - 1,
            n_buffers=len(places),
            buffers=ctypes.addressof(buffers),
            release=ctypes.cast(_release_array, ctypes.c_void_p),
            private_data=number,
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
    import polars as pl

    return pl.Series(_Texts(text, ends))  # pyright: ignore[reportArgumentType]
