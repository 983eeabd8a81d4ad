"""How far results may be off, and which are NaN, for that is not certain enough."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from softsort_core.numerics import clipped, product, used_range

# Largest estimated error of rows that is returned: that of plans without such nodes.
ROW_ACCURACY = {"float32": 1e-6, "float64": 1e-9}
_SAFETY = 3.0
# The order of the norm of their differences.
_NORM = 16


def estimated_error(results: Float[Array, "3 *k"], epsilon: Array) -> Array:
    """Return how far the last may be off, from results in [0, 1] at growing order.

    Errors of Gauss rules shrink geometrically with the order: the next difference
    would be smaller than the last in the ratio of the last two. Half of that shrinking
    is taken for granted. Rounding of costs over epsilon comes on top.
    """
    # Norms are at least the largest of all and, unlike a maximum, NaN if one is.
    powers = (results[1:] - results[:-1]).reshape(2, -1) ** _NORM
    first, second = product(powers, jnp.ones(powers.shape[1])) ** (1 / _NORM)
    ratio = second / jnp.where(first == 0, 1.0, first)
    ratio = jnp.where(first == 0, 1.0, jnp.minimum(ratio, 1.0))
    rounding = 4 * float(jnp.finfo(results.dtype).eps) * (30 + 1 / epsilon)
    return _SAFETY * second * jnp.sqrt(ratio) + 0.0 * first + rounding


def marked(values: Array, certain: Any) -> Array:
    """Return the values, and with them their derivatives, as NaN if not certain."""
    return values * jnp.where(certain, 1.0, jnp.nan).astype(values.dtype)


class Scale(NamedTuple):
    """How values that are averaged are scaled to differ by up to 1.

    Attributes:
        low: the lowest.
        high: the highest.
        zero: what is taken for 0. A common offset of all would swamp products.
    """

    low: Float[Array, ""]
    high: Float[Array, ""]
    zero: Float[Array, ""]

    @classmethod
    def centred(cls, values: Array, weights: Array | None) -> "Scale":
        """Return that of values, of which those that have a weight are averaged."""
        low, high = used_range(values, weights)
        return cls(low, high, low / 2 + high / 2)

    @classmethod
    def of_levels(cls, values: Array) -> "Scale":
        """Return that of levels of targets, which have a meaning from 0 on."""
        low, high = used_range(values.reshape(-1), None)
        return cls(low, high, jnp.zeros_like(low))

    @property
    def range_(self) -> Array:
        # What is all the same has none: its distance from 0 takes the place of it.
        same = jnp.where(self.high != self.zero, jnp.abs(self.high - self.zero), 1.0)
        range_ = jnp.where(self.high > self.low, self.high - self.low, same)
        return jax.lax.stop_gradient(range_)

    def scaled(self, values: Array) -> Array:
        return (values - self.zero) / self.range_

    def restored(
        self, means: Array, error: Array, tolerance: Any
    ) -> tuple[Array, Bool[Array, ""]]:
        """Return the means as they are unscaled, and whether they are certain."""
        means = clipped(self.zero + self.range_ * means, self.low, self.high)
        return means, (error <= tolerance) & jnp.isfinite(self.low + error)
