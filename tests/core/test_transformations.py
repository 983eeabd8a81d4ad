"""Operators times transformations: results and derivatives are those of plain calls.

Compiling is what takes long, so transformations are within each other: an operator is
right within all of them, or what is wrong is to be found by taking them away.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from samples import sample

import softsort_core as soft
from softsort_core import losses


def cosines(x):
    return jnp.cos(jnp.arange(x.size, dtype=x.dtype))


OPERATORS = {
    "sort": soft.sort,
    "ranks": soft.ranks,
    "topk_mask": soft.topk_mask,
    # A level that is traced if epsilon is.
    "quantile": lambda x, epsilon: soft.quantile(x, epsilon + 0.2, epsilon=epsilon),
    "quantize": functools.partial(soft.quantize, num_levels=3),
    "normalization": lambda x, **e: soft.quantile_normalization(
        x, jnp.arange(3.0), **e
    ),
    "sort_with": lambda x, **e: soft.sort_with(jnp.stack([x, x**2], 1), x, **e),
    "median": soft.median,
    "argmin": soft.argmin,
    "argsort": soft.argsort,
    "top_k": lambda x, **e: jnp.stack(soft.top_k(x, 1, **e)),
    "where": lambda x, **e: soft.sort(x, where=x < 0.5, fill=0.0, **e),
    "segments": lambda x, **e: soft.segment_ranks(x, jnp.arange(x.size) % 2, 2, **e),
    "straight": soft.straight_through(soft.ranks),
    "plan": lambda x, **e: soft.transport_plan(x, **e).T @ x,
    "spearman": lambda x, **e: losses.soft_spearman_loss(x, cosines(x), **e),
}
EPSILON = 0.1


def all_at_once(f):
    """Return f of rows, in a shard of them, one after another, without what is kept."""
    mesh = jax.sharding.Mesh(jax.devices(), ("rows",))
    spec, same = jax.sharding.PartitionSpec("rows"), jax.sharding.PartitionSpec()

    def of_shard(rows, epsilon):
        row = jax.checkpoint(lambda x: f(x, epsilon=epsilon))
        return jax.lax.map(row, rows, batch_size=2)

    sharded = jax.shard_map(of_shard, mesh=mesh, in_specs=(spec, same), out_specs=spec)

    def called(rows, epsilon):
        return sharded(rows, epsilon), rows + 1

    return jax.jit(called, donate_argnums=0)


def check_values(operator, n, dtype, close):
    f = OPERATORS[operator]
    # Two are mapped together, and the third alone.
    count = 3 * len(jax.devices())
    rows = np.stack([sample("normal", n, seed) for seed in range(count)])
    rows = jnp.asarray(rows, dtype)
    expected = [np.asarray(f(x, epsilon=EPSILON), float) for x in rows]
    found = np.asarray(all_at_once(f)(rows, jnp.asarray(EPSILON, dtype))[0], float)
    assert np.isfinite(expected).all()
    scale = max(np.abs(each).max() for each in expected)
    np.testing.assert_allclose(found, expected, rtol=close, atol=close * scale)


def check_derivatives(operator, n):
    """Forwards, backwards and twice, in one direction in which epsilon moves, too."""
    rng = np.random.default_rng(n)
    start = np.append(sample("normal", n), np.log(EPSILON))
    towards = rng.normal(size=n + 1)

    def read(place):
        results = OPERATORS[operator](place[:-1], epsilon=jnp.exp(place[-1]))
        return jnp.vdot(results, cosines(results).reshape(results.shape))

    @jax.jit
    def derived(place):
        slope, curvature = jax.jvp(jax.grad(read), (place,), (towards,))
        return *jax.jvp(read, (place,), (towards,)), slope, curvature

    step = 1e-4
    _, forwards, slope, curvature = derived(start)
    ahead, behind = (derived(start + h * towards) for h in (step, -step))
    np.testing.assert_allclose(forwards, slope @ towards, rtol=1e-7, atol=1e-9)
    scale = np.abs(slope).max() + 1e-3
    curved = (ahead[2] - behind[2]) / (2 * step)
    size = np.abs(curved).max() + scale
    np.testing.assert_allclose(curvature, curved, rtol=1e-4, atol=1e-4 * size)
    if operator != "straight":  # What it returns does not move with its derivatives.
        difference = (ahead[0] - behind[0]) / (2 * step)
        np.testing.assert_allclose(forwards, difference, rtol=1e-5, atol=1e-6 * scale)


@pytest.mark.parametrize("operator", OPERATORS)
def test_values(operator):
    check_values(operator, 5, "float32", 2e-5)


@pytest.mark.parametrize("operator", OPERATORS)
def test_derivatives(x64, operator):
    check_derivatives(operator, 5)


@pytest.mark.parametrize("operator", OPERATORS)
def test_half_precision(operator):
    """Nothing on the way is NaN, either."""
    f = functools.partial(OPERATORS[operator], epsilon=EPSILON)
    x = jnp.asarray([3.0, 1.0, 2.0, 5.0, 4.0], jnp.float32)
    with jax.debug_nans(True):
        for dtype in ("float16", "bfloat16"):
            found = f(x.astype(dtype)).astype(float)
            np.testing.assert_allclose(found, f(x), rtol=2e-2, atol=1e-2)


@pytest.mark.usefixtures("unchecked_types")
def test_without_compiling():
    x = jnp.asarray(sample("normal", 3), jnp.float32)
    f = functools.partial(soft.ranks, epsilon=1.0)
    with jax.disable_jit():
        found = f(x)
    np.testing.assert_allclose(found, f(x), rtol=1e-5)
