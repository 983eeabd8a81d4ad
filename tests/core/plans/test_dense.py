import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from samples import KINDS, sample
from scipy.special import logsumexp, softmax

from softsort_core.plans.dense import transport
from softsort_core.squash import squash

EPSILONS = (1.0, 0.1, 0.01, 1e-3, 1e-4)
TARGETS = {
    "sort": lambda n: np.full(n, 1 / n),
    "top-k": lambda n: np.r_[n - min(5, n), np.ones(min(5, n))] / n,
    "median": lambda n: (
        np.array([0.5, 0, 0.5]) + min(0.02, 1.5 / n) * np.array([-0.5, 1, -0.5])
    ),
}


@functools.partial(jax.jit, static_argnames="m")
def costs(x, m):
    s = squash(x, jnp.full(x.size, 1 / x.size, x.dtype))
    y = np.linspace(0, 1, m) if m > 1 else np.array([0.5])
    return (s[:, None] - jnp.asarray(y, x.dtype)) ** 2


def logits_of(x, m, epsilon, dtype):
    return jnp.asarray(np.asarray(costs(x.astype(dtype), m)) / -epsilon)


def column_sums(logits, b):
    """Return the mass at each target, summed in float64 from the plan as returned."""
    n = logits.shape[0]
    a = np.full(n, 1 / n, logits.dtype)
    plan = transport(logits, *map(jnp.asarray, (a, b.astype(a.dtype))))
    log_rows = np.where(b > 0, np.asarray(plan.log_rows, np.float64), -np.inf)
    return np.exp(log_rows).sum(axis=0) / n


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("targets", TARGETS)
@pytest.mark.parametrize("n", [2, 10, 300])
def test_column_sums(x64, n, targets, dtype):
    b = TARGETS[targets](n)
    tolerance = {"float32": 1e-6, "float64": 1e-10}[dtype]
    hardest = ("normal", "two clusters", "two values", "heavy tail")
    for kind in KINDS if n < 300 else hardest:
        for epsilon in EPSILONS:
            sums = column_sums(logits_of(sample(kind, n), len(b), epsilon, dtype), b)
            error = np.abs(sums - b).max()
            assert error < tolerance, (kind, epsilon)


def sinkhorn(logits, a, b, steps):
    """Solve the same problem another way, in numpy."""
    g = np.zeros(len(b))
    for _ in range(steps):
        f = np.log(a) - logsumexp(logits + g, axis=1)
        g = np.log(b) - logsumexp(logits + f[:, None], axis=0)
    return softmax(logits + g, axis=1)


@pytest.mark.parametrize("seed", range(2))
def test_plan_of_any_cost_is_sinkhorns(x64, seed):
    rng = np.random.default_rng(seed)
    logits = -rng.exponential(size=(8, 5)) / 0.2
    a, b = rng.dirichlet(np.ones(8)), rng.dirichlet(np.ones(5))
    plan = transport(jnp.asarray(logits), jnp.asarray(a), jnp.asarray(b))
    expected = sinkhorn(logits, a, b, 2_000)
    np.testing.assert_allclose(np.exp(plan.log_rows), expected, atol=1e-10)


def test_tiny_epsilon_is_the_assignment(x64):
    """Potentials are of the size of 1 / epsilon, and so is their rounding."""
    x = sample("normal", 40)
    order = np.argsort(x)
    b = jnp.full(40, 1 / 40)
    plan = transport(logits_of(x, 40, 1e-12, "float64"), b, b)
    levels = jnp.arange(40.0)
    ranks, values = plan.given_input(levels)[0], plan.given_target(jnp.asarray(x))[0]
    np.testing.assert_allclose(ranks[order], levels, atol=1e-12)
    np.testing.assert_allclose(values, x[order], atol=1e-12)


def test_weightless_targets_and_inputs_take_no_part(x64):
    rng = np.random.default_rng(0)
    logits = -rng.exponential(size=(8, 5)) / 0.1
    a, b = rng.dirichlet(np.ones(8)), rng.dirichlet(np.ones(5))
    values = rng.normal(size=8)
    wide = np.insert(np.insert(logits, 3, -1.0, axis=0), 2, -2.0, axis=1)
    plain = transport(*map(jnp.asarray, (logits, a, b)))
    with_none = wide, np.insert(a, 3, 0.0), np.insert(b, 2, 0.0)
    padded = transport(*map(jnp.asarray, with_none))
    np.testing.assert_allclose(
        np.delete(padded.given_target(jnp.asarray(np.insert(values, 3, 99.0)))[0], 2),
        plain.given_target(jnp.asarray(values))[0],
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        np.delete(padded.given_input(jnp.asarray(np.arange(6.0)))[0], 3),
        plain.given_input(jnp.asarray(np.array([0.0, 1, 3, 4, 5])))[0],
        rtol=1e-12,
    )


def test_a_weightless_target_is_the_limit_of_a_light_one(x64):
    logits = logits_of(sample("normal", 9), 3, 0.1, "float64")
    a, values = jnp.full(9, 1 / 9), jnp.asarray(sample("normal", 9))
    light, none = (
        transport(logits, a, jnp.array([0.0, w, 1 - w])).given_target(values)[0]
        for w in (1e-10, 0.0)
    )
    np.testing.assert_allclose(none[1:], light[1:], rtol=1e-8)


def test_what_cannot_be_solved_is_a_failure():
    a, b = jnp.full(4, 0.25), jnp.array([0.5, 0.5])
    flat = jnp.zeros((4, 2))
    plans = [
        transport(flat.at[1, 1].set(bad), a, b) for bad in (jnp.nan, jnp.inf, -jnp.inf)
    ]
    for plan in (*plans, transport(flat, a, jnp.array([0.5, 0.6]))):
        assert np.isposinf(plan.failure)
        assert not plan.given_input(jnp.arange(2.0))[1]
        assert not plan.given_target(jnp.arange(4.0))[1]
        # What is not looked at is still a number.
        assert np.isfinite(plan.log_rows).all()
    plan = transport(flat, a, b)
    assert plan.failure == 0
    # Of numbers results are certain, each column by itself.
    mixed = jnp.ones((4, 3)).at[2, 1].set(jnp.nan)
    assert plan.given_target(mixed)[1].tolist() == [True, False, True]


def test_a_bad_slice_leaves_its_batch_alone(x64):
    logits = logits_of(sample("normal", 6), 6, 0.01, "float64")
    weights = jnp.full(6, 1 / 6)
    batch = np.stack([logits] * 3)
    batch[1, 0, 0] = np.nan

    @jax.jit
    @jax.vmap
    def solved(logits):
        plan = transport(logits, weights, weights)
        return plan.log_rows, plan.failure

    plans, failures = map(np.asarray, solved(batch))
    alone = transport(logits, weights, weights).log_rows
    np.testing.assert_allclose(plans[[0, 2]], [alone, alone], atol=1e-10)
    np.testing.assert_array_equal(failures, [0, np.inf, 0])
