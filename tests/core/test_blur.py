"""Epsilon in the units of the values: `softsort_core.blur`."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, ndtr, ndtri

import softsort_core as soft

pytestmark = pytest.mark.usefixtures("x64")
RNG = np.random.default_rng(0)
KINDS = {
    "normal": lambda n: RNG.normal(size=n),
    "exponential": lambda n: RNG.exponential(size=n),
    "uniform": lambda n: RNG.uniform(size=n),
    "lognormal": lambda n: RNG.lognormal(size=n),
    "bimodal": lambda n: RNG.choice([-3.0, 3.0], n) + 0.6 * RNG.normal(size=n),
}
VALUES = KINDS["lognormal"](700)
MANY = 1e-4, 0.03, 1.0, 50.0


def of_pairs(x, blur, s=None, slopes=None):
    """The double sum over all pairs, by its definition."""
    if s is None:
        s = expit((x - x.mean()) / x.std())
        slopes = s * (1 - s) / x.std()
    h = math.sqrt(2) * blur * slopes.mean()
    kernel = np.exp(-(np.subtract.outer(s, s) ** 2) / 2 / h**2)
    kernel /= h * math.sqrt(2 * math.pi)
    return 2 * blur**2 * np.mean(np.outer(slopes, slopes) * kernel)


@pytest.mark.parametrize("size", [2, 12, 512, 700])
@pytest.mark.parametrize("blur", [0.02, 0.1, 0.3])
def test_is_the_sum_over_pairs(size, blur):
    x = VALUES[:size]
    np.testing.assert_allclose(
        soft.epsilon_for_blur(x, blur), of_pairs(x, blur), rtol=1e-12
    )


@pytest.mark.parametrize(("epsilon", "rtol"), [(1e-3, 0.05), (1e-4, 0.015)])
def test_spread_of_a_rank_given_its_value(epsilon, rtol):
    x = ndtri((np.arange(400) + 0.5) / 400)
    shares = np.linspace(0, 1, 400)
    mean, square = (
        soft.quantile_normalization(x, targets, epsilon=epsilon)
        for targets in (shares, shares**2)
    )
    s = expit(x / x.std())
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi) * x.std() / (s * (1 - s))
    inner = slice(100, 300)
    np.testing.assert_allclose(
        np.sqrt(square - mean**2)[inner], np.sqrt(epsilon / 2 * density)[inner], rtol
    )


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("size", [100, 400])
def test_soft_ranks_are_expected_ranks_under_noise(name, size):
    x = KINDS[name](size)
    blur = 0.3 * x.std()
    # What values with noise of their own are ranked, on average.
    expected = ndtr(np.subtract.outer(x, x) / blur / math.sqrt(2)).sum(1) - 0.5
    epsilon = soft.epsilon_for_blur(x, blur)
    gaps = [
        np.sqrt(np.mean((ranks(x, epsilon * times) - expected) ** 2))
        for times in (0.1, 1.0, 10.0)
    ]
    hard = x.argsort().argsort() - expected
    assert gaps[1] < min(gaps[0], gaps[2], np.sqrt(np.mean(hard**2)))


ranks = jax.jit(lambda x, epsilon: soft.ranks(x, epsilon=epsilon))


@pytest.mark.parametrize("size", [300, 700])
def test_weights_are_repeated_values(size):
    x, weights = VALUES[:size], RNG.integers(0, 4, size)
    np.testing.assert_allclose(
        soft.epsilon_for_blur(x, 0.3, input_weights=weights),
        soft.epsilon_for_blur(np.repeat(x, weights), 0.3),
        rtol=1e-12,
    )
    x = np.where(weights > 0, x, np.nan)
    assert soft.epsilon_for_blur(x, 0.3, input_weights=weights) > 0


def test_wide_blurs_are_as_good_as_any():
    wide, wider = (soft.epsilon_for_blur(VALUES, blur) for blur in (50.0, 500.0))
    np.testing.assert_allclose(wide, of_pairs(VALUES, 50.0), rtol=0.05)
    np.testing.assert_allclose(wider, 10 * wide, rtol=1e-9)


@pytest.mark.parametrize("blur", [0.005, 0.03, 1.0])
def test_parts_give_what_the_whole_gives(blur):
    parts = VALUES[:100], VALUES[100:110], VALUES[110:]
    whole = functools.reduce(soft.merge, map(soft.describe, parts))
    least = soft.least_epsilon_for_blur(whole, blur)
    summary = functools.reduce(
        soft.merge, (soft.summarise(part, whole, epsilon=least) for part in parts)
    )
    epsilon = of_pairs(VALUES, blur)
    np.testing.assert_allclose(
        soft.epsilon_for_blur(summary, blur),
        epsilon,
        rtol=1e-3 if blur < 1e-3 else 1e-9,
    )
    np.testing.assert_allclose(soft.blur_of_epsilon(summary, epsilon), blur, rtol=1e-9)


@pytest.mark.parametrize("blur", MANY)
def test_no_values_come_below_the_least(blur):
    ends = np.repeat([0.0, 1.0], [500, 1])
    for x in (VALUES, ends, [0.0, 1.0], np.arange(9.0), [0.0, 5.0, 5.0, 5.0, 10.0]):
        least = soft.least_epsilon_for_blur(soft.describe(x), blur)
        epsilon = soft.epsilon_for_blur(x, blur)
        assert 0 < least < epsilon


def test_groups_are_each_on_their_own():
    sizes = np.array([3, 1, 0, 40, 3, 600])
    x, starts = VALUES[: sizes.sum()], np.cumsum(sizes) - sizes
    blurs = np.linspace(0.1, 0.6, 6)
    alone = [
        soft.epsilon_for_blur(x[start:][:size], blur) if size else 1
        for start, size, blur in zip(starts, sizes, blurs, strict=True)
    ]
    np.testing.assert_allclose(
        soft.group_epsilons_for_blur(x, sizes, blurs), alone, rtol=1e-12
    )
    shares = RNG.uniform(size=20)
    np.testing.assert_allclose(
        soft.group_epsilons_for_blur(shares, np.array([20]), 0.1, squashes=False),
        [of_pairs(shares, 0.1, shares, np.ones(20))],
        rtol=1e-12,
    )


@pytest.mark.parametrize("size", [20, 700])
def test_shares_that_are_negated(size):
    shares = RNG.uniform(size=size)
    for s in (shares, -shares):
        (epsilon,) = soft.group_epsilons_for_blur(
            s, np.array([size]), 0.1, squashes=False
        )
        assert epsilon == pytest.approx(of_pairs(s, 0.1, s, np.ones(size)), rel=1e-12)


@pytest.mark.parametrize("size", [100, 700])
def test_transformations(size):
    x = VALUES[:size]
    epsilon = of_pairs(x, 0.3)
    call = jax.jit(lambda x, blur: soft.epsilon_for_blur(x, blur))
    np.testing.assert_allclose(call(x, 0.3), epsilon, rtol=1e-12)
    single = call(x.astype(np.float32), 0.3)
    np.testing.assert_allclose(single, epsilon, rtol=1e-4)
    rows = np.stack([x, 2 * x + 1e3])
    both = jax.jit(jax.vmap(soft.epsilon_for_blur, (0, None)))(rows, 0.3)
    np.testing.assert_allclose(both, [epsilon, of_pairs(x, 0.15)], rtol=1e-10)
    assert not np.any(jax.jit(jax.grad(soft.epsilon_for_blur))(x, 0.3))
    assert np.isnan(call(x, -1.0))
    assert np.isnan(call(np.where(x == x[0], np.nan, x), 0.3))


def test_other_squashing():
    x = VALUES[:100]
    middle, width = x.mean(), x.std()
    epsilon = soft.epsilon_for_blur(
        x, 0.3, squashing_fun=lambda x: jax.nn.sigmoid((x - middle) / width)
    )
    np.testing.assert_allclose(epsilon, of_pairs(x, 0.3), rtol=1e-12)
    x = RNG.uniform(size=100)
    for mirrored in (lambda x: x, lambda x: 1 - x):
        np.testing.assert_allclose(
            soft.epsilon_for_blur(x, 0.1, squashing_fun=mirrored),
            of_pairs(x, 0.1, x, np.ones(100)),
            rtol=1e-12,
        )


@pytest.mark.parametrize("size", [5, 700])
@pytest.mark.parametrize("epsilon", [1e-4, 0.01, 1.0, 20.0])
def test_inverse(size, epsilon):
    x = VALUES[:size]
    blur = soft.blur_of_epsilon(x, epsilon)
    np.testing.assert_allclose(soft.epsilon_for_blur(x, blur), epsilon, rtol=1e-12)


def test_values_without_spread():
    for x in ([3.0], [3.0, 3.0, 3.0], [0.1] * 7, [1e300] * 5):
        assert soft.epsilon_for_blur(x, 0.3) == 1
        assert soft.least_epsilon_for_blur(soft.describe(x), 0.3) == 1
        assert soft.blur_of_epsilon(x, 0.01) == math.inf
        summary = soft.summarise(x, soft.describe(x))
        assert soft.epsilon_for_blur(summary, 0.3) == 1
    x = np.array([1.0, 2.0, 4.0])
    for scale in (1e-300, 1e-5, 1e5, 1e300):
        np.testing.assert_allclose(
            soft.epsilon_for_blur(x * scale, 0.3 * scale),
            soft.epsilon_for_blur(x, 0.3),
            rtol=1e-9,
        )
    assert soft.epsilon_for_blur(x * 1e-300, 1.0) == 1e6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: soft.epsilon_for_blur([1.0, 2.0], 0.0),
            "blur is 0.0: give one",
        ),
        (lambda: soft.epsilon_for_blur([1.0, 2.0], jnp.ones(2)), "blur is"),
        (lambda: soft.epsilon_for_blur([], 1.0), r"values has shape \(0,\)"),
        (lambda: soft.epsilon_for_blur([[1.0]], 1.0), r"values has shape \(1, 1\)"),
        (lambda: soft.epsilon_for_blur([1.0, np.nan], 1.0), "NaN or infinity"),
        (
            lambda: soft.epsilon_for_blur([1.0, 2.0], 1.0, input_weights=[1.0]),
            r"input_weights \(1,\)",
        ),
        (
            lambda: soft.epsilon_for_blur(
                [1.0, 2.0], 1.0, squashing_fun=lambda x: x - x.mean()
            ),
            "squashing_fun has no slope",
        ),
        (lambda: soft.blur_of_epsilon([1.0, 2.0], -1.0), "epsilon is -1"),
        (
            lambda: soft.group_epsilons_for_blur([1.0], np.array([1]), np.nan),
            "blur is nan",
        ),
        (
            lambda: soft.least_epsilon_for_blur(soft.describe([1.0]), math.inf),
            "blur is inf",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(soft.SoftSortError, match=message):
        call()
