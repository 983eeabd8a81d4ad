"""The plan that others tend to as epsilon -> 0: inputs fill targets in their order."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from softsort_core.numerics import used_range
from softsort_core.precision import as_dtype, in_double

# Where inputs and targets end but for so many roundings apart, they end together.
_ROUNDINGS = 8


class MonotonePlan(NamedTuple):
    """A plan between n inputs and m targets, to be read as a `Plan` is.

    Attributes:
        keys: what inputs are ordered by; ties share where they go.
        input_weights: up to a factor; likewise those of targets.
        target_weights: of each target.
        number: of targets, if those beyond only pad them.
    """

    keys: Float[Array, " n"]
    input_weights: Float[Array, " n"]
    target_weights: Float[Array, " m"]
    number: Any

    @property
    def targets(self) -> Float[Array, " m"]:
        """The positions of the targets."""
        return self.ladder(jnp.ones(()))

    def ladder(self, highest: Array) -> Float[Array, " m"]:
        """Return even levels from 0 on, one per target; whole ones if m - 1 are."""
        m, dtype = self.target_weights.size, self.keys.dtype
        if m == 1:
            return 0.5 * highest[None].astype(dtype)
        last = jnp.asarray(self.number - 1, dtype)
        places = jnp.minimum(jnp.arange(m, dtype=dtype), last)
        return places * (highest / jnp.maximum(last, 1)).astype(dtype)

    def given_input(self, values: Array) -> tuple[Array, Array]:
        """Return the mean of `values`, one per target, at each input.

        And whether it is certain, as it is if all are numbers.
        """

        def means(keys, a, b, values):
            order, ends, first, last = _ordered(keys, a)
            at_sorted = _means(_edges(b, ends, rounding), values, first, last)
            return at_sorted[jnp.argsort(order)]

        rounding = self._rounding()
        results = in_double(means, *self[:3], values)
        return as_dtype(results, values.dtype), self._certain(values, None)

    def given_target(self, values: Array) -> tuple[Array, Array]:
        """Return the mean of `values`, one per input, at each target.

        And whether it is certain. Values of inputs without weight are of no account.
        """

        def means(keys, a, b, values):
            order, ends, first, last = _ordered(keys, a)
            shape = (-1, *[1] * (values.ndim - 1))
            used = jnp.where(a.reshape(shape) > 0, values, 0.0)
            # What is tied arrives together.
            tied = _means(ends, used[order], first, last)
            edges = _edges(b, ends, rounding)
            return _means(ends, tied, edges[:-1], edges[1:])

        rounding = self._rounding()
        results = in_double(means, *self[:3], values)
        results = as_dtype(results, values.dtype)
        return results, self._certain(values, self.input_weights)

    def _rounding(self) -> float:
        return _ROUNDINGS * float(jnp.finfo(self.keys.dtype).eps)

    def _certain(self, values: Array, weights: Array | None) -> Bool[Array, "..."]:
        numbers = used_range(self.keys, self.input_weights)[0]
        numbers += jnp.sum(self.input_weights) + jnp.sum(self.target_weights)
        return jnp.isfinite(used_range(values, weights)[0] + numbers)


def monotone_plan(
    keys: Float[Array, " n"],
    weights: Float[Array, " n"] | None,
    targets: Any,
    places: int | None,
) -> MonotonePlan:
    """Return the plan between inputs and targets; see `plan_of` for these."""
    a = jnp.ones(keys.shape) if weights is None else weights
    b = targets[1] if isinstance(targets, tuple) else targets
    number: Any = jnp.size(b)
    if jnp.ndim(b) == 0:
        # So many equal ones.
        number, b = b, (jnp.arange(places or b) < b)
    a, b = (jnp.asarray(each, keys.dtype) for each in (a, b))
    return MonotonePlan(keys, a, b, number)


def _ordered(keys: Array, a: Array) -> tuple[Array, Array, Array, Array]:
    """Return the order of inputs, where they end, and their ties begin and end.

    Of n units of mass, of which equal inputs have one each.
    """
    n = keys.size
    order = jnp.argsort(keys)
    ends = _cumulative(a[order], n)
    ascending = keys[order]
    first = jnp.searchsorted(ascending, ascending, side="left")
    last = jnp.searchsorted(ascending, ascending, side="right")
    return order, ends, ends[first], ends[last]


def _cumulative(weights: Array, total: int) -> Array:
    ends = jnp.cumsum(weights)
    return jnp.append(0.0, ends * (total / ends[-1]))


def _edges(b: Array, ends: Array, rounding: float) -> Array:
    """Return where targets begin and end, in the units of the ends of inputs."""
    n = ends.size - 1
    edges = _cumulative(b, n)
    after = jnp.clip(jnp.searchsorted(ends, edges), 1, n)
    low, high = ends[after - 1], ends[after]
    nearest = jnp.where(edges - low < high - edges, low, high)
    return jnp.where(jnp.abs(edges - nearest) <= rounding * n, nearest, edges)


def _means(edges: Array, values: Array, start: Array, stop: Array) -> Array:
    """Return the means, from `start` to `stop`, of values that hold between edges."""
    k = values.shape[0]
    first = jnp.clip(jnp.searchsorted(edges, start, side="right") - 1, 0, k - 1)
    last = jnp.clip(jnp.searchsorted(edges, stop, side="left") - 1, 0, k - 1)
    column = (-1, *[1] * (values.ndim - 1))
    sums = jnp.cumsum(values * jnp.diff(edges).reshape(column), axis=0)
    between = sums[jnp.maximum(last - 1, 0)] - sums[first]
    head = values[first] * (edges[first + 1] - start).reshape(column)
    tail = values[last] * (stop - edges[last]).reshape(column)
    width = jnp.where(stop > start, stop - start, 1.0).reshape(column)
    means = (head + between + tail) / width
    # Without width it is between what is on both sides.
    is_single = ((last <= first) | (stop <= start)).reshape(column)
    means = jnp.where(is_single, (values[first] + values[last]) / 2, means)
    # The mean of equal ones would round.
    changes = jnp.cumsum(values[1:] != values[:-1], axis=0)
    changes = jnp.concatenate(
        [jnp.zeros_like(changes, shape=(1, *changes.shape[1:])), changes]
    )
    return jnp.where(changes[first] == changes[last], values[first], means)
