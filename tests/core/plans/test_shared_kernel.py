"""Many rows through nodes that they share: the same as each as it is."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from samples import KINDS, sample

import softsort_core as soft
from softsort_core.plans import shared_kernel
from softsort_core.plans.certificate import ROW_ACCURACY
from softsort_core.plans.choose import plan_of
from softsort_core.plans.gauss_rules import shared_nodes
from softsort_core.precision import in_double

N = 40


def batch(kinds=KINDS, n=N, count=64):
    """Return rows of these kinds in turn, from 0 to 1."""
    found = np.stack([sample(kinds[i % len(kinds)], n, i) for i in range(count)])
    found -= found.min(axis=1, keepdims=True)
    return found / np.maximum(found.max(axis=1, keepdims=True), 1e-300)


@functools.partial(jax.jit, static_argnames="m")
def dense(x, epsilon, m=None):
    """Return ranks in [0, 1] and sorted values, all points as they are."""

    def both(x):
        plan = plan_of(x, None, None, m or x.size, epsilon, 0.0, None)
        return plan.given_input(plan.targets)[0], plan.given_target(x)[0]

    return jax.vmap(both)(x)


@functools.partial(jax.jit, static_argnames="nodes")
def by_nodes(x, epsilon, nodes):
    """Return ranks in [0, 1] and sorted values by shared nodes, and their errors."""

    def both(x):
        plan = plan_of(x, None, None, x.size, epsilon, jnp.inf, nodes)
        s, a, y = plan.s, plan.input_weights, jnp.linspace(0, 1, x.size)
        solved = epsilon, plan.rules, plan.solution
        ranks, off = in_double(shared_kernel._read_at_inputs, s, *solved, plan.targets)
        values, far = in_double(
            shared_kernel._read_at_targets, s, a, epsilon, plan.solution, x, y
        )
        return ranks, values, off, far

    return jax.vmap(both)(x)


@pytest.mark.parametrize(("epsilon", "n", "finer"), [(0.01, 16, 0), (0.004, N, 1)])
def test_errors_are_estimated(x64, epsilon, n, finer):
    x = batch(n=n)
    expected = dense(x, epsilon)
    nodes = shared_nodes(epsilon, "float64")[finer]
    *found, off, far = by_nodes(x, epsilon, nodes)
    smooth = np.resize([kind in ("normal", "uniform") for kind in KINDS], len(x))
    for means, exact, estimate in zip(found, expected, (off, far), strict=True):
        error = np.abs(means - exact).max(axis=1)
        certain = estimate <= ROW_ACCURACY["float64"]
        assert certain[smooth].all() if finer else certain[smooth].mean() > 0.9
        assert (error <= estimate)[certain].all()
        assert (error <= 1e-10)[certain].all()
        # Nothing is certain by chance.
        assert (error > estimate).mean() < 0.1


def test_rows_are_what_each_is_alone(x64):
    x = batch()
    ranks, _ = dense(x, 0.01)
    close = {"rtol": 0, "atol": 1e-10}
    found = soft.ranks(x.reshape(8, 8, N).swapaxes(0, 2), axis=0)
    found = np.asarray(found).swapaxes(0, 2).reshape(64, N) / (N - 1)
    np.testing.assert_allclose(found, ranks, **close)
    smooth = batch(("normal", "exponential"))
    few = soft.sort(smooth.T, axis=0, num_targets=20)
    np.testing.assert_allclose(few, dense(smooth, 0.01, 20)[1].T, **close)


def test_single_precision():
    x = batch(("normal", "exponential")).astype(np.float32)
    with jax.enable_x64(True):
        ranks, values = map(np.asarray, dense(x.astype(float), 0.01))
    np.testing.assert_allclose(soft.ranks(x), ranks * (N - 1), rtol=0, atol=2e-4)
    np.testing.assert_allclose(soft.sort(x), values, rtol=0, atol=1e-5)


def test_weights_and_squashing(x64):
    x = batch(("normal", "exponential"))
    weights = np.random.default_rng(0).uniform(size=(64, N)) * (x > 0.05)
    alone = jax.jit(lambda x, w: soft.ranks(x, input_weights=w))
    expected = np.stack([alone(*each) for each in zip(x, weights, strict=True)])
    found = soft.ranks(x, input_weights=weights)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    # Half of them are out of [0, 1], where there are no nodes.
    far = np.where(np.arange(64)[:, None] % 2, x, 1.2 * x)
    found = soft.ranks(far, squashing_fun=lambda x: x)
    alone = jax.jit(lambda x: soft.ranks(x, squashing_fun=lambda x: x))
    expected = np.stack([alone(each) for each in far])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_rows_that_are_not_finite_are_nan_alone():
    x = batch(("normal",)).astype(np.float32)
    bad = x.copy()
    bad[3, 5], bad[7, 0] = np.nan, np.inf
    found = np.asarray(soft.ranks(bad))
    good = np.delete(np.arange(64), [3, 7])
    assert np.isnan(found[[3, 7]]).all()
    np.testing.assert_array_equal(found[good], np.asarray(soft.ranks(x))[good])


def total(operator, weights, epsilon, x):
    return jnp.sum(weights * jnp.sin(operator(x, epsilon=epsilon)))


def smooth_rows():
    x = jnp.asarray(batch(("normal", "exponential", "two values")))
    return x, jnp.asarray(np.random.default_rng(0).normal(size=x.shape))


# An epsilon that is not known is for plans without nodes.


def test_gradients_are_those_of_each_alone(x64):
    x, weights = smooth_rows()

    def gradient(epsilon):
        return jax.grad(functools.partial(total, soft.sort, weights, epsilon))(x)

    found = jax.jit(functools.partial(gradient, 0.01))()
    np.testing.assert_allclose(found, jax.jit(gradient)(0.01), rtol=0, atol=1e-6)


def test_derivatives_are_those_of_each_alone(x64):
    x, weights = smooth_rows()

    def slope_and_curvature(epsilon):
        def slope(x):
            loss = functools.partial(total, soft.ranks, weights, epsilon)
            return jax.jvp(loss, (x,), (weights,))[1]

        return jax.jvp(slope, (x,), (weights,))

    found = jax.jit(functools.partial(slope_and_curvature, 0.01))()
    expected = jax.jit(slope_and_curvature)(0.01)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_groups_are_what_each_is_alone(x64):
    sizes = np.array([20, 1, 5, 20, 30, 0, 600, 20_000])
    kinds = "normal", "exponential", "lognormal"
    values = np.concatenate(
        [sample(kinds[i % 3], size, i) for i, size in enumerate(sizes)]
    )
    values[sizes[:3].sum()] = np.nan
    ranks, found = soft.group_ranks(values, sizes), soft.group_sort(values, sizes)
    starts = np.cumsum(sizes) - sizes
    for place in (0, 1, 2, 4, 6):
        some = slice(starts[place], starts[place] + sizes[place])
        alone = soft.ranks(values[some])
        np.testing.assert_allclose(ranks[some], alone, 0, 1e-9 * sizes[place])
    some = slice(starts[6], starts[6] + sizes[6])
    alone, range_ = soft.sort(values[some]), np.ptp(values[some])
    np.testing.assert_allclose(found[some], alone, 0, 1e-9 * range_)
    # Not a number, too many.
    for place in (3, 7):
        some = slice(starts[place], starts[place] + sizes[place])
        assert np.isnan(ranks[some]).all()
        assert np.isnan(found[some]).all()
    # So small an epsilon is for others.
    assert np.isnan(soft.group_ranks(values[:20], sizes[:1], epsilon=1e-3)).all()


def test_short_groups_of_every_kind(x64):
    sizes = np.repeat([2, 8, 9, 12, 32, 33, 64], len(KINDS))
    kinds = np.resize(KINDS, len(sizes))
    each = [sample(kind, size) for kind, size in zip(kinds, sizes, strict=True)]
    values, starts = np.concatenate(each), np.cumsum(sizes) - sizes
    ranks, found = soft.group_ranks(values, sizes), soft.group_sort(values, sizes)
    assert np.isfinite(ranks).all()
    for x, start in zip(each, starts, strict=True):
        some, n = slice(start, start + x.size), x.size
        expected = dense(x[None], 0.01)
        np.testing.assert_allclose(ranks[some], (n - 1) * expected[0][0], 0, 1e-9 * n)
        off = 1e-9 * np.ptp(x) + 1e-15
        np.testing.assert_allclose(found[some], expected[1][0], 0, off)


def test_weighted_groups_are_those_of_values_repeated(x64):
    random = np.random.default_rng(0)
    sizes = np.array([5, 1, 20, 40, 2])
    values, counts = random.normal(size=68), random.integers(1, 4, 68)
    counts[5], often = 3, counts[:66]
    # The last are, together, one value.
    weights = np.append(often, [0.4, 0.3])
    ranks = soft.group_ranks(values, sizes, weights)
    assert np.isnan(ranks[66:]).all()
    numbers = np.add.reduceat(often, [0, 5, 6, 26])
    repeated = soft.group_ranks(np.repeat(values[:66], often), numbers)
    each = repeated[np.cumsum(often) - 1]
    np.testing.assert_allclose(ranks[:66], each, 0, 1e-9 * numbers.max())
    assert ranks[5] == 1
    found = soft.group_sort(values, sizes, weights)
    for some in np.split(np.arange(68), np.cumsum(sizes)[:-1]):
        expected = soft.sort(values[some], input_weights=weights[some])
        np.testing.assert_allclose(found[some], expected, 0, 1e-9)


def test_short_groups_as_they_are(x64):
    # Not squashed, far from 0, and as few as there can be of a width.
    random = np.random.default_rng(0)
    sizes = np.array([13, 33, 64])
    values = random.uniform(size=sizes.sum())
    found = soft.group_ranks(values, sizes, squashes=False)
    moved = soft.group_sort(1e9 + values, sizes)
    for start, size in zip(np.cumsum(sizes) - sizes, sizes, strict=True):
        x = values[start : start + size]
        expected = soft.ranks(x, squashing_fun=lambda x: x)
        np.testing.assert_allclose(found[start : start + size], expected, 0, 1e-7)
        alone = soft.sort(1e9 + x)
        np.testing.assert_allclose(moved[start : start + size], alone, 0, 1e-6)
    # So sharp that Newton's steps in few terms do not end. The least are always found.
    for size in (8, 9, 12, 20):
        sharp = np.resize([0.0, 1.0], size) + 1e-3 * random.normal(size=size)
        found = soft.group_ranks(sharp, np.array([size]), epsilon=3e-3)
        expected = soft.ranks(sharp, epsilon=3e-3)
        is_found = np.allclose(found, expected, 0, 1e-7)
        assert is_found or (size > 12 and np.isnan(found).all())


@pytest.mark.parametrize("n", [20, 60])
def test_short_groups_in_single_precision(n):
    x = np.stack([sample(kind, n) for kind in KINDS[:4]]).astype(np.float32)
    found = soft.group_ranks(x.reshape(-1), np.full(4, n)).reshape(4, n)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, soft.ranks(x), 0, 1e-5 * n)


def test_groups_that_are_not_certain_at_once_are_so_at_last(x64):
    # Sharp plans, in blocks of rows of a size and, where there are few of it, alone.
    sizes = np.repeat([70, 80, 90, 100], [12, 4, 12, 4])
    random = np.random.default_rng(0)
    values = random.integers(0, 2, sizes.sum()) + 0.05 * random.normal(size=sizes.sum())
    found = soft.group_ranks(values, sizes)
    starts = np.cumsum(sizes) - sizes
    is_certain = np.isfinite(found[starts])
    assert is_certain[:12].mean() > 0.5
    assert is_certain[12:16].mean() > 0.5
    for place in np.flatnonzero(is_certain):
        some = slice(starts[place], starts[place] + sizes[place])
        alone = soft.ranks(values[some])
        np.testing.assert_allclose(found[some], alone, 0, 1e-9 * sizes[place])
