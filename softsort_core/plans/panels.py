"""What panels of neighbouring inputs and targets are: nodes, their weights, and series.

Panels of targets are replaced by the nodes of their own Gauss rule, which is known in
closed form (the polynomials orthogonal on an even grid are Gram's) and is exact, with
positive weights, for twice as many polynomials as it has nodes; a panel of few targets
keeps them. Panels of inputs are replaced by Chebyshev points that have their moments.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core.numerics import largest, product
from softsort_core.plans import chebyshev
from softsort_core.plans.gauss_rules import gauss_rule
from softsort_core.precision import as_dtype, in_double

# Orders of the rules, relative to that of the result, whose results are compared.
_ORDERS = (0.5, 0.75, 1.0)


class Resolution(NamedTuple):
    """How finely a plan is resolved.

    Attributes:
        panels: number of panels of targets.
        finer: how many times as many there are of inputs, whose nodes are Chebyshev
            points, whose rules are exact for half as many polynomials.
        order: nodes of each.
        stages: how often the panels are chosen anew, at an epsilon 4 times smaller.
        cells: number of the cells of inputs that panels are made of.
        cell_order: moments of each. They are as many as those of a panel if it is one.
    """

    panels: int
    finer: int
    order: int
    stages: int
    cells: int
    cell_order: int

    @property
    def nodes(self) -> int:
        return self.panels * self.order

    def orders(self) -> np.ndarray:
        """Return the orders whose results are compared; the last is that of all."""
        return np.round(np.array(_ORDERS) * self.order).astype(int)


class Few(NamedTuple):
    """The inputs that have a weight, and others up to the number of their nodes.

    Attributes:
        places: where in [0, 1] they are.
        points: the same as they are squashed, with its derivative.
        mass: theirs.
        are_all: 1 if they are, so that they are the nodes, and even targets are theirs;
            0 if there are more.
    """

    places: Float[Array, " k"]
    points: Float[Array, " k"]
    mass: Float[Array, " k"]
    are_all: Float[Array, ""]

    def rather(self, own: Array, usual: Array) -> Array:
        """Return what is of these if they are all, else what is of the usual nodes."""
        return jnp.where(self.are_all > 0, own, usual)


class Inputs(NamedTuple):
    """A measure in cells, each of which is within a panel; or points, a cell each.

    Attributes:
        moments: Chebyshev moments of the mass of each cell.
        low: the least of squashed values, at place 0.
        width: how far from it place 1 is.
        places: where in [0, 1] points are; None if there are as many even cells.
        few: those that may be all; None if there are more for sure.
    """

    moments: Float[Array, "cells order"]
    low: Float[Array, ""]
    width: Float[Array, ""]
    places: Float[Array, " cells"] | None = None
    few: Few | None = None

    def nodes(self, edges: Array, used: Array | int, order: int) -> tuple[Array, Array]:
        """Return positions and weights of `order` nodes in each panel.

        Of which `used` are enough for all moments that are kept.
        """
        places = panel_nodes(edges, order).reshape(-1)
        if self.few is not None:
            places = self.few.rather(self.few.places, places)
        return self.low + self.width * places, self.weights(edges, used, order)

    def weights(self, edges: Array, used: Array | int, order: int) -> Array:
        """Return the weights of the nodes."""
        are_in, factors = self._factors(edges, order)
        # The share of the moments of cells that is used is that of the panels', so that
        # what cells leave out is part of the estimated error.
        size = self.moments.shape[1]
        moments = jnp.where(np.arange(size) * order < used * size, self.moments, 0.0)
        of_cells = jnp.sum(moments.T[:, None] * factors, axis=0)
        of_panels = product(are_in.astype(moments.dtype), of_cells.T)
        kept = jnp.where(np.arange(order) < used, of_panels, 0.0)
        analysis = jnp.asarray(chebyshev.analysis(order), kept.dtype)
        weights = product(kept, analysis).reshape(-1)
        return weights if self.few is None else self.few.rather(self.few.mass, weights)

    def series(self, levels: Float[Array, " k"], edges: Array) -> tuple[Array, Array]:
        """Return the series, in cells, of what has these values at the nodes.

        And what it may leave out where there are inputs.
        """
        order = levels.shape[0] // (edges.shape[0] - 1)
        series, last = _panel_series(levels, order)
        are_in, factors = self._factors(edges, order)
        are_in = are_in.astype(series.dtype)
        mass = product(are_in, self.moments[:, 0])
        last = jnp.where(mass[:, None] > 0, last, 0.0)
        of_cells = product(series.T, are_in)
        return jnp.sum(factors * of_cells, axis=1).T, 2 * largest(last)

    def rounded(self, edges: Array) -> Array:
        """Return edges of panels of whole cells."""
        if self.places is not None:
            return edges
        return jnp.round(edges * self.moments.shape[0]) / self.moments.shape[0]

    def _factors(
        self, edges: Array, order: int
    ) -> tuple[Array, Float[Array, "k order cells"]]:
        """Return which cells panels have, and terms of panels as series in cells.

        In which they hardly change. The rounding of what is read at the nodes of cells
        would be as large as such changes, and so would be the slopes of it.
        """
        size = self.moments.shape[1]

        def expanded(edges, *places):
            at = places[0][:, None] if places else cell_nodes(self.moments.shape)
            panel = _panels_of(edges, at[:, 0])
            are_in = np.arange(edges.shape[0] - 1)[:, None] == panel
            terms = _terms(edges, panel[:, None], at, order)
            analysis = jnp.asarray(chebyshev.analysis(size))
            return are_in, product(analysis, jnp.moveaxis(terms, -1, 0))

        places = () if self.places is None else (self.places,)
        are_in, factors = in_double(expanded, edges, *places)
        return are_in, as_dtype(factors, self.moments.dtype)


class PointTargets(NamedTuple):
    """Targets that are taken as they are.

    Attributes:
        points: their positions.
        weights: they sum to 1.
    """

    points: Float[Array, " n"]
    weights: Float[Array, " n"]

    def size(self, _: Resolution) -> int:
        """Return how many nodes there are."""
        return self.points.shape[0]

    def first_edges(self, panels: int) -> Array:
        return jnp.zeros(panels + 1)

    def nodes(self, *_: Any) -> tuple[Array, Array]:
        return self.points, self.weights


class EvenTargets(NamedTuple):
    """Many evenly spaced targets in [0, 1] of equal weight; edges count them.

    Attributes:
        number: how many, an integer or a scalar array.
        rest: so many more the first of them stands for; None if it is as the others.
    """

    number: Any
    rest: Any = None

    def size(self, resolution: Resolution) -> int:
        """Return how many nodes there are."""
        return resolution.nodes + (self.rest is not None)

    def first_edges(self, panels: int) -> Array:
        return self.rounded(jnp.asarray(np.linspace(0.0, 1.0, panels + 1)))

    def nodes(self, edges: Array, used: Array | int, order: int) -> tuple[Array, Array]:
        """Return positions and weights of nodes; the last is the rest."""
        nodes, masses = gauss_rule(jnp, jnp.diff(edges), order, used)
        y = ((edges[:-1, None] + nodes) / (self.number - 1)).reshape(-1)
        masses = masses.reshape(-1)
        if self.rest is None:
            return y, masses / self.number
        b = jnp.append(masses, self.rest) / (self.number + self.rest)
        return jnp.append(y, 0.0), b

    def points(self, size: int) -> Array:
        """Return the positions of so many; those beyond the last are like that."""
        return jnp.minimum(jnp.arange(size) / (self.number - 1), 1.0)

    def themselves(self, size: int) -> tuple[Array, Array]:
        """Return up to so many of them as nodes, and their weights."""
        return self.points(size), (jnp.arange(size) < self.number) / self.number

    def positions(self, edges: Array) -> Array:
        """Return edges in [0, 1]: each target is in the middle of 1."""
        return (edges - 0.5) / (self.number - 1)

    def rounded(self, edges: Array) -> Array:
        """Return edges of panels of whole targets, by shares of all."""
        return jnp.round(edges * self.number)


def cell_nodes(shape: tuple[int, ...]) -> Array:
    """Return the nodes of even cells of [0, 1]."""
    cells, order = shape
    # As numbers they would be the largest part of the program.
    nodes = jnp.asarray((chebyshev.nodes(order) + 1) / 2)
    return (jnp.arange(cells)[:, None] + nodes) / cells


def between(
    levels: Float[Array, " k"], edges: Array, places: Float[Array, "*shape"]
) -> tuple[Float[Array, "*shape"], Array]:
    """Return what has these values at the nodes of panels, at places in [0, 1].

    Edges and places are in double precision. And how large the last terms of the
    series of panels are.
    """

    def positioned(edges, places):
        panel = _panels_of(edges, places)
        order = levels.shape[0] // (edges.shape[0] - 1)
        terms = _terms(edges, panel, places, order)
        return panel.astype(jnp.int32), terms, jnp.diff(edges) > 0

    panel, terms, matters = in_double(positioned, edges, places)
    series, last = _panel_series(levels, terms.shape[0])
    terms = as_dtype(terms, levels.dtype)
    values = jnp.sum(jnp.moveaxis(series[panel], -1, 0) * terms, axis=0)
    return values, 2 * largest(jnp.where(matters[:, None], last, 0.0))


def _panel_series(levels: Float[Array, " k"], order: int) -> tuple[Array, Array]:
    """Return the series of panels, and the last terms of each."""
    analysis = jnp.asarray(chebyshev.analysis(order), levels.dtype)
    series = product(levels.reshape(-1, order), analysis.T)
    return series, series[:, -(order // 8) :]


def divided(edges: Array, parts: int) -> Array:
    """Return the edges of even parts of each panel."""
    shares = jnp.asarray(np.arange(parts) / parts, edges.dtype)
    inner = edges[:-1, None] + jnp.diff(edges)[:, None] * shares
    return jnp.append(inner.reshape(-1), edges[-1])


def panel_nodes(edges: Array, order: int) -> Array:
    """Return the Chebyshev points of each panel."""
    inside = jnp.asarray((chebyshev.nodes(order) + 1) / 2, edges.dtype)
    return edges[:-1, None] + jnp.diff(edges)[:, None] * inside


def _panels_of(edges: Array, positions: Any) -> Array:
    # Panels are few: to compare with the edges of all takes the least to compile.
    inner = edges[1:-1].reshape(-1, *[1] * np.ndim(positions))
    return jnp.sum(positions >= inner, axis=0)


def _terms(edges: Array, panel: Array, positions: Any, order: int) -> Array:
    """Return T_k < order of where in its panel each position is.

    The degrees are along the first axis.
    """
    width = jnp.diff(edges)
    scale = 2 / jnp.where(width > 0, width, 1.0)
    start, scale = jnp.stack([edges[:-1], scale])[:, panel]
    return chebyshev.stacked(jnp.clip((positions - start) * scale - 1, -1, 1), order)
