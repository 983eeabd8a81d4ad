"""Images that are too large for memory, strip by strip."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from softsort_core import SoftSortError
from softsort_filters.arguments import EPSILON, Number, as_count
from softsort_filters.median import Size, Squashing, Table, soft_quantile_filter
from softsort_filters.windows import as_window, check_border

# What is in flight for a value of a strip, and for a tile of it.
_BYTES_A_VALUE = 64
_BYTES_A_TILE = 2**26


@runtime_checkable
class Rows(Protocol):
    """Anything that gives its rows by slices: an array, a memory map, a reader."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width) or (height, width, channels)."""
        ...

    def __getitem__(self, rows: Any, /) -> Any:
        """Return the rows of a slice as an array."""
        ...


def soft_quantile_strips(
    image: Rows,
    q: Number = 0.5,
    size: Size = None,
    *,
    footprint: Table | None = None,
    weights: Table | None = None,
    where: Rows | None = None,
    iterations: int = 1,
    epsilon: Number = EPSILON,
    squashing_fun: Squashing = None,
    border: str = "reflect",
    cval: Number = 0.0,
    alpha: bool = False,
    memory: int = 2**30,
    most_rows: int | None = None,
) -> Iterator[tuple[slice, Float[np.ndarray, "rows w *c"]]]:
    """Filter an image strip by strip: bit by bit what `soft_quantile_filter` gives.

    Args:
        image: anything of shape (h, w) or (h, w, c) that gives rows for slices. Rows
            near the borders of strips are asked for twice.
        q: see `soft_quantile_filter`; so are the next ten.
        size: as there.
        footprint: as there.
        weights: as there.
        where: as there, of the shape of the image or (h, w), or anything that gives
            rows of booleans.
        iterations: as there. Each makes the strips overlap further.
        epsilon: as there.
        squashing_fun: as there.
        border: as there.
        cval: as there.
        alpha: as there.
        memory: bytes to stay within.
        most_rows: so many rows of results a strip, or as many as that allows.

    Returns:
        The strips from top to bottom: which rows, and their values.

    Raises:
        SoftSortError: an argument out of its range, or a memory too small.

    Examples:
        >>> import numpy as np
        >>> from softsort_filters import soft_quantile_strips
        >>> image = np.arange(200.0).reshape(40, 5)
        >>> for rows, values in soft_quantile_strips(image, memory=2**26 + 4000):
        ...     print(rows, values.shape)
        slice(0, 10, None) (10, 5)
        slice(10, 20, None) (10, 5)
        slice(20, 30, None) (10, 5)
        slice(30, 40, None) (10, 5)
    """
    window, *_ = as_window(size, footprint, weights)
    halo = (window.shape[0] // 2) * as_count(iterations)

    def apply(strip, known):
        return np.asarray(
            soft_quantile_filter(
                strip,
                q,
                size,
                footprint=footprint,
                weights=weights,
                where=known,
                iterations=iterations,
                epsilon=epsilon,
                squashing_fun=squashing_fun,
                border=border,
                cval=cval,
                alpha=alpha,
                channel_axis=-1 if len(image.shape) == 3 else None,
            )
        )

    return in_strips((image, where), halo, apply, border, memory, most_rows)


def in_strips(
    images: tuple[Rows, Rows | None],
    halo: int,
    apply: Callable[..., np.ndarray],
    border: str,
    memory: int,
    most_rows: int | None = None,
) -> Iterator[tuple[slice, np.ndarray]]:
    """Apply a filter to strips of an image, and of what is known of it, in bounds.

    The filter reaches `halo` rows away.
    """
    check_border(border)
    shape = images[0].shape
    if len(shape) not in (2, 3) or 0 in shape:
        raise SoftSortError(
            f"image has shape {shape}: give (height, width) or (height, width, "
            "channels), none of them 0"
        )
    height, rows = shape[0], _strip_height(shape, halo, memory)
    if most_rows is not None:
        rows = min(rows, as_count(most_rows, "most_rows"))
    if rows + 2 * halo > height:
        both = (each if each is None else np.asarray(each[:]) for each in images)
        return iter([(slice(0, height), apply(*both))])
    return _strips(images, rows, halo, apply, wraps=border == "wrap")


def _strip_height(shape: tuple[int, ...], halo: int, memory: int) -> int:
    """Rows of a strip, without what it shares with its neighbours."""
    row = _BYTES_A_VALUE * int(np.prod(shape[1:]))
    affordable = (memory - _BYTES_A_TILE) // row
    if affordable >= shape[0]:
        return shape[0]
    if affordable < 2 * halo + 1:
        least = row * min(2 * halo + 1, shape[0]) + _BYTES_A_TILE
        raise SoftSortError(
            f"memory is {memory}: give at least {least} bytes, for one row of this "
            "image and those around it"
        )
    # All alike: the last one is as high as the others, and should not overlap much.
    count = -(-shape[0] // (affordable - 2 * halo))
    return -(-shape[0] // count)


def _strips(
    images: tuple[Rows, Rows | None], rows: int, halo: int, apply: Any, *, wraps: bool
) -> Iterator[tuple[slice, np.ndarray]]:
    # All strips have one shape, for which the filter is compiled once. Where one ends
    # with the image, so does its border; elsewhere the halo is cut off.
    height, whole = images[0].shape[0], rows + 2 * halo
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        first = start - halo if wraps else min(max(start - halo, 0), height - whole)
        strips = [
            each if each is None else _around(each, height, first, whole)
            for each in images
        ]
        yield slice(start, stop), apply(*strips)[start - first : stop - first]


def _around(image: Rows, height: int, first: int, count: int) -> np.ndarray:
    """Return rows of an image that goes on from its end at its beginning."""
    parts = []
    while count:
        start = first % height
        part = np.asarray(image[start : min(start + count, height)])
        parts.append(part)
        first, count = first + len(part), count - len(part)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
