"""Noise: how many pixels, which, and how much."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from softsort_filters import gaussian_noise, salt_and_pepper, speckle_noise

from softsort_core import SoftSortError

KEY = jax.random.key(7)
GREY = np.full((9, 14), 0.5, "float32")


@pytest.mark.parametrize(
    "amount", [0, 0.001, 0.1, 0.37, 0.5, 0.999, 1, np.float32(0.2)]
)
@pytest.mark.parametrize("shape", [(9, 14), (1, 1), (40, 50)])
def test_exactly_the_fraction_of_pixels_is_replaced(amount, shape):
    noisy = np.asarray(salt_and_pepper(np.full(shape, 0.5), amount, KEY))
    expected = math.ceil(amount * shape[0] * shape[1])
    assert np.count_nonzero(noisy != 0.5) == expected
    assert set(np.unique(noisy)) <= {0.0, 0.5, 1.0}


def test_each_pixel_and_each_extreme_is_as_likely_as_any_other():
    keys = jax.random.split(KEY, 4000)
    noisy = jax.vmap(lambda key: salt_and_pepper(GREY, 0.25, key))(keys)
    share = math.ceil(0.25 * GREY.size) / GREY.size
    deviation = math.sqrt(share * (1 - share) / len(keys))
    often = np.mean(noisy != 0.5, axis=0)
    assert np.abs(often - share).max() < 4.5 * deviation
    salt = np.mean(np.asarray(noisy)[noisy != 0.5])
    assert abs(salt - 0.5) < 4 * 0.5 / math.sqrt(share * noisy.size)


def test_places_are_as_good_as_independent():
    # The number of replaced pixels in the first half is hypergeometric.
    keys = jax.random.split(jax.random.key(1), 4000)
    noisy = jax.vmap(lambda key: salt_and_pepper(GREY, 0.5, key))(keys)
    n = GREY.size
    counts = np.sum(np.reshape(noisy, (len(keys), n))[:, : n // 2] != 0.5, axis=1)
    variance = (n / 2) * 0.25 * (n / 2) / (n - 1)
    assert abs(counts.var() / variance - 1) < 0.1


def test_the_key_decides():
    first = salt_and_pepper(GREY, 0.3, KEY)
    np.testing.assert_array_equal(first, salt_and_pepper(GREY, 0.3, KEY))
    assert np.any(first != salt_and_pepper(GREY, 0.3, jax.random.key(8)))
    old_style = salt_and_pepper(GREY, 0.3, jax.random.PRNGKey(7))
    np.testing.assert_array_equal(first, old_style)


def test_channels_of_a_pixel_change_together():
    image = np.random.default_rng(0).uniform(0.2, 0.8, size=(9, 14, 3))
    noisy = np.asarray(salt_and_pepper(image, 0.3, KEY))
    replaced = np.asarray(salt_and_pepper(GREY, 0.3, KEY)) != 0.5
    np.testing.assert_array_equal(
        noisy != image.astype("float32"), np.stack([replaced] * 3, axis=-1)
    )
    np.testing.assert_array_equal(noisy[replaced].min(-1), noisy[replaced].max(-1))


def test_pixels_that_are_kept_are_not_touched():
    image = np.random.default_rng(0).uniform(0.2, 0.8, size=(9, 14)).astype("float32")
    noisy = np.asarray(salt_and_pepper(image, 0.3, KEY))
    kept = (noisy != 0) & (noisy != 1)
    np.testing.assert_array_equal(noisy[kept], image[kept])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
def test_the_dtype_is_kept_and_the_extremes_can_be_chosen(dtype):
    noisy = salt_and_pepper(np.full((9, 14), 100, dtype), 0.4, KEY, low=3, high=255)
    assert noisy.dtype == dtype
    np.testing.assert_array_equal(np.unique(noisy), [3, 100, 255])


def test_under_jit():
    noisy = jax.jit(salt_and_pepper, static_argnums=1)(GREY, 0.3, KEY)
    np.testing.assert_array_equal(noisy, salt_and_pepper(GREY, 0.3, KEY))
    traced = jax.jit(salt_and_pepper)
    np.testing.assert_array_equal(traced(GREY, 0.3, KEY), noisy)
    np.testing.assert_array_equal(traced(GREY, jnp.nan, KEY), GREY)


RAMP = np.tile(np.linspace(0.2, 0.8, 300, dtype="float32"), (400, 1))


@pytest.mark.parametrize(
    ("noise", "scale"), [(gaussian_noise, np.ones_like(RAMP)), (speckle_noise, RAMP)]
)
def test_continuous_noise_is_normal(noise, scale):
    z = np.ravel((noise(RAMP, 0.05, KEY) - RAMP) / (0.05 * scale))
    assert stats.kstest(z, "norm").pvalue > 0.01
    # Neighbours know nothing of each other.
    assert abs(np.corrcoef(z[1:], z[:-1])[0, 1]) < 4 / math.sqrt(z.size)


@pytest.mark.parametrize("noise", [gaussian_noise, speckle_noise])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
def test_continuous_noise_keeps_range_and_dtype(noise, dtype):
    image = np.tile(np.arange(64), (60, 1)).astype(dtype)
    noisy = np.asarray(noise(image, 0.3, KEY, low=0, high=63))
    assert noisy.dtype == dtype
    assert (noisy.min(), noisy.max()) == (0, 63)
    np.testing.assert_array_equal(noise(image, 0.0, KEY, high=63), image)
    # The noise of integers is that of numbers, rounded.
    exact = noise(image.astype("float32"), 0.3, KEY, low=0, high=63)
    within = 0.05 if dtype == "float16" else 0.5001
    assert np.abs(noisy.astype("float32") - exact).max() <= within


def test_continuous_noise_scales_with_the_range():
    image = np.asarray(RAMP[:30])
    for noise in (gaussian_noise, speckle_noise):
        expected = 200 * noise(image, 0.1, KEY) - 50
        found = noise(200 * image - 50, 0.1, KEY, low=-50, high=150)
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_channels_have_continuous_noise_of_their_own():
    noisy = np.asarray(gaussian_noise(np.full((60, 60, 2), 0.5), 0.1, KEY))
    assert abs(np.corrcoef(noisy[..., 0].ravel(), noisy[..., 1].ravel())[0, 1]) < 0.1


@pytest.mark.parametrize("amount", [-0.1, np.nan, np.inf, [0.1], "much"])
@pytest.mark.parametrize("noise", [gaussian_noise, speckle_noise])
@pytest.mark.usefixtures("unchecked_types")
def test_continuous_noise_refuses_impossible_amounts(noise, amount):
    with pytest.raises(SoftSortError, match=r"amount is .*not negative"):
        noise(GREY, amount, KEY)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"amount": -0.1}, ["amount", "-0.1", "[0, 1]"]),
        ({"amount": 1.1}, ["amount", "1.1", "[0, 1]"]),
        ({"amount": np.nan}, ["amount", "nan", "[0, 1]"]),
        ({"amount": [0.1]}, ["amount", "[0.1]", "one"]),
        ({"image": np.zeros((0, 3))}, ["image", "(0, 3)"]),
        ({"image": np.zeros(3)}, ["image", "(3,)"]),
        ({"image": np.zeros((3, 3), "uint8"), "high": 256}, ["high", "256", "uint8"]),
        ({"image": np.zeros((3, 3), "uint8"), "low": 0.5}, ["low", "0.5", "uint8"]),
        ({"key": 3.5}, ["key", "3.5", "jax.random.key"]),
        ({"key": None}, ["key", "None", "jax.random.key"]),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_errors_name_the_argument_the_value_and_the_remedy(arguments, words):
    with pytest.raises(SoftSortError) as caught:
        salt_and_pepper(**{"image": GREY, "amount": 0.1, "key": KEY, **arguments})
    for word in words:
        assert word in str(caught.value)
