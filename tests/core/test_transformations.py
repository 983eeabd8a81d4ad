"""Operators times transformations: each result is that of the plain call.

As a script it does so for more operators, sizes and types than there is time for here.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from samples import sample

import softsort_core as soft
from softsort_core import losses

OPERATORS = {
    "sort": soft.sort,
    "ranks": soft.ranks,
    "topk_mask": soft.topk_mask,
    "quantile": functools.partial(soft.quantile, q=0.3),
    "quantize": functools.partial(soft.quantize, num_levels=3),
    "normalization": lambda x, **e: soft.quantile_normalization(
        x, jnp.arange(3.0), **e
    ),
    "sort_with": lambda x, **e: soft.sort_with(jnp.stack([x, x**2], 1), x, **e),
    "max": soft.max,
    "min": soft.min,
    "median": soft.median,
    "argmax": soft.argmax,
    "argmin": soft.argmin,
    "argsort": soft.argsort,
    "top_k": lambda x, **e: jnp.stack(soft.top_k(x, 1, **e)),
    "straight": soft.straight_through(soft.ranks),
    "plan": lambda x, **e: soft.transport_plan(x, **e).T @ x,
    "spearman": lambda x, **e: losses.soft_spearman_loss(
        x, jnp.cos(jnp.arange(x.size)), **e
    ),
    "listwise": lambda x, **e: losses.soft_listwise_loss(
        x, jnp.cos(jnp.arange(x.size)), **e
    ),
}
FEW = "ranks", "top_k", "straight"
EPSILON = 0.1


def jitted(f, x):
    return jax.jit(f)(x)


def mapped(f, x):
    return jax.vmap(f)(jnp.stack([x, -x]))[0]


def checkpointed(f, x):
    return jax.jit(jax.checkpoint(f))(x)


def scanned(f, x):
    return jax.lax.scan(lambda carry, row: (carry, f(row)), 0, x[None])[1][0]


def donated(f, x):
    return jax.jit(lambda x: (f(x), x + 1), donate_argnums=0)(x + 0)[0]


def traced_epsilon(f, x):
    return jax.jit(lambda x, e: f(x, epsilon=e))(x, EPSILON)


def sharded(f, x):
    mesh = jax.make_mesh((1,), ("rows",), devices=jax.devices()[:1])
    spec = jax.sharding.PartitionSpec("rows")
    return jax.jit(
        jax.shard_map(jax.vmap(f), mesh=mesh, in_specs=spec, out_specs=spec)
    )(x[None])[0]


def without_nans(f, x):
    with jax.debug_nans(True):
        return f(x)


def uncompiled(f, x):
    with jax.disable_jit():
        return f(x)


VALUES = {
    each.__name__: each
    for each in (
        jitted,
        mapped,
        checkpointed,
        scanned,
        donated,
        traced_epsilon,
        sharded,
        without_nans,
    )
}


def check_values(operator, transformation, n, dtype):
    f = functools.partial(OPERATORS[operator], epsilon=EPSILON)
    x = jnp.asarray(sample("normal", n), dtype)
    expected = np.asarray(f(x), float)
    close = 1e-9 if dtype == "float64" and n < 200 else 2e-5
    scale = np.abs(expected).max()
    found = np.asarray(VALUES[transformation](f, x), float)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=close, atol=close * scale)


def check_derivatives(operator, n):
    """Forwards, backwards and twice, in one direction; all compiled at once."""
    rng = np.random.default_rng(n)
    x, towards = jnp.asarray(sample("normal", n)), rng.normal(size=n)

    def read(x):
        results = OPERATORS[operator](x, epsilon=EPSILON)
        return jnp.vdot(
            results, jnp.cos(jnp.arange(results.size)).reshape(results.shape)
        )

    @jax.jit
    def derived(x):
        slope, curvature = jax.jvp(jax.grad(read), (x,), (towards,))
        return read(x), jax.jvp(read, (x,), (towards,))[1], slope, curvature

    step = 1e-4
    _, forwards, slope, curvature = derived(x)
    ahead, behind = (derived(x + h * towards) for h in (step, -step))
    np.testing.assert_allclose(forwards, slope @ towards, rtol=1e-7, atol=1e-9)
    scale = np.abs(slope).max() + 1e-3
    curved = (ahead[2] - behind[2]) / (2 * step)
    size = np.abs(curved).max() + scale
    np.testing.assert_allclose(curvature, curved, rtol=1e-4, atol=1e-4 * size)
    if operator != "straight":  # What it returns does not move with its derivatives.
        difference = (ahead[0] - behind[0]) / (2 * step)
        np.testing.assert_allclose(forwards, difference, rtol=1e-5, atol=1e-6 * scale)


@pytest.mark.parametrize("transformation", VALUES)
@pytest.mark.parametrize("operator", FEW)
def test_values(operator, transformation):
    check_values(operator, transformation, 5, "float32")


@pytest.mark.parametrize("operator", [name for name in OPERATORS if name != "ranks"])
def test_jit_in_double_precision(x64, operator):
    check_values(operator, "jitted", 5, "float64")


@pytest.mark.usefixtures("unchecked_types")
def test_without_compiling():
    x = jnp.asarray(sample("normal", 3), jnp.float32)
    f = functools.partial(soft.ranks, epsilon=1.0)
    np.testing.assert_allclose(uncompiled(f, x), f(x), rtol=1e-5)


@pytest.mark.parametrize("operator", ["median", "argsort", "straight", "plan"])
def test_derivatives(x64, operator):
    check_derivatives(operator, 5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("operator", FEW)
def test_half_precision(operator, dtype):
    f = functools.partial(OPERATORS[operator], epsilon=EPSILON)
    x = jnp.asarray([3.0, 1.0, 2.0, 5.0, 4.0], dtype)
    expected = np.asarray(f(x.astype(jnp.float32)))
    np.testing.assert_allclose(jax.jit(f)(x).astype(float), expected, rtol=2e-2)


def main():
    """Check all, and tell what is wrong."""
    jax.config.update("jax_enable_x64", True)
    checks = [
        (check_values, (operator, transformation, n, dtype))
        for n in (1, 2, 5, 100, 3000)
        for operator in OPERATORS
        for transformation in VALUES
        for dtype in ("float32", "float64")
        if (n, operator) not in ((3000, "listwise"), (1, "spearman"))
    ]
    checks += [
        (check_derivatives, (name, n)) for n in (2, 5, 100) for name in OPERATORS
    ]
    wrong = 0
    for check, arguments in checks:
        try:
            check(*arguments)
        except Exception as error:
            wrong += 1
            lines = [line for line in str(error).splitlines() if line.strip()]
            print(*arguments, type(error).__name__, *lines[:6], flush=True)
        if check is check_derivatives or arguments[0] == "sort":
            jax.clear_caches()
    print(f"{wrong} of {len(checks)} are wrong")


if __name__ == "__main__":
    main()
