"""The soft median and soft quantile filters of images."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, DTypeLike, Float, Num, Shaped

from softsort_core import SoftSortError
from softsort_filters.arguments import (
    EPSILON,
    ChannelAxis,
    Image,
    Number,
    as_axes,
    as_count,
    as_image,
    as_known,
    as_level,
    as_number,
    as_positive,
    is_traced,
)
from softsort_filters.three_targets import quotient, target_weights
from softsort_filters.window_quantiles import (
    mend_uneven,
    small_window_quantiles,
    surrounded,
    window_quantiles,
)
from softsort_filters.windows import (
    Window,
    as_window,
    check_border,
    compiled,
    extended,
    is_small,
    map_windows,
)

Size: TypeAlias = int | Sequence[int] | Shaped[ArrayLike, " axes"] | None
Table: TypeAlias = Num[ArrayLike, "*sides"] | Bool[ArrayLike, "*sides"]

Squashing: TypeAlias = Callable[[Array], Array] | None


def soft_median(
    image: Image,
    size: Size = None,
    *,
    footprint: Table | None = None,
    weights: Table | None = None,
    where: Bool[ArrayLike, "..."] | None = None,
    iterations: int = 1,
    epsilon: Number = EPSILON,
    squashing_fun: Squashing = None,
    border: str = "reflect",
    cval: Number = 0.0,
    alpha: bool = False,
    channel_axis: ChannelAxis = "last",
) -> Float[Array, "..."]:
    """Replace every pixel by the soft median of the window around it.

    As epsilon -> 0, tends to the median filter for windows of n <= 50 values; as
    epsilon grows, to the mean filter. It is `soft_quantile_filter` at level 1/2, where
    the limit, the arguments and the errors are described.

    In windows of n <= 50 values, with median x_m and squashed values s, the result is
    within

        (n + 1) / (1 - n w) * sum_i |x_i - x_m| exp(-|s_i - s_m| / epsilon),

    w = min(0.02, 1.5 / n), of x_m. In larger ones the limit is the mean of the n w
    values in the middle, at most 1.5: x_m and a = (n w - 1) / 2 of either neighbour in
    sorted order. It is off x_m by a / (n w) <= 1/6 of the difference of the gaps
    between x_m and these neighbours.

    Examples:
        >>> from softsort_filters import soft_median
        >>> image = [[1, 2, 3], [4, 99, 6], [7, 8, 9]]
        >>> print(soft_median(image, epsilon=1e-3).round(1))
        [[2. 3. 3.]
         [4. 6. 6.]
         [7. 8. 9.]]
    """
    return soft_quantile_filter(
        image,
        0.5,
        size,
        footprint=footprint,
        weights=weights,
        where=where,
        iterations=iterations,
        epsilon=epsilon,
        squashing_fun=squashing_fun,
        border=border,
        cval=cval,
        alpha=alpha,
        channel_axis=channel_axis,
    )


def soft_quantile_filter(
    image: Image,
    q: Number = 0.5,
    size: Size = None,
    *,
    footprint: Table | None = None,
    weights: Table | None = None,
    where: Bool[ArrayLike, "..."] | None = None,
    iterations: int = 1,
    epsilon: Number = EPSILON,
    squashing_fun: Squashing = None,
    border: str = "reflect",
    cval: Number = 0.0,
    alpha: bool = False,
    channel_axis: ChannelAxis = "last",
) -> Float[Array, "..."]:
    """Replace every pixel by the soft quantile of level q of the window around it.

    As epsilon -> 0, tends to the mean of the window's quantile function over levels
    q - w/2 to q + w/2, w = min(0.02, q/2, (1 - q)/2, 1.5/n): for most q and small
    windows, one of the n values. As epsilon grows, tends to the mean. For each window
    this is `softsort_core.quantile` of its values: shifting or scaling the image by a
    positive constant does the same to the result, which stays between the least and
    the largest value of the window.

    If both ends of the levels lie within value k in sorted order, that is
    f = n (q - w/2) - (k - 1) > 0 and g = k - n (q + w/2) > 0, then the result is
    within

        max(k / g, (n - k + 1) / f) * sum_i |x_i - x_k| exp(-|s_i - s_k| / epsilon)

    of x_k, s being the squashed values.

    Args:
        image: real numbers of shape (h, w), or (h, w, c) with at most 4 channels, that
            are filtered apart; others by `channel_axis`. Half precisions are computed
            in float32, integers in JAX's default float.
        q: level in [0, 1]; 0 is a soft minimum, 1 a soft maximum.
        size: odd sides of the window, one for all or (rows, columns), of a volume
            (depth, rows, columns). 3 by default.
        footprint: the window as a table of booleans, or 0 and 1, with odd sides: which
            of the pixels around each are its values. All of them by default.
        weights: non-negative weights of the pixels around each, a table with odd
            sides: level q is that of the weighted values. Equal by default.
        where: which values there are, booleans of shape (h, w) or that of `image`. The
            others, which may be NaN, are no part of any window, and stay as they are;
            so do those with nothing in their window. Constant to derivatives.
        iterations: how many times to filter, each time the last result.
        epsilon: regularisation, positive, relative to squashed values in (0, 1).
        squashing_fun: an increasing function of numbers, applied to the whole image.
            By default, the sigmoid of each window's values less their mean, over
            their standard deviation. A new function is compiled anew: define it once.
        border: how the image goes on outside, as in scipy.ndimage: "reflect",
            "nearest", "mirror", "wrap" or "constant".
        cval: the value outside if border is "constant".
        alpha: the last channel is opacity, not negative: the values of the others are
            weighted by it, and stay as they are where nothing around is visible. It
            stays as it is, and derivatives take it for constant.
        channel_axis: which axis is that of channels, which are filtered apart. None if
            there is none: of three axes, windows extend along all. By default, the last
            of three.

    Returns:
        The shape of `image`, and its dtype if that is floating. Windows that contain
        NaN or infinity give NaN, and so would one whose column sums could not be
        solved to 1e-5 (float64: 1e-10). A constant window gives its value, and its
        derivative is that of the mean.

    Raises:
        SoftSortError: an argument out of its range. Values traced by JAX cannot be
            checked and give NaN.

    Examples:
        >>> from softsort_filters import soft_quantile_filter
        >>> print(soft_quantile_filter([[1, 2, 3, 9, 5]], 0.8, size=(1, 3)).round(1))
        [[2. 3. 9. 9. 9.]]
    """
    pixels, dtype = as_image(image, most_axes=4)
    axes = as_axes(pixels.shape, channel_axis)
    window, weighing, n = as_window(size, footprint, weights, axes.spatial)
    check_border(border)
    if not (squashing_fun is None or callable(squashing_fun)):
        raise SoftSortError(f"squashing_fun is {squashing_fun!r}: give a function")
    laid_out = axes.laid_out(pixels)
    if alpha and (not axes.has_channels or laid_out.shape[3] < 2):
        raise SoftSortError(
            f"alpha: image has shape {pixels.shape}: give channels, the last of opacity"
        )
    arrays = (
        laid_out,
        as_known(where, axes, pixels.shape),
        None if weighing is None else weighing.astype(pixels.dtype),
        as_level(q, pixels.dtype),
        as_positive(epsilon, "epsilon", pixels.dtype, "0.01"),
        as_number(cval, "cval", pixels.dtype),
    )
    iterations = as_count(iterations)
    settings = _Settings(window, n, border, squashing_fun, iterations, alpha)
    # Within what is compiled as a whole, that is not up to this.
    run = _traced_filter if is_traced(arrays) else _compiled_filter
    return axes.restored(run(*arrays, settings), pixels.shape).astype(dtype)


class _Settings(NamedTuple):
    """What a filter is compiled for; see `soft_quantile_filter`."""

    window: Window
    n: int
    border: str
    squashing_fun: Squashing
    iterations: int
    alpha: bool


def _filter(
    image: Float[Array, "h w z c"],
    known: Bool[Array, "h w z #c"] | None,
    weights: Float[Array, " n"] | None,
    q: Float[Array, ""],
    epsilon: Float[Array, ""],
    cval: Float[Array, ""],
    settings: _Settings,
) -> Float[Array, "h w z c"]:
    window, n, border, squashing_fun, iterations, alpha = settings
    # Traced values have not been checked.
    q = jnp.where((q >= 0) & (q <= 1), q, jnp.nan)
    epsilon = jnp.where(epsilon > 0, epsilon, jnp.nan)
    b = target_weights(q, n)
    masses = _masses(weights, len(window.places), n, image.dtype)
    colours = image[..., :-1] if alpha else image
    if known is not None:
        known = known[..., :-1] if known.shape[-1] > colours.shape[-1] else known
        known = jnp.broadcast_to(known, colours.shape)
    opacity = _opacity(colours, image[..., -1:] if alpha else None, known)
    window = window._replace(step=colours.shape[-1])

    def quantile(values, squashed=None):
        return window_quantiles(values, squashed, masses, b, epsilon)

    def alike(images: list[Array]) -> Array:
        if len(images) == 1 and weights is None and is_small(window, image.dtype):
            return small_window_quantiles(*images, window, masses, b, epsilon)
        return map_windows(quantile, images, window)

    def targets(missing):
        if known is None:
            return b
        return target_weights(q, jnp.maximum(n - missing, 1))

    def by_opacity(values, opacity, equal, squashed=None):
        return mend_uneven(values, opacity, equal, squashed, masses, targets, epsilon)

    def once(_: Any, colours: Array) -> Array:
        images = [_around(colours, window, border, cval)]
        if squashing_fun is not None:
            images.append(_squash_all(squashing_fun, images[0]))
        results = alike(images)
        if opacity is not None:
            # Outside of colours there is nothing to be seen.
            visible = _around(opacity, window, border, 0 if alpha else 1)
            images[1:1] = visible, surrounded(results, window)
            results = map_windows(by_opacity, images, window)
        results = results[..., : math.prod(colours.shape[2:])].reshape(colours.shape)
        return results if known is None else jnp.where(known, results, colours)

    start = colours if known is None else _filled(colours, known)
    if iterations == 1:
        result = once(0, start)
    else:
        result = jax.lax.fori_loop(0, iterations, once, start)
    if known is not None:
        result = jnp.where(known, result, colours)
    return jnp.concatenate([result, image[..., -1:]], axis=-1) if alpha else result


def _around(
    image: Float[Array, "h w z c"], window: Window, border: str, outside: Any
) -> Float[Array, "H W zc"]:
    """Continue an image, the channels of one depth after the other as one axis."""
    margins = [side // 2 for side in window.shape]
    image = extended(image, margins, border, outside, jnp)
    return image.reshape(*image.shape[:2], -1)


def _masses(
    weights: Float[Array, " n"] | None, count: int, n: int, dtype: DTypeLike
) -> Float[Array, "n 1 1"]:
    """The weights of the values of a window, which sum to 1."""
    if weights is None:
        return jnp.full((count, 1, 1), 1 / n, dtype)
    weights = jnp.where(jnp.all(weights >= 0), weights, jnp.nan)
    return quotient(weights, jnp.sum(weights))[:, None, None]


def _opacity(
    colours: Float[Array, "h w z c"],
    opacity: Float[Array, "h w z 1"] | None,
    known: Bool[Array, "h w z c"] | None,
) -> Float[Array, "h w z c"] | None:
    """What values weigh: their opacity, -1 if they are not there; None if all alike."""
    if opacity is None and known is None:
        return None
    weight = jnp.ones((), colours.dtype) if opacity is None else opacity
    weight = jnp.broadcast_to(jax.lax.stop_gradient(weight), colours.shape)
    return weight if known is None else jnp.where(known, weight, -1)


def _filled(
    colours: Float[Array, "h w z c"], known: Bool[Array, "h w z c"]
) -> Float[Array, "h w z c"]:
    """The mean in the place of values that are not there, whatever these are."""
    there = jnp.where(known, colours, 0)
    mean = jnp.sum(there) / jnp.maximum(jnp.sum(known), 1)
    return jnp.where(known, colours, jax.lax.stop_gradient(mean))


_traced_filter = jax.jit(_filter, static_argnames="settings")
_compiled_filter = compiled(_filter, static_argnames="settings")


def _squash_all(squashing_fun: Callable[[Array], Array], image: Array) -> Array:
    squashed = squashing_fun(image)
    if jnp.shape(squashed) != image.shape:
        raise SoftSortError(
            f"squashing_fun gives shape {jnp.shape(squashed)} for an array of "
            f"shape {image.shape}: give an elementwise function"
        )
    return jnp.asarray(squashed, image.dtype)
