"""Readings of the plan as numpy has them: shapes, limits, and what they are made of."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from samples import sample

import softsort_core as soft
from softsort_core import SoftSortError, straight_through

REDUCTIONS = "max", "min", "median", "argmax", "argmin"
ROWS = np.random.default_rng(0).permutation(24).reshape(2, 3, 4).astype(np.float32)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_limits_and_shapes_are_those_of_numpy(name):
    hard, exact = straight_through(getattr(soft, name)), getattr(np, name)
    # What they have in common is tried along more axes of one of them.
    axes = {"max": [None, 1, (0, 2)], "min": [None, 1], "median": [None, (0, 2)]}
    for axis in axes.get(name, [None, 0]):
        for keepdims in (False, True):
            found = hard(ROWS, axis, keepdims=keepdims)
            expected = exact(ROWS, axis, keepdims=keepdims)
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, rtol=1e-6)
    for number in (3, np.float32(3), jnp.asarray(3.0)):
        found = hard(number)
        assert found.shape == np.shape(exact(number))
        assert found == exact(number)
    with pytest.raises(SoftSortError, match=f"{name[-3:]}.* of no values"):
        hard([])


def test_places_are_those_of_numpy():
    argsort = straight_through(soft.argsort)
    for axis in (None, 0, -1):
        expected = np.argsort(ROWS, axis)
        np.testing.assert_array_equal(argsort(ROWS, axis), expected)
    down = argsort(ROWS, 0, descending=True)
    np.testing.assert_array_equal(down, np.flip(np.argsort(ROWS, 0), 0))
    np.testing.assert_array_equal(argsort(3.0), np.argsort(np.array(3.0)))
    assert soft.argsort([]).shape == (0,)


def test_no_axis_stands_for_all():
    """As a vector if sorted, as numpy does it; weights are those of the values."""
    weights = 1.0 + (ROWS > 9)
    flat, settings = ROWS.reshape(-1), {"input_weights": weights.reshape(-1)}
    for operator, shape in (
        (soft.sort, (24,)),
        (soft.argsort, (24,)),
        (soft.ranks, ROWS.shape),
        (soft.topk_mask, ROWS.shape),
        (soft.quantile, (3,)),
    ):
        found = operator(ROWS, axis=None, input_weights=weights)
        expected = operator(flat, axis=-1, **settings).reshape(shape)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_top_k_is_in_the_order_of_jax(k):
    hard = straight_through(functools.partial(soft.top_k, k=k))
    for found, expected in zip(hard(ROWS), jax.lax.top_k(ROWS, k), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_top_k_is_sort(x64):
    values, _ = soft.top_k(ROWS[..., :2], 2, axis=1, epsilon=0.1)
    expected = np.flip(soft.sort(ROWS[..., :2], 1, topk=2, epsilon=0.1), 1)
    np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_places_are_means_by_the_plan(x64):
    """Of indices, with the weights by which sorted values are means of values."""
    x = jnp.asarray(sample("normal", 6))
    plan = jax.jit(jax.jacfwd(lambda v: soft.sort_with(v, x, epsilon=0.1)))
    columns = plan(jnp.zeros((6, 1)))[:, 0, :, 0]
    places = columns @ np.arange(6)
    np.testing.assert_allclose(soft.argsort(x, epsilon=0.1), places, rtol=1e-9)
    # The target of an extreme has the mass of one value.
    values, at = soft.top_k(x, 1, epsilon=0.1)
    np.testing.assert_allclose(values[0], soft.max(x, epsilon=0.1), rtol=1e-12)
    np.testing.assert_allclose(at[0], soft.argmax(x, epsilon=0.1), rtol=1e-12)
    for turned, straight in ((soft.max, soft.min), (soft.argmax, soft.argmin)):
        opposite = turned(-x, epsilon=0.1) * (1 if turned is soft.argmax else -1)
        np.testing.assert_allclose(straight(x, epsilon=0.1), opposite, rtol=1e-9)
    median = soft.quantile(x, 0.5, epsilon=0.1, weight=0.02)
    np.testing.assert_allclose(soft.median(x, epsilon=0.1), median[0], rtol=1e-12)


def test_the_median_of_many_tends_to_that_of_numpy():
    x = sample("normal", 1001).astype(np.float32)
    np.testing.assert_allclose(straight_through(soft.median)(x), np.median(x))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_places_of_half_precision_are_of_single(dtype):
    x = jnp.asarray(ROWS[0, 0], dtype)
    values, places = soft.top_k(x, 2)
    assert values.dtype == x.dtype
    assert places.dtype == soft.argmax(x).dtype == soft.argsort(x).dtype == jnp.float32
    assert soft.max(x).dtype == x.dtype


def test_weights_say_what_takes_part():
    x = jnp.array([jnp.nan, 1.0, 3.0, 2.0])
    weights = jnp.array([0.0, 1.0, 1.0, 1.0])
    assert soft.max(x, input_weights=weights, epsilon=1e-3) > 2.9
    assert straight_through(soft.argmax)(x, input_weights=weights) == 2
    assert jnp.isnan(soft.max(x))


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("k", [0, 5, 1.5])
def test_k_is_checked(k):
    with pytest.raises(SoftSortError, match=f"k is {k}"):
        soft.top_k(ROWS, k)


def test_as_many_as_all_of_a_vector_of_which_fewer_take_part():
    x, where = np.array([3.0, 1.0, 2.0, 5.0]), [True, False, True, False]
    found = soft.top_k(x, 4, where=where, fill=-1.0, epsilon=1e-3)
    np.testing.assert_allclose(found, [[3, 2, -1, -1], [0, 2, -1, -1]], atol=1e-5)


def test_vectors_of_many_keep_their_order():
    """Of what falls with the criterion, too: it was brought to rise."""
    x = sample("normal", 5000).astype(np.float32)
    falling = soft.sort_with(-x[:, None], x)[:, 0]
    np.testing.assert_allclose(falling, -soft.sort(x), atol=1e-6)
