import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from derivatives import check_derivatives
from samples import KINDS, sample

import softsort_core as soft

X = [1.0, 5.0, 4.0, 8.0, 12.0]
# Central differences of independently converged values at epsilon 0.01.
DIFFERENCES = {
    "sort": (lambda x: soft.sort(x)[0], [1.03252, 0.00779, -0.0612, 0.00733, 0.01356]),
    "ranks": (
        lambda x: soft.ranks(x)[0],
        [0.016129, 0.002757, -0.025805, 0.002429, 0.004489],
    ),
    "median": (
        lambda x: soft.quantile(x, 0.5)[0],
        [0.001276, 1.020152, -0.018508, -0.000852, -0.002068],
    ),
}
OPERATORS = {
    "sort": soft.sort,
    "ranks": soft.ranks,
    "topk": functools.partial(soft.sort, topk=1),
    "quantile": functools.partial(soft.quantile, q=[0.5, 0.1]),
    "quantize": functools.partial(soft.quantize, num_levels=2),
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_known_gradients(x64, name):
    function, expected = DIFFERENCES[name]
    gradient = jax.jit(jax.grad(function))
    np.testing.assert_allclose(gradient(jnp.array(X)), expected, atol=1e-5)


def test_derivatives_in_weights_and_targets(x64):
    x = jnp.asarray(sample("normal", 5))
    w, b = jnp.array([0.1, 0.3, 0.2, 0.3, 0.1]), jnp.array([0.2, 0.5, 0.3])
    cases = [
        (lambda w: soft.sort(x, epsilon=0.1, input_weights=w), w),
        (lambda b: soft.ranks(x, target_weights=b, epsilon=0.1), b),
        (lambda t: soft.quantile_normalization(x, t, epsilon=0.1), jnp.arange(3.0)),
        (lambda q: soft.quantile(x, q, epsilon=0.1), jnp.array([0.4, 0.7])),
        (lambda v: soft.sort_with(v, x, epsilon=0.1), jnp.outer(x, x)),
    ]
    for function, argument in cases:
        check_derivatives(function, argument)


@pytest.mark.parametrize("n", [12, 200])
def test_derivatives_in_weights_of_nothing(x64, n):
    """A value without weight would have its share in results, were it given any."""
    x = sample("normal", n)
    x[0] = 4.0
    read, step = np.random.default_rng(0).normal(size=n), 1e-4

    @jax.jit
    @jax.value_and_grad
    def sums(w):
        return soft.sort(x, input_weights=w) @ read

    weights = np.ones(n)
    weights[[0, 3]] = 0.0
    value, slopes = sums(weights)
    for i in 0, 3:
        ahead = [sums(weights + k * step * np.eye(n)[i])[0] for k in (1, 2)]
        difference = (4 * ahead[0] - ahead[1] - 3 * value) / (2 * step)
        np.testing.assert_allclose(slopes[i], difference, rtol=1e-5)


@functools.cache
def gradient_of(name):
    def loss(x, epsilon, direction):
        results = OPERATORS[name](x, epsilon=epsilon)
        return results @ direction[: results.size]

    return jax.jit(jax.grad(loss))


@pytest.mark.parametrize(
    ("name", "n"),
    [
        *((name, n) for name in ("sort", "ranks") for n in (3, 20, 200)),
        ("quantize", 6),
    ],
)
def test_single_precision_gradients(x64, name, n):
    """They are near those in double precision, of the same rounded values."""
    rng = np.random.default_rng(n)
    # Those of many values take long.
    for seed in range(0, 20, 1 if n < 200 else 3):
        kind = KINDS[seed % len(KINDS)]
        x = sample(kind, n, seed).astype(np.float32)
        direction = rng.normal(size=n).astype(np.float32)
        epsilon = np.float32((1.0, 0.1, 0.01, 1e-3)[seed // 5])
        single = gradient_of(name)(x, epsilon, direction)
        double = gradient_of(name)(*map(np.float64, (x, epsilon, direction)))
        assert single.dtype == jnp.float32
        assert np.isfinite(single).all(), (kind, epsilon)
        # What has vanished is as far off as rounding moves scores.
        off = np.linalg.norm(single - double)
        assert off <= 5e-4 * np.linalg.norm(double) + 1e-6, (kind, epsilon)


def test_single_precision_gradients_of_thousands(x64):
    x = sample("heavy tail", 3000).astype(np.float32)
    direction = np.random.default_rng(0).normal(size=3000).astype(np.float32)

    @jax.jit
    @jax.grad
    def gradient(x, direction):
        return soft.sort(x, epsilon=0.01) @ direction

    single = gradient(x, direction)
    double = gradient(*map(np.float64, (x, direction)))
    # Weights times values, and weights, nearly cancel: they differed by 2e-3.
    assert np.linalg.norm(single - double) <= 2e-4 * np.linalg.norm(double)


def test_single_precision_gradients_of_medians_between_two_values(x64):
    def median(x):
        return soft.quantile(x, 0.5, epsilon=1e-3)[0]

    slopes = jax.jit(jax.vmap(jax.grad(median)))
    rows = np.random.default_rng(3).normal(size=(60, 6)).astype(np.float32) ** 2
    single, double = slopes(rows), slopes(rows.astype(float))
    off = np.linalg.norm(single - double, axis=1)
    assert np.all(off <= 2e-4 * np.linalg.norm(double, axis=1))


@pytest.mark.parametrize("scale", [1e-25, 1e30])
def test_derivatives_in_weights_of_any_scale(x64, scale):
    @jax.jit
    def slopes(w):
        x, read = jnp.asarray(X, w.dtype), jnp.arange(5, dtype=w.dtype)
        return jax.grad(lambda w: soft.sort(x, input_weights=w) @ read)(w)

    weights = np.array([1, 2, 1, 3, 1])
    scaled = slopes(np.float32(weights * scale)).astype(float) * scale
    np.testing.assert_allclose(scaled, slopes(np.float64(weights)), rtol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equal_values_have_a_gradient(x64, dtype):
    x = jnp.full(6, 3.0, dtype)
    direction = jnp.arange(6.0, dtype=dtype)

    @jax.jit
    def gradients(x):
        operators = soft.ranks, soft.sort
        return [jax.grad(lambda x, f=f: f(x) @ direction)(x) for f in operators]

    ranks, values = gradients(x)
    np.testing.assert_array_equal(ranks, np.zeros(6))
    np.testing.assert_allclose(values, np.full(6, 15 / 6), rtol=1e-5)


def wave(x):
    return jnp.mean(jnp.sin(3 * soft.ranks(x) / x.size))


def waves(n):
    """Solve in double precision inside what is mapped, derived and compiled at once."""
    batch = np.stack([sample("normal", n, seed) for seed in range(2)], dtype=np.float32)
    single = jax.jit(jax.value_and_grad(wave))
    return single, zip(batch, *jax.jit(jax.vmap(single))(batch), strict=True)


def test_single_precision_in_batches():
    single, found = waves(500)
    for row, value, gradient in found:
        # In single precision what is expected would itself round, on each processor
        # in another way.
        with jax.enable_x64(True):
            expected, slope = single(row.astype(np.float64))
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        close = {"rtol": 1e-3, "atol": 1e-4 * np.abs(slope).max()}
        np.testing.assert_allclose(gradient, slope, **close)


def test_single_precision_in_batches_of_many():
    _, found = waves(2500)
    height = jax.jit(wave)
    rng = np.random.default_rng(0)
    for row, value, gradient in found:
        np.testing.assert_allclose(value, height(row), rtol=1e-5)
        length = np.linalg.norm(gradient)
        # The steepest direction, and any.
        for step in (gradient / length, rng.normal(size=row.size) / row.size**0.5):
            with jax.enable_x64(True):
                ahead, behind = (
                    float(height(row + sign * 1e-3 * np.asarray(step, float)))
                    for sign in (1, -1)
                )
            difference = (ahead - behind) / 2e-3
            assert abs(gradient @ step - difference) <= 1e-3 * length
