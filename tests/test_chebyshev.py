import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from numpy.polynomial import chebyshev as oracle

from softsort_core import _chebyshev as chebyshev

IDENTITY = chebyshev.Placing(0.0, 1.0, 0.0, 1.0)


def points(n):
    return np.random.default_rng(n).uniform(-1, 1, n)


# Fewer points than a chunk, some chunks and a rest, nothing but chunks.
@pytest.mark.parametrize("n", [3, 2 * chebyshev._CHUNK + 5, chebyshev._CHUNK])
@pytest.mark.parametrize("size", [4, 64, 100])
def test_moments_and_series_are_numpys(x64, n, size):
    t, weights = points(n), np.random.default_rng(1).normal(size=n)
    coefficients = np.random.default_rng(2).normal(size=size)
    expected = oracle.chebvander(t, size - 1)
    placing = jax.tree.map(jnp.asarray, IDENTITY)
    found = chebyshev.moments(jnp.asarray(t), placing, None, size, False)
    np.testing.assert_allclose(found, expected.sum(axis=0), atol=1e-8)
    found = chebyshev.moments(
        jnp.asarray(t), placing, jnp.asarray(weights), size, False
    )
    np.testing.assert_allclose(found, weights @ expected, atol=1e-8)
    found = chebyshev.evaluate(
        jnp.asarray(t), placing, jnp.asarray(coefficients), False
    )
    np.testing.assert_allclose(found, expected @ coefficients, atol=1e-9)


def test_points_stand_for_a_measure(x64):
    t = points(50)
    moments = oracle.chebvander(t, 31).mean(axis=0)
    weights = moments @ chebyshev.analysis(32)
    nodes = chebyshev.nodes(32)
    assert np.dot(weights, np.exp(nodes)) == pytest.approx(np.exp(t).mean())


@pytest.mark.parametrize("saturating", [False, True])
def test_derivatives(x64, saturating):
    x, size = jnp.asarray(points(7)), 8

    def function(x, offset, scale, weights):
        placing = chebyshev.Placing(jnp.asarray(0.1), jnp.asarray(2.0), offset, scale)
        moments = chebyshev.moments(x, placing, weights, size, saturating)
        return chebyshev.evaluate(x, placing, moments, saturating)

    arguments = x, jnp.asarray(0.1), jnp.asarray(0.7), x**2
    check_grads(jax.jit(function), arguments, order=2, modes=["fwd", "rev"], rtol=1e-4)
