"""Derivatives against differences, in double precision, all compiled at once."""

import jax
import numpy as np


def check_derivatives(function, *arguments, rtol=1e-5, atol=1e-5, step=1e-4):
    """Check derivatives, forwards and backwards, against central differences.

    In one direction in which all arguments move, and one in which results are read.
    """
    rng = np.random.default_rng(0)

    def direction(like):
        return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), like)

    towards = direction(jax.eval_shape(lambda *given: given, *arguments))
    read = direction(jax.eval_shape(function, *arguments))

    @jax.jit
    def derived(*point):
        values, forwards = jax.linearize(function, *point)
        backwards = jax.linear_transpose(forwards, *point)
        return values, forwards(*towards), backwards(read)

    def values_at(distance):
        moved = jax.tree.map(lambda x, d: x + distance * d, arguments, towards)
        return derived(*moved)[0]

    def total(first, second):
        products = jax.tree.map(lambda x, y: np.sum(x * y), first, second)
        return sum(jax.tree.leaves(products))

    _, forwards, slopes = derived(*arguments)
    differences = jax.tree.map(
        lambda ahead, behind: (ahead - behind) / (2 * step),
        values_at(step),
        values_at(-step),
    )
    close = {"rtol": rtol, "atol": atol}
    jax.tree.map(
        lambda found, expected: np.testing.assert_allclose(found, expected, **close),
        forwards,
        differences,
    )
    np.testing.assert_allclose(
        total(slopes, towards), total(read, differences), **close
    )
