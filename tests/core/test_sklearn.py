"""The contract of scikit-learn, and values among samples; skipped without it."""

import numpy as np
import pytest
import scipy.stats

from softsort_core import SoftSortError

pytest.importorskip("sklearn", "1.6", reason="scikit-learn is not installed")

from sklearn.utils.estimator_checks import check_estimator

from softsort_core.sklearn import SoftQuantileTransformer, SoftRankTransformer

RNG = np.random.default_rng(0)
X = np.stack([RNG.permutation(30), RNG.permutation(30)], axis=1) / 3.0
TRANSFORMERS = SoftRankTransformer(), SoftQuantileTransformer()


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("transformer", TRANSFORMERS)
@pytest.mark.filterwarnings("ignore")
def test_the_contract_is_kept(transformer):
    results = check_estimator(transformer, on_skip=None)
    passed = sum(each["status"] == "passed" for each in results)
    # Those that are left out need what is not installed, or is not asked for.
    assert passed > 40
    assert passed >= len(results) - 4


def test_the_limits():
    ranks = scipy.stats.rankdata(X, axis=0) - 1
    found = SoftRankTransformer(1e-5).fit_transform(X)
    np.testing.assert_allclose(found, ranks, atol=1e-6)
    for name in ("uniform", "norm"):
        full = {"norm": "normal"}.get(name, name)
        found = SoftQuantileTransformer(full, 1e-5).fit_transform(X)
        expected = getattr(scipy.stats, name).ppf((ranks + 0.5) / 30)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_other_values_do_not_influence_samples():
    transformer = SoftRankTransformer().fit(X)
    whole = transformer.transform(X)
    alone = transformer.transform(X[:1])
    far = transformer.transform(np.concatenate([X[:1], [[1e6, -1e6]]]))
    np.testing.assert_allclose(alone[0], whole[0], atol=1e-6)
    np.testing.assert_allclose(far[0], whole[0], atol=1e-6)
    assert far[1, 0] >= whole[:, 0].max()
    assert far[1, 1] <= whole[:, 1].min()


def test_samples_are_a_copy():
    x = X.copy()
    transformer = SoftRankTransformer().fit(x)
    x[:] = 0
    np.testing.assert_array_equal(transformer.samples_, X)


@pytest.mark.usefixtures("unchecked_types")
def test_errors():
    with pytest.raises(SoftSortError, match="'cauchy'"):
        SoftQuantileTransformer("cauchy").fit_transform(X)
    with pytest.raises(SoftSortError, match="epsilon is -1"):
        SoftRankTransformer(-1.0).fit_transform(X)
