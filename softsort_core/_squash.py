"""The default squashing of values into (0, 1)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jaxtyping import Array, Float

from softsort_core._rounding import product, relative, used_range

_PART = 2**10
# A value so many half ranges from the middle is squashed to 0 or 1 in any precision.
_FAR = 1e3


class Standardisation(NamedTuple):
    """What gives standard scores, ((x - middle) / half_range - offset) * scale.

    Mapping [min, max] to [-1, 1] first keeps squares in range and a large common offset
    out of every rounding. Middle and half range have no derivative: they cancel. Scale
    is 0 if all values are equal.

    Attributes:
        offset_rest: what the rounding of `offset` left out; likewise `scale_rest`.
    """

    middle: Float[Array, ""]
    half_range: Float[Array, ""]
    offset: Float[Array, ""]
    scale: Float[Array, ""]
    offset_rest: Float[Array, ""]
    scale_rest: Float[Array, ""]

    def scores(self, values: Array) -> Array:
        return (self.scaled(values) - self.offset) * self.scale

    def scaled(self, values: Array) -> Array:
        """Return where in [-1, 1] the values are."""
        # Multiplying is faster than dividing. The unit keeps the factors in range.
        unit = jnp.where(self.half_range > 1, 2.0**-30, 1.0).astype(values.dtype)
        return (values - self.middle) * unit * (1 / (self.half_range * unit))

    def fine_scores(self, values: Array) -> Array:
        """Return the scores in double precision, without derivative."""
        with jax.enable_x64(True):
            fine, x = as_double((self, values))
            offset, scale = fine.offset + fine.offset_rest, fine.scale + fine.scale_rest
            return (fine.scaled(x) - offset) * scale

    def of_scores(self, fine_scores: Array) -> Array:
        """Return the values that have these scores, the inverse of `fine_scores`."""
        with jax.enable_x64(True):
            fine = as_double(self)
            offset, scale = fine.offset + fine.offset_rest, fine.scale + fine.scale_rest
            return fine.middle + fine.half_range * (fine_scores / scale + offset)


def as_double(tree: Any) -> Any:
    """Return all arrays in double precision, without derivative."""
    with jax.enable_x64(True):
        return jax.tree.map(
            lambda each: jax.lax.convert_element_type(each, jnp.float64),
            jax.lax.stop_gradient(tree),
        )


def in_double(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in double precision, without derivative.

    All its arguments are arrays. What jax makes of the call later, a batch for one, is
    made in double precision as well, which it would not be by `enable_x64` alone.
    """
    with jax.enable_x64(True):
        arguments = as_double(arguments)
        traced, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)

        # Constants are arguments too: jax makes batches of those in branches.
        def call(*given):
            with jax.enable_x64(True):
                closed = ClosedJaxpr(traced.jaxpr, given[:constants])
                return jaxpr_as_fun(closed)(*given[constants:])

        def batched(size, are_batched, *given):
            axes = tuple(0 if each else None for each in are_batched)
            results = jax.vmap(call, axes, axis_size=size)(*given)
            return results, [True] * len(results)

        constants = len(traced.consts)
        evaluated = jax.custom_batching.custom_vmap(call)
        evaluated.def_vmap(batched)
        results = evaluated(*traced.consts, *jax.tree.leaves(arguments))
    return jax.tree.unflatten(jax.tree.structure(shapes), results)


def squash(values: Float[Array, " n"], weights: Float[Array, " n"] | None) -> Array:
    """Return sigmoid((values - mean) / std), the same for shifted and scaled values.

    Mean and standard deviation are those of the weighted values. Equal values all
    become 1/2, with derivative zero.
    """
    return jax.nn.sigmoid(standardisation(values, weights).scores(values))


def refined(
    rough: Standardisation,
    values: Float[Array, " n"],
    weights: Float[Array, " n"] | None,
) -> Standardisation:
    """Return the standardisation with what its rounding left out."""

    def rests(rough, x, a=None):
        # The offset is so near that nothing cancels: one pass gives both.
        gaps = rough.scaled(x) - rough.offset
        rest = _average(gaps, a)
        deviation = jnp.sqrt(_average(gaps**2, a) - rest**2)
        constant = rough.scale == 0
        scale = jnp.where(constant, 0.0, 1 / jnp.where(constant, 1.0, deviation))
        return rest, scale - rough.scale

    given = () if weights is None else (weights,)
    offset_rest, scale_rest = (
        jax.lax.convert_element_type(rest, values.dtype)
        for rest in in_double(rests, rough, values, *given)
    )
    return rough._replace(offset_rest=offset_rest, scale_rest=scale_rest)


def standardisation(
    values: Float[Array, " n"], weights: Float[Array, " n"] | None
) -> Standardisation:
    """Return the standardisation of the values; no weights stand for equal ones."""
    low, high = used_range(values, weights)
    middle, half_range = low / 2 + high / 2, high / 2 - low / 2
    half_range = jnp.where(half_range > 0, half_range, 1.0)
    zero, one = jnp.zeros_like(middle), jnp.ones_like(middle)
    linear = Standardisation(middle, half_range, zero, one, zero, zero)
    scaled = linear.scaled(values)
    mean = _average(scaled, weights)
    variance = _average((scaled - mean) ** 2, weights)
    constant = variance <= jnp.finfo(values.dtype).tiny
    deviation = jnp.sqrt(jnp.where(constant, 1.0, variance))
    scale = jnp.where(constant, 0.0, 1.0 / deviation)
    return linear._replace(offset=mean, scale=scale)


def _average(values: Array, weights: Array | None) -> Array:
    """Return the mean."""
    if weights is None:
        return total(values) / values.shape[0]
    weights = relative(weights)
    return total(weights * values) / total(weights)


def among_used(
    weights: Float[Array, " n"],
    values: Float[Array, " n"],
    squashed: Float[Array, " n"] | None = None,
) -> tuple[Array, ...]:
    """Return values, and what they are squashed to, where weightless ones do no harm.

    These are brought so near to the others that no sum of weighted values overflows,
    but no nearer than squashing can tell; if they are not numbers, among them.
    """
    low, high = used_range(values, weights)
    middle, half_range = low / 2 + high / 2, high / 2 - low / 2
    most = float(jnp.finfo(values.dtype).max) / 2
    reach = jnp.where(half_range > 0, half_range, 1.0)
    reach = jnp.maximum(reach, jnp.minimum(_FAR, most / reach) * reach)
    near = jnp.clip(values, middle - reach, middle + reach)
    near = jnp.where(jnp.isfinite(values), near, middle)
    near = jnp.where(weights > 0, values, near)
    if squashed is None:
        return (near,)
    low, high = used_range(squashed, weights)
    # About [0, 1] is where a function of the caller's should squash to.
    within = jnp.clip(squashed, jnp.minimum(low, 0.0) - 1, jnp.maximum(high, 1.0) + 1)
    within = jnp.where(jnp.isfinite(squashed), within, low / 2 + high / 2)
    return near, jnp.where(weights > 0, squashed, within)


def total(values: Array) -> Array:
    """Return the sum, in parts that are added in double precision."""
    n = values.shape[0]
    whole = n - n % _PART
    ones = jnp.ones(_PART, values.dtype)
    parts = product(values[:whole].reshape(-1, _PART), ones)
    parts = jnp.append(parts, jnp.sum(values[whole:]))
    with jax.enable_x64(True):
        total = jnp.sum(jax.lax.convert_element_type(parts, jnp.float64))
    return jax.lax.convert_element_type(total, values.dtype)
