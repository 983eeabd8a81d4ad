"""Tensors in, tensors out, with gradients; skipped without PyTorch."""

import doctest

import jax.numpy as jnp
import numpy as np
import pytest

import softsort_core
from softsort_core import losses

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
soft = pytest.importorskip("softsort_core.torch")

X = np.array([[1.0, 5.0, 4.0, 8.0, 12.0], [3.0, 2.0, 9.0, 1.0, 0.0]])
CALLS = {
    "sort": lambda x: soft.sort(x, epsilon=0.1),
    "ranks": lambda x: soft.ranks(x, epsilon=0.1),
    "topk_mask": lambda x: soft.topk_mask(x, k=2, epsilon=0.1),
    "quantile": lambda x: soft.quantile(x, q=[0.2, 0.5], epsilon=0.1),
    "quantize": lambda x: soft.quantize(x, 2, epsilon=0.1),
    "median": lambda x: soft.median(x, -1, epsilon=0.1),
    "top_k": lambda x: soft.top_k(x, 2, epsilon=0.1)[0],
}


@pytest.mark.parametrize("name", CALLS)
def test_gradients_are_differences(name):
    x = torch.tensor(X, requires_grad=True)
    assert torch.autograd.gradcheck(CALLS[name], (x,), atol=1e-5)


def test_gradients_have_gradients():
    """Of values, weights, and what is pulled back: a penalty on slopes needs them."""
    x = torch.tensor(X[0], requires_grad=True)
    weights = torch.tensor([1.0, 2.0, 1.0, 3.0, 1.0], dtype=torch.float64)
    weights.requires_grad_()

    def both(x, weights):
        return soft.sort(x, epsilon=0.1, input_weights=weights)

    assert torch.autograd.gradgradcheck(both, (x, weights), atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_values_and_types(dtype):
    x = torch.tensor(X, dtype=getattr(torch, dtype))
    sorted_ = soft.sort(x)
    assert sorted_.dtype == x.dtype
    assert not sorted_.requires_grad
    expected = softsort_core.sort(jnp.asarray(X, jnp.float32))
    np.testing.assert_allclose(sorted_.float(), expected, rtol=1e-2)
    # What is done in place here is not done to what JAX holds.
    sorted_.zero_()
    assert (x == torch.tensor(X, dtype=x.dtype)).all()


def test_several_tensors_get_gradients():
    x = torch.tensor(X[0], requires_grad=True)
    weights = torch.tensor([1.0, 2.0, 1.0, 3.0, 1.0], dtype=torch.float64)
    weights.requires_grad_()

    def both(x, weights):
        return soft.sort(x, epsilon=0.1, input_weights=weights)

    assert torch.autograd.gradcheck(both, (x, weights), atol=1e-5)
    labels = torch.tensor([4, 2])
    loss = soft.over_tensors(losses.soft_error_loss)
    rows = torch.tensor(X, requires_grad=True)
    loss(rows, labels, epsilon=0.1).backward()
    assert torch.isfinite(rows.grad).all()


def test_integers_of_64_bits_are_not_cut():
    with pytest.raises(softsort_core.SoftSortError, match="integers beyond 16777216"):
        soft.ranks(torch.tensor([2**32, 1, 2]))
    mask = soft.topk_mask(torch.tensor(X), k=torch.tensor([1, 2]), epsilon=0.1)
    np.testing.assert_allclose(mask.sum(1), [1, 2], rtol=1e-9)


def test_a_hundred_steps_learn_an_order():
    torch.manual_seed(0)
    features = torch.randn(40, 3)
    wanted = features @ torch.tensor([1.0, -2.0, 0.5])
    layer = torch.nn.Linear(3, 1)
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.05)
    loss = soft.over_tensors(losses.soft_spearman_loss)
    for _ in range(100):
        optimiser.zero_grad()
        value = loss(layer(features)[:, 0], wanted)
        value.backward()
        optimiser.step()
    assert value < 0.02


def test_examples():
    rounded = doctest.testmod(soft)
    assert rounded.attempted > 3
    assert rounded.failed == 0
