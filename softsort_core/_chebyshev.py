"""Measures of any number of points, summarised by Chebyshev moments.

A smooth function on [-1, 1] is a short series f = sum_k c_k T_k, so a measure of n
points acts on it by its moments M_k = sum_i a_i T_k(t_i) alone. Moments of parts add
up to those of the whole. Taking moments and evaluating a series are each other's
transpose; both are matrix products here, of the factors in

    2 T_ij = ... T_(J i) T_j = (T_(J i + j) + T_|J i - j|) / 2,

J and I being about the square root of the number of moments.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# Points in flight: their factors stay in the cache.
_CHUNK = 2**12


class Placing(NamedTuple):
    """How values x become points t.

    t = shape(((x - middle) / half_range - offset) * scale). It is part of the loops
    over chunks, so that no points need be stored. Middle and half range have no
    derivative.
    """

    middle: Float[Array, ""]
    half_range: Float[Array, ""]
    offset: Float[Array, ""]
    scale: Float[Array, ""]

    def points(self, values: Array, *, saturating: bool) -> Array:
        """Return the points; `saturating` chooses the shape tanh, else identity."""
        scaled = (values - self.middle) / self.half_range - self.offset
        scaled = scaled * self.scale
        return jnp.tanh(scaled) if saturating else scaled


@functools.cache
def nodes(size: int) -> np.ndarray:
    """Return the Chebyshev points in (-1, 1)."""
    return np.cos(np.pi * (np.arange(size) + 0.5) / size)


@functools.cache
def analysis(size: int) -> np.ndarray:
    """Return the matrix from values at the nodes to coefficients of the series.

    Its transpose maps moments to weights of the nodes that have these moments.
    """
    degrees = np.arange(size)
    matrix = np.cos(np.outer(degrees, np.arccos(nodes(size)))) * (2 / size)
    matrix[0] /= 2
    return matrix


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def moments(
    values: Float[Array, " n"],
    placing: Placing,
    weights: Float[Array, " n"] | None,
    size: int,
    saturating: bool,
) -> Float[Array, " size"]:
    """Return sum_i weights_i T_k(t_i) for k < size; no weights stand for ones."""
    return _moments(values, placing, weights, size, saturating)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def evaluate(
    values: Float[Array, " n"],
    placing: Placing,
    coefficients: Float[Array, " size"],
    saturating: bool,
) -> Float[Array, " n"]:
    """Return sum_k coefficients_k T_k(t_i) for all i."""
    return _evaluate(values, placing, coefficients, saturating)


def _moments(
    values: Array, placing: Placing, weights: Array | None, size: int, saturating: bool
) -> Array:
    def of_chunk(placing, values, *weights):
        high, low = _factors(placing.points(values, saturating=saturating), size)
        for each in weights:
            low = low * each
        return high @ low.T

    arrays = [values] if weights is None else [values, weights]
    main, rest = _in_chunks(of_chunk, placing, *arrays)
    with jax.enable_x64(True):
        main = jnp.sum(jax.lax.convert_element_type(main, jnp.float64), axis=0)
    products = jax.lax.convert_element_type(main, rest.dtype) + rest
    return jnp.asarray(_unfolding(size), rest.dtype) @ products.reshape(-1)


def _evaluate(
    values: Array, placing: Placing, coefficients: Array, saturating: bool
) -> Array:
    size = coefficients.shape[0]
    unfolding = jnp.asarray(_unfolding(size), coefficients.dtype)
    folded = (coefficients @ unfolding).reshape(-1, _split(size)).T
    folded = folded.astype(values.dtype)

    def of_chunk(fixed, values):
        placing, folded = fixed
        high, low = _factors(placing.points(values, saturating=saturating), size)
        return jnp.sum(low * (folded @ high), axis=0)

    main, rest = _in_chunks(of_chunk, (placing, folded), values)
    return jnp.concatenate([main.reshape(-1), rest])


@moments.defjvp
def _moments_jvp(size, saturating, primals, tangents):
    values, placing, weights = primals
    moved = _moved(values, placing, tangents, saturating)
    if weights is not None:
        moved = moved * weights

    def weighted(weights):
        return _moments(values, placing, weights, size, saturating)

    changes = _slope(size).astype(values.dtype) @ _along(weighted, moved)
    if weights is not None:
        changes += _along(weighted, tangents[2])
    return moments(values, placing, weights, size, saturating), changes


@evaluate.defjvp
def _evaluate_jvp(saturating, primals, tangents):
    values, placing, coefficients = primals
    slope = coefficients @ _slope(coefficients.shape[0]).astype(coefficients.dtype)
    changes = _along(
        lambda each: _evaluate(values, placing, each, saturating), tangents[2]
    )
    changes += _evaluate(values, placing, slope, saturating) * _moved(
        values, placing, tangents, saturating
    )
    return evaluate(values, placing, coefficients, saturating), changes


def _along(linear: Callable[[Array], Array], tangent: Array) -> Array:
    """Return linear(tangent), as a derivative: only such scans does jax transpose."""
    return jax.jvp(linear, (jnp.zeros_like(tangent),), (tangent,))[1]


def _moved(values, placing, tangents, saturating):
    """Return the tangent of the points."""
    scaled = (values - placing.middle) / placing.half_range - placing.offset
    moved = (tangents[0] / placing.half_range - tangents[1].offset) * placing.scale
    moved += scaled * tangents[1].scale
    if saturating:
        moved *= 1 - placing.points(values, saturating=True) ** 2
    return moved


def _in_chunks(
    function: Callable[..., Array], fixed: Any, *arrays: Array
) -> tuple[Array, Array]:
    """Return `function(fixed, *chunks)` for all whole chunks, stacked, and the rest."""
    n = arrays[0].shape[0]
    whole = n - n % _CHUNK
    # Derivatives make the factors of a chunk anew.
    remade = jax.checkpoint(function)
    rest = remade(fixed, *(a[whole:] for a in arrays))
    if whole == 0:
        return jnp.zeros((0, *rest.shape), rest.dtype), rest

    # What is fixed is carried, not closed over, for jax cannot transpose that.
    def step(fixed, chunk):
        return fixed, remade(fixed, *chunk)

    chunks = tuple(a[:whole].reshape(-1, _CHUNK, *a.shape[1:]) for a in arrays)
    return jax.lax.scan(step, fixed, chunks)[1], rest


def _factors(t: Array, size: int) -> tuple[Array, Array]:
    """Return T_(J i)(t) and T_j(t), such that all i, j < J reach size degrees."""
    j = _split(size)
    low = _first(t, j + 1)
    return jnp.stack(_first(low[j], -(-size // j))), jnp.stack(low[:j])


def _first(t: Array, count: int) -> list[Array]:
    """Return T_0(t) ... of the given count."""
    found = [jnp.ones_like(t), t]
    while len(found) < count:
        found.append(2 * t * found[-1] - found[-2])
    return found[:count]


def _split(size: int) -> int:
    return 2 ** (round(np.log2(size)) // 2)


@functools.cache
def _unfolding(size: int) -> np.ndarray:
    """Return U with T_k = sum_ij U_kij T_(J i) T_j."""
    j = _split(size)
    i = -(-size // j)
    unfolding = np.zeros((i * j, i, j))
    for high in range(i):
        for low in range(j):
            k = high * j + low
            unfolding[k, high, low] = 2.0 if high and low else 1.0
            if high and low:
                unfolding[k] -= unfolding[high * j - low]
    return unfolding[:size].reshape(size, -1)


@functools.cache
def _slope(size: int) -> np.ndarray:
    """Return D with T_k' = sum_l D_kl T_l."""
    slope = np.zeros((size, size))
    for k in range(1, size):
        slope[k, :k] = np.polynomial.chebyshev.chebder(np.eye(size)[k])[:k]
    return slope
