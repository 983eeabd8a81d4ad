import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import softsort_core as soft
from softsort_core.axis import over_slices


def slices(x, axis):
    """Return a table of (index of the other axes, values) by plain indexing."""
    axes = tuple(a % x.ndim for a in np.atleast_1d(axis))
    others = [i for i in range(x.ndim) if i not in axes]
    for index in np.ndindex(*(x.shape[i] for i in others)):
        key = [slice(None)] * x.ndim
        for i, one in zip(others, index, strict=True):
            key[i] = one
        yield index, tuple(key)


@pytest.mark.parametrize("shape", [(4,), (2, 3)])
def test_any_axis_is_a_loop_over_slices(shape):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    for axis in range(-x.ndim, x.ndim):
        ranks, values = soft.ranks(x, axis), soft.sort(x, axis, num_targets=5)
        assert ranks.shape == x.shape
        assert np.moveaxis(values, axis, -1).shape[-1] == 5
        for _, key in slices(x, axis):
            np.testing.assert_allclose(ranks[key], soft.ranks(x[key]), atol=1e-5)
            expected = soft.sort(x[key], num_targets=5)
            np.testing.assert_allclose(values[key], expected, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, -1, (2, 0), (0, 1, 2)])
def test_functions_of_vectors_are_applied_along_axes(axis):
    x = np.random.default_rng(0).normal(size=(3, 2, 4)).astype(np.float32)
    first = min(np.atleast_1d(axis) % 3)
    for operator in np.ptp, np.diff:
        results = soft.apply_on_axis(getattr(jnp, operator.__name__), x, axis)
        for index, key in slices(x, axis):
            moved = results if operator is np.ptp else np.moveaxis(results, first, -1)
            np.testing.assert_allclose(moved[index], operator(x[key].ravel()))
    summed = soft.apply_on_axis(
        lambda x, k, shift: x[:k] + shift, x[0, 0], 0, 2, shift=1
    )
    np.testing.assert_allclose(summed, x[0, 0, :2] + 1)


@pytest.mark.parametrize("axis", [(2, 0), (-1, -2), (0, 1, 2)])
def test_several_axes_are_one_slice(axis):
    x = np.random.default_rng(0).normal(size=(3, 2, 4)).astype(np.float32)
    first = min(a % 3 for a in axis)
    ranks = np.asarray(soft.ranks(x, axis))
    quantiles = np.moveaxis(np.asarray(soft.quantile(x, [0.2, 0.7], axis)), first, -1)
    assert ranks.shape == x.shape
    for index, key in slices(x, axis):
        flat = x[key].ravel()
        np.testing.assert_allclose(ranks[key].ravel(), soft.ranks(flat), atol=1e-4)
        expected = soft.quantile(flat, [0.2, 0.7])
        np.testing.assert_allclose(quantiles[index], expected, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2, (2, 0), (0, 1, 2)])
def test_exact_results_of_a_small_epsilon_are_those_of_slices(axis):
    x = np.random.default_rng(0).permutation(27).reshape(3, 3, 3).astype(np.float32)
    ranks, values = soft.ranks(x, axis, epsilon=1e-5), soft.sort(x, axis, epsilon=1e-5)
    for _, key in slices(x, axis):
        flat = x[key].ravel()
        np.testing.assert_array_equal(ranks[key].ravel(), flat.argsort().argsort())
        np.testing.assert_array_equal(values[key].ravel(), np.sort(flat))
    assert soft.ranks(x[:0], epsilon=1e-5).shape == (0, 3, 3)


def test_weights_may_differ_between_slices():
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(2, 3, 4)), rng.uniform(size=(2, 3, 4))
    result = soft.sort(x, axis=1, input_weights=weights)
    for _, key in slices(x, 1):
        expected = soft.sort(x[key], input_weights=weights[key])
        np.testing.assert_allclose(result[key], expected, atol=1e-5)


def test_what_is_mapped_is_solved_as_along_an_axis():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 5)).astype(np.float32)
    weights, mask = rng.uniform(size=(2, 3, 5)).astype(np.float32), x > -1
    expected = soft.ranks(x)
    rows = jax.vmap(soft.ranks)
    for found in (rows(x), jax.jit(jax.vmap(rows))(x)):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    columns = jax.vmap(lambda x: soft.sort(x, 1, 2), in_axes=2, out_axes=2)
    columns = jax.jit(columns)(x)
    np.testing.assert_allclose(columns, soft.sort(x, 1, 2), atol=1e-5)
    some = jax.vmap(lambda x, a, m: soft.ranks(x, input_weights=a, where=m))
    some = jax.jit(some)
    expected = soft.ranks(x, input_weights=weights, where=mask)
    np.testing.assert_allclose(some(x, weights, mask), expected, atol=1e-5)
    weighted = jax.vmap(lambda a: soft.ranks(x[0, 0], input_weights=a))
    weighted = jax.jit(weighted)(weights[:, 0])
    expected = [soft.ranks(x[0, 0], input_weights=a) for a in weights[:, 0]]
    np.testing.assert_allclose(weighted, expected, atol=1e-5)
    epsilons = jnp.array([0.1, 0.5])
    found = jax.vmap(lambda x, epsilon: soft.ranks(x, epsilon=epsilon))
    found = jax.jit(found)(x, epsilons)
    for each, epsilon, ranks in zip(x, epsilons, found, strict=True):
        expected = soft.ranks(each, epsilon=float(epsilon))
        np.testing.assert_allclose(ranks, expected, atol=1e-5)


MEDIAN = functools.partial(soft.quantile, q=0.5)


@pytest.mark.parametrize(
    ("operator", "n"), [*((soft.ranks, n) for n in (2, 5, 9)), (MEDIAN, 5)]
)
def test_many_short_rows(operator, n):
    """Batches of tiny products must be right: more than 32,768 rows of 2 to 9."""
    few = np.random.default_rng(n).normal(size=(33, n)).astype(np.float32)
    rows = np.asarray(operator(np.tile(few, (1000, 1)))).reshape(1000, 33, -1)
    # Wherever a row is, and as it is alone.
    np.testing.assert_allclose(rows, np.broadcast_to(rows[:1], rows.shape), atol=1e-4)
    for x, result in zip(few[::8], rows[-1, ::8], strict=True):
        np.testing.assert_allclose(operator(x), result, atol=1e-4)


def test_a_batch_larger_than_memory_in_flight_is_a_loop(monkeypatch):
    monkeypatch.setattr("softsort_core.axis._ENTRIES_AT_ONCE", 3 * 4 * 4)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(10, 4)), jnp.float32)

    def sort(own, weights, values):
        return jnp.sort(values)

    def sorted_rows(x):
        return over_slices(sort, [x], None, (1,), entries=16)

    np.testing.assert_allclose(sorted_rows(x), jnp.sort(x))
    assert "f32[3,4]" in str(jax.make_jaxpr(sorted_rows)(x))
