"""Many inputs through few points: two hundred are many here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dense_plans import HARDEST, N, check, check_gradient, check_levels, dense
from samples import KINDS, sample

import softsort_core as soft
from softsort_core.numerics import increasing
from softsort_core.operators import read_slices
from softsort_core.plans import choose, quadrature
from softsort_core.squash import squash


@pytest.fixture(autouse=True, scope="module")
def _few_are_many():
    """Take more than a hundred inputs for many, in all programs of this file."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (quadrature, choose, read_slices):
            patch.setattr(module, "MANY", 100)
        yield


def test_so_are_those_of_many(x64):
    # One is traced, so that what is quick and what is careful are compiled together.
    operators = soft.ranks, jax.jit(soft.sort)
    for kind in KINDS:
        check(sample(kind, N), 0.01, operators=operators, options={})


def test_so_they_are_where_plans_are_sharp(x64):
    resolution, epsilon = choose.resolution_for(1e-3), jnp.asarray(1e-3)

    # Solving takes longest by far, and is once for both.
    @jax.jit
    def both(x):
        plan = choose.plan_of(x, None, None, N, epsilon, 1e-6, resolution)
        ranks, _ = plan.given_input(plan.targets)
        values, _ = plan.given_target(x)
        return (N - 1) * ranks, increasing(values)

    for kind in HARDEST:
        x = sample(kind, N)
        found = [lambda *_, each=each, **__: each for each in both(x)]
        check(x, 1e-3, operators=found)


def test_weights_and_squashing(x64):
    x = sample("exponential", N)
    weights = np.random.default_rng(0).uniform(size=N)
    check(x, 0.1, weights=np.where(x < 1, weights, 0))
    squashed = squash(jnp.asarray(x), jnp.full(N, 1 / N))
    np.testing.assert_allclose(
        soft.ranks(x, squashing_fun=lambda _: squashed), soft.ranks(x), atol=1e-4
    )


def test_single_precision_and_offsets():
    x = sample("normal", N).astype(np.float32)
    found = np.asarray(soft.ranks(x))
    jax.config.update("jax_enable_x64", True)
    expected, _ = dense(jnp.asarray(x, float), jnp.full(N, 1 / N), 0.01)
    jax.config.update("jax_enable_x64", False)
    np.testing.assert_allclose(found, expected, atol=1e-6 * N)
    far = np.round(x * 64) / 64
    np.testing.assert_allclose(soft.ranks(far + 1e5), soft.ranks(far), atol=1e-2)
    assert (np.diff(soft.sort(far + 1e5)) >= 0).all()


def test_unusual_inputs():
    x = sample("normal", N).astype(np.float32)
    assert np.isnan(soft.ranks(np.where(np.arange(N) == 3, np.nan, x))).all()
    constant = np.full_like(x, 5)
    np.testing.assert_allclose(soft.ranks(constant), (N - 1) / 2, rtol=1e-5)
    np.testing.assert_array_equal(soft.sort(constant), constant)


def test_gradients_are_differences(x64):
    check_gradient(soft.ranks)


def test_many_levels_are_the_dense_ones(x64):
    check_levels(1000, 300)
