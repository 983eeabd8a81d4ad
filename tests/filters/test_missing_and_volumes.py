"""Values that are not there, channels on any axis, and windows of three sides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.morphology
from scipy import ndimage
from softsort_filters import (
    choose,
    salt_and_pepper,
    soft_median,
    soft_quantile_filter,
    soft_quantile_strips,
)

import softsort_core
from softsort_core import SoftSortError

RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.permutation(12 * 17).reshape(12, 17) / 200
THERE = RANDOM.random(IMAGE.shape) > 0.3
HOLES = np.where(THERE, IMAGE, np.nan)
VOLUME = RANDOM.permutation(5 * 6 * 7).reshape(5, 6, 7) / 200


@pytest.mark.parametrize("size", [3, 5])
def test_missing_values_are_as_if_windows_were_smaller(size):
    result = soft_median(HOLES, size, where=THERE, epsilon=1e-6)
    expected = ndimage.generic_filter(HOLES, np.nanmedian, size=size)
    np.testing.assert_allclose(result[THERE], expected[THERE], atol=1e-6)
    assert np.isnan(result[~THERE]).all()
    # Nor does it matter what is there instead.
    other = soft_median(np.where(THERE, IMAGE, 1e9), size, where=THERE, epsilon=1e-6)
    np.testing.assert_array_equal(other[THERE], result[THERE])
    assert (other[~THERE] == np.float32(1e9)).all()


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("size", [5, 11])
def test_windows_with_holes_are_the_soft_quantiles_of_the_rest(size):
    result = soft_quantile_filter(HOLES, 0.4, size, where=THERE, epsilon=0.05)
    padded = np.pad(HOLES, size // 2, "symmetric")
    for row, column in np.argwhere(THERE)[::60]:
        values = padded[row : row + size, column : column + size]
        values = values[np.isfinite(values)]
        expected = softsort_core.quantile(values, 0.4, epsilon=0.05, tolerance=1e-9)
        np.testing.assert_allclose(result[row, column], expected, atol=1e-6)


def test_nothing_missing_changes_nothing():
    everywhere = np.ones(IMAGE.shape, bool)
    for options in ({}, {"size": 5, "iterations": 2, "border": "constant"}):
        result = soft_median(IMAGE, where=everywhere, **options)
        np.testing.assert_allclose(result, soft_median(IMAGE, **options), atol=1e-6)


def test_missing_values_of_channels_and_beside_opacity():
    image = np.stack([HOLES, IMAGE, HOLES[::-1]], axis=-1)
    there = np.isfinite(image)
    result = soft_median(image, where=there)
    for channel in range(3):
        alone = soft_median(image[..., channel], where=there[..., channel])
        np.testing.assert_allclose(result[..., channel], alone, atol=1e-6)
    opaque = np.concatenate([image, np.ones((12, 17, 1))], axis=-1)
    by_pixel = there.all(-1)
    beside = soft_median(opaque, where=by_pixel, alpha=True)[..., :3]
    expected = soft_median(image, where=by_pixel)
    np.testing.assert_allclose(beside, expected, atol=1e-6)


def test_iterations_leave_missing_values_where_they_are():
    once = soft_median(HOLES, where=THERE)
    twice = soft_median(HOLES, where=THERE, iterations=2)
    np.testing.assert_allclose(twice, soft_median(once, where=THERE), atol=1e-6)


def test_strips_with_missing_values_are_bit_by_bit_the_whole():
    whole = soft_median(HOLES, where=THERE, border="wrap")
    memory = 2**26 + 64 * 17 * 6
    strips = soft_quantile_strips(HOLES, where=THERE, border="wrap", memory=memory)
    parts = [values for _, values in strips]
    assert len(parts) > 2
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("border", ["reflect", "nearest", "mirror", "wrap", "constant"])
def test_windows_of_volumes_are_scipys_as_epsilon_vanishes(border):
    size = (3, 5, 1)
    options = {"border": border, "cval": -1.0, "channel_axis": None}
    result = soft_median(VOLUME, size, epsilon=1e-6, **options)
    expected = ndimage.median_filter(VOLUME, size, mode=border, cval=-1)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_footprints_weights_and_channels_of_volumes():
    ball = skimage.morphology.ball(1)  # of 0 and 1
    result = soft_median(VOLUME, footprint=ball, epsilon=1e-6, channel_axis=None)
    expected = ndimage.median_filter(VOLUME, footprint=ball)
    np.testing.assert_allclose(result, expected, atol=1e-5)
    weighted = soft_median(VOLUME, weights=ball, epsilon=1e-6, channel_axis=None)
    np.testing.assert_allclose(weighted, expected, atol=1e-5)
    two = np.stack([VOLUME, VOLUME[::-1]])
    both = soft_median(two, footprint=ball, epsilon=1e-6, channel_axis=0)
    np.testing.assert_allclose(both[0], result, atol=1e-6)
    np.testing.assert_allclose(both[1][::-1], result, atol=1e-6)
    there = RANDOM.random(VOLUME.shape) > 0.3
    holes = np.where(there, VOLUME, np.nan)
    result = soft_median(holes, where=there, epsilon=1e-6, channel_axis=None)
    expected = ndimage.generic_filter(holes, np.nanmedian, size=3)
    np.testing.assert_allclose(result[there], expected[there], atol=1e-5)


@pytest.mark.usefixtures("x64")
def test_soft_windows_of_volumes_are_soft_quantiles():
    result = soft_quantile_filter(VOLUME, 0.3, 3, epsilon=0.1, channel_axis=None)
    padded = np.pad(VOLUME, 1, "symmetric")
    for i, j, k in ([0, 0, 0], [2, 3, 6], [4, 5, 1]):
        values = padded[i : i + 3, j : j + 3, k : k + 3].ravel()
        expected = softsort_core.quantile(values, 0.3, epsilon=0.1, tolerance=1e-9)
        np.testing.assert_allclose(result[i, j, k], expected, atol=1e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("options", [{"where": THERE}, {"channel_axis": None}])
def test_derivatives_are_those_of_finite_differences(options):
    image = HOLES if "where" in options else VOLUME
    towards, read = RANDOM.normal(size=(2, *image.shape))

    @jax.jit
    @jax.value_and_grad
    def function(step):
        result = soft_median(image + step * towards, epsilon=0.1, **options)
        return jnp.nansum(read * result)

    _, slope = function(0.0)
    difference = (function(1e-5)[0] - function(-1e-5)[0]) / 2e-5
    missing = np.isnan(image)
    np.testing.assert_allclose(slope, difference, rtol=1e-5)
    assert np.isfinite(slope)
    assert missing.any() == ("where" in options)


def test_channels_on_any_axis():
    image = RANDOM.random((12, 17, 3))
    expected = soft_median(image)
    for axis in (0, 1, -3):
        moved = soft_median(np.moveaxis(image, -1, axis), channel_axis=axis)
        np.testing.assert_array_equal(np.moveaxis(moved, axis, -1), expected)
    with pytest.raises(SoftSortError, match="channel_axis=None if it is a volume"):
        soft_median(VOLUME)
    alone = soft_median(VOLUME, channel_axis=0)
    np.testing.assert_array_equal(alone[2], soft_median(VOLUME[2]))


def test_footprints_and_sizes_of_other_libraries():
    disk = skimage.morphology.disk(2)
    assert disk.dtype == np.uint8
    expected = soft_median(IMAGE, footprint=disk.astype(bool))
    np.testing.assert_array_equal(soft_median(IMAGE, footprint=disk), expected)
    expected = soft_median(IMAGE, (3, 5))
    for size in (np.array([3, 5]), [3, 5], jnp.array([3, 5])):
        np.testing.assert_array_equal(soft_median(IMAGE, size), expected)


def test_integers_beyond_32_bits():
    image = np.arange(9, dtype=np.int64).reshape(3, 3) * 10**9
    result = soft_median(image, epsilon=1e-4)
    np.testing.assert_allclose(result, ndimage.median_filter(image, 3), rtol=1e-6)
    key = jax.random.key(0)
    with pytest.raises(SoftSortError, match="int64 values that int32 cannot hold"):
        salt_and_pepper(image, 0.1, key)
    assert salt_and_pepper(image // 10**9, 0.1, key).dtype == np.int32


def test_images_of_all_sizes_share_the_programs_of_a_choice():
    seen = set()

    def shapes(event, *_, fun_name="", **__):
        if "jaxpr_trace" in event and "filter" in fun_name:
            seen.add(fun_name)

    small = choose(IMAGE, epsilons=[0.1], sizes=[3, 5])
    jax.monitoring.register_event_duration_secs_listener(shapes)
    try:
        for side in (9, 14, 40, 130):
            choose(RANDOM.random((side, side + 3)), epsilons=[0.1], sizes=[3, 5])
    finally:
        jax.monitoring.clear_event_listeners()
    assert not seen
    # As told by the filter itself.
    around = np.ones((5, 5), bool)
    around[2, 2] = False
    predicted = soft_median(IMAGE, footprint=around, epsilon=0.1)
    large = choose(IMAGE, epsilons=[0.1], sizes=[5])
    assert large.loss == pytest.approx(np.abs(predicted - IMAGE).mean(), rel=1e-5)
    assert small.loss <= large.loss * 1.003
