"""The noise of an image: single pixels of other values."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float

from softsort_core import SoftSortError
from softsort_filters import tiles
from softsort_filters.arguments import Image, as_image
from softsort_filters.asking import (
    Asked,
    ask,
    filled,
    mixed_and_sure,
    nothing_known,
    reach,
)
from softsort_filters.impulse_model import (
    NEAR,
    ImpulseNoise,
    Pixels,
    Softness,
    densities,
    range_of,
)
from softsort_filters.windows import extend

# Of the values, at either end, that may be beyond the range: a few wild pixels.
_WILD = 1e-3
MIDDLE = 512  # sides of what is enough to tell the noise
_ROUNDS = 8
# Gaps are filled by what is around, and pixels asked.
_MARGINS = (reach(1), reach(1))


def impulse_noise(image: Image, *, alpha: bool = False) -> ImpulseNoise:
    """Estimate how many pixels of an image are noise, and of which kind.

    The shares are those that explain the pixels best, by the model that
    `soft_switching_median` has of them, after eight rounds of expectation maximization
    (Dempster, Laird and Rubin, 1977). Of images larger than 512 x 512 the middle is
    looked at.

    Args:
        image: see `soft_switching_median`.
        alpha: the last channel is opacity.

    Returns:
        Numbers for an image of shape (h, w), and one for each channel, without opacity,
        for (h, w, c). Shares are at least 1e-5.

    Raises:
        SoftSortError: an argument out of its range.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from softsort_filters import impulse_noise, salt_and_pepper
        >>> wave = 0.5 + 0.4 * jnp.sin(jnp.arange(64) / 9) * jnp.ones((64, 1))
        >>> noise = impulse_noise(salt_and_pepper(wave, 0.2, jax.random.key(0)))
        >>> print((noise.dark + noise.bright).round(2))
        0.2
    """
    pixels, _ = as_image(image)
    check_alpha(pixels, alpha)
    noise = estimated(pixels, alpha=alpha)
    shape = pixels.shape[2:] and (-1,)
    return ImpulseNoise(*(jnp.asarray(each).reshape(shape) for each in noise))


def check_alpha(pixels: Array, alpha: bool) -> None:
    """Refuse an image that has no channel beside that of opacity."""
    if alpha and (pixels.ndim < 3 or pixels.shape[2] < 2):
        raise SoftSortError(
            f"alpha: image has shape {pixels.shape}: give channels, the last of opacity"
        )


def estimated(image: Float[Array, "h w *c"], *, alpha: bool) -> ImpulseNoise:
    """The noise of each channel, by a program that is also that of the filter."""
    starts = [max(side - MIDDLE, 0) // 2 for side in image.shape[:2]]
    ends = [start + MIDDLE for start in starts]
    middle = image[starts[0] : ends[0], starts[1] : ends[1]]
    if isinstance(middle, Tracer) or isinstance(jnp.zeros(()), Tracer):
        return _estimated_at_once(middle, alpha)
    x, counts = split(np.asarray(middle), alpha, np)
    noise = _before(x, counts, np)
    images = [tiles.extended(each, _MARGINS, "reflect", 1) for each in (x, counts)]
    parts = [
        (place, *each, jnp.asarray(_inside(place, each[0].shape)))
        for place, each in tiles.cut(images, _MARGINS)
    ]
    known = [nothing_known(x) for _, x, *_ in parts]
    for number in range(_ROUNDS):
        passes = number, number + 1
        sums = np.zeros((2, 3, len(noise.low)))
        done = []
        for asked, (place, x, counts, inside) in zip(known, parts, strict=True):
            of_channel = ImpulseNoise(*(each[place[2]] for each in noise))
            softness = _softness(x.dtype)
            done.append(
                pass_over(x, counts, inside, asked, of_channel, softness, passes)
            )
        known = [asked for asked, *_ in done]
        for (_, _, of_tile), (place, *_) in zip(done, parts, strict=True):
            sums[..., place[2]] += np.asarray(of_tile)
        noise = _learned(sums, noise, np)
    return noise


def _inside(place: tiles.Place, shape: tuple[int, ...]) -> np.ndarray:
    """Which pixels of a tile count once, those without its margins."""
    result = np.zeros(shape, bool)
    rows, columns, _ = (each.stop - each.start for each in place)
    result[_MARGINS[0] :, _MARGINS[1] :][:rows, :columns] = True
    return result


@jax.jit(static_argnames="alpha")
def _estimated_at_once(image: Float[Array, "h w *c"], alpha: bool) -> ImpulseNoise:
    x, counts = split(image, alpha, jnp)
    noise = _before(x, counts, jnp)
    one = jnp.ones((), x.dtype)
    sides = 2 * _MARGINS[0] + 1, 2 * _MARGINS[1] + 1, 1
    x, counts = (
        extend(each[:, :, None], sides, "reflect", one) for each in (x, counts)
    )
    place = slice(0, image.shape[0]), slice(0, image.shape[1]), slice(0, 1)
    inside = jnp.asarray(_inside(place, (*x.shape[:2], 1)))

    def learn(number, state):
        asked, noise = state
        passes, softness = (number, number + 1), _softness(x.dtype)
        asked, _, sums = _pass_over(x, counts, inside, asked, noise, softness, passes)
        return asked, _learned(sums, noise, jnp)

    *_, noise = jax.lax.fori_loop(0, _ROUNDS, learn, (nothing_known(x), noise))
    return noise


def _softness(dtype: Any) -> Softness:
    return Softness(*(jnp.asarray(each, dtype) for each in (1e-2, 1, 1)))


def split(image: Any, alpha: bool, xp: Any) -> tuple[Any, Any]:
    """Values, and how much they count: by opacity, and only where they are finite.

    Both have channels, and are arrays of `xp`, NumPy or its like.
    """
    pixels = image.reshape(*image.shape[:2], -1)
    weight = xp.ones_like(pixels)
    if alpha:
        pixels, opacity = pixels[..., :-1], pixels[..., -1:]
        most = xp.max(opacity)
        weight = xp.broadcast_to(opacity / xp.where(most > 0, most, 1), pixels.shape)
    return pixels, xp.where(xp.isfinite(pixels), weight, 0)


def _before(x: Any, counts: Any, xp: Any) -> ImpulseNoise:
    """What is taken for the noise at first: its range is that of the pixels."""
    known = xp.where(counts > 0, x, np.nan)
    most, all_of = (
        xp.nanquantile(known, np.asarray(ends, x.dtype), (0, 1), method="nearest")
        for ends in ((_WILD, 1 - _WILD), (0.0, 1.0))
    )
    # Where all but a few are equal, these few are the range.
    low, high = xp.where(most[0] < most[1], most, all_of)
    one = xp.ones_like(low)
    return ImpulseNoise(low, high, 0.025 * one, 0.025 * one, 0.05 * one)


def _pass_over(
    x: Pixels,
    counts: Pixels,
    inside: Array,
    asked: Asked,
    noise: ImpulseNoise,
    softness: Softness,
    passes: tuple[Any, Any],
) -> tuple[Asked, tuple[Pixels, Pixels], Float[Array, "2 3 c"]]:
    """Do passes over an image: what is known then, `mixed_and_sure`, and sums of parts.

    Of the latter `_learned` makes the shares of noise. Where neighbours are as dark as
    the noise, nobody can tell whether a pixel is: that would make noise of a night sky.
    So the darkest value counts where others are expected, and likewise the brightest.
    """
    x = filled(x, counts)
    m, s, _ = asked = ask(x, counts, asked, noise, softness, passes)
    mixed = mixed_and_sure(x, counts, asked)
    kept, parts = densities(x, m, s, noise, softness)
    total = kept + sum(parts)
    unit = 10 * NEAR * range_of(noise)
    counts = counts * inside
    weights = (
        counts * (1 - jnp.exp(-jnp.maximum(m - noise.low, 0) / unit)),
        counts * (1 - jnp.exp(-jnp.maximum(noise.high - m, 0) / unit)),
        counts,
    )
    sums = [
        [jnp.sum(weight * part / total, (0, 1)), jnp.sum(weight, (0, 1))]
        for weight, part in zip(weights, parts, strict=True)
    ]
    of_parts, of_all = (jnp.stack(each) for each in zip(*sums, strict=True))
    return asked, mixed, jnp.stack([of_parts, of_all])


# As in `median`: by these kernels results would depend on how large the image is.
pass_over = jax.jit(
    _pass_over,
    compiler_options={"xla_cpu_experimental_ynn_fusion_type": ""},
)


def _learned(sums: Any, noise: ImpulseNoise, xp: Any) -> ImpulseNoise:
    """The shares of noise, by how likely each pixel is noise of each kind."""
    shares = sums[0] / xp.maximum(sums[1], 1) + 1e-5
    # Something is always left of the picture.
    shares = (shares / xp.maximum(sum(shares) / 0.9, 1)).astype(noise.low.dtype)
    return ImpulseNoise(noise.low, noise.high, *shares)
