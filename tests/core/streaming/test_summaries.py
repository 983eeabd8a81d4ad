"""Parts of data, described, summarised and ranked apart, as if they were together."""

import dataclasses
import functools
import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from samples import sample

import softsort_core as soft
from softsort_core import SoftSortError, Statistics

N = 199


def in_parts(x, weights=None, epsilon=0.01, sizes=(1, 66, 66, 66)):
    cuts = np.cumsum(sizes)[:-1]
    parts = np.split(x, cuts)
    masses = [None] * len(parts) if weights is None else np.split(weights, cuts)
    pairs = list(zip(parts, masses, strict=True))
    whole = functools.reduce(soft.merge, itertools.starmap(soft.describe, pairs))
    summaries = [soft.summarise(p, whole, w, epsilon=epsilon) for p, w in pairs]
    solution = soft.solve(functools.reduce(soft.merge, summaries), epsilon=epsilon)
    ranks = np.concatenate([solution.ranks(part) for part in parts])
    middle = x.size // 3
    values = [solution.sorted_values(0, middle), solution.sorted_values(middle, x.size)]
    return whole, ranks, np.concatenate(values)


@pytest.mark.parametrize("kind", ["normal", "three clusters", "constant"])
def test_parts_give_what_the_whole_does(x64, kind):
    x = sample(kind, N)
    whole, ranks, values = in_parts(x)
    assert whole.count == N
    np.testing.assert_allclose(
        [whole.mean, whole.deviation**2], [x.mean(), x.var()], rtol=1e-9, atol=1e-30
    )
    assert (whole.minimum, whole.maximum) == (x.min(), x.max())
    np.testing.assert_allclose(ranks, soft.ranks(x), atol=1e-6 * N)
    np.testing.assert_allclose(values, soft.sort(x), atol=1e-6 * np.ptp(x) + 1e-15)


@pytest.mark.parametrize("far", [-2e19, np.inf, np.nan])
def test_values_without_weight_take_no_part(far):
    x, far = np.float32([1, 5, 4, 8]), np.float32([1, 5, far, 4, 8])
    weights = np.array([1, 2, 0, 1, 3])
    alone, whole = soft.describe(x, weights[weights > 0]), soft.describe(far, weights)
    # They count, for there is a rank for each.
    assert whole == dataclasses.replace(alone, count=5)
    found = soft.summarise(far, whole, weights)
    expected = soft.summarise(x, whole, weights[weights > 0])
    np.testing.assert_array_equal(found.moments, expected.moments)
    np.testing.assert_array_equal(found.value_moments, expected.value_moments)


def test_parts_of_many_values_give_all_digits(x64):
    x = sample("lognormal", 3000)
    _, ranks, values = in_parts(x, sizes=(1, 999, 2000))
    np.testing.assert_allclose(ranks, soft.ranks(x), atol=1e-12 * x.size)
    np.testing.assert_allclose(values, soft.sort(x), atol=1e-12 * np.ptp(x))


@pytest.mark.parametrize("unit", [1e300, 1e-300])
def test_parts_of_values_whose_squares_are_out_of_range(x64, unit):
    x = sample("normal", 40)
    whole = functools.reduce(
        soft.merge, map(soft.describe, (unit * x[:9], unit * x[9:]))
    )
    assert whole.deviation == pytest.approx(unit * x.std(), rel=1e-12)
    solution = soft.solve(soft.summarise(unit * x, whole), epsilon=0.1)
    expected = soft.ranks(x, epsilon=0.1)
    np.testing.assert_allclose(solution.ranks(unit * x), expected, atol=1e-6)


def test_weights(x64):
    x, weights = sample("exponential", N), np.random.default_rng(0).uniform(size=N)
    _, ranks, _ = in_parts(x, weights)
    expected = soft.ranks(x, input_weights=weights)
    np.testing.assert_allclose(ranks, expected, atol=1e-6 * N)


def test_single_precision_far_from_zero():
    x = np.round(sample("normal", N).astype(np.float32) * 64) / 64
    _, near, _ = in_parts(x)
    _, far, _ = in_parts(x + np.float32(1e5))
    np.testing.assert_allclose(far, near, atol=1e-5 * N)


def test_merging_is_associative_and_commutative(x64):
    a, b, c = (sample("cauchy", 50, seed) for seed in range(3))
    whole = soft.describe(np.concatenate([a, b, c]))
    for first, second, third in itertools.permutations(map(soft.describe, (a, b, c))):
        for merged in (
            soft.merge(soft.merge(first, second), third),
            soft.merge(first, soft.merge(second, third)),
        ):
            for name in Statistics.__dataclass_fields__:
                expected = getattr(whole, name)
                assert getattr(merged, name) == pytest.approx(expected, rel=1e-12)
    one, two = soft.summarise(a, whole), soft.summarise(b, whole)
    left, right = soft.merge(one, two), soft.merge(two, one)
    np.testing.assert_array_equal(left.moments, right.moments)
    assert left.moments[:, 0].sum() == pytest.approx(100)


def test_misuse_is_explained():
    whole = soft.describe([1.0, 2.0, 3.0])
    summary = soft.summarise([1.0, 2.0, 3.0], whole)
    for call, named in (
        (lambda: soft.describe([]), "empty"),
        (lambda: soft.describe([1.0, np.nan]), "NaN"),
        (lambda: soft.describe([1.0, np.inf]), "infinity"),
        (lambda: soft.describe([1.0, 2.0], [1.0]), "weights has shape"),
        (lambda: soft.solve(summary, epsilon=1e-3), "too coarse"),
        (
            lambda: soft.merge(summary, soft.summarise([1.0], soft.describe([1.0]))),
            "different wholes",
        ),
        (
            lambda: soft.merge(summary, summary._replace(moments=np.zeros((1, 16)))),
            "different epsilons",
        ),
        (lambda: soft.solve(summary).sorted_values(0, 4), "places"),
    ):
        with pytest.raises(SoftSortError, match=named):
            call()


def test_what_is_not_certain_is_nan():
    whole = soft.describe([1.0, 2.0, 3.0])
    summary = soft.summarise([1.0, 2.0, 3.0], whole)
    solution = soft.solve(summary, tolerance=1e-12)
    assert jnp.isnan(solution.ranks([1.0])).all()
    assert jnp.isnan(solution.sorted_values(0, 3)).all()
