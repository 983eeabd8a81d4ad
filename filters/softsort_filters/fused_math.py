"""Functions of float32 numbers that compile into one loop with what surrounds them.

XLA computes every division, exponential and logarithm that is used twice in a loop of
its own and stores it. Built from what it takes for cheap (additions, products, bits),
a whole filter becomes one loop over the pixels, which stays in registers.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

Numbers = Float[Array, "..."]

_MANTISSA_BITS = 23
_EXPONENT = 0xFF << _MANTISSA_BITS
_LOG_2 = float(np.log(2))


@jax.jit
def exp(x: Numbers) -> Numbers:
    """e^x for |x| <= 87, to 2 units in the last place.

    With x = k log 2 + r, |r| <= log(2) / 2: 2^k by its bits, e^r by its Taylor series,
    the coefficients adjusted to the interval (Cephes).
    """
    k = jnp.floor(x * np.float32(1 / _LOG_2) + 0.5)
    # log 2 in two parts: the product of k and the first is exact.
    r = x - k * 0.693359375 + k * 2.12194440e-4
    series = _polynomial(
        r, 1.98756915e-4, 1.39819995e-3, 8.33345191e-3, 4.16657959e-2, 1 / 6, 0.5
    )
    power = series * r * r + r + 1
    # The last bits of 1.5 * 2^23 + k are those of k: cheaper than a conversion.
    return _floats(_bits(power) + (_bits(k + 1.5 * 2**23) << _MANTISSA_BITS))


@jax.jit
def log(x: Numbers) -> Numbers:
    """Log x for normal x > 0, to 4e-4, and to 1e-6 of itself near 1."""
    bits = _bits(x)
    k = (bits - _bits(np.float32(np.sqrt(0.5)))) >> _MANTISSA_BITS
    m = _floats(bits - (k << _MANTISSA_BITS)) - 1
    return m * _polynomial(m, 0.1565, -0.2373, 0.3306, -0.5001, 1.0) + k * _LOG_2


@jax.jit
def reciprocal(x: Numbers) -> Numbers:
    """1 / x for 1e-37 < x < 1e37, to 2 units in the last place."""
    # The bits are about linear in the logarithm: 12 % off, then 0.2 %, then rounding.
    # Factors, not summands: of a large x those would underflow, unless the processor
    # multiplies and adds in one step.
    estimate = _floats(0x7EF311C7 - _bits(x))
    error = 1 - x * estimate
    estimate = estimate * (1 + (error + error * error))
    return estimate * (2 - x * estimate)


@jax.jit
def reciprocal_root(x: Numbers) -> Numbers:
    """1 / sqrt(x) for normal x > 0, to 2 units in the last place."""
    estimate = _floats(0x5F375A86 - (_bits(x) >> 1))
    for _ in range(3):
        estimate = estimate * (1.5 - 0.5 * x * estimate * estimate)
    return estimate


def reciprocal_power_of_two(x: Numbers) -> Numbers:
    """A power of two p with 1 <= p x < 4, as far as there is one; x >= 0."""
    exponent = jnp.maximum(_bits(x) & _EXPONENT, 1 << _MANTISSA_BITS)
    return _floats(_EXPONENT - exponent)


def reciprocal_of_power(x: Numbers) -> Numbers:
    """1 / x for a power of two, 0 where that is too small a number."""
    return _floats(_EXPONENT - (1 << _MANTISSA_BITS) - _bits(x))


def smaller(x: Numbers, y: Numbers) -> Numbers:
    """The smaller of two numbers in one instruction, which does not care for NaN."""
    return jax.lax.select(x < y, x, y)


def larger(x: Numbers, y: Numbers) -> Numbers:
    """The larger of two numbers, likewise: of x and NaN one gives x, the other NaN."""
    return jax.lax.select(x < y, y, x)


def clip(x: Numbers, limit: float) -> Numbers:
    """The number in [-limit, limit] that is nearest to x."""
    return smaller(larger(x, jnp.full_like(x, -limit)), jnp.full_like(x, limit))


def ordered(*lists: list[Numbers]) -> list[list[Numbers]]:
    """Sort lists elementwise by the first, by Batcher's network of odd-even merges."""
    (values, *others), n = [list(each) for each in lists], len(lists[0])
    length = 1
    while length < n:
        step = length
        while step >= 1:
            for i in range(n - step):
                offset = i - step % length
                in_place = offset >= 0 and offset % (2 * step) < step
                if in_place and i // (2 * length) == (i + step) // (2 * length):
                    x, y = values[i], values[i + step]
                    values[i], values[i + step] = smaller(x, y), larger(x, y)
                    for each in others:
                        pair = each[i], each[i + step]
                        each[i] = jax.lax.select(x < y, *pair)
                        each[i + step] = jax.lax.select(x < y, *pair[::-1])
            step //= 2
        length *= 2
    return [values, *others]


def _polynomial(x: Numbers, *coefficients: float) -> Numbers:
    """By Horner's scheme, the highest power first."""
    total = jnp.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total = total * x + coefficient
    return total


def _bits(x: Numbers | np.float32) -> Int[Array, "..."]:
    return jax.lax.bitcast_convert_type(x, jnp.int32)


def _floats(bits: Int[Array, "..."]) -> Numbers:
    return jax.lax.bitcast_convert_type(bits, jnp.float32)
