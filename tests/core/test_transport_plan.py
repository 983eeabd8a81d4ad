"""Products with a plan that is not made are those with its matrix."""

import numpy as np
import pytest
from samples import sample

import softsort_core as soft
from softsort_core import SoftSortError, transport_plan

X = sample("normal", 6)
W = np.arange(1.0, 7)
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("normalised_by", ["rows", "columns", None])
@pytest.mark.parametrize("weights", [None, W])
def test_products_are_those_of_the_matrix(x64, normalised_by, weights):
    levels, values = RNG.normal(size=(4, 2)), RNG.normal(size=(6, 2))
    for descending in (False, True):
        plan = transport_plan(
            X,
            4,
            normalised_by=normalised_by,
            descending=descending,
            input_weights=weights,
            epsilon=0.1,
        )
        matrix = plan.matrix()
        assert matrix.shape == plan.shape == plan.T.shape[::-1] == (6, 4)
        close = {"rtol": 1e-9, "atol": 1e-9}
        np.testing.assert_allclose(plan @ levels, matrix @ levels, **close)
        np.testing.assert_allclose(plan @ levels[:, 0], matrix @ levels[:, 0], **close)
        np.testing.assert_allclose(plan.T @ values, matrix.T @ values, **close)
        np.testing.assert_allclose(values.T @ plan, values.T @ matrix, **close)
        np.testing.assert_array_equal(plan.T.matrix(), matrix.T)
        for axis in (None, 0, 1):
            np.testing.assert_allclose(plan.sum(axis), matrix.sum(axis), **close)
    along = {"rows": 1, "columns": 0, None: None}[normalised_by]
    np.testing.assert_allclose(plan.sum(along), 1.0, rtol=1e-9)


def test_the_matrix_is_that_of_the_operators(x64):
    plan = transport_plan(X, epsilon=0.1)
    np.testing.assert_allclose(plan.matrix().sum(0), 1.0, rtol=1e-9)
    ranks, sorted_ = soft.ranks(X, epsilon=0.1), soft.sort(X, epsilon=0.1)
    np.testing.assert_allclose(plan.matrix() @ np.arange(6), ranks, rtol=1e-9)
    np.testing.assert_allclose(plan.matrix().T @ X, sorted_, rtol=1e-9)


def test_the_limit_is_a_permutation(x64):
    hard = np.eye(6)[X.argsort().argsort()]
    np.testing.assert_allclose(
        transport_plan(X, epsilon=1e-5).matrix(), hard, atol=1e-9
    )
    down = transport_plan(X, epsilon=1e-5, descending=True)
    np.testing.assert_allclose(down.matrix(), hard[:, ::-1], atol=1e-9)


def test_many_values(x64):
    x = sample("normal", 5000)
    plan = transport_plan(x)
    # To the estimated error, which is relative to the range of what is multiplied.
    ranks = plan @ np.arange(5000)
    np.testing.assert_allclose(ranks, soft.ranks(x), atol=1e-6 * 5000)
    np.testing.assert_allclose(plan.T @ x, soft.sort(x), atol=1e-6 * np.ptp(x))
    with pytest.raises(SoftSortError, match="5000 x 5000"):
        plan.matrix()


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: transport_plan([[1.0, 2.0]]), r"shape \(1, 2\)"),
        (lambda: transport_plan([]), r"shape \(0,\)"),
        (lambda: transport_plan(X, 0), "num_targets is 0"),
        (lambda: transport_plan(X, normalised_by="both"), "'both'"),
        (lambda: transport_plan(X, input_weights=W - 1), "zeros"),
        (lambda: transport_plan(X, input_weights=W[:2]), r"shape \(2,\)"),
        (lambda: transport_plan(X) @ W[:2], r"shape \(6, 6\) .* shape \(2,\)"),
        (lambda: transport_plan(X).sum(2), "axis 2"),
    ],
)
def test_errors(call, words):
    with pytest.raises(SoftSortError, match=words):
        call()
