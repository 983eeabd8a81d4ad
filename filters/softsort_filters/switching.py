"""A median filter that leaves what is not noise as it is."""

import math
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core import SoftSortError
from softsort_filters import tiles
from softsort_filters.arguments import (
    EPSILON,
    Image,
    Number,
    as_count,
    as_image,
    as_level,
    as_number,
    as_positive,
    is_traced,
)
from softsort_filters.asking import (
    ask,
    filled,
    inner,
    mixed_and_sure,
    nothing_known,
    reach,
    weighted_quantiles,
)
from softsort_filters.channels import check_alpha, restored, split
from softsort_filters.impulse_model import ImpulseNoise, Softness
from softsort_filters.impulses import estimated, pass_over
from softsort_filters.three_targets import Scalar, Weights, target_weights
from softsort_filters.windows import (
    Window,
    as_window,
    check_border,
    compiled,
    extended,
    map_windows,
    window_shape,
)

# Pixels are asked again, by the large window, as far as they are less sure than this.
_SURE, _UNSURE = 0.98, 0.9
_AT_ONCE = 2**14  # pixels that are asked again by one program

# How much each place of the largest window counts, and its targets.
Weighing: TypeAlias = tuple[Float[Array, " n"], Weights]


class _Settings(NamedTuple):
    window: Window
    iterations: int
    border: str
    alpha: bool


def soft_switching_median(
    image: Image,
    size: int | tuple[int, int] = 5,
    *,
    noise: ImpulseNoise | None = None,
    threshold: Number = 1.0,
    spread: Number = 0.7,
    weights: Image | None = None,
    level: Number = 0.5,
    iterations: int = 2,
    epsilon: Number = EPSILON,
    border: str = "reflect",
    cval: Number = 0.0,
    alpha: bool = False,
) -> Float[Array, "h w *c"]:
    """Replace pixels by the soft median around them as far as they are likely noise.

    A pixel x becomes t x + (1 - t) m, with t the probability that it is not noise, and
    m the soft median of its window without it, in which pixels count by their own t
    and by exp(-d^2 / 2), d being the distance in pixels: the window grows where most
    of what is near is noise. As epsilon -> 0, each m tends to the weighted median.

    The probability is

        t = threshold p / (threshold p + q),  p = (1 - share) exp(-|x - m| / s) / (2 s),

    q being the density of the noise, share its part of all pixels, s `spread` times the
    usual |x - m| around the pixel, and 0.003 of the range of values. At first all
    pixels count alike. Shifting or scaling the image by a positive constant
    does the same to the result.

    Args:
        image: real numbers of shape (h, w), or (h, w, c) with channels that are
            filtered apart. Half precisions are computed in float32, integers in JAX's
            default float.
        size: odd sides of the largest window, one for both or (rows, columns).
        noise: what is known of the noise. By default, what `impulse_noise` tells, and
            derivatives take that for constant.
        threshold: how much likelier than it is to take pixels for those of the picture.
        spread: how far from m pixels of the picture are, positive, in units of their
            mean distance; the less, the more is taken for noise.
        weights: how much pixels of the largest window count besides, in the shape of
            `size`, not negative, by default exp(-d^2 / 2); that of its centre and of
            what is beyond its ellipse plays no part.
        level: which quantile of the largest window stands for m, in [0, 1].
        iterations: how many times to ask which pixels are noise.
        epsilon: regularisation of the medians, positive, as in `soft_median`.
        border: how the image goes on outside, as in scipy.ndimage: "reflect",
            "nearest", "mirror", "wrap" or "constant".
        cval: the value outside if border is "constant".
        alpha: the last channel is opacity, not negative: pixels count by it for their
            neighbours, and it stays as it is.

    Returns:
        The shape of `image`, and its dtype if that is floating. NaN, infinity and what
        cannot be seen take no part, and stay as they are, infinity as NaN. NaN is also
        what could not be solved to 1e-5 (float64: 1e-10).

    Raises:
        SoftSortError: an argument out of its range. Values traced by JAX cannot be
            checked and give NaN.

    Examples:
        >>> import jax.numpy as jnp
        >>> from softsort_filters import soft_switching_median
        >>> ramp = jnp.tile(jnp.arange(8.0), (8, 1))
        >>> result = soft_switching_median(ramp.at[3, 3].set(99.0))
        >>> print(result[3].round(1))
        [0. 1. 2. 3. 4. 5. 6. 7.]
    """
    pixels, dtype = as_image(image)
    check_border(border)
    sides = window_shape(size)
    if max(sides) == 1:
        raise SoftSortError("size is 1: a window without its centre has no value")
    window, weighing = _window(sides, weights, as_level(level, pixels.dtype))
    settings = _Settings(window, as_count(iterations), border, alpha)
    check_alpha(pixels, alpha)
    softness = Softness(
        as_positive(epsilon, "epsilon", pixels.dtype, "0.01"),
        as_positive(threshold, "threshold", pixels.dtype, "1"),
        as_positive(spread, "spread", pixels.dtype, "0.7"),
    )
    cval = as_number(cval, "cval", pixels.dtype)
    if noise is None:
        fixed = jax.lax.stop_gradient(pixels)
        noise = estimated(fixed, alpha=alpha)
    channels = math.prod(pixels.shape[2:]) - alpha
    of_channels = (
        jnp.broadcast_to(jnp.asarray(x, pixels.dtype), channels) for x in noise
    )
    arrays = (pixels, ImpulseNoise(*of_channels), softness, weighing, cval)
    run = _at_once if is_traced(arrays) else _by_tiles
    return jnp.asarray(run(*arrays, settings), dtype)


def _by_tiles(
    image: Float[Array, "h w *c"],
    noise: ImpulseNoise,
    softness: Softness,
    weighing: Weighing,
    cval: Scalar,
    settings: _Settings,
) -> Float[np.ndarray, "h w *c"]:
    """Filter tiles, and then pixels, of as many as one program is compiled for."""
    window, iterations, border, alpha = settings
    pixels = np.asarray(image)
    x, counts = split(pixels, alpha, np)
    of_passes, of_window = _margins(settings)
    margins = of_passes[0] + of_window[0], of_passes[1] + of_window[1]
    images = [
        extended(each, margins, border, value, np)
        for each, value in ((x, cval), (counts, 0 if alpha else 1))
    ]

    def asked(x, counts, channel):
        of_channel = ImpulseNoise(*(each[channel : channel + 1] for each in noise))
        nothing, inside = nothing_known(x), jnp.zeros(x.shape, bool)
        model = of_channel, softness, jnp.ones(1, x.dtype)
        (m, _, t), mixed, _ = pass_over(
            x, counts, inside, nothing, model, (0, iterations)
        )
        return [inner(each, of_passes) for each in (m, t, *mixed)]

    results = [np.empty_like(inner(images[0], of_passes)) for _ in range(4)]
    tiles.put_together(asked, images, of_passes, results)
    m, t, mixed, sure = results
    m, t, result = (np.array(inner(each, of_window)) for each in (m, t, mixed))
    for channel in range(x.shape[2]):
        around = mixed[..., channel], sure[..., channel]
        place, again = _asked_again(
            *(around, t[..., channel], window, weighing, softness.epsilon)
        )
        of_pixels = (each[..., channel][place] for each in (result, m, t))
        result[..., channel][place] = _told(*of_pixels, again=again, xp=np)
    return restored(result, counts, pixels, np, alpha)


def _margins(settings: _Settings) -> tuple[tuple[int, int], tuple[int, int]]:
    """How far passes reach, and then the window of pixels that are asked again."""
    of_passes, (height, width, _) = reach(settings.iterations), settings.window.shape
    return (of_passes, of_passes), (height // 2, width // 2)


def _asked_again(
    around: tuple[Float[np.ndarray, "H W"], Float[np.ndarray, "H W"]],
    t: Float[np.ndarray, "h w"],
    window: Window,
    weighing: Weighing,
    epsilon: Scalar,
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Which pixels are likely noise, and the medians of the windows around them."""
    step = around[0].shape[1]
    offsets = [i * step + j for i, j, _ in window.places]
    rows, columns = np.nonzero(t < _SURE)
    corners = rows * step + columns
    medians = []
    for start in range(0, len(corners), _AT_ONCE):
        block = corners[start : start + _AT_ONCE]
        block = np.pad(block, (0, _AT_ONCE - len(block)), mode="edge")
        places = np.add.outer(offsets, block)
        values, weights = (jnp.asarray(x.ravel()[places]) for x in around)
        medians.append(_weighted_quantiles(values, weights, *weighing, epsilon))
    empty = np.empty(0, t.dtype)
    return (rows, columns), np.concatenate([empty, *medians])[: len(corners)]


_weighted_quantiles = compiled(weighted_quantiles)


def _window(
    size: tuple[int, ...], weights: Image | None, level: Float[Array, ""]
) -> tuple[Window, Weighing]:
    """A window without its centre, and without corners, which are too far to matter."""
    sides = np.array(size)
    offsets = np.moveaxis(np.indices(size), 0, -1) - sides // 2
    footprint = np.sum((2 * offsets / sides) ** 2, axis=-1) <= 1
    footprint[tuple(sides // 2)] = False
    if weights is None:
        weights = np.exp(-np.sum(offsets**2, axis=-1) / 2)
    window, near, n = as_window(size, footprint, weights)
    return window, (jnp.asarray(near, level.dtype), target_weights(level, n))


def _told(mixed: Any, m: Any, t: Any, *, again: Any, xp: Any) -> Any:
    """Pixels by what larger windows predict, as far as they are likely noise."""
    doubt = xp.clip((_SURE - t) / (_SURE - _UNSURE), 0, 1)
    return mixed + (1 - t) * doubt**2 * (3 - 2 * doubt) * (again - m)


@jax.jit(static_argnames="settings")
def _at_once(
    image: Float[Array, "h w *c"],
    noise: ImpulseNoise,
    softness: Softness,
    weighing: Weighing,
    cval: Scalar,
    settings: _Settings,
) -> Float[Array, "h w *c"]:
    """Filter a whole image, and have derivatives."""
    window, iterations, border, alpha = settings
    x, counts = split(image, alpha, jnp)
    counts = jax.lax.stop_gradient(counts)
    # Traced values have not been checked.
    softness = Softness(*(jnp.where(x > 0, x, jnp.nan) for x in softness))
    of_passes, of_window = _margins(settings)
    margins = of_passes[0] + of_window[0], of_passes[1] + of_window[1]
    around, count = (
        extended(each, margins, border, value, jnp)
        for each, value in ((x, cval), (counts, 0 if alpha else 1))
    )
    around = filled(around, count)
    asked = ask(around, count, nothing_known(around), noise, softness, (0, iterations))
    mixed = mixed_and_sure(around, count, asked)
    images = [inner(each, of_passes) for each in mixed]

    def quantile(values, sure):
        stacked = values.stacked(), sure.stacked()
        return weighted_quantiles(*stacked, *weighing, softness.epsilon)

    again = map_windows(quantile, images, window)
    of_pixels = (inner(each, margins) for each in (mixed[0], asked.m, asked.t))
    return restored(_told(*of_pixels, again=again, xp=jnp), counts, image, jnp, alpha)
