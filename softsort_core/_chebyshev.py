"""Measures of any number of points, summarised by Chebyshev moments.

A smooth function on [-1, 1] is a short series f = sum_k c_k T_k, so a measure of n
points acts on it by its moments M_k = sum_i a_i T_k(t_i) alone. Moments of parts add
up to those of the whole. Taking moments and evaluating a series are each other's
transpose.

A function that is smooth only in small parts of [-1, 1] has a series of its own in
each of many even cells. In a single cell both are matrix products, of the factors in

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

from softsort_core._squash import Standardisation, as_double

# Points in flight: their factors stay in the cache.
_CHUNK = 2**12
# Where they are sorted into cells, the cells should.
_CELL_CHUNK = 2**16


class Cells(NamedTuple):
    """Even cells of [-1, 1].

    Attributes:
        number: how many.
        order: number of moments, or of coefficients, of each.
    """

    number: int
    order: int


class Placing(NamedTuple):
    """How values x become points t in [-1, 1]: t = shape(standard score of x).

    It is part of the loops over chunks, so that no points need be stored.

    Attributes:
        standardisation: what gives standard scores.
        squashes: whether the shape is tanh(z / 2), that is 2 sigmoid(z) - 1, or z.
    """

    standardisation: Standardisation
    squashes: bool

    def points(self, values: Array) -> Array:
        return self._shaped(self.standardisation.scores(values))

    def in_cells(self, values: Array, count: int) -> tuple[Array, Array]:
        """Return the cells of the points, and where in [-1, 1] in them they are."""
        with jax.enable_x64(True):
            points = self._shaped(self.standardisation.fine_scores(values))
            position = (points + 1) * (count / 2)
            cell = jnp.clip(jnp.floor(position), 0, count - 1)
            local = 2 * (position - cell) - 1
        # What is not computed in double precision has the derivative.
        points = self.points(values)
        moved = count * (points - jax.lax.stop_gradient(points))
        return (
            jax.lax.convert_element_type(cell, jnp.int32),
            jax.lax.convert_element_type(local, values.dtype) + moved,
        )

    def _shaped(self, scores: Array) -> Array:
        return jnp.tanh(scores / 2) if self.squashes else scores

    def tangents(self, values: Array, values_dot: Array, dot: Standardisation) -> Array:
        """Return the tangents of the points."""
        _, half_range, offset, scale, *_ = self.standardisation
        scaled = self.standardisation.scaled(values) - offset
        moved = (values_dot / half_range - dot.offset) * scale + scaled * dot.scale
        return moved * (1 - self.points(values) ** 2) / 2 if self.squashes else moved


@functools.cache
def nodes(size: int) -> np.ndarray:
    """Return the Chebyshev points in (-1, 1), in ascending order."""
    return -np.cos(np.pi * (np.arange(size) + 0.5) / size)


@functools.cache
def analysis(size: int) -> np.ndarray:
    """Return the matrix from values at the nodes to coefficients of the series.

    Its transpose maps moments to weights of the nodes that have these moments.
    """
    degrees = np.arange(size)
    matrix = np.cos(np.outer(degrees, np.arccos(nodes(size)))) * (2 / size)
    matrix[0] /= 2
    return matrix


def first(t: Array, count: int) -> list[Array]:
    """Return T_0(t) ... of the given count."""
    found = [jnp.ones_like(t), t]
    while len(found) < count:
        found.append(2 * t * found[-1] - found[-2])
    return found[:count]


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def moments(
    values: Float[Array, " n"],
    standardisation: Standardisation,
    weights: Float[Array, " n"] | None,
    cells: Cells,
    squashes: bool,
) -> Float[Array, "cells order"]:
    """Return sum_i weights_i T_k(t_i) in each cell; no weights stand for ones."""
    placing = Placing(standardisation, squashes)
    if cells.number == 1:
        return _moments(values, placing, weights, cells, wide=True)
    with jax.enable_x64(True):
        total = _moments(values, placing, weights, cells, wide=True)
        return jax.lax.convert_element_type(total, values.dtype)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def evaluate(
    values: Float[Array, " n"],
    standardisation: Standardisation,
    series: Float[Array, "cells order"],
    squashes: bool,
) -> Float[Array, " n"]:
    """Return sum_k series_k T_k(t_i), by the series of its cell, for all i."""
    n = values.shape[0]
    chunk, fixed, of_chunk = _evaluation(Placing(standardisation, squashes), series)
    if n <= chunk:
        return of_chunk(fixed, values)

    # In place, so that nothing is copied. The last two chunks overlap.
    def step(i, found):
        start = jnp.minimum(i * chunk, n - chunk)
        part = jax.lax.dynamic_slice(values, (start,), (chunk,))
        return jax.lax.dynamic_update_slice(found, of_chunk(fixed, part), (start,))

    return jax.lax.fori_loop(0, -(-n // chunk), step, jnp.zeros_like(values))


def _moments(
    values: Array,
    placing: Placing,
    weights: Array | None,
    cells: Cells,
    *,
    wide: bool = False,
) -> Array:
    count, order = cells
    arrays = [values] if weights is None else [values, weights]
    if count > 1:

        def added(standardisation, total, values, *weights):
            cell, local = Placing(standardisation, placing.squashes).in_cells(
                values, count
            )
            if wide:
                local, weights = as_double((local, weights))
            terms = jnp.stack(first(local, order), axis=1)
            for each in weights:
                terms = terms * each[:, None]
            return total.at[cell].add(terms)

        total = jnp.zeros((count, order), jnp.float64 if wide else values.dtype)
        return _accumulated(added, placing.standardisation, total, *arrays)

    def of_chunk(standardisation, values, *weights):
        points = Placing(standardisation, placing.squashes).points(values)
        high, low = _factors(points, order)
        for each in weights:
            low = low * each
        return high @ low.T

    whole = values.shape[0] // _CHUNK
    if wide and whole:
        # Nothing is copied, as slices of whole chunks would be.
        def step(i, sums):
            parts = (
                jax.lax.dynamic_slice(each, (i * _CHUNK,), (_CHUNK,)) for each in arrays
            )
            products = of_chunk(placing.standardisation, *parts)
            return sums.at[i].set(products)

        rest = of_chunk(
            placing.standardisation, *(each[whole * _CHUNK :] for each in arrays)
        )
        sums = jnp.zeros((whole, *rest.shape), rest.dtype)
        main = jax.lax.fori_loop(0, whole, step, sums)
    else:
        main, rest = _in_chunks(of_chunk, placing.standardisation, _CHUNK, *arrays)
    with jax.enable_x64(True):
        main = jnp.sum(jax.lax.convert_element_type(main, jnp.float64), axis=0)
    products = jax.lax.convert_element_type(main, rest.dtype) + rest
    unfolding = jnp.asarray(_unfolding(order), rest.dtype)
    return (unfolding @ products.reshape(-1))[None]


def _evaluate(values: Array, placing: Placing, series: Array) -> Array:
    """Evaluate likewise, in a way that jax can transpose."""
    chunk, fixed, of_chunk = _evaluation(placing, series)
    main, rest = _in_chunks(of_chunk, fixed, chunk, values)
    # What is not concatenated is not copied.
    parts = [part for part in (main.reshape(-1), rest) if part.size]
    return jnp.concatenate(parts) if parts else values


def _evaluation(placing: Placing, series: Array) -> tuple[int, Any, Any]:
    """Return the size of chunks, what is fixed, and their function of it and values."""
    count, order = series.shape
    standardisation, squashes = placing
    if count > 1:
        chunk = _CELL_CHUNK
        fixed = standardisation, series

        def of_chunk(fixed, values):
            standardisation, series = fixed
            cell, local = Placing(standardisation, squashes).in_cells(values, count)
            terms = jnp.stack(first(local, order), axis=1)
            return jnp.sum(series[cell] * terms, axis=1)

    else:
        chunk = _CHUNK
        unfolding = jnp.asarray(_unfolding(order), series.dtype)
        folded = (series[0] @ unfolding).reshape(-1, _split(order)).T
        fixed = standardisation, folded

        def of_chunk(fixed, values):
            standardisation, folded = fixed
            points = Placing(standardisation, squashes).points(values)
            high, low = _factors(points, order)
            return jnp.sum(low * (folded @ high), axis=0)

    return chunk, fixed, of_chunk


@moments.defjvp
def _moments_jvp(cells, squashes, primals, tangents):
    values, standardisation, weights = primals
    placing = Placing(standardisation, squashes)
    moved = placing.tangents(values, *tangents[:2])
    if weights is not None:
        moved = moved * weights

    def weighted(weights):
        return _moments(values, placing, weights, cells)

    changes = _along(weighted, moved) @ _slope(cells, values.dtype).T
    if weights is not None:
        changes += _along(weighted, tangents[2])
    return moments(values, standardisation, weights, cells, squashes), changes


@evaluate.defjvp
def _evaluate_jvp(squashes, primals, tangents):
    values, standardisation, series = primals
    placing = Placing(standardisation, squashes)
    slope = series @ _slope(Cells(*series.shape), series.dtype)
    changes = _along(lambda each: _evaluate(values, placing, each), tangents[2])
    changes += _evaluate(values, placing, slope) * placing.tangents(
        values, *tangents[:2]
    )
    return evaluate(values, standardisation, series, squashes), changes


def _along(linear: Callable[[Array], Array], tangent: Array) -> Array:
    """Return linear(tangent), as a derivative: only such scans does jax transpose."""
    return jax.jvp(linear, (jnp.zeros_like(tangent),), (tangent,))[1]


def _in_chunks(
    function: Callable[..., Array], fixed: Any, chunk: int, *arrays: Array
) -> tuple[Array, Array]:
    """Return `function(fixed, *chunks)` for all whole chunks, stacked, and the rest."""
    n = arrays[0].shape[0]
    whole = n - n % chunk
    # Derivatives make the factors of a chunk anew.
    remade = jax.checkpoint(function)
    rest = remade(fixed, *(a[whole:] for a in arrays))
    if whole == 0:
        return jnp.zeros((0, *rest.shape), rest.dtype), rest

    # What is fixed is carried, not closed over, for jax cannot transpose that.
    def step(fixed, chunk):
        return fixed, remade(fixed, *chunk)

    chunks = tuple(a[:whole].reshape(-1, chunk, *a.shape[1:]) for a in arrays)
    return jax.lax.scan(step, fixed, chunks)[1], rest


def _accumulated(
    function: Callable[..., Array], fixed: Any, total: Array, *arrays: Array
) -> Array:
    """Return what `function(fixed, total, *chunk)` makes of the total by and by."""
    n = arrays[0].shape[0]
    whole = n - n % _CELL_CHUNK
    remade = jax.checkpoint(function)
    total = remade(fixed, total, *(a[whole:] for a in arrays))
    if whole == 0:
        return total

    def step(carried, chunk):
        fixed, total = carried
        return (fixed, remade(fixed, total, *chunk)), None

    chunks = tuple(a[:whole].reshape(-1, _CELL_CHUNK) for a in arrays)
    return jax.lax.scan(step, (fixed, total), chunks)[0][1]


def _factors(t: Array, size: int) -> tuple[Array, Array]:
    """Return T_(J i)(t) and T_j(t), such that all i, j < J reach size degrees."""
    j = _split(size)
    low = first(t, j + 1)
    return jnp.stack(first(low[j], -(-size // j))), jnp.stack(low[:j])


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


def steepest(series: Float[Array, "cells order"]) -> Array:
    """Return the largest derivative of the series at the nodes."""
    count, order = series.shape
    slope = series @ _slope(Cells(count, order), series.dtype)
    return jnp.max(jnp.abs(slope @ np.linalg.inv(analysis(order)).T))


def _slope(cells: Cells, dtype: Any) -> Array:
    """Return D with T_k' = sum_l D_kl T_l, the derivative being that by the point."""
    return jnp.asarray(cells.number * _slope_of_one(cells.order), dtype)


@functools.cache
def _slope_of_one(order: int) -> np.ndarray:
    slope = np.zeros((order, order))
    for k in range(1, order):
        slope[k, :k] = np.polynomial.chebyshev.chebder(np.eye(order)[k])[:k]
    return slope
