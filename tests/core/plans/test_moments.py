import jax
import jax.numpy as jnp
import numpy as np
import pytest
from derivatives import check_derivatives
from numpy.polynomial import chebyshev as oracle

from softsort_core import parallel
from softsort_core.plans import chebyshev, moments
from softsort_core.plans.chebyshev import Cells
from softsort_core.plans.moments import evaluate_series, moments_of
from softsort_core.squash import Standardisation, standardisation

IDENTITY = Standardisation(*map(jnp.float32, (0, 1, 0, 1, 0, 0)))


def points(n):
    return np.random.default_rng(n).uniform(-1, 1, n)


def in_cells(t, cells):
    """Return the cell of each point, and T_k of where in it that is."""
    cell = np.minimum((t + 1) / 2 * cells.number, cells.number - 1).astype(int)
    local = (t + 1) * cells.number - 2 * cell - 1
    return cell, oracle.chebvander(local, cells.order - 1)


def vandermonde(t, cells):
    """Return T_k of where in its cell each point is, in the columns of that cell."""
    cell, terms = in_cells(t, cells)
    matrix = np.zeros((t.size, *cells))
    matrix[np.arange(t.size), cell] = terms
    return matrix


# Fewer points than a chunk, some chunks and a rest, nothing but chunks.
@pytest.mark.parametrize("n", [3, 4 * 64 + 5, 64])
@pytest.mark.parametrize("cells", [Cells(1, 64), Cells(1, 100), Cells(8, 5)])
def test_moments_and_series_are_numpys(x64, monkeypatch, n, cells):
    monkeypatch.setattr(moments, "_CHUNK", 64)
    monkeypatch.setattr(parallel, "_LEAST", 1)
    monkeypatch.setenv("NPROC", "3")
    t, weights = points(n), np.random.default_rng(1).normal(size=n)
    series = np.random.default_rng(2).normal(size=cells)
    expected = vandermonde(t, cells)
    placing = jax.tree.map(lambda each: each.astype(float), IDENTITY)
    t, weights, series = jnp.asarray(t), jnp.asarray(weights), jnp.asarray(series)
    found = moments_of(t, placing, None, cells, False)
    np.testing.assert_allclose(found, expected.sum(axis=0), atol=1e-8)
    found = moments_of(t, placing, weights, cells, False)
    np.testing.assert_allclose(found, np.tensordot(weights, expected, 1), atol=1e-8)
    found = evaluate_series(t, placing, series, False)
    np.testing.assert_allclose(found, np.tensordot(expected, series, 2), atol=1e-9)


def test_cells_are_finer_than_single_precision():
    # Values that single precision squashes into one point, but cells tell apart.
    x = np.float32(1) + np.arange(4096, dtype=np.float32) * 2**-23
    x = jnp.concatenate([x, jnp.array([-3e3, 3e3], jnp.float32)])
    placing = standardisation(x, None, is_fine=True)
    cells = Cells(2**14, 2)
    found = moments_of(x, placing, None, cells, True)
    wide = np.asarray(x, float)
    t = np.tanh((wide - wide.mean()) / wide.std() / 2)
    expected = np.zeros(cells)
    np.add.at(expected, *in_cells(t, cells))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-4)


def test_points_stand_for_a_measure(x64):
    t = points(50)
    exact = oracle.chebvander(t, 31).mean(axis=0)
    weights = exact @ chebyshev.analysis(32)
    nodes = chebyshev.nodes(32)
    assert np.dot(weights, np.exp(nodes)) == pytest.approx(np.exp(t).mean())


@pytest.mark.parametrize(
    ("cells", "squashes"),
    [(Cells(1, 8), True), (Cells(3, 4), True), (Cells(3, 4), False)],
)
def test_derivatives(x64, cells, squashes):
    x = jnp.asarray(points(7))

    def function(x, offset, scale, weights):
        placing = Standardisation(
            jnp.asarray(0.1),
            jnp.asarray(2.0),
            offset,
            scale,
            jnp.zeros(()),
            jnp.zeros(()),
        )
        series = moments_of(x, placing, weights, cells, squashes)
        return evaluate_series(x, placing, series, squashes)

    def slopes(*arguments):
        values, backwards = jax.vjp(function, *arguments)
        return backwards(values)

    arguments = x, jnp.asarray(0.1), jnp.asarray(0.7), x**2
    check_derivatives(function, *arguments, rtol=1e-4)
    check_derivatives(slopes, *arguments, rtol=1e-4)
