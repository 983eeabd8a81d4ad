"""Chebyshev polynomials T_k on [-1, 1]: their nodes, and series of them.

Series and moments are made of the factors in

    T_(J i) T_j = (T_(J i + j) + T_|J i - j|) / 2,

J being about the square root of their number.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core.numerics import largest, product


class Cells(NamedTuple):
    """Even cells of [-1, 1].

    Attributes:
        number: how many.
        order: number of moments, or of coefficients, of each.
    """

    number: int
    order: int


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


def first(t: Array, count: int, scale: Array | None = None) -> list[Array]:
    """Return T_0(t) ... of the given count, times the scale if there is one."""
    terms = [jnp.ones_like(t), t] if scale is None else [scale, scale * t]
    while len(terms) < count:
        terms.append(2 * t * terms[-1] - terms[-2])
    return terms[:count]


def stacked(t: Float[Array, "*shape"], count: int) -> Float[Array, "count *shape"]:
    """Return T_0(t) ... of the given count, along a first axis."""

    def following(two: tuple[Array, Array], _: None) -> tuple[Any, Array]:
        before, now = two
        return (now, 2 * t * now - before), before

    return jax.lax.scan(following, (jnp.ones_like(t), t), length=count)[1]


def folded_shape(size: int) -> tuple[int, int]:
    """Return the numbers of factors T_(J i) and T_j: J is the latter."""
    split = min(8, 2 ** (round(np.log2(size)) // 2))
    return -(-size // split), split


@functools.cache
def unfolding_of(size: int) -> np.ndarray:
    """Return U with T_k = sum_ij U_kij T_(J i) T_j."""
    i, j = folded_shape(size)
    unfolding = np.zeros((i * j, i, j))
    for high in range(i):
        for low in range(j):
            k = high * j + low
            unfolding[k, high, low] = 2.0 if high and low else 1.0
            if high and low:
                unfolding[k] -= unfolding[high * j - low]
    return unfolding[:size].reshape(size, -1)


def steepest(series: Float[Array, "cells order"], degree: int = 1) -> Array:
    """Return the largest derivative, of some degree, of the series at the nodes."""
    count, order = series.shape
    slope = slope_matrix(Cells(count, order), series.dtype)
    for _ in range(degree):
        series = product(series, slope)
    synthesis = jnp.asarray(np.linalg.inv(analysis(order)).T, series.dtype)
    return largest(product(series, synthesis))


def slope_matrix(cells: Cells, dtype: Any) -> Array:
    """Return D with T_k' = sum_l D_kl T_l, the derivative being that by the point."""
    return jnp.asarray(cells.number * _slope_of_one(cells.order), dtype)


@functools.cache
def _slope_of_one(order: int) -> np.ndarray:
    slopes = np.polynomial.chebyshev.chebder(np.eye(order))
    return np.pad(slopes.T, [(0, 0), (0, 1)])


def weighted_moments(
    s: Float[Array, " n"], masses: Float[Array, " n"], size: int
) -> Array:
    """Return sum_i masses_i T_k(2 s_i - 1) for k < size; in factors."""
    split = folded_shape(size)[1]
    low = stacked(2 * s - 1, split + 1)
    high = stacked(low[split], -(-size // split))
    products = product(high, (masses * low[:split]).T)
    return product(jnp.asarray(unfolding_of(size)), products.reshape(-1))
