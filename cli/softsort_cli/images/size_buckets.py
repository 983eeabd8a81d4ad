"""Few compiled programs for images of many sizes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
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
    if not any(map(any, margins)):
        return image, *places
    return _continued(image, margins, places, border), *places


def _continued(
    image: np.ndarray,
    margins: Sequence[tuple[int, int]],
    places: Sequence[slice],
    border: str,
) -> np.ndarray:
    """What `numpy.pad` gives, in a tenth of its time: nearly all is copied at once."""
    import numpy as np

    sides = [sum(margin) + n for margin, n in zip(margins, image.shape, strict=False)]
    padded = np.zeros((*sides, *image.shape[2:]), image.dtype)
    rows, columns = places
    padded[rows, columns] = image
    if border != "constant":
        outside = _outside(margins[1], image.shape[1], border)
        for place, source in outside:
            padded[rows, place] = padded[rows, columns.start + source]
        outside = _outside(margins[0], image.shape[0], border)
        for place, source in outside:
            padded[place] = padded[rows.start + source]
    return padded


def _outside(
    margin: tuple[int, int], length: int, border: str
) -> list[tuple[slice, np.ndarray]]:
    """Where an axis goes on beyond its ends, and at which places it is the same."""
    import numpy as np

    source = np.pad(np.arange(length), margin, PAD_MODES[border])  # pyright: ignore
    before, end = margin[0], margin[0] + length
    return [(slice(before), source[:before]), (slice(end, None), source[end:])]


def _common(length: int) -> int:
    """The next length of at most four significant bits, and a multiple of 16."""
    step = max(1 << max(length.bit_length() - 4, 0), 16)
    return -(-length // step) * step
