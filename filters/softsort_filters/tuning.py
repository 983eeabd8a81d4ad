"""Which epsilon and which window take the most noise out of an image."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from softsort_core import SoftSortError
from softsort_filters.arguments import Image, Number, as_image
from softsort_filters.channels import middle_of
from softsort_filters.median import Size, soft_quantile_filter
from softsort_filters.windows import check_border, extended, window_shape

EPSILONS = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
_TILE = 128
# Without its centre a small window loses more than a large one: it need only be about
# as good. Most of the loss is noise that nothing predicts, so little is much.
_MARGIN = 1.003


class Choice(NamedTuple):
    """The epsilon and the window that predict best.

    Attributes:
        epsilon: one of those tried.
        size: (rows, columns) of one of the windows tried.
        loss: the mean absolute error of the prediction, in units of the image.
    """

    epsilon: float
    size: tuple[int, ...]
    loss: float


def choose(
    image: Image,
    epsilons: Sequence[float] = EPSILONS,
    sizes: Sequence[Size] = (3,),
    *,
    q: Number = 0.5,
    border: str = "reflect",
    cval: Number = 0.0,
) -> Choice:
    """Choose the epsilon, and the window, that suit the noise of an image.

    No clean image is needed: the noise of a pixel cannot be told from its neighbours,
    so the filter that predicts pixels best from their windows without the pixel itself
    is the one that finds most of what is not noise (Batson and Royer, "Noise2Self",
    2019). The loss is the mean absolute error, under which single wild pixels, which
    nothing can predict, do not count more than others. Of images larger than 512 x 512,
    the middle is tried.

    Args:
        image: the noisy image, see `soft_quantile_filter`.
        epsilons: those to try.
        sizes: the windows to try, as in `soft_quantile_filter`; at least 3 values.
        q: level in [0, 1].
        border: how the image goes on outside.
        cval: the value outside if border is "constant".

    Returns:
        The choice: the smallest window that is within 0.3 % of the best, and the best
        epsilon for it. Pixels that no window predicts, salt and pepper above all, count
        for all windows: what a larger one gains may not show beside them.

    Raises:
        SoftSortError: an argument out of its range, nothing to try, or an image that is
            not finite anywhere.

    Examples:
        >>> import jax, numpy as np
        >>> from softsort_filters import choose, gaussian_noise, salt_and_pepper
        >>> wave = 0.5 + 0.4 * np.sin(np.arange(64) / 9) * np.ones((64, 1))
        >>> choose(gaussian_noise(wave, 0.1, jax.random.key(0))).epsilon
        1.0
        >>> choose(salt_and_pepper(wave, 0.1, jax.random.key(0))).epsilon
        0.1
    """
    pixels, _ = as_image(image)
    check_border(border)
    shapes = [window_shape(3 if size is None else size) for size in sizes]
    if not shapes or not len(epsilons) or min(map(np.prod, shapes)) < 3:
        raise SoftSortError(
            f"epsilons is {epsilons!r} and sizes is {sizes!r}: give at least one of "
            "each, and windows of at least 3 values"
        )
    tiles = _tiles(np.asarray(middle_of(pixels)), shapes, border, cval)
    best = None
    for shape in sorted(shapes, key=np.prod):
        neighbours = np.ones(shape, bool)
        neighbours[shape[0] // 2, shape[1] // 2] = False
        losses = [_loss(tiles, neighbours, q, epsilon) for epsilon in epsilons]
        loss = min(losses)
        if best is None or loss * _MARGIN < best.loss:
            best = Choice(float(epsilons[losses.index(loss)]), shape, loss)
    if best is None or not np.isfinite(best.loss):
        raise SoftSortError("image is not finite anywhere: there is nothing to predict")
    return best


class _Tile(NamedTuple):
    """A part of an image with what is around it, and which of it counts."""

    pixels: np.ndarray
    counts: np.ndarray


def _tiles(
    pixels: np.ndarray, shapes: Sequence[Sequence[int]], border: str, cval: Number
) -> list[_Tile]:
    """Cut an image into tiles of one shape, for which all filters are compiled once.

    Each has around it what the largest window reaches of the image, or of its border.
    """
    halo = max(side // 2 for shape in shapes for side in shape)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    down, across, channels = pixels.shape
    around = extended(pixels, (halo, halo), border, np.asarray(cval), np)
    missing = [(0, -side % _TILE) for side in (down, across)]
    around = np.pad(around, [*missing, (0, 0)], "edge")
    counts = np.pad(np.ones((down, across, channels), bool), [*missing, (0, 0)])
    counts = np.pad(counts, [(halo, halo), (halo, halo), (0, 0)])
    reach = _TILE + 2 * halo
    return [
        _Tile(*(each[i : i + reach, j : j + reach] for each in (around, counts)))
        for i in range(0, down, _TILE)
        for j in range(0, across, _TILE)
    ]


def _loss(
    tiles: Sequence[_Tile], footprint: np.ndarray, q: Number, epsilon: float
) -> float:
    """The mean absolute error over the windows that are finite."""
    total = number = 0.0
    for tile in tiles:
        predicted = soft_quantile_filter(
            tile.pixels, q, footprint=footprint, epsilon=epsilon, channel_axis=-1
        )
        error, count = _errors(predicted, *tile)
        total, number = total + float(error), number + int(count)
    return total / number if number else np.inf


@jax.jit
def _errors(predicted: Array, pixels: Array, counts: Array) -> tuple[Array, Array]:
    """The sum of absolute errors that count and are finite, and how many these are."""
    errors = jnp.abs(predicted - pixels).reshape(pixels.shape[0], -1)
    known = jnp.isfinite(errors) & counts.reshape(errors.shape)
    return jnp.sum(jnp.sum(jnp.where(known, errors, 0), 1)), jnp.sum(known)
