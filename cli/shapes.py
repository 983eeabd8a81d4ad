"""Few compiled programs for images of many sizes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

# numpy's names for scipy.ndimage's borders.
PAD_MODES = {
    "reflect": "symmetric",
    "nearest": "edge",
    "mirror": "reflect",
    "wrap": "wrap",
    "constant": "constant",
}


def shared(
    function: Callable[..., np.ndarray], window: tuple[int, int], border: str
) -> Callable[..., np.ndarray]:
    """The same function of a window around each pixel, compiled for few shapes.

    Images are continued, as at their border, to sizes at most an eighth larger. Threads
    that need the same program wait for the first to compile it.
    """
    compiling, compiled = threading.Lock(), set[tuple[int, ...]]()

    def call(image: np.ndarray, *rest: float) -> np.ndarray:
        padded, rows, columns = _padded(image, window, border)
        if padded.shape in compiled:
            return function(padded, *rest)[rows, columns]
        with compiling:
            result = function(padded, *rest)[rows, columns]
            compiled.add(padded.shape)
        return result

    return call


def _padded(
    image: np.ndarray, window: tuple[int, int], border: str
) -> tuple[np.ndarray, slice, slice]:
    """An image of a common size, and where in it the given one is."""
    import numpy as np

    margins, places = [], []
    for length, side in zip(image.shape[:2], window, strict=True):
        half = side // 2
        whole = _common(length)
        if whole > length:
            # What follows comes from the other side: it has to come before, too.
            before = half if border == "wrap" else 0
            whole = _common(length + before + half)
        else:
            before = 0
        margins.append((before, whole - length - before))
        places.append(slice(before, before + length))
    margins += [(0, 0)] * (image.ndim - 2)
    if not any(map(any, margins)):
        return image, *places
    return np.pad(image, margins, PAD_MODES[border]), *places  # pyright: ignore


def _common(length: int) -> int:
    """The next length of at most four significant bits, and a multiple of 16."""
    step = max(1 << max(length.bit_length() - 4, 0), 16)
    return -(-length // step) * step
