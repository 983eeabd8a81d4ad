"""Both kinds of noise taken out of an image, single pixels first."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from softsort_filters import alike
from softsort_filters.arguments import Image, Number, as_count, as_image
from softsort_filters.asking import reach
from softsort_filters.channels import MIDDLE, middle_of
from softsort_filters.impulse_model import ImpulseNoise
from softsort_filters.impulses import impulse_noise
from softsort_filters.strips import Rows, in_strips
from softsort_filters.switching import soft_switching_median
from softsort_filters.windows import window_shape

Deviation = Number | Float[Array | np.ndarray, "*c"] | None


class Noise(NamedTuple):
    """The noise of an image: numbers, or one for each channel.

    Attributes:
        deviation: of what is in all pixels, in units of the image.
        impulses: single pixels of other values.
    """

    deviation: Float[np.ndarray, "*c"]
    impulses: ImpulseNoise


def estimate_noise(image: Image, *, alpha: bool = False) -> Noise:
    """Estimate the noise of an image, of all pixels and of single ones.

    It is told by the middle of an image larger than 512 x 512: `gaussian_deviation` of
    what `soft_switching_median` makes of it, and then `impulse_noise` besides.

    Args:
        image: numbers of shape (h, w) or (h, w, c).
        alpha: the last channel is opacity.

    Returns:
        Numbers for an image of shape (h, w), and one for each channel, without opacity,
        for (h, w, c).

    Raises:
        SoftSortError: an argument out of its range.

    Examples:
        >>> import jax
        >>> from softsort_filters import estimate_noise, gaussian_noise, salt_and_pepper
        >>> noisy = gaussian_noise([[0.5] * 64] * 64, 0.05, jax.random.key(0))
        >>> noise = estimate_noise(salt_and_pepper(noisy, 0.1, jax.random.key(1)))
        >>> print(noise.deviation.round(2))
        0.05
        >>> print((noise.impulses.dark + noise.impulses.bright).round(1))
        0.1
    """
    pixels, _ = as_image(image)
    middle = middle_of(pixels)
    impulses = impulse_noise(middle, alpha=alpha)
    kept = soft_switching_median(middle, noise=impulses, alpha=alpha)
    deviation = alike.gaussian_deviation(kept, before=middle, alpha=alpha)
    if np.any(deviation > 0):
        # What the former cuts off at black and white had been taken for the latter.
        impulses = impulse_noise(middle, deviation=deviation, alpha=alpha)
    return Noise(deviation, impulses)


def denoise(
    image: Image,
    size: int | tuple[int, int] = 5,
    *,
    deviation: Deviation = None,
    strength: Number = 1.0,
    border: str = "reflect",
    alpha: bool = False,
    **settings: Any,
) -> Float[Array, "h w *c"]:
    """Take out of an image what noise it has, of single pixels and of all.

    It is `soft_switching_median`, and then `soft_nonlocal_mean`, by what
    `estimate_noise` tells.

    Args:
        image: see `soft_switching_median`.
        size: as there.
        deviation: see `soft_nonlocal_mean`; with 0 it is left out.
        strength: how much of the deviation is taken out, not negative.
        border: as there.
        alpha: as there.
        **settings: of `soft_switching_median`.

    Returns:
        As `soft_switching_median`.

    Raises:
        SoftSortError: an argument out of its range.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from softsort_filters import denoise, gaussian_noise, psnr, salt_and_pepper
        >>> wave = 0.5 + 0.4 * jnp.sin(jnp.arange(64) / 9) * jnp.ones((64, 1))
        >>> noisy = gaussian_noise(wave, 0.05, jax.random.key(0))
        >>> noisy = salt_and_pepper(noisy, 0.1, jax.random.key(1))
        >>> print(psnr(noisy, wave, 1) < 16, psnr(denoise(noisy), wave, 1) > 32)
        True True
    """
    known: dict[str, Any] = settings | {"border": border, "alpha": alpha}
    if deviation is None:
        deviation, impulses = estimate_noise(image, alpha=alpha)
        known = {"noise": impulses} | known
    result = soft_switching_median(image, size, **known)
    if not isinstance(deviation, Tracer) and not np.any(deviation):
        return result
    deviation = deviation * jnp.asarray(strength)
    return alike.soft_nonlocal_mean(result, deviation, border=border, alpha=alpha)


def denoise_strips(
    image: Rows,
    size: int | tuple[int, int] = 5,
    *,
    deviation: Deviation = None,
    iterations: int = 2,
    border: str = "reflect",
    alpha: bool = False,
    memory: int = 2**30,
    **settings: Any,
) -> Iterator[tuple[slice, Float[np.ndarray, "rows w *c"]]]:
    """Filter an image strip by strip: what `denoise` gives.

    Noise is told by the middle of the image.

    Args:
        image: anything of shape (h, w) or (h, w, c) that gives rows for slices. Rows
            near the borders of strips are asked for twice.
        size: see `soft_switching_median`.
        deviation: see `denoise`.
        iterations: see `soft_switching_median`. Each makes the strips overlap further.
        border: as there.
        alpha: as there.
        memory: bytes to stay within.
        **settings: as there.

    Returns:
        The strips from top to bottom: which rows, and their values.

    Raises:
        SoftSortError: an argument out of its range, or a memory too small.

    Examples:
        >>> import numpy as np
        >>> from softsort_filters import denoise_strips
        >>> image, memory = np.arange(2000.0).reshape(400, 5), 2**26 + 80000
        >>> for rows, values in denoise_strips(image, deviation=0, memory=memory):
        ...     print(rows, values.shape)
        slice(0, 200, None) (200, 5)
        slice(200, 400, None) (200, 5)
    """
    height, _ = window_shape(size)
    known: dict[str, Any] = settings | {
        "iterations": iterations,
        "border": border,
        "alpha": alpha,
    }
    halo = reach(as_count(iterations)) + height // 2
    if len(image.shape) in (2, 3) and 0 not in image.shape:
        first = max((image.shape[0] - MIDDLE) // 2, 0)
        middle = middle_of(np.asarray(image[first : first + MIDDLE]))
        if deviation is None:
            deviation, impulses = estimate_noise(middle, alpha=alpha)
            known = {"noise": impulses} | known
        elif known.get("noise") is None:
            known["noise"] = impulse_noise(middle, alpha=alpha)
    if np.any(deviation):
        halo += alike.REACH

    def apply(strip, _):
        return np.asarray(denoise(strip, size, deviation=deviation, **known))

    return in_strips((image, None), halo, apply, border, memory)
