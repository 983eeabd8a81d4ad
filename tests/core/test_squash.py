import jax
import jax.numpy as jnp
import numpy as np
import pytest
from samples import KINDS, sample
from scipy.special import expit

from softsort_core.squash import squash

squashed = jax.jit(squash)
slopes = jax.jit(jax.jacobian(squash))


@pytest.mark.parametrize("kind", KINDS)
def test_is_the_sigmoid_of_standard_scores(x64, kind):
    x = sample(kind, 30)
    scores = np.zeros(30) if np.ptp(x) == 0 else (x - x.mean()) / x.std()
    np.testing.assert_allclose(
        squashed(jnp.asarray(x), jnp.full(30, 1 / 30)), expit(scores), atol=1e-9
    )


def test_weights_count_in_mean_and_deviation(x64):
    x, counts = np.array([1.0, 4.0, 2.0, 1e9]), np.array([1, 2, 3, 0])
    weighted = squashed(jnp.asarray(x), jnp.asarray(counts / 6))
    repeated = squashed(jnp.asarray(np.repeat(x, counts)), jnp.full(6, 1 / 6))
    np.testing.assert_allclose(np.repeat(weighted, counts), repeated, rtol=1e-12)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -1e30, 3e38])
def test_equal_values_are_in_the_middle_and_do_not_move(value):
    x, w = jnp.full(5, value, jnp.float32), jnp.full(5, 0.2)
    np.testing.assert_array_equal(squashed(x, w), np.full(5, 0.5))
    np.testing.assert_array_equal(slopes(x, w), np.zeros((5, 5)))


def test_the_range_of_single_precision_is_no_limit():
    x = np.array([-3e38, 0, 3e38], np.float32)
    small = squashed(jnp.array([-1.0, 0, 1]), jnp.full(3, 1 / 3))
    np.testing.assert_allclose(squashed(jnp.asarray(x), jnp.full(3, 1 / 3)), small)
