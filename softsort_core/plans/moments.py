"""Measures of any number of points, summarised by Chebyshev moments.

A smooth function on [-1, 1] is a short series f = sum_k c_k T_k, so a measure of n
points acts on it by its moments M_k = sum_i a_i T_k(t_i) alone. Moments of parts add
up to those of the whole. Taking moments and evaluating a series are each other's
transpose.

A function that is smooth only in small parts of [-1, 1] has a series of its own in
each of many even cells.

Both are primitives of jax, each the other's transpose: what jax would make of their
loops itself is several times slower.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

from softsort_core.numerics import product, varying_like
from softsort_core.parallel import over_parts
from softsort_core.plans.chebyshev import (
    Cells,
    first,
    folded_shape,
    slope_matrix,
    unfolding_of,
)
from softsort_core.precision import as_double, as_dtype
from softsort_core.squash import Standardisation

# Points in flight: their factors stay in the cache.
_CHUNK = 2**12


class _Placing(NamedTuple):
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
        return (
            as_dtype(cell, jnp.int32),
            as_dtype(local, values.dtype),
        )

    def _shaped(self, scores: Array) -> Array:
        return jnp.tanh(scores / 2) if self.squashes else scores

    def tangents(self, values: Array, values_dot: Array, dot: Standardisation) -> Array:
        """Return the tangents of the points."""
        _, half_range, offset, scale, *_ = self.standardisation
        scaled = self.standardisation.scaled(values) - offset
        moved = (values_dot / half_range - dot.offset) * scale + scaled * dot.scale
        return moved * (1 - self.points(values) ** 2) / 2 if self.squashes else moved


def moments_of(
    values: Float[Array, " n"],
    standardisation: Standardisation,
    weights: Float[Array, " n"] | None,
    cells: Cells,
    squashes: bool,
) -> Float[Array, "cells order"]:
    """Return sum_i weights_i T_k(t_i) in each cell; no weights stand for ones."""
    if weights is None:
        operands = (values, *standardisation)
    else:
        # Arrays that vary over a mesh, or not, have to do so alike.
        values, weights = varying_like((values, weights), values, weights)
        operands = (values, *standardisation, weights)
    return _moments_p.bind(*operands, cells=cells, squashes=squashes)


def evaluate_series(
    values: Float[Array, " n"],
    standardisation: Standardisation,
    series: Float[Array, "cells order"],
    squashes: bool,
) -> Float[Array, " n"]:
    """Return sum_k series_k T_k(t_i), by the series of its cell, for all i."""
    cells = Cells(*series.shape)
    values, series = varying_like((values, series), values, series)
    return _evaluate_p.bind(
        values, *standardisation, series, cells=cells, squashes=squashes
    )


_moments_p = Primitive("chebyshev_moments")


_evaluate_p = Primitive("chebyshev_evaluate")


# Both are given values, what standardises them and, last, what they are linear in.
_PLACING = 1 + len(Standardisation._fields)


def _compute_moments(*operands: Array, cells: Cells, squashes: bool) -> Array:
    count = _chunk_count(operands[0])
    total = _of_chunks(0, count, *operands, cells=cells, squashes=squashes)
    return _completed([total], *operands, cells=cells)


def _concrete_moments(*operands: Array, cells: Cells, squashes: bool) -> Array:
    """Return the moments of what is at hand, by all cores, as no loop of XLA's is."""

    def of_chunks(start: int, stop: int) -> Array:
        bounds = np.int32(start), np.int32(stop)
        return _of_chunks_alone(*bounds, *operands, cells=cells, squashes=squashes)

    with jax.enable_x64(True):
        totals = over_parts(of_chunks, _chunk_count(operands[0]), operands[0])
    return _completed_alone(totals, *operands, cells=cells)


def _chunk_count(values: Array) -> int:
    return -(-values.shape[0] // _CHUNK)


def _of_chunks(
    start: Any, stop: Any, *operands: Array, cells: Cells, squashes: bool
) -> Array:
    """Return the moments of some chunks, in double precision, to be completed."""
    values, *numbers = operands[:_PLACING]
    weights = operands[_PLACING:]
    placing = _Placing(Standardisation(*numbers), squashes)
    n = values.shape[0]
    size = min(n, _CHUNK)

    def step(i: Array, total: Array) -> Array:
        # The last begins within the one before, if it is to be as long.
        first = jnp.minimum(i * size, n - size)
        values_, *weights_ = _chunk(first, size, values, *weights)
        if n % size:
            is_new = first + jnp.arange(size) >= i * size
            are_new = is_new.astype(values.dtype)
            weights_ = [are_new * each for each in weights_] or [are_new]
        return _added(total, placing, cells, values_, *weights_)

    with jax.enable_x64(True):
        none = jnp.zeros(folded_shape(cells.order) if cells.number == 1 else cells)
        none = varying_like(none, *operands)
        return jax.lax.fori_loop(start, stop, step, none)


def _completed(totals: Sequence[Array], *operands: Array, cells: Cells) -> Array:
    """Return the moments, given those of parts of the chunks."""
    with jax.enable_x64(True):
        total = _sum(as_double(totals))
        if cells.number == 1:
            unfolding = jnp.asarray(unfolding_of(cells.order))
            total = product(unfolding, total.reshape(-1))[None]
        return as_dtype(total, operands[0].dtype)


_STATIC = "cells", "squashes"


_of_chunks_alone = jax.jit(_of_chunks, static_argnames=_STATIC)


_completed_alone = jax.jit(_completed, static_argnames="cells")


def _added(
    total: Array, placing: _Placing, cells: Cells, values: Array, *weights: Array
) -> Array:
    """Add the moments of some values."""
    if cells.number == 1:
        return total + as_double(_products(placing, cells.order, values, *weights))
    cell, local = as_double(placing.in_cells(values, cells.number))
    # In a single loop each term would be computed, or chosen, anew for every number.
    terms = jax.lax.optimization_barrier(jnp.stack(first(local, cells.order)))
    for each in as_double(weights):
        terms = terms * each
    terms = jax.lax.optimization_barrier(terms.T)
    return total.at[cell.astype(jnp.int32)].add(terms)


def _products(placing: _Placing, order: int, values: Array, *weights: Array) -> Array:
    """Return the sums of the products of all factors."""
    # Stacked, both are in memory: the compiler would else make the points and read the
    # weights anew for every factor, which with weights takes three times as long.
    stacked = jnp.stack([placing.points(values), *weights])
    points, *masses = jax.lax.optimization_barrier(stacked)
    rows, split = folded_shape(order)
    high = first(first(points, split + 1)[split], rows)
    low = jnp.stack(first(points, split, *masses)).T
    # The compiler is quick at small products.
    parts = -(-rows // split)
    high = [
        jnp.stack(high[i * rows // parts : (i + 1) * rows // parts])
        for i in range(parts)
    ]
    return jnp.concatenate([product(each, low) for each in high])


def _compute_evaluate(*operands: Array, cells: Cells, squashes: bool) -> Array:
    values, *numbers, series = operands
    placing = _Placing(Standardisation(*numbers), squashes)
    count, order = cells
    if count == 1:
        # Unrolled, all is one pass over the values, which shares nothing with others:
        # what it computes on the way would else go through memory.
        values, series = jax.lax.optimization_barrier((values, series))
        folded = product(series[0], jnp.asarray(unfolding_of(order), series.dtype))
        rows, split = folded_shape(order)
        points = placing.points(values)
        low = first(points, split + 1)
        return _sum(
            high * _sum(map(jnp.multiply, row, low))
            for high, row in zip(
                first(low[split], rows),
                folded.reshape(-1, split),
                strict=True,
            )
        )

    def in_cells(values: Array) -> Array:
        cell, local = placing.in_cells(values, count)
        return _sum(
            each.at[cell].get(mode="promise_in_bounds") * term
            for each, term in zip(series.T, first(local, order), strict=True)
        )

    # One loop, shared among cores; in a branch, for it would else be made part of every
    # loop that uses the results, and computed by each.
    is_known = jnp.isfinite(placing.standardisation.scale)
    return jax.lax.cond(is_known, in_cells, lambda x: jnp.full_like(x, jnp.nan), values)


def _moments_jvp(primals, tangents, *, cells, squashes):
    values, *numbers = primals[:_PLACING]
    weights = primals[_PLACING:]
    bind = functools.partial(
        _moments_p.bind, values, *numbers, cells=cells, squashes=squashes
    )
    changes = []
    moved = _points_dot(primals, tangents, squashes)
    if moved is not None:
        for each in weights:
            moved = moved * each
        changes.append(product(bind(moved), slope_matrix(cells, values.dtype).T))
    if weights and type(tangents[-1]) is not ad.Zero:
        changes.append(bind(tangents[-1]))
    result = bind(*weights)
    return result, _sum(changes) if changes else ad.Zero.from_primal_value(result)


def _evaluate_jvp(primals, tangents, *, cells, squashes):
    values, *numbers, series = primals
    bind = functools.partial(
        _evaluate_p.bind, values, *numbers, cells=cells, squashes=squashes
    )
    changes = []
    moved = _points_dot(primals, tangents, squashes)
    if moved is not None:
        slope = bind(product(series, slope_matrix(cells, values.dtype)))
        changes.append(jax.lax.optimization_barrier(slope) * moved)
    if type(tangents[-1]) is not ad.Zero:
        changes.append(bind(tangents[-1]))
    result = bind(series)
    return result, _sum(changes) if changes else ad.Zero.from_primal_value(result)


def _points_dot(primals, tangents, squashes: bool) -> Array | None:
    """Return the tangents of the points; None if they stay where they are."""
    dots = tangents[:_PLACING]
    if all(type(dot) is ad.Zero for dot in dots):
        return None
    values, *numbers = primals[:_PLACING]
    values_dot, *numbers_dot = map(ad.instantiate_zeros, dots)
    placing = _Placing(Standardisation(*numbers), squashes)
    return placing.tangents(values, values_dot, Standardisation(*numbers_dot))


def _transposed(other: Primitive, cotangent, *operands, **parameters):
    """Return the cotangent of the last operand, by the other primitive."""
    *fixed, linear = operands
    if type(cotangent) is ad.Zero:
        return [None] * len(fixed) + [ad.Zero(linear.aval)]
    # Computed once, whatever is made of it.
    result = jax.lax.optimization_barrier(other.bind(*fixed, cotangent, **parameters))
    return [None] * len(fixed) + [result]


def _batched(primitive: Primitive, operands, axes, **parameters):
    """Return the results one after another: each is work enough."""
    mapped = [place for place, axis in enumerate(axes) if axis is not None]

    def one(parts):
        arguments = list(operands)
        for place, part in zip(mapped, parts, strict=True):
            arguments[place] = part
        return primitive.bind(*arguments, **parameters)

    parts = [jnp.moveaxis(operands[place], axes[place], 0) for place in mapped]
    return jax.lax.map(one, parts), 0


def _register(primitive, other, compute, concrete, shape, jvp) -> None:
    def abstract(values, *_, cells, **_static):
        return values.update(shape=shape(values, cells), weak_type=False)

    primitive.def_impl(concrete)
    primitive.def_abstract_eval(abstract)
    mlir.register_lowering(primitive, mlir.lower_fun(compute, multiple_results=False))
    ad.primitive_jvps[primitive] = jvp
    ad.primitive_transposes[primitive] = functools.partial(_transposed, other)
    batching.primitive_batchers[primitive] = functools.partial(_batched, primitive)


_register(
    _moments_p,
    _evaluate_p,
    _compute_moments,
    _concrete_moments,
    lambda _, cells: tuple(cells),
    _moments_jvp,
)


_register(
    _evaluate_p,
    _moments_p,
    _compute_evaluate,
    jax.jit(_compute_evaluate, static_argnames=_STATIC),
    lambda values, _: values.shape,
    _evaluate_jvp,
)


def _chunk(start: Array, size: int, *arrays: Array) -> list[Array]:
    return [jax.lax.dynamic_slice(each, (start,), (size,)) for each in arrays]


def _sum(terms: Iterable[Array]) -> Array:
    return functools.reduce(jnp.add, terms)
