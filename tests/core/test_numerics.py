import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softsort_core.numerics import increasing, used_range


@pytest.mark.parametrize("n", [1, 1025, 4096])
def test_extremes_of_what_has_weight(n):
    random = np.random.default_rng(n)
    values = random.standard_normal((n, 2)).astype("float32")
    weights = random.integers(0, 2, n).astype("float32")
    weights[n // 2] = 1
    used = values[weights > 0]
    low, high = used_range(jnp.asarray(values), jnp.asarray(weights))
    np.testing.assert_array_equal(low, used.min(0))
    np.testing.assert_array_equal(high, used.max(0))
    low, high = used_range(jnp.asarray(values), None)
    np.testing.assert_array_equal((low, high), (values.min(0), values.max(0)))


@pytest.mark.parametrize("place", [0, 700, 1599])
def test_extremes_are_nan_with_any_nan(place):
    values = np.zeros(1600, "float32")
    values[place] = np.nan
    assert np.isnan(used_range(jnp.asarray(values), None)).all()


@pytest.mark.parametrize("m", [1, 2, 3, 64, 1000])
@pytest.mark.parametrize("scale", [1.0, 3e38])
def test_decreases_are_taken_away(m, scale):
    values = scale * np.random.default_rng(m).uniform(-1, 1, (2, m)).astype("float32")
    expected = np.maximum.accumulate(values, axis=1)
    found = jax.vmap(increasing)(jnp.asarray(values))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(jax.jacobian(increasing)(values[0]), np.eye(m))
