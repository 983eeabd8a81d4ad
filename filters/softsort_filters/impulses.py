"""The noise of an image: single pixels of other values."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_filters import tiles
from softsort_filters.arguments import Image, Number, as_image, is_traced
from softsort_filters.asking import (
    Asked,
    ask,
    filled,
    mixed_and_sure,
    nothing_known,
    reach,
)
from softsort_filters.channels import check_alpha, middle_of, split
from softsort_filters.impulse_model import (
    NEAR,
    ImpulseNoise,
    Pixels,
    Softness,
    densities,
)
from softsort_filters.windows import compiled, extended

# Of the values, at either end, that may be beyond the range: a few wild pixels.
_WILD = 1e-3
_ROUNDS = 8
# Gaps are filled by what is around, and pixels asked.
_MARGINS = (reach(1), reach(1))


def impulse_noise(
    image: Image,
    *,
    deviation: Number | Float[Array | np.ndarray, "*c"] = 0.0,
    alpha: bool = False,
) -> ImpulseNoise:
    """Estimate how many pixels of an image are noise, and of which kind.

    The shares are those that explain the pixels best, by the model that
    `soft_switching_median` has of them, after eight rounds of expectation maximization
    (Dempster, Laird and Rubin, 1977). Of images larger than 512 x 512 the middle is
    looked at.

    Args:
        image: see `soft_switching_median`.
        deviation: of the noise that all pixels have besides, one for all channels or
            one each: what it cuts off at the darkest and the brightest value does not
            count.
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
    noise = estimated(pixels, deviation, alpha=alpha)
    shape = pixels.shape[2:] and (-1,)
    return ImpulseNoise(*(jnp.asarray(each).reshape(shape) for each in noise))


def estimated(
    image: Float[Array, "h w *c"], deviation: Any = 0.0, *, alpha: bool
) -> ImpulseNoise:
    """The noise of each channel, by a program that is also that of the filter."""
    middle = middle_of(image)
    if is_traced(middle):
        return _estimated_at_once(middle, deviation, alpha)
    x, counts = split(np.asarray(middle), alpha, np)
    noise = _before(x, counts, np)
    near = _near_to_ends(noise, deviation, np)
    images = [extended(each, _MARGINS, "reflect", None, np) for each in (x, counts)]
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
            model = of_channel, softness, near[place[2]]
            done.append(pass_over(x, counts, inside, asked, model, passes))
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
def _estimated_at_once(
    image: Float[Array, "h w *c"], deviation: Any, alpha: bool
) -> ImpulseNoise:
    x, counts = split(image, alpha, jnp)
    noise = _before(x, counts, jnp)
    near = _near_to_ends(noise, deviation, jnp)
    x, counts = (extended(each, _MARGINS, "reflect", None, jnp) for each in (x, counts))
    place = slice(0, image.shape[0]), slice(0, image.shape[1]), slice(0, 1)
    inside = jnp.asarray(_inside(place, (*x.shape[:2], 1)))

    def learn(number, state):
        asked, noise = state
        passes, softness = (number, number + 1), _softness(x.dtype)
        model = noise, softness, near
        asked, _, sums = _pass_over(x, counts, inside, asked, model, passes)
        return asked, _learned(sums, noise, jnp)

    *_, noise = jax.lax.fori_loop(0, _ROUNDS, learn, (nothing_known(x), noise))
    return noise


def _softness(dtype: Any) -> Softness:
    return Softness(*(jnp.asarray(each, dtype) for each in (1e-2, 1, 1)))


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


def _near_to_ends(noise: ImpulseNoise, deviation: Any, xp: Any) -> Any:
    """How near to the darkest and the brightest value these count as noise little."""
    span = noise.high - noise.low
    span = xp.where(span > 0, span, 1)
    wide = 3 * xp.asarray(deviation, span.dtype)
    return xp.maximum(10 * NEAR * span, wide)


def _pass_over(
    x: Pixels,
    counts: Pixels,
    inside: Array,
    asked: Asked,
    model: tuple[ImpulseNoise, Softness, Any],
    passes: tuple[Any, Any],
) -> tuple[Asked, tuple[Pixels, Pixels], Float[Array, "2 3 c"]]:
    """Do passes over an image: what is known then, `mixed_and_sure`, and sums of parts.

    Of the latter `_learned` makes the shares of noise. Where neighbours are as dark as
    the noise, nobody can tell whether a pixel is: that would make noise of a night sky.
    So the darkest value counts where others are expected, and likewise the brightest.
    """
    (noise, softness, near), x = model, filled(x, counts)
    m, s, _ = asked = ask(x, counts, asked, noise, softness, passes)
    mixed = mixed_and_sure(x, counts, asked)
    kept, parts = densities(x, m, s, noise, softness)
    total = kept + sum(parts)
    counts = counts * inside
    weights = (
        counts * (1 - jnp.exp(-jnp.maximum(m - noise.low, 0) / near)),
        counts * (1 - jnp.exp(-jnp.maximum(noise.high - m, 0) / near)),
        counts,
    )
    sums = [
        [jnp.sum(weight * part / total, (0, 1)), jnp.sum(weight, (0, 1))]
        for weight, part in zip(weights, parts, strict=True)
    ]
    of_parts, of_all = (jnp.stack(each) for each in zip(*sums, strict=True))
    return asked, mixed, jnp.stack([of_parts, of_all])


pass_over = compiled(_pass_over)


def _learned(sums: Any, noise: ImpulseNoise, xp: Any) -> ImpulseNoise:
    """The shares of noise, by how likely each pixel is noise of each kind."""
    shares = sums[0] / xp.maximum(sums[1], 1) + 1e-5
    # Something is always left of the picture.
    shares = (shares / xp.maximum(sum(shares) / 0.9, 1)).astype(noise.low.dtype)
    return ImpulseNoise(noise.low, noise.high, *shares)
