"""What is not certain is NaN, and nothing else: on the way there are only numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from samples import sample

import softsort_core as soft
from softsort_core.numerics import largest, used_range
from softsort_core.plans.certificate import estimated_error, marked
from softsort_core.plans.shared_kernel import RowSolution

CAUCHY = sample("cauchy", 3000).astype(np.float32)


@pytest.fixture
def debug_nans():
    with jax.debug_nans(True):
        yield


@pytest.mark.parametrize("operator", [soft.ranks, soft.sort, soft.quantize])
def test_finer_ways_are_tried_without_nan(debug_nans, operator):
    # One series is not enough for so heavy tails.
    found = np.asarray(operator(CAUCHY))
    assert np.isfinite(found).all()
    if operator is not soft.sort:
        found = found[np.argsort(CAUCHY)]
    assert (np.diff(found) >= -1e-3 * np.ptp(found)).all()


def test_groups_that_are_not_certain_make_no_nan_on_the_way(debug_nans):
    sizes = np.array([70, 40, 3])
    values = CAUCHY[: sizes.sum()]
    # Its own NaN alone, which comes of no computation.
    found = soft.group_ranks(values, sizes, tolerance=1e-12)
    assert np.isnan(found[:70]).all()
    found = soft.group_ranks(values, sizes)
    assert np.isfinite(found[70:]).all()


def test_columns_are_certain_each_by_itself():
    random = np.random.default_rng(0)
    vectors = random.normal(size=(500, 4)).astype(np.float32)
    vectors[:, 2] = sample("heavy tail", 500)
    keys = random.normal(size=500).astype(np.float32)
    found = np.asarray(soft.sort_with(vectors, keys))
    for column in range(4):
        # As many, so that there is one program.
        alone = soft.sort_with(vectors[:, [column] * 4], keys)[:, 0]
        assert np.isfinite(alone).all()
        off = 1e-5 * float(np.ptp(vectors[:, column]))
        np.testing.assert_allclose(found[:, column], alone, rtol=0, atol=off)


def test_what_is_not_certain_has_no_derivative_either():
    def total(x):
        return jnp.sum(soft.ranks(x, num_targets=1000, tolerance=1e-12))

    value, gradient = jax.value_and_grad(total)(jnp.arange(5.0))
    assert jnp.isnan(value)
    assert jnp.isnan(gradient).all()
    gradient = jax.grad(lambda x: jnp.sum(marked(x, jnp.array([True, False]))))
    np.testing.assert_array_equal(gradient(jnp.ones(2)), [1, np.nan])


@pytest.mark.parametrize("shape", [(3, 5), (3, 100), (3, 2000)])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("which", [0, slice(None)])
def test_no_reduction_loses_a_nan(shape, bad, which):
    values = np.zeros(shape, np.float32)
    values.reshape(-1)[which] = bad
    for reduce in largest, jax.jit(largest):
        assert np.isnan(reduce(jnp.asarray(values)))
        assert reduce(jnp.asarray([[1.0, -3.0]])) == 3
    for reduce in used_range, jax.jit(used_range):
        assert np.isnan(reduce(jnp.asarray(values).reshape(-1), None)).all()
    error = jax.jit(estimated_error)(jnp.asarray(values), 0.01)
    assert not error <= np.inf
    error = jax.jit(RowSolution((), jnp.zeros(())).error)(jnp.asarray(values), 0.01)
    assert not error <= np.inf
