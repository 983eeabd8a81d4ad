import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

import softsort_core as soft
from softsort_core import SoftSortError


@pytest.fixture
def samples(x64):
    return jnp.asarray(np.random.default_rng(0).normal(size=(40, 2)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("epsilon", [None, 0.1])
def test_meaning_is_that_of_ott(samples, epsilon):
    ott = importlib.import_module("ott.tools.soft_sort")
    weights = jnp.asarray(np.random.default_rng(1).dirichlet(np.ones(40)))
    options = {
        "num_target_samples": 30,
        "epsilon": epsilon,
        "input_weights": weights,
        "rng": jax.random.PRNGKey(3),
    }
    ours = soft.multivariate_cdf_quantile_maps(samples, **options)
    points = jax.random.uniform(jax.random.PRNGKey(0), (7, 2))

    @jax.jit
    def theirs():
        maps = ott.multivariate_cdf_quantile_maps(
            samples, threshold=1e-13, max_iterations=100_000, **options
        )
        return maps.transport(samples[:5]), maps.transport(points, forward=False)

    there, back = theirs()
    np.testing.assert_allclose(ours.transport(samples[:5]), there, atol=1e-9)
    np.testing.assert_allclose(ours.transport(points, forward=False), back, atol=1e-9)


def test_small_epsilon_is_the_optimal_assignment(samples):
    maps = soft.multivariate_cdf_quantile_maps(samples, epsilon=1e-5)
    costs = ((samples[:, None] - maps.targets) ** 2).sum(axis=-1)
    _, assigned = linear_sum_assignment(costs)
    np.testing.assert_allclose(
        maps.transport(samples), maps.targets[assigned], atol=1e-5
    )
    np.testing.assert_allclose(
        maps.transport(maps.targets[assigned], forward=False), samples, atol=1e-5
    )


def test_one_dimension_is_ranks(samples):
    x = samples[:, :1]
    maps = soft.multivariate_cdf_quantile_maps(
        x, lambda _, shape: jnp.linspace(0, 1, shape[0])[:, None], epsilon=0.01
    )
    ranks = soft.ranks(x[:, 0], epsilon=0.01, squashing_fun=lambda x: x)
    np.testing.assert_allclose(maps.transport(x)[:, 0] * 39, ranks, atol=1e-8)


def test_they_unpack_into_a_cdf_and_a_quantile_function(samples):
    maps = jax.jit(soft.multivariate_cdf_quantile_maps)(samples)
    cdf, quantile = maps
    np.testing.assert_array_equal(cdf(samples), maps.transport(samples))
    points = maps.targets[:5]
    np.testing.assert_array_equal(quantile(points), maps.transport(points, False))


def test_other_costs_and_transformations(samples):
    def median_distance(x):
        maps = soft.multivariate_cdf_quantile_maps(
            x, cost_fn=lambda u, v: jnp.abs(u - v).sum(), epsilon=0.1
        )
        return maps.transport(jnp.full(2, 0.5), forward=False).sum()

    gradient = jax.jit(jax.grad(median_distance))(samples)
    step = 1e-6 * jnp.ones_like(samples)
    difference = median_distance(samples + step) - median_distance(samples - step)
    np.testing.assert_allclose(gradient.sum(), difference / 2e-6, rtol=1e-5)


@pytest.mark.parametrize("forward", [True, False])
def test_samples_without_weight(samples, forward):
    """They take no part, wherever they are; a weight would give them one."""
    points = jax.random.uniform(jax.random.PRNGKey(0), (7, 2))
    weights = np.ones(40)
    weights[[0, 1, 2]] = 0.0

    @jax.jit
    @jax.value_and_grad
    def total(weights, samples):
        maps = soft.multivariate_cdf_quantile_maps(
            samples, num_target_samples=30, epsilon=0.1, input_weights=weights
        )
        return (maps.transport(points, forward) ** 2).sum()

    far = samples.at[0].set(1e30).at[1].set(jnp.nan)
    others, _ = total(weights[2:], samples[2:])
    value, slopes = total(weights, far)
    np.testing.assert_allclose(value, others, rtol=1e-9)
    assert np.isfinite(slopes).all()
    ahead = [total(weights + k * 1e-4 * np.eye(40)[2], far)[0] for k in (1, 2)]
    difference = (4 * ahead[0] - ahead[1] - 3 * value) / 2e-4
    np.testing.assert_allclose(slopes[2], difference, rtol=1e-5)


def test_bad_samples_and_misuse(samples):
    maps = soft.multivariate_cdf_quantile_maps(samples.at[0, 0].set(jnp.nan))
    assert np.isnan(maps.transport(samples)).all()
    for arguments, named in [
        ({"inputs": [1.0, 2.0]}, "inputs"),
        ({"inputs": samples, "num_target_samples": 0}, "num_target_samples"),
        ({"inputs": samples, "epsilon": -1.0}, "epsilon"),
        ({"inputs": samples, "target_weights": [1.0]}, "target_weights"),
    ]:
        with pytest.raises(SoftSortError, match=named):
            soft.multivariate_cdf_quantile_maps(**arguments)
    with pytest.raises(SoftSortError, match="vec"):
        soft.multivariate_cdf_quantile_maps(samples).transport(jnp.zeros(3))
