"""A median filter that leaves what is not noise as it is."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, DTypeLike, Float

from softsort_core import SoftSortError
from softsort_filters.arguments import (
    Image,
    Number,
    as_count,
    as_image,
    as_number,
    as_positive,
)
from softsort_filters.impulses import (
    REACH,
    ImpulseNoise,
    Softness,
    asked_again,
    check_alpha,
    filled,
    first_asked,
    impulse_noise,
    inner,
    split,
    trust,
    weighted_median,
)
from softsort_filters.three_targets import Scalar
from softsort_filters.windows import check_border, extend, window_shape


class _Settings(NamedTuple):
    size: tuple[int, int]
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
    iterations: int = 2,
    epsilon: Number = 1e-2,
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
    height, width = window_shape(size)
    settings = _Settings((height, width), as_count(iterations), border, alpha)
    if max(settings.size) == 1:
        raise SoftSortError("size is 1: a window without its centre has no value")
    check_alpha(pixels, alpha)
    softness = Softness(
        as_positive(epsilon, "epsilon", pixels.dtype, "0.01"),
        as_positive(threshold, "threshold", pixels.dtype, "1"),
        as_positive(spread, "spread", pixels.dtype, "0.7"),
    )
    cval = as_number(cval, "cval", pixels.dtype)
    if noise is None:
        noise = impulse_noise(jax.lax.stop_gradient(pixels), alpha=alpha)
    arrays = (pixels, _each_channel(noise, pixels.dtype), softness, cval)
    leaves = jax.tree.leaves((arrays, jnp.zeros(())))
    is_traced = any(isinstance(each, Tracer) for each in leaves)
    run = _traced_filter if is_traced else _compiled_filter
    return run(*arrays, settings).astype(dtype)


def reach(size: tuple[int, int], iterations: int) -> tuple[int, int]:
    """Return how many rows and columns away pixels have a part in a result."""
    rest = REACH + iterations * (1 + REACH)
    return size[0] // 2 + rest, size[1] // 2 + rest


def _each_channel(noise: ImpulseNoise, dtype: DTypeLike) -> ImpulseNoise:
    return ImpulseNoise(*(jnp.atleast_1d(jnp.asarray(each, dtype)) for each in noise))


def _filter(
    image: Float[Array, "h w *c"],
    noise: ImpulseNoise,
    softness: Softness,
    cval: Scalar,
    settings: _Settings,
) -> Float[Array, "h w *c"]:
    size, iterations, border, alpha = settings
    pixels, weight = split(image, alpha)
    # Traced values have not been checked.
    softness = Softness(*(jnp.where(x > 0, x, jnp.nan) for x in softness))
    rows, columns = reach(size, iterations)
    sides = 2 * rows + 1, 2 * columns + 1, 1
    outside = jnp.zeros_like(cval) if alpha else jnp.ones_like(cval)
    x, counts = (
        extend(values[:, :, None], sides, border, value)
        for values, value in ((pixels, cval), (weight, outside))
    )
    asked = first_asked(*filled(x, counts), noise, softness.epsilon)
    for _ in range(iterations - 1):
        t = trust(asked, noise, softness)
        asked = asked_again(asked, t, noise, softness.epsilon)
    (x, counts, m, _), t = asked, trust(asked, noise, softness)
    m = weighted_median(t * x + (1 - t) * m, t, counts, size, softness.epsilon)
    x, t = (inner(each, size[0] // 2, size[1] // 2) for each in (x, t))
    result = t * x + (1 - t) * m
    result = jnp.where(weight > 0, result, pixels)
    if alpha:
        result = jnp.concatenate([result, image[..., -1:]], axis=-1)
    result = jnp.where(jnp.isfinite(result), result, jnp.nan)
    return result.reshape(image.shape)


_traced_filter = jax.jit(_filter, static_argnames="settings")


# As in `median`: by these kernels results would depend on how large the image is.
_compiled_filter = jax.jit(
    _filter,
    static_argnames="settings",
    compiler_options={"xla_cpu_experimental_ynn_fusion_type": ""},
)
