"""The mean of alike patches, and the estimates of noise: oracles, units, strips."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
from softsort_filters import (
    denoise,
    denoise_strips,
    estimate_noise,
    gaussian_deviation,
    gaussian_noise,
    psnr,
    salt_and_pepper,
    soft_nonlocal_mean,
)

from softsort_core import SoftSortError

SHAPE = 14, 15
RNG = np.random.default_rng(0)
IMAGE = 0.3 + 0.4 * (np.arange(15) > 7) + 0.05 * RNG.normal(size=SHAPE)
CAMERA = (skimage.data.camera()[64:160, 160:256] / 255).astype("float32")


def by_loops(image, deviation):
    """Two rounds of means, pixel by pixel."""
    near = np.exp(-((np.arange(-2, 3) / 2 * 1.5) ** 2) / 2)
    near = np.outer(near, near) / near.sum() ** 2

    def once(x, pilot, least, width):
        result, patches = x.copy(), np.lib.stride_tricks.sliding_window_view
        patches = patches(np.pad(pilot, 2), (5, 5))
        for i, j in np.ndindex(x.shape):
            if not (9 <= i < x.shape[0] - 9 and 9 <= j < x.shape[1] - 9):
                continue
            around = slice(i - 7, i + 8), slice(j - 7, j + 8)
            d = (near * (patches[around] - patches[i, j]) ** 2).sum((2, 3))
            w = np.exp(-np.maximum(d / deviation**2 - least, 0) / width**2)
            w[7, 7] = 0
            most = max(w.max(), 1e-6)
            result[i, j] = ((w * x[around]).sum() + most * x[i, j]) / (w.sum() + most)
        return result

    x = np.pad(image, 18, "symmetric")
    return once(x, once(x, x, 2, 0.7), 0, 0.4)[18:-18, 18:-18]


@pytest.mark.usefixtures("x64")
def test_it_is_the_mean_of_alike_patches_in_any_unit():
    expected = by_loops(IMAGE, 0.05)
    result = soft_nonlocal_mean(IMAGE, 0.05)
    np.testing.assert_allclose(result, expected, atol=1e-9)
    assert np.abs(expected - IMAGE).max() > 0.05
    for scale, offset in ((1e-6, 0), (1e6, 1e3)):
        other = soft_nonlocal_mean(scale * IMAGE + offset, scale * 0.05)
        np.testing.assert_allclose((other - offset) / scale, expected, atol=1e-6)


@pytest.mark.usefixtures("x64")
def test_gradients_are_those_of_finite_differences():
    weights = jnp.asarray(RNG.normal(size=SHAPE))

    def loss(image, deviation):
        return jnp.sum(weights * soft_nonlocal_mean(image, deviation))

    at = jnp.asarray(IMAGE), jnp.asarray(0.05)
    both = jax.jit(jax.value_and_grad(loss, (0, 1)))
    _, gradients = both(*at)
    directions = RNG.normal(size=SHAPE), 1.0
    for i, direction in enumerate(directions):
        ends = []
        for sign in (1, -1):
            moved = list(at)
            moved[i] = at[i] + sign * 1e-8 * direction
            ends.append(both(*moved)[0])
        expected = (ends[0] - ends[1]) / 2e-8
        np.testing.assert_allclose(
            np.sum(gradients[i] * direction), expected, rtol=1e-5
        )


def test_what_is_not_there_takes_no_part():
    holes = IMAGE.astype("float32")
    holes[3:5, 4:6] = np.nan
    opacity = np.where(np.arange(15) > 2, 1, 0) * np.ones(SHAPE)
    result = soft_nonlocal_mean(np.stack([holes, opacity], -1), 0.05, alpha=True)
    np.testing.assert_array_equal(np.isnan(result[..., 0]), np.isnan(holes))
    np.testing.assert_array_equal(result[..., 1], opacity)
    np.testing.assert_array_equal(result[:, :3, 0], holes[:, :3])
    filled = soft_nonlocal_mean(np.nan_to_num(holes, nan=0.3), 0.05)
    there = np.isfinite(holes) & (opacity > 0)
    np.testing.assert_allclose(result[..., 0][there], filled[there], atol=0.05)
    flat = np.full(SHAPE, 0.3, np.float32)
    np.testing.assert_array_equal(soft_nonlocal_mean(flat, 0.0), flat)


@pytest.mark.parametrize(("deviation", "share"), [(0.05, 0), (0.1, 0), (0.05, 0.1)])
def test_the_noise_of_a_picture_is_told_and_taken_out(deviation, share):
    clean = 0.2 + 0.6 * CAMERA
    noisy = gaussian_noise(clean, deviation, jax.random.key(0))
    noisy = salt_and_pepper(noisy, share, jax.random.key(1))
    noise = estimate_noise(noisy)
    assert abs(noise.deviation / deviation - 1) < 0.2
    assert abs(noise.impulses.dark + noise.impulses.bright - share) < 0.04
    assert psnr(denoise(noisy), clean, 1) > psnr(noisy, clean, 1) + 4
    # Black and white cut off noise, and say nothing of how much there is.
    half = np.where(np.arange(96) < 48, 0, CAMERA - CAMERA.mean() + 0.5)
    cut = gaussian_noise(half.astype("float32"), deviation, jax.random.key(0))
    assert abs(gaussian_deviation(cut) / deviation - 1) < 0.2


def test_strips_give_what_the_whole_gives():
    noisy = gaussian_noise(np.tile(CAMERA[:, :12], (2, 1)), 0.05, jax.random.key(0))
    noisy = np.asarray(salt_and_pepper(noisy, 0.1, jax.random.key(1)))
    strips = list(denoise_strips(noisy, memory=2**26 + 64 * 12 * 140))
    assert len(strips) > 2
    together = np.concatenate([values for _, values in strips])
    np.testing.assert_allclose(together, denoise(noisy), atol=1e-5)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"deviation": -1}, ["-1", "not negative"]),
        ({"border": "constant"}, ["border", "constant"]),
        ({"alpha": True}, ["alpha", "channels"]),
    ],
)
def test_errors_name_the_argument_and_the_remedy(arguments, words):
    with pytest.raises(SoftSortError) as caught:
        soft_nonlocal_mean(IMAGE, **arguments)
    for word in words:
        assert word in str(caught.value)
    with pytest.raises(SoftSortError, match="before"):
        gaussian_deviation(IMAGE, before=IMAGE[1:])
