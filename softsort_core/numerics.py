"""Bounds that hold but for rounding, made to hold; derivatives stay as they are."""

import functools
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core.arguments import is_concrete

# Log of how much more, for its weight, an input without weight would have than any that
# has one. What comes of it stays in range, squared too.
MOST_LOG_SHARE = 20.0


def clipped(values: Array, low: Any, high: Any) -> Array:
    """Take away what lies beyond the bounds."""
    return values + jax.lax.stop_gradient(jnp.clip(values, low, high) - values)


def used_range(
    values: Float[Array, "n *d"], weights: Float[Array, " n"] | None
) -> tuple[Float[Array, "*d"], Float[Array, "*d"]]:
    """Return the lowest and the highest of the values that have a weight.

    NaN if any of these is, or is infinite.
    """
    used = True
    if weights is not None:
        used = (weights > 0).reshape(-1, *[1] * (values.ndim - 1))
    values = jax.lax.stop_gradient(values)

    # Minimum and maximum of an array may leave out a NaN; see `largest`.
    def combined(one, other):
        extremes = jnp.minimum(one[0], other[0]), jnp.maximum(one[1], other[1])
        return *extremes, one[2] & other[2]

    candidates = (
        jnp.where(used, values, jnp.inf),
        jnp.where(used, values, -jnp.inf),
        jnp.isfinite(jnp.where(used, values, 0.0)),
    )
    none = (np.array(each, values.dtype) for each in (np.inf, -np.inf))
    # All in one, which the compiler vectorises, as it does not each alone.
    bounds = jax.lax.reduce(candidates, (*none, True), combined, (0,))
    low, high, are_numbers = cast("list[Array]", bounds)
    return (
        jnp.where(are_numbers, low, jnp.nan),
        jnp.where(are_numbers, high, jnp.nan),
    )


def largest(values: Array) -> Array:
    """Return the largest absolute value, or NaN if any is not finite.

    What certificates rest on must not overlook a NaN, as the maximum of an array does
    in some versions of XLA.
    """
    low, high = used_range(values.reshape(-1), None)
    return jnp.maximum(high, -low)


def weighted_softmax(
    scores: Float[Array, "n *m"], weights: Float[Array, " n"]
) -> Float[Array, "n *m"]:
    """Return weights times the exponentials of scores, divided by their sums.

    A weight may be 0, and has a derivative there.
    """
    weights = weights.reshape(-1, *[1] * (scores.ndim - 1))
    peak = jnp.max(jnp.where(weights > 0, scores, -jnp.inf), axis=0)
    scores = jnp.minimum(scores - jax.lax.stop_gradient(peak), MOST_LOG_SHARE)
    shares = weights * jnp.exp(scores)
    return shares / jnp.sum(shares, axis=0)


def varying_like(tree: Any, *others: Any) -> Any:
    """Return arrays that vary over the axes of a mesh over which others do.

    In `jax.shard_map` what a loop carries has to from the start, and so have all that
    a derivative of one is made of.
    """
    if is_concrete((tree, others)):
        return tree
    # What is filled like an array varies as it does.
    flags = [
        jax.lax.full_like(each, 0, dtype=bool, shape=())
        for each in jax.tree.leaves(others)
    ]
    never = functools.reduce(jnp.logical_or, flags)

    def varying(each: Any) -> Array:
        each = jnp.asarray(each)
        return jax.lax.select(never, each, each)

    return jax.tree.map(varying, tree)


def relative(weights: Float[Array, " n"]) -> Float[Array, " n"]:
    """Return weights over the largest.

    Equal ones become 1, of which sums are exact. Those of what is rounded, like 1 / n,
    are not: every addition may be off in the same direction.
    """
    return weights / jnp.max(weights)


def product(left: Array, right: Array) -> Array:
    """Return left @ right, in the precision of both.

    Accelerators would else round factors of single precision. And `@` asks for the type
    of its result, which jax cuts to single precision where that is the default when it
    comes to make a batch.
    """
    dimensions = (((left.ndim - 1,), (0,)), ((), ()))
    return jax.lax.dot_general(left, right, dimensions, precision="highest")


def repeated(values: Float[Array, " n"], count: int) -> Float[Array, "n count"]:
    """Return the values as each of so many columns.

    The transpose is a product, of which less is compiled than of a sum.
    """
    return product(values[:, None], jnp.ones((1, count), values.dtype))


@jax.jit
def increasing(values: Float[Array, " m"]) -> Float[Array, " m"]:
    """Take away decreases."""
    fixed = jax.lax.stop_gradient(values)
    m, low = fixed.shape[0], jnp.full_like(fixed, -jnp.inf)
    if m < 2:
        return values

    def may_decrease(state: tuple[Array, Array]) -> Array:
        width, largest = state
        least, _ = used_range(largest[1:] - largest[:-1], None)
        return (width < m) & ~(least >= 0)

    # Each is the largest of so many up to it. Rounding disorders but neighbours, for
    # which few steps will do; and the compiler takes long for a cumulative maximum.
    def widened(state: tuple[Array, Array]) -> tuple[Array, Array]:
        width, largest = state
        before = jnp.concatenate([low, largest])
        before = jax.lax.dynamic_slice(before, (m - width,), (m,))
        return 2 * width, jnp.maximum(largest, before)

    _, largest = jax.lax.while_loop(may_decrease, widened, (jnp.asarray(1), fixed))
    return largest + (values - fixed)
