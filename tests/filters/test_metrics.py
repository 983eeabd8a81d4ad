"""PSNR and SSIM against scikit-image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from softsort_filters import psnr, ssim

from softsort_core import SoftSortError


def pair(shape, noise, seed=0):
    """A smooth picture in [0, 1], and it with noise."""
    rng = np.random.default_rng(seed)
    y, x, *_ = np.indices(shape) / np.max(shape)
    reference = 0.5 + 0.5 * np.sin(7 * x + 3 * y**2)
    return np.clip(reference + noise * rng.normal(size=shape), 0, 1), reference


def channel_axis(image):
    return -1 if image.ndim == 3 else None


@pytest.mark.parametrize("noise", [1e-4, 0.02, 1.0])
@pytest.mark.parametrize("shape", [(40, 31), (40, 31, 3), (7, 7)])
def test_metrics_are_scikit_images(shape, noise):
    image, reference = pair(shape, noise)
    for scale, dtype in [(1, "float32"), (255, "uint8"), (65535, "uint16")]:
        x, y = ((scale * values).astype(dtype) for values in (image, reference))
        expected = structural_similarity(
            y, x, data_range=scale, channel_axis=channel_axis(x)
        )
        assert abs(ssim(x, y, scale) - expected) < 2e-6
        if not np.array_equal(x, y):
            expected = peak_signal_noise_ratio(y, x, data_range=scale)
            assert abs(psnr(x, y, scale) - expected) < 2e-4


def test_a_common_offset_costs_no_digits():
    # Multiples of 1/256, which float32 holds exactly.
    image, reference = (np.round(256 * x) / 256 for x in pair((40, 31), 0.1))
    expected = structural_similarity(reference + 500, image + 500, data_range=1.0)
    assert abs(ssim(image + 500, reference + 500, 1.0) - expected) < 1e-5


def test_sums_of_millions_keep_their_digits():
    image = np.zeros((3000, 3000), "float32")
    assert abs(psnr(image, image + np.float32(0.1), 1.0) - 20) < 1e-4


def test_equal_images_are_perfect():
    image, _ = pair((12, 9), 0.1)
    assert psnr(image, image, 1.0) == np.inf
    assert ssim(image, image, 1.0) == 1


def test_metrics_can_be_losses():
    image, reference = map(jnp.asarray, pair((12, 9), 0.1))
    for metric in (psnr, ssim):
        slopes = jax.jit(jax.grad(metric), static_argnums=2)(image, reference, 1.0)
        uphill = metric(image + 1e-3 * slopes / jnp.abs(slopes).max(), reference, 1.0)
        assert uphill > metric(image, reference, 1.0)


GOOD = np.zeros((8, 9))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((GOOD, GOOD.T, 1), ["image", "reference", "(8, 9)", "(9, 8)"]),
        ((GOOD, GOOD[..., None], 1), ["(8, 9, 1)"]),
        ((GOOD, 1j * GOOD, 1), ["reference", "complex"]),
        ((GOOD, GOOD, 0), ["data_range", "0", "positive"]),
        ((GOOD, GOOD, None), ["data_range", "None", "255"]),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("metric", [psnr, ssim])
def test_errors_name_the_argument_the_value_and_the_remedy(metric, arguments, words):
    with pytest.raises(SoftSortError) as caught:
        metric(*arguments)
    for word in words:
        assert word in str(caught.value)


def test_ssim_needs_a_window():
    with pytest.raises(SoftSortError, match=r"\(6, 9\).*at least 7"):
        ssim(GOOD[:6], GOOD[:6], 1)
