"""How many are selected may be traced, and differ from slice to slice."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import softsort_core as soft
from softsort_core import SoftSortError

X = np.random.default_rng(0).normal(size=(2, 3, 6))
K = np.array([[0, 1, 2], [3.5, 5, 6]])


def one_by_one(x, k, **softness):
    rows = [
        soft.topk_mask(row, k=number, epsilon=0.1, **softness)
        for row, number in zip(x.reshape(-1, 6), k.ravel(), strict=True)
    ]
    return np.reshape(rows, x.shape)


def test_one_for_each_slice(x64):
    expected = one_by_one(X, K)
    found = soft.topk_mask(X, k=K, epsilon=0.1)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.sum(-1), K, rtol=1e-9, atol=1e-12)
    several = soft.topk_mask(X.transpose(2, 0, 1), (1, 2), k=np.arange(6), epsilon=0.1)
    assert several.shape == (6, 2, 3)
    np.testing.assert_allclose(several.sum((1, 2)), np.arange(6), atol=1e-9)
    weights = np.arange(1.0, 7)
    found = soft.topk_mask(X, k=K, epsilon=0.1, input_weights=weights)
    expected = one_by_one(X, K, input_weights=weights)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_traced(x64):
    mask = jax.jit(lambda x, k: soft.topk_mask(x, k=k, epsilon=0.1))
    expected = one_by_one(X, K)
    np.testing.assert_allclose(mask(X, K), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(mask(X[0, 2], 2), expected[0, 2], rtol=1e-9)
    assert jnp.isnan(mask(X[0, 2], 7)).all()
    # By more that is selected all belong more, in sum by as much.
    slope = jax.jit(jax.jacfwd(lambda k: soft.topk_mask(X[0, 2], k=k, epsilon=0.1)))
    np.testing.assert_allclose(slope(2.0).sum(), 1.0, rtol=1e-9)


@pytest.mark.parametrize(
    ("k", "words"),
    [
        ([[1, 2, 3]], r"k has shape \(1, 3\): .* \(2, 3\)"),
        ([[-1, 0, 1], [1, 2, 3]], "from 0 to 6"),
        (6.5, "k is 6.5"),
        (np.nan, "k is nan"),
        (True, "k is True"),
    ],
)
def test_wrong_numbers_are_named(k, words):
    with pytest.raises(SoftSortError, match=words):
        soft.topk_mask(X, k=k)
