"""The default squashing of values into (0, 1)."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from softsort_core.numerics import relative, used_range
from softsort_core.precision import as_double, as_dtype, in_double, total

# A value so many half ranges from the middle is squashed to 0 or 1 in any precision.
FAR = 1e3


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


def squash(values: Float[Array, " n"], weights: Float[Array, " n"] | None) -> Array:
    """Return sigmoid((values - mean) / std), the same for shifted and scaled values.

    Mean and standard deviation are those of the weighted values. Equal values all
    become 1/2, with derivative zero.
    """
    return jax.nn.sigmoid(standardisation(values, weights).scores(values))


def standardisation(
    values: Float[Array, " n"],
    weights: Float[Array, " n"] | None,
    *,
    is_fine: bool = False,
) -> Standardisation:
    """Return the standardisation of the values; no weights stand for equal ones.

    If it is to be fine, with what the rounding of its numbers leaves out.
    """
    low, high = used_range(values, weights)
    middle, half_range = low / 2 + high / 2, high / 2 - low / 2
    half_range = jnp.where(half_range > 0, half_range, 1.0)
    numbers = _statistics(is_fine, values, weights, middle, half_range)
    return Standardisation(middle, half_range, *numbers)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _statistics(
    is_fine: bool,
    values: Array,
    weights: Array | None,
    middle: Array,
    half_range: Array,
) -> tuple[Array, Array, Array, Array]:
    """Return offset and scale, and what their rounding leaves out."""
    dtype = values.dtype

    def statistics(x, middle, half_range, *a):
        zero = jnp.zeros_like(middle)
        linear = Standardisation(middle, half_range, zero, zero, zero, zero)
        scaled = linear.scaled(x)
        offset = _average(scaled, *a)
        variance = _average((scaled - offset) ** 2, *a)
        constant = variance <= float(jnp.finfo(dtype).tiny)
        scale = 1 / jnp.sqrt(jnp.where(constant, 1.0, variance))
        return offset, jnp.where(constant, 0.0, scale)

    arguments = values, middle, half_range, *(() if weights is None else (weights,))
    if not is_fine:
        # It varies over a mesh as its derivative does.
        zero = jnp.zeros_like(middle)
        return *statistics(*arguments), zero, zero

    def parted(*arguments):
        exact = statistics(*arguments)
        rounded = tuple(
            jax.lax.reduce_precision(
                each, jnp.finfo(dtype).nexp, jnp.finfo(dtype).nmant
            )
            for each in exact
        )
        return *rounded, exact[0] - rounded[0], exact[1] - rounded[1]

    offset, scale, *rests = in_double(parted, *arguments)
    return as_dtype((offset, scale, *rests), dtype)


@_statistics.defjvp
def _statistics_jvp(is_fine, primals, tangents):
    values, weights, middle, half_range = primals
    values_dot, weights_dot, *_ = tangents
    numbers = _statistics(is_fine, *primals)
    placing = Standardisation(middle, half_range, *numbers)
    # Of their mean and of half their mean square, which are 0 and 1/2.
    scores, scores_dot = placing.scores(values), values_dot / half_range * placing.scale
    moved = _average(values_dot / half_range, weights)
    widened = _average(scores * scores_dot, weights)
    if weights is not None:
        shares_dot = weights_dot / total(weights)
        moved += total(shares_dot * (placing.scaled(values) - placing.offset))
        widened += total(shares_dot * (scores**2 - 1)) / 2
    zero = jnp.zeros_like(moved)
    return numbers, (moved, -placing.scale * widened, zero, zero)


def _average(values: Array, weights: Array | None = None) -> Array:
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
    reach = jnp.maximum(reach, jnp.minimum(FAR, most / reach) * reach)
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
