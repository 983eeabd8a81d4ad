"""Operators on all of some data from their summary, beside plans solved in numpy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from samples import sample
from scipy.special import expit, ndtri

import softsort_core as soft
from softsort_core import SoftSortError

N, EPSILON = 200, 0.01
SHARES = (np.arange(N) + 0.5) / N
REFERENCE = np.sort(np.random.default_rng(1).exponential(size=300))


@pytest.fixture(autouse=True)
def _quickly_compiled():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def plan(x, b):
    """P(target | input), by Newton's method on the semi-dual as epsilon shrinks."""
    s = expit((x - x.mean()) / (x.std() + 1e-10))
    cost = (s[:, None] - np.linspace(0, 1, len(b))) ** 2
    v = np.zeros(len(b))
    for epsilon in EPSILON * 2.0 ** np.arange(6, -1, -1):
        for _ in range(200):
            scores = v + np.log(b) - cost / epsilon
            p = np.exp(scores - scores.max(axis=1, keepdims=True))
            p /= p.sum(axis=1, keepdims=True)
            excess = b - p.mean(0)
            if abs(excess / b).max() < 1e-11:
                break
            hessian = np.diag(p.mean(0)) - p.T @ p / len(x) + np.outer(b, b)
            # Directions of no account are bounded: quicker by far than to find them.
            step = np.linalg.solve(hessian + 1e-14 * np.eye(len(b)), excess)
            v += step * np.log1p(np.ptp(step)) / max(np.ptp(step), 1e-300)
    assert abs(excess / b).max() < 1e-9
    return p


def drawn(x, b):
    """E[x | target], ascending."""
    p = plan(x, b)
    return x @ p / p.sum(0)


def few(m):
    return np.full(m, 1 / m)


@functools.cache
def given(kind):
    """Values, and their summary merged of parts."""
    x = sample(kind, N)
    parts = np.split(x, [1, 90])
    whole = functools.reduce(soft.merge, map(soft.describe, parts))
    summaries = [soft.summarise(part, whole, epsilon=EPSILON) for part in parts]
    return x, functools.reduce(soft.merge, summaries)


def quantiles(x):
    mass = 1.5 / N
    b = [0.1 - mass / 2, mass, 0.8 - mass, mass, 0.1 - mass / 2]
    return drawn(x, np.array(b))[[3, 1]]


CASES = {
    "few sorted": (lambda s: soft.solve_sort(s, 5), lambda x: drawn(x, few(5))),
    "many sorted": (lambda s: soft.solve_sort(s, 180), lambda x: drawn(x, few(180))),
    "topk": (
        lambda s: soft.solve_topk(s, 3),
        lambda x: drawn(x, np.array([N - 3, 1, 1, 1]) / N)[1:],
    ),
    "quantile": (lambda s: soft.solve_quantile(s, [0.9, 0.1]), quantiles),
    "mask": (
        lambda s: soft.solve_topk_mask(s, 30),
        lambda x: plan(x, np.array([0.85, 0.15]))[:, 1],
    ),
    "quantize": (
        lambda s: soft.solve_quantize(s, 7),
        lambda x: plan(x, few(7)) @ drawn(x, few(7)),
    ),
    "few levels": (
        lambda s: soft.solve_quantile_normalization(s, REFERENCE[::30]),
        lambda x: plan(x, few(10)) @ REFERENCE[::30],
    ),
    "many levels": (
        lambda s: soft.solve_quantile_normalization(s, REFERENCE),
        lambda x: plan(x, few(300)) @ REFERENCE,
    ),
    "distribution": (
        lambda s: soft.solve_quantile_normalization(s, ndtri),
        lambda x: plan(x, few(N)) @ ndtri(SHARES),
    ),
}


@pytest.mark.parametrize("kind", ["normal", "three clusters", "constant"])
@pytest.mark.parametrize("name", CASES)
def test_the_whole_from_its_summary(x64, name, kind):
    operator, oracle = CASES[name]
    x, summary = given(kind)
    found, expected = operator(summary), oracle(x)
    if isinstance(found, soft.Curve):
        assert found.error <= 1e-6
        found = found(x)
    scale = max(np.ptp(expected), np.ptp(x), 1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8 * scale)


@pytest.mark.parametrize("name", ["quantile", "distribution"])
def test_single_precision(name):
    x = sample("normal", N).astype(np.float32)
    summary = soft.summarise(x, soft.describe(x), epsilon=EPSILON)
    operator, oracle = CASES[name]
    found = operator(summary)
    found = found(x) if isinstance(found, soft.Curve) else found
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, oracle(x.astype(float)), rtol=0, atol=2e-5)


def test_a_distribution_of_very_many_values(x64):
    x = sample("normal", 50_000)
    summary = soft.summarise(x, soft.describe(x), epsilon=EPSILON)
    levels = ndtri((np.arange(x.size) + 0.5) / x.size)
    one, other = (
        soft.solve_quantile_normalization(summary, targets)(x[:50])
        for targets in (ndtri, levels)
    )
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-11)


def test_a_distribution_of_values_that_are_tied(x64):
    # Where all mass is in few values, plans are steep between these.
    x = np.random.default_rng(2).poisson(2.0, N).astype(float)
    summary = soft.summarise(x, soft.describe(x), epsilon=EPSILON)
    found = soft.solve_quantile_normalization(summary, ndtri)(x)
    expected = plan(x, few(N)) @ ndtri(SHARES)
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-11)


def test_parts_of_many_tied_values_give_what_one_array_does(x64):
    x = np.random.default_rng(0).choice([0.0, 1.0, 2.0], 5000, p=[0.2, 0.5, 0.3])
    summary = soft.summarise(x, soft.describe(x), epsilon=EPSILON)
    found = soft.solve_quantile_normalization(summary, ndtri, epsilon=EPSILON)(x)
    levels = ndtri((np.arange(x.size) + 0.5) / x.size)
    expected = soft.quantile_normalization(x, levels, epsilon=EPSILON)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_a_single_value(x64):
    summary = soft.summarise([3.0], soft.describe([3.0]), epsilon=EPSILON)
    assert soft.solve_topk(summary, 1).tolist() == [3]
    assert soft.solve_quantile(summary, [0.9, 0.1]).tolist() == [3, 3]
    assert soft.solve_topk_mask(summary, 1)([3.0]).tolist() == [1]
    curve = soft.solve_quantile_normalization(summary, lambda shares: 2 * shares)
    assert curve([3.0]).tolist() == [1]


def test_what_is_not_certain_is_nan(x64):
    _, summary = given("normal")
    curve = soft.solve_topk_mask(summary, 3, tolerance=1e-15)
    assert jnp.isnan(curve([1.0])).all()
    assert jnp.isnan(soft.solve_sort(summary, 4, tolerance=1e-15)).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: soft.solve_topk(s, N + 1), ["k is 201", "1 to 200"]),
        (lambda s: soft.solve_topk_mask(s, -1), ["k is -1"]),
        (lambda s: soft.solve_quantize(s, 0), ["num_levels is 0"]),
        (lambda s: soft.solve_quantize(s, 10**6), ["1000000 targets", "fewer"]),
        (lambda s: soft.solve_quantile(s, 1.5), ["q is 1.5"]),
        (lambda s: soft.solve_sort(s, 3, epsilon=1e-4), ["too coarse"]),
        (lambda s: soft.solve_quantile_normalization(s, [2.0, 1.0]), ["ascending"]),
        (lambda s: soft.solve_quantile_normalization(s, [[1.0]]), ["(1, 1)"]),
    ],
)
def test_misuse_is_explained(x64, call, words):
    with pytest.raises(SoftSortError) as caught:
        call(given("normal")[1])
    for word in words:
        assert word in str(caught.value)
