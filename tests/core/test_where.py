"""Values that take no part are as if they were dropped."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import softsort_core as soft
from softsort_core import SoftSortError

RNG = np.random.default_rng(0)
# So many values take part; what the others are does not matter.
COUNTS = 6, 3, 4, 1, 0
WHERE = np.stack([RNG.permutation(6) < count for count in COUNTS])
NUMBERS = RNG.normal(size=WHERE.shape)
X = np.where(WHERE, NUMBERS, np.resize([np.nan, np.inf, -7e300], WHERE.shape))
FOR_EACH = {
    "ranks": soft.ranks,
    "topk_mask": lambda x, **s: soft.topk_mask(x, k=min(2, x.shape[-1]), **s),
}
OF_SLICES = {
    "topk": functools.partial(soft.sort, topk=2),
    "quantile": functools.partial(soft.quantile, q=[0.3, 0.7]),
    "median": functools.partial(soft.median, axis=-1, keepdims=True),
}
PLACES = {
    "argmin": functools.partial(soft.argmin, axis=-1, keepdims=True),
    "downwards": functools.partial(soft.argsort, descending=True),
    "indices": functools.partial(soft.top_k, k=2),
}
ALL = FOR_EACH | OF_SLICES | PLACES


def without(name, row, mask):
    """Return what the operator makes of what is left, where that is among all."""
    operator = functools.partial(ALL[name], epsilon=0.1)
    results = np.full(np.shape(operator(NUMBERS[0])), -5.0)
    few = operator(row[mask]) if mask.any() else []
    results[mask if name in FOR_EACH else slice(len(few))] = few
    return results


@pytest.mark.parametrize("name", FOR_EACH | OF_SLICES)
def test_the_rest_is_dropped(x64, name):
    """Rows together, with a mask each, compiled; and a vector by itself."""
    settings = {"epsilon": 0.1, "fill": -5.0}

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def derived(x, where):
        results = ALL[name](x, where=where, **settings)
        return jnp.sum(jnp.cos(results)), results

    (_, results), slopes = derived(X, WHERE)
    expected = np.stack([without(name, *row) for row in zip(X, WHERE, strict=True)])
    np.testing.assert_allclose(results, expected, rtol=1e-9, atol=1e-12)
    assert (slopes[~WHERE] == 0).all()
    assert np.isfinite(slopes).all()
    alone = ALL[name](X[1], where=WHERE[1], **settings)
    np.testing.assert_allclose(alone, expected[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", PLACES)
def test_places_are_among_all(x64, name):
    """They are what the limit is: of integers, by numpy."""
    operator = soft.straight_through(ALL[name])
    found = operator(X, where=WHERE, fill=-1.0)
    found = found[1] if name == "indices" else found
    ascending = np.argsort(np.where(WHERE, X, np.inf), axis=-1)
    for row, order, count in zip(found, ascending, COUNTS, strict=True):
        sign = 1 if name == "argmin" else -1
        expected = np.append(order[:count][::sign], np.full(6 - count, -1))
        np.testing.assert_array_equal(row, expected[: len(row)])


def test_many_of_which_few_are_left(x64):
    """By nodes, in rows of any number of values."""
    n, counts = 200, (0, 1, 2, 5, 9, 60, 200)
    where = np.stack([RNG.permutation(n) < count for count in counts])
    x = RNG.normal(size=where.shape)

    results = jax.jit(lambda x, where: soft.sort(x, where=where))(
        np.where(where, x, np.nan), where
    )
    for row, values, count, kept in zip(results, x, counts, where, strict=True):
        assert np.isnan(row[count:]).all()
        if count:
            few = soft.sort(values[kept])
            np.testing.assert_allclose(row[:count], few, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("count", [1, 2, 12])
def test_few_of_very_many(x64, count):
    """Of a vector and its mask that are known."""
    x, where = RNG.normal(size=5000), RNG.permutation(5000) < count
    for operator in soft.sort, soft.ranks:
        found = operator(x, where=where, epsilon=1e-3)
        found = found[where] if operator is soft.ranks else found[:count]
        few = operator(x[where], epsilon=1e-3)
        np.testing.assert_allclose(found, few, rtol=1e-9, atol=1e-9)


def test_few_of_very_many_compiled(x64):
    """With heavy tails, so that they are far apart; and derivatives."""
    x, order = RNG.standard_cauchy(5000), RNG.permutation(5000)

    def read(x, **settings):
        ranks = soft.ranks(x, epsilon=1e-3, **settings)
        values = soft.sort(x, epsilon=1e-3, **settings)
        return jnp.sum(jnp.cos(ranks) + jnp.sin(values)), (ranks, values)

    derived = jax.jit(jax.value_and_grad(read, has_aux=True))
    compiled = jax.jit(
        lambda x, where: jax.value_and_grad(
            lambda x: read(x, where=where, fill=0.0), has_aux=True
        )(x)
    )
    for count in 20, 2, 23:
        where = order < count
        (_, (ranks, values)), slopes = compiled(x, where)
        if count == 20:
            (_, few), expected = derived(x[where])
            np.testing.assert_allclose(slopes[where], expected, rtol=1e-6, atol=1e-9)
            assert not slopes[~where].any()
        else:
            few = read(x[where])[1]
        np.testing.assert_allclose(ranks[where], few[0], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(values[:count], few[1], rtol=1e-9, atol=1e-9)


def test_few_alike_of_very_many():
    """Whose weights are rounded."""
    x, order = RNG.integers(0, 4, 5000).astype(np.float32), RNG.permutation(5000)
    ranked = jax.jit(lambda x, where: soft.ranks(x, where=where, epsilon=1e-3))
    for count in 9, 17, 23:
        where = order < count
        few = soft.ranks(x[where], epsilon=1e-3)
        np.testing.assert_allclose(ranked(x, where)[where], few, rtol=1e-5, atol=1e-5)


def test_the_largest_of_very_many(x64):
    x = RNG.normal(size=5000)
    where = RNG.permutation(5000) < 9
    largest = jax.jit(lambda x, where: soft.sort(x, topk=2, where=where))(x, where)
    np.testing.assert_allclose(largest, soft.sort(x[where], topk=2), rtol=1e-6)


def test_any_axes_and_what_is_broadcast(x64):
    x, where = RNG.normal(size=(2, 3, 4)), np.array([[True], [False], [True]])
    found = soft.ranks(x, (1, 2), where=where)
    expected = soft.ranks(x[:, [0, 2]], (1, 2))
    np.testing.assert_allclose(found[:, [0, 2]], expected, rtol=1e-9)
    weights = np.arange(1.0, 5)
    found = soft.median(x, 2, input_weights=weights, where=[True, True, False, True])
    some = [0, 1, 3]
    expected = soft.median(x[..., some], 2, input_weights=weights[some])
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    vectors = soft.sort_with(x[0].T, x[1, 0], where=x[1, 0] > 0, fill=0.0)
    kept = soft.sort_with(x[0].T[x[1, 0] > 0], x[1, 0][x[1, 0] > 0])
    np.testing.assert_allclose(vectors[: len(kept)], kept, rtol=1e-9)
    assert (vectors[len(kept) :] == 0).all()


@pytest.mark.parametrize("is_traced", [False, True])
@pytest.mark.parametrize("descending", [False, True])
def test_rows_and_columns_of_a_plan(x64, descending, is_traced):
    x, where = X[2], WHERE[2]
    settings = {"epsilon": 0.1, "descending": descending}

    def read(x, where):
        plan = soft.transport_plan(x, where=where, **settings)
        levels = jnp.arange(6.0)
        return plan.matrix(), plan @ levels, plan.T @ levels

    called = jax.jit(read) if is_traced else read
    matrix, at_inputs, at_targets = called(x, where)
    few = soft.transport_plan(x[where], **settings).matrix()
    np.testing.assert_allclose(matrix[where][:, :4], few, rtol=1e-9, atol=1e-12)
    assert not matrix[~where].any()
    assert not matrix[:, 4:].any()
    np.testing.assert_allclose(at_inputs, matrix @ np.arange(6), rtol=1e-9)
    np.testing.assert_allclose(at_targets, np.arange(6) @ matrix, rtol=1e-9)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        (np.ones(6), "where has dtype float64: give booleans"),
        (np.ones(5, bool), r"where has shape \(5,\): .* \(6,\)"),
        (np.ones((2, 6), bool), r"where has shape \(2, 6\)"),
    ],
)
def test_masks_that_are_none_are_refused(where, words):
    with pytest.raises(SoftSortError, match=words):
        soft.ranks(NUMBERS[0], where=where)


def test_segments_are_ranked_by_themselves(x64):
    """With gradients, compiled; NaN in no segment, and in one that is too large."""
    ids = np.array([2, 0, 2, -1, 0, 2, 5, 0, 1, 3, 3, 3, 3])
    x, weights = RNG.normal(size=ids.size), RNG.uniform(0.5, 1, ids.size)

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)
    def derived(x, ids):
        settings = {"epsilon": 0.1, "input_weights": weights}
        found = soft.segment_ranks(x, ids, 4, most=3, **settings)
        return jnp.sum(jnp.where(jnp.isnan(found), 0.0, found) ** 2), found

    (_, found), slopes = derived(x, ids)
    assert np.isnan(found[(ids < 0) | (ids > 2)]).all()
    assert (slopes[(ids < 0) | (ids > 2)] == 0).all()
    for i in (0, 1, 2):
        at = np.flatnonzero(ids == i)
        settings = {"epsilon": 0.1, "input_weights": weights[at]}
        expected = soft.ranks(x[at], **settings)
        np.testing.assert_allclose(found[at], expected, rtol=1e-9, atol=1e-12)
    with pytest.raises(SoftSortError, match="segment_ids has dtype float64"):
        soft.segment_ranks(x, ids * 1.0, 4)
