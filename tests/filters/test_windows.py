"""Windows of any footprint and weights, and filtering again and again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage as ndimage
from softsort_filters import soft_median, soft_quantile_filter

from softsort_core import SoftSortError, quantile

SHAPE = 12, 17
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool)
SKEWED = np.array([[1, 0, 0, 1, 1], [0, 1, 0, 0, 1], [1, 1, 1, 0, 0]], dtype=bool)


def image(seed=0):
    rng = np.random.default_rng(seed)
    values = rng.uniform(size=SHAPE)
    values[rng.uniform(size=SHAPE) < 0.2] = 1.0  # ties
    return values


def windows(values, shape):
    padded = np.pad(values, [(side // 2,) * 2 for side in shape], mode="symmetric")
    return np.lib.stride_tricks.sliding_window_view(padded, shape)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("footprint", [CROSS, SKEWED])
@pytest.mark.parametrize("q", [0.5, 0.2])
def test_a_footprint_is_the_window(footprint, q):
    x = image()
    expected = quantile(windows(x, footprint.shape)[..., footprint], q)[..., 0]
    found = soft_quantile_filter(x, q, footprint=footprint)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_footprint_is_scipys_as_epsilon_vanishes():
    found = soft_median(image(), footprint=SKEWED, epsilon=1e-6)
    expected = ndimage.median_filter(image(), footprint=SKEWED)
    # An even number of values has two medians: scipy takes the upper one.
    odd = np.array(SKEWED)
    odd[0, 0] = False
    assert SKEWED.sum() % 2 == 0
    assert np.all(found <= expected + 1e-5)
    found = soft_median(image(), footprint=odd, epsilon=1e-6)
    expected = ndimage.median_filter(image(), footprint=odd)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("q", [0.5, 0.9])
def test_weights_are_those_of_the_values(q):
    weights = np.random.default_rng(1).uniform(0.1, 1, size=(3, 5))
    seen = windows(image(), weights.shape).reshape(*SHAPE, -1)
    expected = quantile(seen, q, input_weights=weights.reshape(-1))[..., 0]
    found = soft_quantile_filter(image(), q, weights=weights)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("weights", [None, np.array([[1, 2, 1.5]])])
@pytest.mark.parametrize("q", [0.5, 0.9])
def test_opacity_is_the_weight_of_colours(q, weights):
    colours = np.stack([image(), image(1)], axis=-1)
    opacity = np.random.default_rng(2).uniform(0.1, 1, SHAPE)
    opacity[:, :5] = 0.5  # windows of equal weights
    rgba = np.concatenate([colours, opacity[..., None]], axis=-1)
    found = soft_quantile_filter(rgba, q, size=(1, 3), weights=weights, alpha=True)
    each = windows(opacity, (1, 3)).reshape(-1, 3) * (1 if weights is None else weights)
    for channel in range(2):
        seen = windows(colours[..., channel], (1, 3)).reshape(-1, 3)
        expected = quantile(seen, q, input_weights=each)[:, 0]
        result = found[..., channel].reshape(-1)
        np.testing.assert_allclose(result, expected, atol=1e-9)
    np.testing.assert_array_equal(found[..., 2], opacity)


def line_and_text() -> np.ndarray:
    """Colours that can be seen on a line and in some pixels, and others that cannot."""
    rng = np.random.default_rng(3)
    rgba = rng.choice([1e-3, 1e3], size=(*SHAPE, 4)).astype("float32")
    rgba[..., 3] = 0
    rgba[6] = 0.2, 0.4, 0.8, 1
    rgba[6, ::2] = 0.8, 0.4, 0.2, 1
    some = rng.uniform(size=SHAPE) < 0.2
    rgba[some] = rng.uniform(0.1, 1, (some.sum(), 4))
    return rgba


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("epsilon", [1e-4, 1e-2, 1])
def test_colours_are_among_those_that_can_be_seen(size, epsilon):
    rgba = line_and_text()
    hidden = rgba[..., 3] == 0
    found = np.asarray(soft_median(rgba, size, epsilon=epsilon, alpha=True))
    for end, extreme in ((np.inf, np.minimum), (-np.inf, np.maximum)):
        seen = np.where(hidden[..., None], end, rgba)[..., :3]
        filtered = ndimage.minimum_filter if end > 0 else ndimage.maximum_filter
        limit = filtered(seen, (size, size, 1))
        limit = np.where(np.isinf(limit), rgba[..., :3], limit)
        np.testing.assert_array_equal(extreme(found[..., :3], limit), limit)
    other = np.where(hidden[..., None], 0.5, rgba)
    other[..., 3] = rgba[..., 3]
    again = np.asarray(soft_median(other, size, epsilon=epsilon, alpha=True))
    np.testing.assert_array_equal(again[~hidden], found[~hidden])


def test_opacity_without_transparency_changes_nothing():
    colours = np.stack([image(), image(1)], axis=-1)
    rgba = np.concatenate([colours, np.ones((*SHAPE, 1))], axis=-1)
    found = soft_median(rgba, alpha=True)
    np.testing.assert_array_equal(found[..., :2], soft_median(colours))


@pytest.mark.usefixtures("x64")
def test_derivatives_of_colours_by_opacity():
    rgba = jnp.asarray(np.clip(line_and_text(), 0, 1), float)

    @jax.jit
    @jax.value_and_grad
    def total(colours):
        seen = jnp.concatenate([colours, rgba[..., 3:]], axis=-1)
        return jnp.sum(jnp.cos(soft_median(seen, epsilon=0.3, alpha=True)))

    colours = rgba[..., :3]
    _, gradient = total(colours)
    assert jnp.isfinite(gradient).all()
    for place in ((6, 3, 0), (6, 4, 2), (7, 4, 1)):
        step = jnp.zeros_like(colours).at[place].set(1e-5)
        slope = (total(colours + step)[0] - total(colours - step)[0]) / 2e-5
        np.testing.assert_allclose(gradient[place], slope, rtol=1e-5, atol=1e-8)


@pytest.mark.usefixtures("x64")
def test_derivative_in_the_weights_is_that_of_finite_differences():
    rng = np.random.default_rng(2)
    weights = jnp.asarray(rng.uniform(0.5, 1, size=(3, 3)))
    towards, read = rng.normal(size=(3, 3)), rng.normal(size=SHAPE)

    @jax.jit
    @jax.value_and_grad
    def loss(step):
        return jnp.sum(read * soft_median(image(), weights=weights + step * towards))

    numeric = (loss(1e-5)[0] - loss(-1e-5)[0]) / 2e-5
    np.testing.assert_allclose(loss(0.0)[1], numeric, rtol=1e-5)


def test_iterations_filter_the_result_again():
    twice = soft_median(soft_median(image()))
    np.testing.assert_allclose(soft_median(image(), iterations=2), twice, atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"footprint": np.zeros((3, 3), bool)},
        {"footprint": np.ones((2, 3), bool)},
        {"weights": -np.ones((3, 3))},
        {"weights": np.zeros((3, 3))},
        {"size": 5, "footprint": CROSS},
        {"iterations": 0},
    ],
)
def test_windows_that_cannot_be_are_refused(wrong):
    with pytest.raises(SoftSortError):
        soft_median(image(), **wrong)
