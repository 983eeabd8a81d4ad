"""The exact operators: against scipy and numpy, and as limits of the soft ones."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from softsort_cli.operate import exact as hard

import softsort_core

vectors = hnp.arrays(
    np.float64, st.integers(1, 30), elements=st.integers(-5, 5).map(float)
)


@given(vectors)
def test_ranks_are_those_of_scipy(values):
    np.testing.assert_array_equal(hard.ranks(values), stats.rankdata(values) - 1)


@given(vectors, st.integers(1, 30))
def test_topk_mask_sums_to_k_and_takes_the_largest(values, k):
    k = min(k, len(values))
    mask = hard.topk_mask(values, k=k)
    assert mask.sum() == pytest.approx(k)
    assert mask @ values == pytest.approx(np.sort(values)[-k:].sum())


@given(vectors)
def test_as_many_targets_as_values_change_nothing(values):
    ordered = np.sort(values)
    np.testing.assert_array_equal(hard.sort(values, num_targets=len(values)), ordered)
    np.testing.assert_allclose(
        hard.quantile_normalization(values, targets=ordered), values, atol=1e-12
    )


def test_shares_that_cut_through_values():
    # Two targets of 3 values: each takes one and a half.
    np.testing.assert_allclose(
        hard.sort(np.array([3.0, 1.0, 2.0]), num_targets=2), [4 / 3, 8 / 3]
    )


@given(vectors, st.data())
def test_counts_are_repetitions(values, data):
    size = len(values)
    times = data.draw(st.lists(st.integers(1, 6), min_size=size, max_size=size))
    counts, repeated = np.array(times, float), np.repeat(values, times)
    first, number = np.cumsum(times) - times, sum(times)
    m, k = data.draw(st.integers(1, 8)), data.draw(st.integers(1, number))
    q = (0.0, data.draw(st.floats(0, 1)), 1.0)

    def same(result, expected):
        np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-9)

    def equal_shares(of):  # of the repeated values, each cut into so many
        return np.repeat(of, size).reshape(size, number).mean(axis=1)

    ranks = stats.rankdata(repeated)[first]
    same(hard.ranks(values, counts, start=1), ranks)
    same(hard.ranks(values, counts, pct=True) * (number - 1), ranks - 1)
    same(
        hard.ranks(values, counts, start=1, descends=True),
        stats.rankdata(-repeated)[first],
    )
    same(hard.topk(values, counts, k=k), np.sort(repeated)[-k:])
    same(hard.quantile(values, counts, q=q), np.quantile(repeated, q))
    same(hard.sort(values, counts), equal_shares(np.sort(repeated)))
    same(hard.sort(values, counts, descends=True), hard.sort(values, counts)[::-1])
    rows = np.stack([np.arange(size), values], axis=1)
    same(hard.sort_with(rows, counts)[:, 0], equal_shares(repeated))
    for name, settings in (
        ("topk_mask", {"k": k}),
        ("quantize", {"num_levels": m}),
        ("quantile_normalization", {"targets": "uniform"}),
        ("quantile_normalization", {"targets": "normal"}),
        ("quantile_normalization", {"targets": np.arange(m) ** 2.0}),
    ):
        operator = getattr(hard, name)
        expected = operator(repeated, **settings)[first]
        same(operator(values, counts, **settings), expected)


@given(vectors)
def test_shares_of_the_highest_rank(values):
    shares = hard.ranks(values, pct=True)
    ranks = stats.rankdata(values) - 1
    np.testing.assert_allclose(shares * (len(values) - 1), ranks, atol=1e-12)
    np.testing.assert_allclose(shares + hard.ranks(-values, pct=True), 1)


def test_counts_that_are_not_whole_are_shares_of_their_sum():
    values, counts = np.array([3.0, 1.0, 2.0]), np.array([0.5, 1.5, 3.0])
    # Five values, for they sum to 5: the smallest is one, and half of the next.
    assert hard.ranks(values, counts)[1] == pytest.approx((0 + 1 / 2) / 1.5)
    assert counts @ hard.ranks(values, counts) / 5 == pytest.approx(2)
    same = hard.ranks(values, counts * 5.4 / 5)
    np.testing.assert_allclose(same, hard.ranks(values, counts))


SPREAD = np.array([3.0, -1.0, 0.2, 7.5, 3.9, -4.0])
TIED = np.array([2.0, 5.0, 2.0, 9.0, 5.0, 5.0])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("values", [SPREAD, TIED])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ranks", {}),
        ("ranks", {"pct": True, "descends": True}),
        ("sort", {}),
        ("sort", {"num_targets": 3}),
        ("topk", {"k": 2}),
        ("topk_mask", {"k": 3}),
        ("quantize", {"num_levels": 2}),
        ("quantile_normalization", {"targets": np.array([0.0, 10.0, 40.0])}),
    ],
)
@pytest.mark.parametrize("counts", [None, np.array([1.0, 2.0, 1.0, 3.0, 1.0, 1.0])])
def test_soft_operators_tend_to_hard_ones(values, counts, name, settings):
    exact = getattr(hard, name)(values, counts, **settings)
    soft = softsort_core.forms(name, **settings).alone(values, counts, epsilon=1e-4)
    np.testing.assert_allclose(soft, exact, atol=0.02 * np.ptp(values))


@pytest.mark.usefixtures("x64")
def test_soft_sort_with_tends_to_the_hard_one():
    rows = np.column_stack([SPREAD, np.arange(6.0)])
    soft = softsort_core.forms("sort_with").alone(rows, epsilon=1e-4)
    np.testing.assert_allclose(soft, hard.sort_with(rows), atol=0.02)
