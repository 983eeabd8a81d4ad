"""Results are exact to the last bit, derivatives those of soft ones."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from samples import sample

import softsort_core as soft
from softsort_core import SoftSortError, straight_through

N = 12
KINDS = "normal", "ten values", "constant", "cauchy", "two values"
WEIGHTS = np.random.default_rng(0).integers(0, 3, N).astype(float)


def repeated(x, weights):
    """Values of whole weights, as many times as they weigh."""
    return np.repeat(x, weights.astype(int))


def masked(x, k):
    """The share of each value, ties together, in the mass of the k largest."""
    below = (x[:, None] > x).sum(1)
    tied = (x[:, None] == x).sum(1)
    return np.clip((below + tied - (N - k)) / tied, 0, 1)


# Each operator with some settings, and what it is exactly.
EXACT = {
    "sort": (soft.sort, np.sort),
    "ranks": (soft.ranks, lambda x: scipy.stats.rankdata(x) - 1),
    "top 3": (
        functools.partial(soft.sort, topk=3),
        lambda x: np.sort(x)[-3:],
    ),
    "topk_mask": (functools.partial(soft.topk_mask, k=4), lambda x: masked(x, 4)),
    "median": (
        functools.partial(soft.quantile, q=0.5),
        lambda x: [np.median(x)],
    ),
    "quantize": (
        functools.partial(soft.quantize, num_levels=N),
        lambda x: x,
    ),
    "normalization": (
        lambda x, **epsilon: soft.quantile_normalization(x, np.arange(N), **epsilon),
        lambda x: scipy.stats.rankdata(x) - 1,
    ),
}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [*((name, "float64") for name in EXACT), ("sort", "float32"), ("ranks", "float32")],
)
def test_results_are_exact(x64, name, dtype):
    operator, exact = EXACT[name]
    if name == "normalization":
        operator = functools.wraps(soft.ranks)(operator)
    hard = jax.jit(straight_through(operator))
    for kind in KINDS:
        x = sample(kind, N).astype(dtype)
        found, expected = hard(x), np.asarray(exact(x), dtype)
        if name in ("sort", "ranks", "top 3"):
            np.testing.assert_array_equal(found, expected)
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 5000])
def test_any_number_of_values(n):
    x = sample("normal", n).astype(np.float32)
    np.testing.assert_array_equal(straight_through(soft.sort)(x), np.sort(x))
    ranks = straight_through(soft.ranks)(x)
    np.testing.assert_array_equal(ranks, scipy.stats.rankdata(x) - 1)


def test_weights_are_repetitions():
    x = sample("ten values", N).astype(np.float32)
    m = int(WEIGHTS.sum())
    sort = functools.partial(soft.sort, num_targets=m, input_weights=WEIGHTS)
    sorted_ = straight_through(sort)(x)
    np.testing.assert_array_equal(sorted_, np.sort(repeated(x, WEIGHTS)))
    found = straight_through(soft.ranks)(x, num_targets=m, input_weights=WEIGHTS)
    expected = (scipy.stats.rankdata(repeated(x, WEIGHTS)) - 1) * (N - 1) / (m - 1)
    np.testing.assert_allclose(repeated(found, WEIGHTS), expected, rtol=1e-6)


def test_axes_batches_and_squashing():
    x = np.stack([sample("normal", N, seed) for seed in range(6)]).astype(np.float32)
    ranks = straight_through(soft.ranks)
    expected = scipy.stats.rankdata(x, axis=1) - 1
    np.testing.assert_array_equal(ranks(x), expected)
    np.testing.assert_array_equal(jax.jit(jax.vmap(ranks))(x), expected)
    np.testing.assert_array_equal(ranks(x.T, axis=0), expected.T)
    several = ranks(x.reshape(2, 3, N), axis=(0, 2))
    whole = x.reshape(2, 3, N).transpose(1, 0, 2).reshape(3, -1)
    whole = scipy.stats.rankdata(whole, axis=1) - 1
    np.testing.assert_array_equal(several, whole.reshape(3, 2, N).transpose(1, 0, 2))
    halves = ranks(x[0], squashing_fun=lambda x: (x > 0) / 2.0)
    np.testing.assert_array_equal(halves, scipy.stats.rankdata(x[0] > 0) - 1)


@pytest.mark.parametrize("order", [1, 2])
def test_derivatives_are_soft(x64, order):
    x = jnp.asarray(sample("normal", 5))

    def derived(operator):
        def value(x):
            return operator(x, epsilon=0.1) @ jnp.arange(5.0)

        return jax.jit(jax.hessian(value) if order == 2 else jax.grad(value))(x)

    hard = derived(straight_through(soft.ranks))
    np.testing.assert_allclose(hard, derived(soft.ranks), rtol=1e-12)
    assert np.abs(hard).max() > 1e-3


def test_an_epsilon_alone_may_be_mapped_over_checkpoints(x64):
    """They were summed over the batch."""
    x, epsilons = sample("normal", 5), jnp.array([0.1, 0.2, 0.3])

    def total(epsilon):
        return jnp.sum(straight_through(soft.ranks)(x, epsilon=epsilon) ** 2)

    @jax.jit
    def slopes(epsilons):
        return [
            jax.grad(lambda e, f=f: jax.vmap(f)(e).sum())(epsilons)
            for f in (jax.checkpoint(total), total)
        ]

    np.testing.assert_allclose(*slopes(epsilons), rtol=1e-12)


def test_nan_stays(x64):
    x = jnp.array([1.0, jnp.nan, 2.0])
    assert jnp.isnan(straight_through(soft.ranks)(x)).all()
    rest = straight_through(soft.ranks)(x, input_weights=jnp.array([1.0, 0.0, 1.0]))
    np.testing.assert_array_equal(jnp.isnan(rest), [False, True, False])


def test_of_any_function():
    rounded = straight_through(jnp.sin, lambda x: jnp.round(jnp.sin(x)))
    value, slope = jax.value_and_grad(rounded)(1.0)
    assert value == 1
    np.testing.assert_allclose(slope, np.cos(1.0), rtol=1e-6)


@pytest.mark.parametrize(
    ("operator", "words"),
    [(jnp.sin, "exact"), (jax.jit(soft.ranks), "jax.jit.straight_through")],
)
def test_what_has_no_known_limit_is_refused(operator, words):
    with pytest.raises(SoftSortError, match=words):
        straight_through(operator)
