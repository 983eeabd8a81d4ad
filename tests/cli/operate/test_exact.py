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


SPREAD = np.array([3.0, -1.0, 0.2, 7.5, 3.9, -4.0])
TIED = np.array([2.0, 5.0, 2.0, 9.0, 5.0, 5.0])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("values", [SPREAD, TIED])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ranks", {}),
        ("sort", {}),
        ("topk", {"k": 2}),
        ("sort", {"num_targets": 3}),
        ("topk_mask", {"k": 3}),
        ("quantize", {"num_levels": 2}),
        ("quantile_normalization", {"targets": np.array([0.0, 10.0, 40.0])}),
    ],
)
def test_soft_operators_tend_to_hard_ones(values, name, settings):
    exact = getattr(hard, name)(values, **settings)
    soft = softsort_core.forms(name, **settings).alone(values, epsilon=1e-4)
    np.testing.assert_allclose(soft, exact, atol=0.02 * np.ptp(values))


@pytest.mark.usefixtures("x64")
def test_soft_sort_with_tends_to_the_hard_one():
    rows = np.column_stack([SPREAD, np.arange(6.0)])
    soft = softsort_core.sort_with(rows, SPREAD, epsilon=1e-4)
    np.testing.assert_allclose(
        soft, hard.sort_with(np.column_stack([SPREAD, rows])), atol=0.02
    )
