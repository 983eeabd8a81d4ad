"""The exact filters, which the soft ones tend to as epsilon -> 0."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from softsort_cli.images.size_buckets import PAD_MODES

AT_ONCE = 2**22  # values of windows
# Pixels of a window: for those at borders SciPy makes a table of this, squared.
LARGE = 2**9


def quantile_filter(
    image: np.ndarray,
    *,
    q: float,
    size: tuple[int, ...],
    footprint: np.ndarray | None = None,
    border: str,
    alpha: bool = False,
    where: np.ndarray | None = None,
) -> np.ndarray:
    """The quantile of the window around each pixel, channel by channel.

    With `alpha`, the last channel is the weight of the others, and stays as it is.
    Values that are not there, by `where`, are in no window, and stay as they are.
    """
    from scipy.ndimage import percentile_filter

    if where is not None:
        settings = {"q": q, "size": size, "footprint": footprint, "border": border}
        return _of_known(image, where, alpha=alpha, **settings)
    used = np.ones(size, bool) if footprint is None else footprint
    window = used.reshape(*used.shape, *(1 for _ in image.shape[used.ndim :]))
    settings: Any = {"footprint": window, "mode": border}
    colours = image[..., :-1] if alpha else image
    if used.size > LARGE:
        result = _one_by_one(colours, q, used, border)
    else:
        result = percentile_filter(colours, 100 * q, **settings)
    return _by_opacity(image, result, q, used, border) if alpha else result


def _one_by_one(
    image: np.ndarray, q: float, used: np.ndarray, border: str
) -> np.ndarray:
    """The quantiles of large windows, channel by channel."""
    margins = [(side // 2, side // 2) for side in used.shape]
    margins += [(0, 0)] * (image.ndim - used.ndim)
    padded, result = np.pad(image, margins, PAD_MODES[border]), np.empty_like(image)
    count = np.count_nonzero(used)
    rank = min(int(count * (100 * q) / 100), count - 1)
    for place in np.ndindex(image.shape[: used.ndim]):
        ends = np.add(place, used.shape)
        values = padded[tuple(map(slice, place, ends))][used]
        result[place] = np.partition(values, rank, axis=0)[rank]
    return result


def quantile_strips(
    image: Any, rows: int, iterations: int = 1, **settings: Any
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield the quantiles of the windows around so many rows of an image at a time.

    Only a whole image can be filtered several times, or have a border that wraps.
    """
    height, halo = image.shape[0], settings["size"][0]
    for start in range(0, height, rows):
        place = slice(start, min(start + rows, height))
        around = slice(max(start - halo, 0), min(place.stop + halo, height))
        values, known = image[around], image.known(around)
        for _ in range(iterations):
            values = quantile_filter(values, where=known, **settings)
        first = start - around.start
        yield place, values[first : first + place.stop - start]


def _of_known(
    image: np.ndarray, where: np.ndarray, *, alpha: bool, **settings: Any
) -> np.ndarray:
    """The quantiles of the values that are there, which have all of the weight."""
    values = image.reshape(*image.shape[:2], -1)
    result, there = values.copy(), where.reshape(values.shape)
    for channel in range(values.shape[2] - alpha):
        known = there[..., channel]
        weight = values[..., -1] if alpha else np.ones_like(values[..., 0])
        pair = [np.where(known, each, 0) for each in (values[..., channel], weight)]
        filtered = quantile_filter(np.stack(pair, axis=-1), alpha=True, **settings)
        result[known, channel] = filtered[known, 0]
    return result.reshape(image.shape)


def _by_opacity(
    image: np.ndarray, even: np.ndarray, q: float, footprint: np.ndarray, border: str
) -> np.ndarray:
    """Colours that were filtered with equal weights, by opacity where it differs."""
    from scipy.ndimage import maximum_filter, minimum_filter

    opacity: Any = image[..., -1]
    settings: Any = {"footprint": footprint, "mode": border}
    most = maximum_filter(opacity, **settings)
    uneven = minimum_filter(opacity, **settings) < most
    result = np.concatenate([even, image[..., -1:]], axis=-1)
    result[most == 0] = image[most == 0]
    margins = [(side // 2, side // 2) for side in footprint.shape]
    padded = np.pad(image, [*margins, (0, 0)], PAD_MODES[border])
    down, across = np.nonzero(footprint)
    rows, columns = np.nonzero(uneven)
    step = max(AT_ONCE // (len(down) * image.shape[2]), 1)
    for start in range(0, len(rows), step):
        row, column = rows[start : start + step], columns[start : start + step]
        windows = padded[row[:, None] + down, column[:, None] + across]
        result[row, column, :-1] = _weighted(windows[..., :-1], windows[..., -1:], q)
    return result


def _weighted(values: np.ndarray, weights: np.ndarray, q: float) -> np.ndarray:
    """The quantiles along axis 1 of weighted values."""
    order = np.argsort(values, axis=1)
    sums = np.cumsum(np.take_along_axis(weights, order, 1), axis=1, dtype=float)
    total = sums[:, -1:]
    place = np.argmax((sums > q * total) | (sums == total), axis=1)[:, None]
    return np.take_along_axis(np.take_along_axis(values, order, 1), place, 1)[:, 0]
