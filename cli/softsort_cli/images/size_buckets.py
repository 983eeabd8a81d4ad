"""Few compiled programs for images of many sizes."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

SHORT = 128, 256
MOST = 16  # shapes whose programs are kept, of some 20 MB each
# numpy's names for scipy.ndimage's borders.
PAD_MODES: dict[str, Any] = {
    "reflect": "symmetric",
    "nearest": "edge",
    "mirror": "reflect",
    "wrap": "wrap",
    "constant": "constant",
}


def shared(
    function: Callable[..., np.ndarray], window: tuple[int, ...], border: str
) -> Callable[..., np.ndarray]:
    """A function of a window around each pixel that is compiled for few shapes only.

    Images are continued, as at their border, to sizes at most an eighth larger, or to
    128 or 256 pixels. Threads that need the same program wait for the first to compile
    it. Programs of many shapes make place for others.
    """
    import jax

    compiling, compiled = threading.Lock(), set[tuple[int, ...]]()

    def call(image: np.ndarray, **settings: float) -> np.ndarray:
        padded, rows, columns = _padded(image, window, border)
        if padded.shape in compiled:
            return function(padded, **settings)[rows, columns]
        with compiling:
            if len(compiled) == MOST:
                jax.clear_caches()
                compiled.clear()
            result = function(padded, **settings)[rows, columns]
            compiled.add(padded.shape)
        return result

    return call


def _padded(
    image: np.ndarray, window: tuple[int, ...], border: str
) -> tuple[np.ndarray, slice, slice]:
    """An image of a common size, and where in it the original is."""
    margins, places = [], []
    for length, side in zip(image.shape[:2], window, strict=True):
        half, before, full = side // 2, 0, _common(length)
        if full > length:
            # What follows comes from the other side: it has to come before, too.
            before = half if border == "wrap" else 0
            full = _common(length + before + half)
        margins.append((before, full - length - before))
        places.append(slice(before, before + length))
    if any(map(any, margins)):
        margins += [(0, 0)] * (image.ndim - 2)
        image = np.pad(image, margins, PAD_MODES[border])
    return image, *places


def _common(length: int) -> int:
    """The next length of at most four significant bits.

    Of short ones there are few: what is added costs less than to compile.
    """
    for short in SHORT:
        if length <= short:
            return short
    step = 1 << (length.bit_length() - 4)
    return -(-length // step) * step
