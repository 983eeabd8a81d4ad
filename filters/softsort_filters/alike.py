"""The mean of alike patches, which takes Gaussian noise out of an image."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from softsort_core import SoftSortError
from softsort_filters import tiles
from softsort_filters.arguments import Image, Number, as_amount, as_image, is_traced
from softsort_filters.asking import Pixels, filled, inner
from softsort_filters.channels import check_alpha, middle_of, restored, split
from softsort_filters.windows import check_border, extended

# Patches of so many pixels either way are compared, so far away from each other.
_PATCH, _SEARCH = 2, 7
# In deviations of the noise: how far patches of the noisy image, and then those of the
# first result, are apart that count half as much as equal ones, about.
_NOISY, _SMOOTH = 0.7, 0.4
REACH = 2 * (_SEARCH + _PATCH)
# The noise is told by the smoothest of blocks of so many pixels a side. White noise is
# there at most this, in units of its deviation.
_BLOCK, _SMOOTHEST, _OF_WHITE_NOISE = 8, 0.1, 0.792
_FEWEST = 0.2  # of blocks, that have the fewest of the darkest and brightest pixels


def soft_nonlocal_mean(
    image: Image,
    deviation: Number | Float[Array, "*c"] | None = None,
    *,
    border: str = "reflect",
    alpha: bool = False,
) -> Float[Array, "h w *c"]:
    """Replace every pixel by the mean of those around it whose neighbours are alike.

    Among the 15 x 15 pixels around, each counts exp(-max(d - 2 v, 0) / (0.7^2 v)), d
    being the mean squared difference of the 5 x 5 pixels around both, near ones more,
    and v the variance of the noise: the soft nearest patches (non-local means; Buades,
    Coll and Morel, 2005). The pixel itself counts as much as the best of others. Then
    patches of the result are compared, which count exp(-d / (0.4^2 v)), for the mean of
    the noisy pixels. As the deviation goes to 0, the image stays as it is.

    Args:
        image: real numbers of shape (h, w), or (h, w, c) with channels that are
            filtered apart. Half precisions are computed in float32, integers in JAX's
            default float.
        deviation: the standard deviation of the noise, in units of the image, one for
            all channels or one each. By default, what `gaussian_deviation` tells.
        border: how the image goes on outside, as in scipy.ndimage, but not "constant".
        alpha: the last channel is opacity, not negative: pixels count by it for others,
            and it stays as it is.

    Returns:
        The shape of `image`, and its dtype if that is floating. NaN, infinity and what
        cannot be seen take no part, and stay as they are, infinity as NaN.

    Raises:
        SoftSortError: an argument out of its range, or no deviation for values that JAX
            traces.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from softsort_filters import gaussian_noise, psnr, soft_nonlocal_mean
        >>> wave = 0.5 + 0.4 * jnp.sin(jnp.arange(64) / 9) * jnp.ones((64, 1))
        >>> noisy = gaussian_noise(wave, 0.05, jax.random.key(0))
        >>> print(psnr(noisy, wave, 1.0).round())
        26.0
        >>> print(psnr(soft_nonlocal_mean(noisy), wave, 1.0) > 34)
        True
    """
    pixels, dtype = as_image(image)
    check_border(border)
    check_alpha(pixels, alpha)
    if border == "constant":
        raise SoftSortError(
            "border is 'constant': what is alike has none; give another"
        )
    if deviation is None:
        if isinstance(pixels, Tracer):
            raise SoftSortError(
                "deviation is None: give that of values that JAX traces"
            )
        deviation = gaussian_deviation(pixels, alpha=alpha)
    channels = math.prod(pixels.shape[2:]) - alpha
    of_channels = jnp.broadcast_to(jnp.asarray(deviation, pixels.dtype), channels)
    if not isinstance(of_channels, Tracer):
        for each in np.asarray(of_channels):
            as_amount(each, pixels.dtype)
    run = _at_once if is_traced(pixels, of_channels) else _by_tiles
    return jnp.asarray(run(pixels, of_channels, border, alpha), dtype)


def gaussian_deviation(
    image: Image, *, before: Image | None = None, alpha: bool = False
) -> Float[np.ndarray, "*c"]:
    """Estimate the standard deviation of noise of an image that is in all its pixels.

    What a second difference along both axes leaves of the image (Immerkaer, "Fast noise
    variance estimation", 1996) is noise where the picture is smooth: its deviation in
    the smoothest tenth of blocks of 8 x 8 pixels, divided by what it is there of white
    noise. Blocks where many pixels have the darkest or the brightest value, which cuts
    noise off, are left out. Of images larger than 512 x 512 the middle is looked at.

    Args:
        image: numbers of shape (h, w) or (h, w, c).
        before: the image before single pixels of noise were changed, whose darkest and
            brightest values count; the same shape.
        alpha: the last channel is opacity; what cannot be seen is left out.

    Returns:
        In units of the image, a number for (h, w), and one for each channel, without
        opacity, for (h, w, c). It is 0 where there is no block to tell it by.

    Raises:
        SoftSortError: an argument out of its range.

    Examples:
        >>> import jax
        >>> from softsort_filters import gaussian_deviation, gaussian_noise
        >>> noisy = gaussian_noise([[0.5] * 99] * 99, 0.1, jax.random.key(0))
        >>> print(gaussian_deviation(noisy).round(2))
        0.1
    """
    pixels, _ = as_image(image)
    check_alpha(pixels, alpha)
    both = pixels, pixels if before is None else as_image(before, "before")[0]
    if both[1].shape != pixels.shape:
        raise SoftSortError(
            f"before has shape {both[1].shape}: give that of image, {pixels.shape}"
        )
    (x, counts), (old, _) = (split(np.asarray(middle_of(y)), alpha, np) for y in both)
    x = np.where(counts > 0, x, np.nan)
    each = [_deviation(x[..., i], old[..., i]) for i in range(x.shape[2])]
    return np.array(each, x.dtype).reshape(pixels.shape[2:] and (-1,))


def _deviation(x: Float[np.ndarray, "h w"], before: Float[np.ndarray, "h w"]) -> float:
    if min(x.shape) < _BLOCK + 2 or not np.isfinite(x).any():
        return 0.0
    ends = (before <= np.nanmin(before)) | (before >= np.nanmax(before))
    for axis in (0, 1):
        x = np.diff(x, 2, axis)
    squares = _blocks((x / 6) ** 2).mean(axis=1)
    share = _blocks(ends[1:-1, 1:-1]).mean(axis=1)
    # Of single pixels of noise all blocks have some.
    known = (share <= max(np.quantile(share, _FEWEST), 0.1)) & np.isfinite(squares)
    if not known.any():
        return 0.0
    return float(np.sqrt(np.quantile(squares[known], _SMOOTHEST)) / _OF_WHITE_NOISE)


def _blocks(values: np.ndarray) -> np.ndarray:
    down, across = (side // _BLOCK for side in values.shape)
    cut = values[: down * _BLOCK, : across * _BLOCK]
    cut = cut.reshape(down, _BLOCK, across, _BLOCK).swapaxes(1, 2)
    return cut.reshape(-1, _BLOCK * _BLOCK)


def _by_tiles(image: Any, deviation: Any, border: str, alpha: bool) -> np.ndarray:
    pixels = np.asarray(image)
    x, counts = split(pixels, alpha, np)
    margins = REACH, REACH
    images = [extended(each, margins, border, 0, np) for each in (x, counts)]

    def of_tile(x, counts, channel):
        return [inner(_mean(x, counts, deviation[channel]), margins)]

    result = np.empty_like(x)
    tiles.put_together(of_tile, images, margins, [result])
    return restored(result, counts, pixels, np, alpha)


@partial(jax.jit, static_argnames=("border", "alpha"))
def _at_once(image: Any, deviation: Any, border: str, alpha: bool) -> Array:
    x, counts = split(image, alpha, jnp)
    margins = REACH, REACH
    x, count = (extended(each, margins, border, 0, jnp) for each in (x, counts))
    channels = [
        _mean(x[..., i : i + 1], count[..., i : i + 1], deviation[i])
        for i in range(x.shape[2])
    ]
    result = inner(jnp.concatenate(channels, axis=-1), margins)
    return restored(result, counts, image, jnp, alpha)


@jax.jit
def _mean(x: Pixels, counts: Pixels, deviation: Float[Array, ""]) -> Pixels:
    """The mean of alike patches, right from `REACH` pixels within the border on."""
    x, unit = filled(x, counts), jnp.where(deviation > 0, deviation, 1)

    def again(number, pilot):
        least = jnp.where(number == 0, 2.0, 0.0)
        width = jnp.where(number == 0, _NOISY, _SMOOTH)
        return _mean_by(x, counts, pilot, unit, (least, width))

    result: Array = jax.lax.fori_loop(0, 2, again, x)
    return jnp.where(deviation > 0, result, x)


def _mean_by(
    x: Pixels, counts: Pixels, pilot: Pixels, unit: Array, weighing: tuple[Array, Array]
) -> Pixels:
    """The mean of pixels x by how much the patches around them of a pilot differ."""
    (least, width), around = weighing, _SEARCH + _PATCH
    margins = [(around, around), (around, around), (0, 0)]
    x_around, counts_around, pilot_around = (
        jnp.pad(each, margins, mode="edge") for each in (x, counts, pilot)
    )
    patches = x.shape[0] + 2 * _PATCH, x.shape[1] + 2 * _PATCH, 1
    own = jax.lax.dynamic_slice(pilot_around, (_SEARCH, _SEARCH, 0), patches)
    places = range(-_SEARCH, _SEARCH + 1)
    offsets = jnp.asarray([(i, j) for i in places for j in places if (i, j) != (0, 0)])

    @jax.checkpoint
    def add(sums, offset):
        total, weight, most = sums
        i, j = offset + _SEARCH
        other = jax.lax.dynamic_slice(pilot_around, (i, j, 0), patches)
        d = _patch_mean(((other - own) / unit) ** 2)
        i, j = i + _PATCH, j + _PATCH
        value, count = (
            jax.lax.dynamic_slice(each, (i, j, 0), x.shape)
            for each in (x_around, counts_around)
        )
        w = jnp.exp(-jnp.maximum(d - least, 0) / width**2) * count
        return (total + w * value, weight + w, jnp.maximum(most, w)), None

    nothing = jnp.zeros_like(x)
    (total, weight, most), _ = jax.lax.scan(add, (nothing, nothing, nothing), offsets)
    most = jnp.maximum(most, 1e-6)
    return (total + most * x) / (weight + most)


def _patch_mean(values: Pixels) -> Pixels:
    """The mean of the patch around each pixel, which near ones count more for."""
    side = 2 * _PATCH + 1
    near = [math.exp(-(((i - _PATCH) / _PATCH * 1.5) ** 2) / 2) for i in range(side)]
    height, width, _ = values.shape
    rows = [near[i] * values[i : height - side + 1 + i] for i in range(side)]
    values = sum(rows[1:], rows[0])
    columns = [near[i] * values[:, i : width - side + 1 + i] for i in range(side)]
    total: Any = sum(columns[1:], columns[0])
    return total / sum(near) ** 2
