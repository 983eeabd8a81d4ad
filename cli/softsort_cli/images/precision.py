"""The precision of images, which threads compute with at once."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

Item = TypeVar("Item")


def of(dtype: Any) -> AbstractContextManager[object]:
    """Have this thread compute with floats of these bits; others may with others."""
    import jax

    return jax.enable_x64(dtype == "float64")


def throughout(dtype: Any, start: Callable[[], Iterator[Item]]) -> Iterator[Item]:
    """Iterate with floats of these bits, and leave others to what takes the items."""
    with of(dtype):
        items = iter(start())
    nothing = object()
    while True:
        with of(dtype):
            item: Any = next(items, nothing)
        if item is nothing:
            return
        yield item
