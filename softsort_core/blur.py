"""Epsilon in the units of the values: the measurement noise that it stands for.

Given a value squashed to s, the plan spreads its rank, as a share, with a standard
deviation of about sqrt(epsilon / 2 * f(s)), f being the density of squashed values.
Noise of standard deviation sigma spreads it by sigma * s' * f(s), s' being the slope
of squashing. Both are the same where epsilon = 2 sigma^2 s'^2 f(s), and of this the
average over the values is taken, f being their density with noise on both:

    epsilon = 2 sigma^2 sum_ij a_i a_j s'_i s'_j K(s_i - s_j).

K is a Gaussian kernel as wide as the difference of two noises: h is sqrt(2) sigma times
the mean slope. By Fourier's coefficients c_k of the measure of slopes on a period L, it
is 2 sigma^2 sum_k |c_k|^2 exp(-(h w_k)^2 / 2) / L, if no kernel reaches around. So the
exponent d log(epsilon) / d log(sigma), 2 - the average of (h w)^2, is at most 2; and
at least 1, for sigma K grows with sigma.
"""

import math
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core.arguments import (
    Values,
    as_blur,
    as_epsilon,
    as_floating,
    as_weights,
    is_concrete,
)
from softsort_core.errors import SoftSortError
from softsort_core.plans.chebyshev import analysis, nodes
from softsort_core.streaming.summaries import Statistics, Summary

# Of more values the Fourier coefficients are taken, from moments in even cells.
_MOST_PAIRED = 2**9
_CELLS, _ORDER = 2**12, 8
# The period, and the widest kernel that does not reach around it.
_PERIOD, _WIDEST = 16, 1.5
# Of pairs that are in memory at once.
_AT_ONCE = 2**22
# Beyond these nothing depends on epsilon any more, nor on blurs over the spread.
_LEAST, _MOST = 1e-30, 1e6
_WIDTHS = 1e-30, 1e9
# The mean slope of the sigmoid of standard scores is at least that at 1, by Jensen's
# inequality: it is convex in their squares, of mean 1. And at most that at 0.
_LEAST_SLOPE, _MOST_SLOPE = 0.1966, 0.25
# By each the error of a logarithm becomes a third.
_STEPS = 30


class _Pairs(NamedTuple):
    """Places s of few values, or of rows of them, and slopes times weights as masses.

    What is in the units of the values is in those of slopes by the factor `scale`.
    """

    scale: Any
    places: Any
    masses: Any

    def mean(self, xp: Any) -> Any:
        return xp.abs(xp.sum(self.masses, -1))

    def sum(self, xp: Any, kernel: Any) -> Any:
        """Return the double sum of masses, times a kernel as wide as that."""
        wide = kernel[..., None, None]
        gaps = (self.places[..., None] - self.places[..., None, :]) / wide
        pairs = self.masses[..., None] * self.masses[..., None, :]
        return xp.sum(xp.exp(-(gaps**2) / 2) * pairs, (-2, -1)) / (
            kernel * math.sqrt(2 * math.pi)
        )


class _Spectrum(NamedTuple):
    """The squares of Fourier's coefficients of the masses of slopes at many places."""

    scale: Any
    power: Any

    def mean(self, xp: Any) -> Any:
        return xp.sqrt(self.power[0])

    def sum(self, xp: Any, kernel: Any) -> Any:
        """Return the double sum of masses, times a kernel as wide as that."""
        waves = np.arange(self.power.shape[0]) * (2 * math.pi / _PERIOD)
        terms = self.power * xp.exp(-((kernel * waves) ** 2) / 2)
        return (2 * xp.sum(terms) - self.power[0]) / _PERIOD


_Slopes: TypeAlias = _Pairs | _Spectrum


def epsilon_for_blur(
    values: Values | Summary,
    blur: float | Array,
    *,
    input_weights: Values | None = None,
    squashing_fun: Any = None,
) -> Float[Array, ""]:
    """Return the epsilon at which values closer than about `blur` share their ranks.

    As blur -> 0, tends to 0. At this epsilon soft ranks are about the expected ranks of
    the values if each is measured with noise of standard deviation `blur` of its own.

    Args:
        values: a vector of finite real numbers, at least one, or the `Summary` of all
            values, made for `least_epsilon_for_blur`.
        blur: positive, in the units of the values.
        input_weights: non-negative weights of the values, a vector; ones by default.
        squashing_fun: see `sort`. It maps each value on its own, into [0, 1], and has a
            derivative.

    Returns:
        A positive number up to 1e6, without derivative; 1 if all values are equal, for
        then nothing depends on it. NaN if traced arguments are wrong.

    Raises:
        SoftSortError: an argument out of its range, or a `squashing_fun` without slope.

    Examples:
        >>> import softsort_core as soft
        >>> x = [1.0, 5.0, 4.0, 8.0, 12.0]
        >>> epsilon = soft.epsilon_for_blur(x, 1.0)
        >>> round(float(epsilon), 4)
        0.0093
        >>> soft.ranks(x, epsilon=epsilon).tolist()
        [0.012, 1.855, 1.138, 3.0, 3.996]
    """
    width = as_blur(blur)
    slopes = _slopes(values, input_weights, squashing_fun)
    xp = np if is_concrete((slopes, width)) else jnp
    epsilon = _epsilon(xp, slopes, xp.asarray(width, float))
    return jax.lax.stop_gradient(jnp.asarray(xp.clip(epsilon, _LEAST, _MOST)))


def blur_of_epsilon(
    values: Values | Summary,
    epsilon: float,
    *,
    input_weights: Values | None = None,
    squashing_fun: Any = None,
) -> float:
    """Return the blur that an epsilon stands for, in the units of the values.

    As epsilon -> 0, tends to 0. It is what `epsilon_for_blur` makes this epsilon of;
    infinite if all values are equal.

    Args:
        values: see `epsilon_for_blur`; not traced by JAX, like the others.
        epsilon: regularisation, positive.
        input_weights: see `epsilon_for_blur`.
        squashing_fun: see `epsilon_for_blur`.

    Raises:
        SoftSortError: as `epsilon_for_blur`.

    Examples:
        >>> import softsort_core as soft
        >>> round(soft.blur_of_epsilon([1.0, 5.0, 4.0, 8.0, 12.0], 0.01), 3)
        1.052
    """
    target = min(max(float(as_epsilon(epsilon)), _LEAST), _MOST)
    slopes = _slopes(values, input_weights, squashing_fun)
    if not slopes.mean(np):
        return math.inf
    blur = math.sqrt(target) / float(slopes.scale)
    for _ in range(_STEPS):
        # The exponent is from 1 to 2.
        blur *= (target / float(_epsilon(np, slopes, np.asarray(blur)))) ** (2 / 3)
    return blur


def least_epsilon_for_blur(statistics: Statistics, blur: float) -> float:
    """Return an epsilon that `epsilon_for_blur` does not come below, for any values.

    It is what to summarise data in parts for, before more is known of them than their
    statistics.

    Args:
        statistics: those of all values, by `describe` and `merge`.
        blur: positive, in the units of the values.

    Raises:
        SoftSortError: a blur out of its range.

    Examples:
        >>> import softsort_core as soft
        >>> x = [1.0, 5.0, 4.0, 8.0, 12.0]
        >>> least = soft.least_epsilon_for_blur(soft.describe(x), 1.0)
        >>> summary = soft.summarise(x, soft.describe(x), epsilon=least)
        >>> round(float(soft.epsilon_for_blur(summary, 1.0)), 4)
        0.0093
    """
    width = float(as_blur(blur))
    if not statistics.deviation > 0:
        return 1.0
    width /= statistics.deviation
    # By Cauchy and Schwarz: a measure of slopes, smoothed, has its mass within [0, 1]
    # and some standard deviations of the kernel.
    reach = 1 + 4 * math.sqrt(2) * _MOST_SLOPE * width
    return min(max(2 * (width * _LEAST_SLOPE) ** 2 / reach, _LEAST), _MOST)


def group_epsilons_for_blur(
    values: Values,
    sizes: np.ndarray,
    blur: float | np.ndarray,
    *,
    weights: Values | None = None,
    squashes: bool = True,
) -> np.ndarray:
    """Return for each of many groups what `epsilon_for_blur` does.

    As blur -> 0, tends to 0.

    Args:
        values: those of the groups, one after another.
        sizes: how many values each group has; one without any has 1.
        blur: positive, of all groups or of each.
        weights: non-negative, of the values; ones by default.
        squashes: whether values are squashed by default; else they are in [0, 1].

    Raises:
        SoftSortError: an argument out of its range.

    Examples:
        >>> import numpy as np
        >>> import softsort_core as soft
        >>> x, sizes = np.array([1.0, 5, 4, 8, 12, 0, 2]), np.array([5, 2])
        >>> soft.group_epsilons_for_blur(x, sizes, 1.0).round(3).tolist()
        [0.009, 0.069]
    """
    x = np.asarray(as_floating(values, "values")[0], np.float64)
    sizes = np.asarray(sizes, np.int64)
    starts = np.cumsum(sizes) - sizes
    widths = np.broadcast_to(np.asarray(blur, np.float64), sizes.shape)
    a = np.ones_like(x) if weights is None else np.asarray(weights, np.float64)
    if not np.all((widths > 0) & (widths < np.inf)):
        raise SoftSortError(f"blur is {blur!r}: give positive numbers, such as 0.3")
    results = np.ones(sizes.shape)
    for size in np.unique(sizes[sizes > 1]).tolist():
        places = np.flatnonzero(sizes == size)
        most = max(1, _AT_ONCE // min(size, _MOST_PAIRED) ** 2)
        for some in np.split(places, range(most, len(places), most)):
            where = starts[some, None] + np.arange(size)
            rows, shares = x[where], a[where]
            shares = shares / shares.sum(1, keepdims=True)
            pairs = _Pairs(np.ones(len(rows)), rows, shares)
            if squashes:
                pairs = _squashed(np, rows, shares)
            if size <= _MOST_PAIRED:
                results[some] = _epsilon(np, pairs, widths[some])
                continue
            for place, *row in zip(some.tolist(), *pairs, strict=True):
                spectrum = _in_cells(np, _Pairs(*row))
                results[place] = _epsilon(np, spectrum, widths[place])
    return np.clip(results, _LEAST, _MOST)


def _slopes(values: Any, input_weights: Any, squashing_fun: Any) -> _Slopes:
    """Return the slopes of some values, which are checked."""
    if isinstance(values, Summary):
        return _of_summary(values)
    x, _ = as_floating(values, "values")
    a = as_weights(input_weights, "input_weights")
    if x.ndim != 1 or x.size == 0 or (a is not None and a.shape != x.shape):
        weighted = "" if a is None else f" and input_weights {a.shape}"
        raise SoftSortError(
            f"values has shape {x.shape}{weighted}: give a vector of at least one "
            "number, and as many weights"
        )
    if not is_concrete((x, a)):
        return _of_vector(jnp, x, _shares(jnp, x, a), squashing_fun)
    x, a = (None if each is None else np.asarray(each, float) for each in (x, a))
    shares = _shares(np, x, a)
    used = x[shares > 0]
    if not np.isfinite(used).all():
        raise SoftSortError("values has NaN or infinity: leave such values out")
    slopes = _of_vector(np, x, shares, squashing_fun)
    if not slopes.mean(np) and used.min() < used.max() and squashing_fun is not None:
        raise SoftSortError(
            "squashing_fun has no slope at these values: give one that maps each on "
            "its own, whatever the others are"
        )
    return slopes


def _shares(xp: Any, x: Any, a: Any) -> Any:
    if a is None:
        return xp.full(x.shape, 1 / x.shape[-1], x.dtype)
    return a / xp.sum(a)


def _of_vector(xp: Any, x: Any, shares: Any, squashing_fun: Any) -> _Slopes:
    if squashing_fun is None:
        pairs = _squashed(xp, x, shares)
    else:
        inputs = jnp.asarray(x)
        s, slopes = jax.jvp(squashing_fun, (inputs,), (jnp.ones_like(inputs),))
        used = shares > 0
        s, slopes = (xp.where(used, xp.asarray(each), 0.0) for each in (s, slopes))
        pairs = _Pairs(xp.ones(()), s, slopes * shares)
    return pairs if x.size <= _MOST_PAIRED else _in_cells(xp, pairs)


def _squashed(xp: Any, x: Any, shares: Any) -> _Pairs:
    """Return the slopes of the default squashing of values, or of rows of them."""
    used = shares > 0
    low = xp.min(xp.where(used, x, xp.inf), -1, keepdims=True)
    high = xp.max(xp.where(used, x, -xp.inf), -1, keepdims=True)
    radius = high / 2 - low / 2
    radius = xp.maximum(radius, float(np.finfo(x.dtype).tiny) * 2**10)
    scaled = xp.where(used, (x - (low / 2 + high / 2)) / radius, 0.0)
    scaled = scaled - xp.sum(shares * scaled, -1, keepdims=True)
    deviation = xp.sqrt(xp.sum(shares * scaled**2, -1, keepdims=True))
    is_flat = deviation <= float(np.finfo(x.dtype).eps)
    deviation = xp.where(is_flat, 1.0, deviation)
    s = 0.5 + 0.5 * xp.tanh(scaled / deviation / 2)
    masses = xp.where(is_flat, 0.0, shares * s * (1 - s))
    return _Pairs((1 / deviation / radius)[..., 0], s, masses)


def _in_cells(xp: Any, pairs: _Pairs) -> _Spectrum:
    """Return the spectrum of as many masses as there are, from moments in cells."""
    # Only differences matter: they may lie anywhere, and negated values do.
    within = pairs.places - xp.min(pairs.places)
    position = xp.clip(within, 0.0, 1.0) * _CELLS
    cells = xp.clip(xp.floor(position), 0, _CELLS - 1)
    local, cells = 2 * (position - cells) - 1, cells.astype(np.int32)
    counted = {"minlength": _CELLS} if xp is np else {"length": _CELLS}
    before, now = pairs.masses, pairs.masses * local
    moments = []
    for _ in range(_ORDER):
        moments.append(xp.bincount(cells, before, **counted))
        before, now = now, 2 * local * now - before
    return _spectrum(xp, pairs.scale, xp.stack(moments, -1) @ analysis(_ORDER))


def _of_summary(summary: Summary) -> _Spectrum:
    """Return the spectrum of masses at nodes that have the moments of the values."""
    statistics, (count, order) = summary.statistics, summary.moments.shape
    weights = summary.moments @ analysis(order) / statistics.weight
    s = (np.arange(count)[:, None] + (nodes(order) + 1) / 2) / count
    if not statistics.deviation > 0:
        return _Spectrum(np.ones(()), np.zeros(1))
    scale = np.asarray(1 / statistics.deviation)
    return _spectrum(np, scale, weights * s * (1 - s))


def _spectrum(xp: Any, scale: Any, masses: Any) -> _Spectrum:
    """Return the spectrum of masses at the Chebyshev nodes of even cells of [0, 1]."""
    count, order = masses.shape
    length = count * _PERIOD
    waves = np.arange(length // 2 + 1)[:, None] / length
    shifts = np.exp(-1j * math.pi * waves * (nodes(order) + 1))
    coefficients = xp.fft.rfft(masses, length, axis=0) * shifts
    return _Spectrum(scale, xp.abs(xp.sum(coefficients, 1)) ** 2)


def _epsilon(xp: Any, slopes: _Slopes, blur: Any) -> Any:
    """Return the double sum in the first docstring; 1 if there is no slope."""
    width, mean = xp.clip(blur * slopes.scale, *_WIDTHS), slopes.mean(xp)
    kernel = math.sqrt(2) * width * xp.where(mean > 0, mean, 1.0)
    # Wider kernels are as good as flat: epsilon grows like the blur.
    beyond = xp.maximum(kernel / _WIDEST, 1.0)
    epsilon = 2 * width * (width / beyond) * slopes.sum(xp, kernel / beyond)
    return xp.where(mean > 0, epsilon, xp.where(mean <= 0, 1.0, xp.nan))
