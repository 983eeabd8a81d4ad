"""Plans that are not dense beside those that are, for operators at many targets."""

import jax
import jax.numpy as jnp
import numpy as np
from samples import sample

import softsort_core as soft
from softsort_core.plans.dense import transport
from softsort_core.squash import squash

N = 200
HARDEST = ("normal", "cauchy", "three clusters", "two values")


@jax.jit
def dense(x, a, epsilon):
    """Return ranks and sorted values by the plan between all values and targets."""
    n = x.shape[0]
    y = jnp.linspace(0, 1, n)
    logits = -((squash(x, a)[:, None] - y) ** 2) / epsilon
    plan = transport(logits, a, jnp.full(n, 1 / n))
    return (n - 1) * plan.given_input(y)[0], plan.given_target(x)[0]


def check(
    x,
    epsilon,
    tolerance=1e-6,
    weights=None,
    operators=(soft.ranks, soft.sort),
    options=None,
):
    if options is None:
        options = {"epsilon": epsilon, "input_weights": weights}
    a = np.ones(x.shape) if weights is None else weights
    ranks, values = map(np.asarray, dense(x, a / a.sum(), epsilon))
    found = np.asarray(operators[0](x, **options))
    assert np.abs(found - ranks).max() <= tolerance * (x.size - 1)
    found = np.asarray(operators[1](x, **options))
    assert np.abs(found - values).max() <= tolerance * np.ptp(x) + 1e-15
    assert (np.diff(found) >= 0).all()


def check_gradient(operator):
    x, n = sample("normal", N), np.arange(1.0 * N)

    @jax.jit
    @jax.value_and_grad
    def loss(x):
        return operator(x, epsilon=0.1) @ jnp.cos(n)

    step = 1e-4 * np.sin(n)
    difference = (loss(x + step)[0] - loss(x - step)[0]) / 2
    np.testing.assert_allclose(loss(x)[1] @ step, difference, rtol=1e-5)


def check_levels(n, m):
    levels = np.sort(np.random.default_rng(1).standard_cauchy(m)) + 1e3
    a, b, y = np.full(n, 1 / n), np.full(m, 1 / m), np.linspace(0, 1, m)
    solved = jax.jit(transport)
    for kind in HARDEST:
        x = sample(kind, n)
        squashed = squash(jnp.asarray(x), jnp.asarray(a))
        plan = solved(-((squashed[:, None] - y) ** 2) / 0.01, a, b)
        expected, _ = plan.given_input(jnp.asarray(levels))
        found = soft.quantile_normalization(x, levels)
        atol = 1e-9 * np.ptp(levels)
        np.testing.assert_allclose(found, expected, rtol=0, atol=atol)
