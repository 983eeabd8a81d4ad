"""Windows of any footprint and weights, and filtering again and again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage as ndimage

from filters import soft_median, soft_quantile_filter
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
