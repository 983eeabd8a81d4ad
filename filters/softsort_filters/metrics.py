"""How far an image is from a reference, as users of scikit-image measure it."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from softsort_core import SoftSortError
from softsort_filters.arguments import Image, Number, as_image, as_positive

_SIDE = 7  # of the window of SSIM


def psnr(image: Image, reference: Image, data_range: Number) -> Float[Array, ""]:
    """Peak signal-to-noise ratio in dB: infinite for equal images.

    Args:
        image: real numbers of shape (h, w) or (h, w, c).
        reference: the same shape.
        data_range: largest minus smallest possible value, such as 1 or 255.

    Returns:
        10 log10(data_range^2 / mean squared difference).

    Raises:
        SoftSortError: an argument out of its range, or shapes that differ.

    Examples:
        >>> from softsort_filters import psnr
        >>> print(psnr([[0.0, 0.5]], [[0.1, 0.4]], 1.0).round(1))
        20.0
    """
    return _psnr(*_pair(image, reference, data_range))


def ssim(image: Image, reference: Image, data_range: Number) -> Float[Array, ""]:
    """Structural similarity: 1 for equal images, near 0 for unrelated ones.

    The mean over all windows of 7 x 7 pixels and all channels of the index of Wang,
    Bovik, Sheikh and Simoncelli (2004), with sample covariances: what scikit-image's
    `structural_similarity` is by default, with `channel_axis=-1` for colours.

    Args:
        image: real numbers of shape (h, w) or (h, w, c), both sides at least 7.
        reference: the same shape.
        data_range: largest minus smallest possible value, such as 1 or 255.

    Returns:
        A number in [-1, 1].

    Raises:
        SoftSortError: an argument out of its range, or shapes that differ.

    Examples:
        >>> import numpy as np
        >>> from softsort_filters import ssim
        >>> image = np.eye(9)
        >>> print(ssim(image, image, 1.0), ssim(image, 1 - image, 1.0).round(1))
        1.0 -0.3
    """
    pair = _pair(image, reference, data_range)
    if min(pair[0].shape[:2]) < _SIDE:
        raise SoftSortError(
            f"image has shape {pair[0].shape}: SSIM looks at windows of 7 x 7 pixels, "
            "so give an image with sides of at least 7"
        )
    return _ssim(*pair)


def _pair(
    image: Image, reference: Image, data_range: Number
) -> tuple[Float[Array, "h w *c"], Float[Array, "h w *c"], Float[Array, ""]]:
    (x, _), (y, _) = as_image(image), as_image(reference, "reference")
    if x.shape != y.shape:
        raise SoftSortError(
            f"image and reference should have the same shape: {x.shape} != {y.shape}"
        )
    dtype = jnp.promote_types(x.dtype, y.dtype)
    span = as_positive(data_range, "data_range", dtype, "255")
    return x.astype(dtype), y.astype(dtype), span


@jax.jit
def _psnr(x: Array, y: Array, data_range: Array) -> Array:
    return -10 * jnp.log10(_mean(((x - y) / data_range) ** 2))


@jax.jit
def _ssim(x: Array, y: Array, data_range: Array) -> Array:
    # Variances are differences of squares: a common offset would eat their digits.
    offset = _mean(y)
    x, y = (x - offset) / data_range, (y - offset) / data_range
    mean_x, mean_y, xx, yy, xy = map(_window_means, (x, y, x * x, y * y, x * y))
    # Covariances of a sample of n: divided by n - 1.
    unbiased = _SIDE**2 / (_SIDE**2 - 1)
    variances = unbiased * ((xx - mean_x**2) + (yy - mean_y**2))
    covariance = unbiased * (xy - mean_x * mean_y)
    x, y = mean_x + offset / data_range, mean_y + offset / data_range
    luminance = (2 * x * y + 0.01**2) / (x**2 + y**2 + 0.01**2)
    return _mean(luminance * (2 * covariance + 0.03**2) / (variances + 0.03**2))


def _window_means(x: Float[Array, "h w *c"]) -> Float[Array, "H W *c"]:
    for axis in (0, 1):
        size = x.shape[axis] - _SIDE + 1
        shifts = (jax.lax.slice_in_dim(x, i, i + size, axis=axis) for i in range(_SIDE))
        x = functools.reduce(jnp.add, shifts) / _SIDE
    return x


def _mean(x: Array) -> Array:
    # Row by row: one float32 sum of millions of numbers would lose four digits.
    return jnp.mean(jnp.mean(x.reshape(x.shape[0], -1), 1))
