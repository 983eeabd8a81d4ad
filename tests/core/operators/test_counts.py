"""Values that count several times are as many values."""

import functools

import numpy as np
import pytest

import softsort_core as soft

X = np.array([0.5, -1.0, 3.0, 0.5, 2.0, 7.0])
# As many in all as rows of groups are wide at least.
COUNTS = np.array([2, 1, 1, 2, 1, 1])
REPEATED = np.repeat(X, COUNTS)
FIRST = np.cumsum(COUNTS) - COUNTS

PER_VALUE = [
    ("ranks", {}),
    ("ranks", {"start": 1, "descends": True}),
    ("ranks", {"pct": True}),
    ("topk_mask", {"k": 4}),
    ("quantize", {"num_levels": 3}),
    ("quantile_normalization", {"targets": "normal"}),
    ("quantile_normalization", {"targets": np.array([0.0, 1.0, 5.0])}),
]
FEW = [
    ("sort", {"num_targets": 4}),
    ("sort", {"num_targets": 4, "descends": True}),
    ("topk", {"k": 3}),
    ("topk", {"k": 8}),
    ("quantile", {"q": [0.1, 0.5]}),
]


def in_a_group(forms: soft.Forms) -> np.ndarray:
    """Solve for the values as one of two groups, the other without counts to tell."""
    values, counts = np.concatenate([X, X[:4]]), np.concatenate([COUNTS, np.ones(4)])
    results = soft.over_padded_groups(
        forms,
        values,
        np.array([6, 4]),
        np.array([0, 1]),
        counts=counts,
        numbers=np.array([8, 4]),
    )
    return dict(results)[0]


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("name", "settings", "places"),
    [(*each, FIRST) for each in PER_VALUE] + [(*each, slice(None)) for each in FEW],
)
def test_counts_are_repetitions(name, settings, places):
    forms = soft.forms(name, **settings)
    expected = np.asarray(forms.alone(REPEATED))[places]
    alone = forms.alone(X, COUNTS)
    np.testing.assert_allclose(alone, expected, rtol=0, atol=1e-10)
    if forms.fewest <= 8:
        group = in_a_group(forms)[: len(expected)]
        np.testing.assert_allclose(group, expected, rtol=0, atol=1e-10)


@pytest.mark.usefixtures("x64")
def test_sorted_values_and_rows_stand_for_equal_shares():
    expected = soft.sort(REPEATED, num_targets=6)
    forms = soft.forms("sort")
    np.testing.assert_allclose(forms.alone(X, COUNTS), expected, atol=1e-10)
    np.testing.assert_allclose(in_a_group(forms)[:6], expected, atol=1e-10)
    rows = soft.forms("sort_with").alone(np.stack([X, 1 - 2 * X], axis=1), COUNTS)
    np.testing.assert_allclose(rows[:, 0], 1 - 2 * expected, atol=1e-10)


@pytest.mark.usefixtures("x64")
def test_many_more_than_there_are_values():
    counts = 625.0 * COUNTS
    ranks = np.asarray(soft.forms("ranks").alone(X, counts))
    assert counts @ ranks / counts.sum() == pytest.approx((5000 - 1) / 2)
    expected = np.asarray(soft.forms("ranks").alone(np.repeat(X, 625 * COUNTS)))
    np.testing.assert_allclose(ranks, expected[625 * FIRST], rtol=1e-9)


@pytest.mark.usefixtures("x64")
def test_one_value_that_counts_some_times_has_the_middle_rank():
    one = np.array([4.0])
    for counts, rank, share in (([5], 2, 0.5), ([1], 0, 0.5), (None, 0, 0.5)):
        ranks, shares = soft.forms("ranks"), soft.forms("ranks", pct=True)
        assert ranks.alone(one, counts).tolist() == pytest.approx([rank])
        assert shares.alone(one, counts).tolist() == pytest.approx([share])


@pytest.mark.usefixtures("x64")
def test_counts_that_are_not_whole_are_shares_of_their_sum():
    counts = COUNTS * 1.04  # 8.3 values are 8
    np.testing.assert_allclose(
        soft.forms("ranks").alone(X, counts), soft.forms("ranks").alone(X, COUNTS)
    )


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("name", "settings"),
    [("ranks", {}), ("sort", {}), ("sort", {"num_targets": 4})],
)
def test_descending_is_ascending_of_the_values_negated(name, settings):
    back = -1 if name == "sort" else 1
    ascending = soft.forms(name, **settings)
    descending = soft.forms(name, descends=True, **settings)
    expected = back * np.asarray(ascending.alone(-X))
    np.testing.assert_allclose(descending.alone(X), expected, rtol=0, atol=1e-12)
    statistics = soft.describe(-X)
    assert descending.descends
    summary = soft.summarise(-X, statistics)
    some, other = (each.solve(summary) for each in (ascending, descending))
    if ascending.at_values is not None:
        some, other = ascending.at_values(some, -X), descending.at_values(other, X)
    elif ascending.at_places is not None:
        some, other = (
            ascending.at_places(some, 0, 6),
            descending.at_places(other, 0, 6),
        )
    np.testing.assert_array_equal(other, back * np.asarray(some))


def test_no_result_is_minus_zero():
    result = np.asarray(soft.forms("sort", descends=True).alone(np.zeros(3)))
    assert not np.signbit(result).any()


@pytest.mark.usefixtures("x64")
def test_shares_of_the_highest_rank():
    sizes = np.array([5, 1, 4])
    values = np.random.default_rng(0).normal(size=10)
    groups = soft.forms("ranks", pct=True).groups
    ranks = soft.forms("ranks").groups(values, sizes)
    highest = np.repeat(sizes - 1, sizes)
    shares = groups(values, sizes)
    np.testing.assert_allclose(shares * highest, ranks, rtol=0, atol=1e-12)
    assert shares[5] == 0.5


@pytest.mark.parametrize("epsilon", [1e-1, 1e-2, 1e-3])
def test_few_values_thousands_of_times(epsilon):
    """In single precision, at few targets, of which means between them are steep."""
    values = np.array([0.0, 1.0, 2.0, 5.0], np.float32)
    counts = np.array([1600, 1500, 1700, 1])
    # At a single target nothing depends on epsilon.
    single = [("sort", {"num_targets": 1}), ("ranks", {"num_targets": 1})]
    for name, settings in [
        *(single if epsilon == 1e-2 else []),
        ("sort", {"num_targets": 2}),
        ("sort", {"num_targets": 3}),
        ("ranks", {"num_targets": 2}),
        ("quantize", {"num_levels": 2}),
    ]:
        operator = functools.partial(getattr(soft, name), epsilon=epsilon, **settings)
        found = operator(np.repeat(values, counts))
        expected = np.asarray(operator(values, input_weights=counts))
        if name == "ranks":
            expected = expected / 3 * (counts.sum() - 1)
        if name != "sort":
            expected = np.repeat(expected, counts)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
