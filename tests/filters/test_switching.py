"""The filter that leaves what is not noise: oracles, limits, gradients, pictures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage as ndimage
import skimage.data
from softsort_filters import (
    ImpulseNoise,
    denoise_strips,
    impulse_noise,
    psnr,
    salt_and_pepper,
    soft_median,
    soft_switching_median,
)

from softsort_core import SoftSortError

PAD = {"reflect": "symmetric", "nearest": "edge", "mirror": "reflect", "wrap": "wrap"}
NOISE = ImpulseNoise(0.0, 1.0, 0.06, 0.04, 0.1)
SHAPE = 14, 15


def picture(height, width, seed=0):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.uniform(size=(height, width)), 3)
    edges = np.arange(width) > width / 2
    return 0.2 + 0.3 * edges + 2 * (smooth - smooth.mean()) * (height > 20)


def spoilt(image, share=0.2, seed=1):
    rng = np.random.default_rng(seed)
    values = rng.uniform(size=image.shape)
    values = np.where(rng.uniform(size=image.shape) < 0.5, np.round(values), values)
    return np.where(rng.uniform(size=image.shape) < share, values, image)


IMAGE = spoilt(picture(*SHAPE) + 0.02 * np.random.default_rng(2).normal(size=SHAPE))


def hard_medians(image, weights, size, by=None, level=0.5):
    """Weighted medians without the centres, pixel by pixel, of what is extended."""
    rows, columns = size
    down, across = np.mgrid[:rows, :columns]
    away = (down - rows // 2) ** 2 + (across - columns // 2) ** 2
    inside = ((2 * (down - rows // 2) / rows) ** 2) + (
        (2 * (across - columns // 2) / columns) ** 2
    ) <= 1
    near = np.where(inside & (away > 0), np.exp(-away / 2) if by is None else by, 0)
    result = np.empty((image.shape[0] - rows + 1, image.shape[1] - columns + 1))
    for i, j in np.ndindex(result.shape):
        values = image[i : i + rows, j : j + columns].ravel()
        masses = (near * weights[i : i + rows, j : j + columns]).ravel()
        order = np.argsort(values)
        sums = np.cumsum(masses[order]) / masses.sum()
        # The mean of the quantiles of levels 0.49 to 0.51, where it is 0.5.
        ends = np.clip(sums, level - 0.01, level + 0.01)
        parts = np.diff(ends, prepend=level - 0.01)
        result[i, j] = parts @ values[order] / 0.02
    return result


def hard_switching_median(image, noise, border, weights=None, level=0.5):
    """What the filter tends to as epsilon goes to 0, by loops."""
    size, threshold, spread = (5, 5), 1.0, 0.7
    low, high, dark, bright, anywhere = noise
    span = high - low

    def inner(values, margin):
        return values[margin:-margin, margin:-margin]

    def blurred(values):
        kernel = np.exp(-((np.arange(-4, 5) / 2) ** 2) / 2)
        kernel /= kernel.sum()
        for axis in (0, 1):
            values = ndimage.correlate1d(values, kernel, axis)
        return inner(values, 4)

    def trust(x, m, s):
        s = spread * s + 0.003
        p = (1 - dark - bright - anywhere) * np.exp(-abs(x - m) / span / s) / (2 * s)
        q = dark * np.exp(-np.maximum(x - low, 0) / span / 0.003) / 0.003
        q += bright * np.exp(-np.maximum(high - x, 0) / span / 0.003) / 0.003
        return threshold * p / (threshold * p + q + anywhere)

    margins = [(14 + side // 2, 14 + side // 2) for side in size]
    x = np.pad(image, margins, PAD[border])
    m = hard_medians(x, np.ones_like(x), (3, 3))
    x = inner(x, 1)
    s = 3 / blurred(1 / (abs(x - m) / span + 0.01))
    x, m = inner(x, 4), inner(m, 4)
    t = trust(x, m, s)
    m = hard_medians(t * x + (1 - t) * m, t + 1e-6, (3, 3))
    x, t = inner(x, 1), inner(t, 1) + 1e-6
    s = blurred(t * abs(x - m) / span) / blurred(t)
    x, m = inner(x, 4), inner(m, 4)
    t = trust(x, m, s)
    again = t * x + (1 - t) * m
    again = hard_medians(again, t + 1e-6, size, weights, level)
    x, m, t = inner(x, 4 + 2), inner(m, 4 + 2), inner(t, 4 + 2)
    again = inner(again, 4)
    doubt = np.clip((0.98 - t) / 0.08, 0, 1)
    m += doubt**2 * (3 - 2 * doubt) * (again - m)
    return t * x + (1 - t) * m


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("border", PAD)
def test_the_limit_is_the_hard_filter(border):
    result = soft_switching_median(IMAGE, noise=NOISE, epsilon=1e-6, border=border)
    expected = hard_switching_median(IMAGE, NOISE, border)
    np.testing.assert_allclose(result, expected, atol=1e-6)
    assert np.abs(expected - IMAGE).max() > 0.3


@pytest.mark.usefixtures("x64")
def test_the_largest_window_has_weights_and_a_level():
    settings = {"weights": np.random.default_rng(6).uniform(size=(5, 5)), "level": 0.3}
    result = soft_switching_median(IMAGE, noise=NOISE, epsilon=1e-6, **settings)
    expected = hard_switching_median(IMAGE, NOISE, "reflect", **settings)
    np.testing.assert_allclose(result, expected, atol=1e-6)
    assert (
        np.abs(expected - hard_switching_median(IMAGE, NOISE, "reflect")).max() > 0.02
    )


@pytest.mark.usefixtures("x64")
def test_gradients_are_those_of_finite_differences():
    rng = np.random.default_rng(5)
    weights = jnp.asarray(rng.normal(size=SHAPE))

    names = "epsilon", "threshold", "spread", "level", "weights"

    def loss(image, *settings):
        settings = dict(zip(names, settings, strict=True))
        result = soft_switching_median(image, noise=NOISE, **settings)
        return jnp.sum(weights * result)

    near = rng.uniform(0.5, 1, size=(5, 5))
    # At the very darkest value the derivative is one-sided.
    image = picture(*SHAPE) + 0.02 * rng.normal(size=SHAPE)
    image = np.where(rng.uniform(size=SHAPE) < 0.2, rng.uniform(size=SHAPE), image)
    # Of one type with what is moved, so that there is one program.
    at = [jnp.asarray(each, float) for each in (image, 0.02, 1.0, 0.7, 0.4, near)]
    both = jax.jit(jax.value_and_grad(loss, range(6)))
    _, gradients = both(*at)
    step = 1e-6
    for i, gradient in enumerate(gradients):
        direction = rng.normal(size=gradient.shape)
        ahead, behind = (
            both(*at[:i], at[i] + sign * step * direction, *at[i + 1 :])[0]
            for sign in (1, -1)
        )
        expected = (ahead - behind) / (2 * step)
        np.testing.assert_allclose(np.sum(gradient * direction), expected, rtol=1e-5)


def test_single_precision_is_finite_for_hard_cases():
    rng = np.random.default_rng(6)
    cases = {
        "flat": np.full(SHAPE, 0.3),
        "two values": (rng.uniform(size=SHAPE) < 0.4) * 1.0,
        "high dynamic range": np.exp(6 * rng.normal(size=SHAPE)),
        "far out": np.where(rng.uniform(size=SHAPE) < 0.2, 1e10, IMAGE),
    }
    image = jnp.asarray(np.stack(list(cases.values()), -1), jnp.float32)

    @jax.jit
    def both(image, *softness):
        names = "epsilon", "threshold", "spread"

        def loss(image, *values):
            settings = dict(zip(names, values, strict=True))
            result = soft_switching_median(image, **settings)
            return jnp.sum(jnp.sin(jnp.arange(result.size)) * result.ravel()), result

        return jax.grad(loss, (0, 1, 2, 3), has_aux=True)(image, *softness)

    numbers = map(jnp.float32, (0.01, 1.0, 0.7))
    for part in jax.tree.leaves(both(image, *numbers)):
        assert np.all(np.isfinite(part))


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("scale", "offset"), [(1e-6, 0), (1e6, 0), (1, 1e3), (1e-6, 1e3), (1e6, 1e3)]
)
def test_units_and_offsets_do_not_matter(scale, offset):
    expected = soft_switching_median(IMAGE)
    result = soft_switching_median(scale * IMAGE + offset)
    np.testing.assert_allclose((result - offset) / scale, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("share", [0.1, 0.4])
def test_it_beats_the_median_by_much(share):
    clean = skimage.data.camera()[64:160, 160:256] / 255
    noisy = salt_and_pepper(clean.astype("float32"), share, jax.random.key(0))
    result = soft_switching_median(noisy)
    best = max(psnr(soft_median(noisy, size), clean, 1) for size in (3, 5))
    assert psnr(result, clean, 1) > best + 4


def test_a_clean_picture_stays():
    clean = picture(96, 96).astype("float32")
    assert psnr(soft_switching_median(clean), clean, 1) > 60


@pytest.mark.parametrize("kind", ["dark", "bright", "anywhere"])
def test_kind_and_share_of_noise_are_told(kind):
    rng = np.random.default_rng(7)
    clean = picture(96, 96)
    values = {"dark": 0.0, "bright": 1.0, "anywhere": rng.uniform(size=clean.shape)}
    chosen = rng.uniform(size=clean.shape) < 0.2
    noise = impulse_noise(np.where(chosen, values[kind], clean).astype("float32"))
    for name in ("dark", "bright", "anywhere"):
        share = chosen.mean() if name == kind else 0
        assert abs(getattr(noise, name) - share) < 0.03, name


@pytest.mark.parametrize("border", ["reflect", "wrap"])
def test_strips_and_tiles_do_not_show(border):
    image = spoilt(picture(420, 70)).astype("float32")
    whole = soft_switching_median(image, border=border)
    settings = {"border": border, "memory": 2**26 + 64 * 70 * 200}
    strips = list(denoise_strips(image, deviation=0, **settings))
    assert len(strips) > 2
    np.testing.assert_allclose(
        np.concatenate([values for _, values in strips]), whole, atol=1e-6
    )


def test_channels_and_types():
    image = np.round(
        255 * np.stack([IMAGE, IMAGE.T[:14, :15].repeat(2, 1)[:, :15]], -1)
    )
    result = soft_switching_median(image.astype("uint8"), noise=by_255())
    for channel in range(2):
        alone = soft_switching_median(
            image[..., channel].astype("float32"), noise=by_255()
        )
        np.testing.assert_allclose(result[..., channel], alone, atol=1e-3)
    assert soft_switching_median(IMAGE.astype("float16")).dtype == "float16"


def by_255():
    return NOISE._replace(high=255.0)


def test_what_is_not_there_takes_no_part():
    clean = picture(96, 96).astype("float32")
    holes = clean.copy()
    holes[40:60, 10:20] = np.nan
    holes[5, 5] = np.inf
    result = soft_switching_median(holes)
    np.testing.assert_array_equal(np.isnan(result), ~np.isfinite(holes))
    there = np.isfinite(holes)
    np.testing.assert_allclose(result[there], clean[there], atol=2e-2)


def test_opacity_counts_and_stays():
    clean = picture(96, 96).astype("float32")
    opacity = np.ones_like(clean)
    opacity[:, :30] = 0
    hidden = np.where(opacity > 0, clean, 1)
    image = np.stack([hidden, opacity], axis=-1)
    result = soft_switching_median(image, alpha=True)
    np.testing.assert_array_equal(result[..., 1], opacity)
    np.testing.assert_array_equal(result[:, :30, 0], 1)
    np.testing.assert_allclose(result[:, 30:, 0], clean[:, 30:], atol=2e-2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": 2}, ["size", "odd"]),
        ({"size": 1}, ["size", "centre"]),
        ({"threshold": 0}, ["threshold", "0", "positive"]),
        ({"spread": -1}, ["spread", "-1", "positive"]),
        ({"level": 2}, ["2", "[0, 1]"]),
        ({"weights": np.ones((3, 3))}, ["weights", "(3, 3)", "size", "(5, 5)"]),
        ({"iterations": 0}, ["iterations", "positive"]),
        ({"alpha": True}, ["alpha", "channels"]),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_errors_name_the_argument_and_the_remedy(arguments, words):
    with pytest.raises(SoftSortError) as caught:
        soft_switching_median(IMAGE, **arguments)
    for word in words:
        assert word in str(caught.value)
