"""Transport between very many points, through few nodes.

The potentials of a transport problem are smooth, so inputs and targets act through
what any good quadrature makes of them. Panels of neighbouring targets are replaced by
the nodes of their own Gauss rule, which is known in closed form (the polynomials
orthogonal on an even grid are Gram's) and is exact, with positive weights, for twice as
many polynomials as it has nodes; a panel of few targets keeps them. Panels of inputs
are replaced by Chebyshev points that have their moments.

Where plans are sharp the panels have to be small. A feature of E[s | y] at y is about
epsilon wide, divided by how far apart the inputs are that share the target; E[y | s]
likewise. So panels of equal integral of that spread over epsilon resolve every feature,
and their number is at most of the order of 1 / sqrt(epsilon) whatever the inputs, for
the integral of the variance over epsilon is half the range of the mean. The spread is
that of the plan at a larger epsilon, which shrinks until the panels are those of the
plan.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from softsort_core import _chebyshev as chebyshev
from softsort_core._arguments import is_concrete
from softsort_core._nodes import gauss_rule
from softsort_core._rounding import largest, product, varying_like
from softsort_core._squash import as_double, in_double
from softsort_core._transport import implicit, normalised_dot, solve

# Central moments of this order measure a spread. High ones see the far points that
# hold little of a mass, whose share falls off exponentially.
_SPREAD_ORDER = 8
# Share of the widest spread that every place counts for.
_LEAST_SPREAD = 1e-3
_STAGE_RATIO = 4.0
# Orders of the rules, relative to that of the result, whose results are compared.
_ORDERS = (0.5, 0.75, 1.0)
_SAFETY = 3.0


class Resolution(NamedTuple):
    """How finely a plan is resolved.

    Attributes:
        panels: number of panels of targets.
        finer: how many times as many there are where nodes are Chebyshev points, whose
            rules are exact for half as many polynomials.
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


# Inputs and targets have, for edges of panels:
#   first_edges(panels): even ones;
#   nodes(edges, used, order): positions and weights of `order` nodes in each panel, of
#       which `used` are enough for all moments that are kept;
#   shares(edges, weights, order): how much of the length of all panels the nodes, with
#       these weights, stand for; and that length.


class FewPoints(NamedTuple):
    """Points that are taken as they are.

    Attributes:
        points: their positions.
        rest: what the rounding of these left out.
        weights: they sum to 1.
    """

    points: Float[Array, " n"]
    rest: Float[Array, " n"]
    weights: Float[Array, " n"]

    def first_edges(self, panels: int) -> Array:
        return jnp.zeros(panels + 1)

    def nodes(self, *_: Any) -> tuple[Array, Array]:
        return self.points + self.rest, self.weights

    def positions(self, edges: Array) -> Array:
        return edges

    def shares(self, _edges: Array, weights: Array, _order: int) -> tuple[Array, Any]:
        return jnp.zeros_like(weights), 0


class EvenTargets(NamedTuple):
    """Many evenly spaced targets in [0, 1] of equal weight; edges count them."""

    number: Any  # an integer, or a scalar array

    def first_edges(self, panels: int) -> Array:
        return jnp.round(jnp.linspace(0.0, self.number, panels + 1))

    def nodes(self, edges: Array, used: Array | int, order: int) -> tuple[Array, Array]:
        nodes, masses = gauss_rule(jnp, jnp.diff(edges), order, used)
        y = (edges[:-1, None] + nodes) / (self.number - 1)
        return y.reshape(-1), (masses / self.number).reshape(-1)

    def positions(self, edges: Array) -> Array:
        # Each target is in the middle of 1.
        return (edges - 0.5) / (self.number - 1)

    def shares(self, _edges: Array, weights: Array, _order: int) -> tuple[Array, Any]:
        return weights * self.number, self.number


class ManyInputs(NamedTuple):
    """Inputs as the moments of even cells of [middle - radius, middle + radius].

    Attributes:
        levels: what weights are multiplied by, at the nodes of cells; None for ones.
    """

    moments: Float[Array, "cells order"]
    middle: Float[Array, ""]
    radius: Float[Array, ""]
    levels: Float[Array, "cells order"] | None = None

    def first_edges(self, panels: int) -> Array:
        cells = self.moments.shape[0]
        return jnp.asarray(np.round(np.linspace(0.0, cells, panels + 1)))

    def nodes(self, edges: Array, used: Array | int, order: int) -> tuple[Array, Array]:
        cells = self.moments.shape[0]
        positions = 2 * panel_nodes(edges, order) / cells - 1
        moments = self.panel_moments(edges, order, used)
        kept = jnp.where(np.arange(order) < used, moments, 0.0)
        weights = product(kept, jnp.asarray(chebyshev.analysis(order), kept.dtype))
        return self.middle + self.radius * positions.reshape(-1), weights.reshape(-1)

    def shares(self, edges: Array, _weights: Array, order: int) -> tuple[Array, Any]:
        # Fejer's rule.
        even = np.arange(0, order, 2)
        rule = (1 / (1 - even**2.0)) @ chebyshev.analysis(order)[even]
        return (jnp.diff(edges)[:, None] * rule).reshape(-1), self.moments.shape[0]

    def panel_moments(self, edges: Array, order: int, used: Array | int) -> Array:
        cell_order = self.moments.shape[1]
        # The share of the moments of cells that is used is that of the panels', so that
        # what cells leave out is part of the estimated error.
        kept = np.arange(cell_order) * order < used * cell_order
        moments = jnp.where(kept, self.moments, 0.0)
        analysis = chebyshev.analysis(cell_order)
        if self.levels is not None:
            masses = product(moments, jnp.asarray(analysis, moments.dtype))
            synthesis = jnp.asarray(np.linalg.inv(analysis), moments.dtype)
            moments = product(masses * self.levels, synthesis)
        panel = self._panels(edges)
        if edges.dtype == jnp.float64:
            masses = product(moments, jnp.asarray(analysis))
            of_cells = jnp.sum(masses.T * self._terms(edges, order), axis=1)
        else:
            factors = self._factors(edges, order)
            of_cells = jnp.sum(moments.T[:, None] * factors, axis=0)
        return jax.ops.segment_sum(of_cells.T, panel, edges.shape[0] - 1)

    def series(self, levels: Float[Array, " k"], edges: Array) -> tuple[Array, Array]:
        """Return the series, in cells, of what has these values at the nodes.

        And what it may leave out where there are inputs.
        """
        order = levels.shape[0] // (edges.shape[0] - 1)
        series, last = _panel_series(levels, order)
        panel, panels = self._panels(edges), np.arange(edges.shape[0] - 1)[:, None]
        occupied = jnp.any((panels == panel) & (self.moments[:, 0] != 0), axis=1)
        last = jnp.where(occupied[:, None], last, 0.0)
        factors = self._factors(edges, order)
        in_cells = jnp.sum(series[panel].T * factors, axis=1).T
        return in_cells, 2 * largest(last)

    def _panels(self, edges: Array) -> Array:
        """Return the panel of each cell: edges are those of cells."""
        return _panels_of(edges, np.arange(self.moments.shape[0]) + 0.5)

    def _terms(self, edges: Array, order: int) -> Array:
        """Return T_k < order of where the nodes of cells are in their panels."""
        positions = jnp.asarray(cell_nodes(self.moments.shape).T, edges.dtype)
        return _terms(edges, self._panels(edges), positions, order)

    def _factors(self, edges: Array, order: int) -> Float[Array, "l order cells"]:
        """Return the terms of panels as series in cells, in which they hardly change.

        The rounding of what is read at the nodes of cells would be as large as such
        changes, and so would be the slopes of it.
        """

        def expanded(edges):
            terms = jnp.moveaxis(self._terms(edges, order), 1, 0)
            return product(jnp.asarray(chebyshev.analysis(terms.shape[0])), terms)

        return jax.lax.convert_element_type(in_double(expanded, edges), edges.dtype)


def cell_nodes(shape: tuple[int, ...]) -> np.ndarray:
    """Return the nodes of cells that are [0, 1], [1, 2] ..."""
    cells, order = shape
    return np.arange(cells)[:, None] + (chebyshev.nodes(order) + 1) / 2


def cell_series(
    levels: Float[Array, " k"], edges: Array, positions: Any, matters: Array
) -> tuple[Array, Array]:
    """Return the series, in cells with nodes at these positions, of panels.

    Args:
        levels: values at the nodes of panels.
        edges: the edges of these.
        positions: of the nodes of each cell, in the units of the edges.
        matters: which panels do.

    Returns:
        The series, of shape (cells, order), and how large its last terms are.
    """
    order, cell_order = levels.shape[0] // matters.shape[0], positions.shape[1]
    series, last = _panel_series(levels, order)
    edges, positions = edges.astype(levels.dtype), jnp.asarray(positions, levels.dtype)
    panel = _panels_of(edges, positions)
    terms = _terms(edges, panel, positions, order)
    values = jnp.sum(jnp.moveaxis(series[panel], -1, 0) * terms, axis=0)
    analysis = jnp.asarray(chebyshev.analysis(cell_order), levels.dtype)
    last = jnp.where(matters[:, None], last, 0.0)
    return product(values, analysis.T), 2 * largest(last)


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


class Found(NamedTuple):
    """A plan by nodes, in double precision and without derivative.

    Attributes:
        s: positions of the nodes of inputs.
        a: their weights.
        y: positions of the nodes of targets.
        b: their weights, summing to 1.
        v: potentials of these.
        s_edges: the edges of the panels of inputs.
        y_edges: the edges of the panels of targets, each being in the middle of its
            own share.
        steps: how many the solver took, in all until then.
        failure: 0, or infinite if none was found.
    """

    s: Float[Array, " k"]
    a: Float[Array, " k"]
    y: Float[Array, " N"]
    b: Float[Array, " N"]
    v: Float[Array, " N"]
    s_edges: Float[Array, " panels+1"]
    y_edges: Float[Array, " panels+1"]
    steps: Float[Array, ""]
    failure: Float[Array, ""]

    def log_rows(self, epsilon: Array) -> Array:
        """Return log p_ij; targets without weight take no part."""
        scores = self.v - _costs(self.s, self.y) / epsilon
        scores = jnp.where(self.b > 0, scores, -jnp.inf)
        return scores - logsumexp(scores, axis=1, keepdims=True)

    def columns(self, epsilon: Array, y: Array) -> tuple[Array, Array]:
        """Return log p_ij of further targets y less its maximum, and that.

        As if they were so light that they changed nothing, with potentials 0.
        """
        scores = self.v - _costs(self.s, self.y) / epsilon
        scores = jnp.where(self.b > 0, scores, -jnp.inf)
        log_shares = -_costs(self.s, y) / epsilon
        log_shares -= logsumexp(scores, axis=1, keepdims=True)
        log_shares = jnp.where(self.a[:, None] != 0, log_shares, -jnp.inf)
        peak = jnp.max(log_shares, axis=0)
        return log_shares - peak, peak

    def potentials_at(self, epsilon: Array, y: Array, b: Array) -> Array:
        """Return the potentials of targets y that would give them their mass b."""
        log_shares, peak = self.columns(epsilon, y)
        # Negative weights can do no more than rounding here.
        received = jnp.clip(product(self.a, jnp.exp(log_shares)), 1e-300)
        return jnp.log(jnp.where(b > 0, b, 1.0)) - peak - jnp.log(received)


def _costs(s: Array, y: Array) -> Array:
    return (s[:, None] - y) ** 2


def search(
    inputs: FewPoints | ManyInputs,
    targets: FewPoints | EvenTargets,
    epsilon: Float[Array, ""],
    resolution: Resolution,
) -> Found:
    """Return plans at half, three quarters and all of the order, stacked.

    Compiled once for any number of inputs and targets that are not taken as they are.
    """
    rules = ()
    if isinstance(targets, EvenTargets) and resolution.stages == 0:
        # Nodes that are known beforehand need not be found while it runs.
        rules = _rules(targets.number, resolution)
    given = inputs, targets, epsilon, *rules
    search = functools.partial(_search, resolution)
    if is_concrete(given):
        with jax.enable_x64(True):
            return search(*given)
    return in_double(search, *given)


@functools.lru_cache(maxsize=64)
def _rules(m: int, resolution: Resolution) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights in [0, 1] for m even targets, of the orders in turn."""
    rules = [
        gauss_rule(np, np.array([float(m)]), resolution.order, used)
        for used in resolution.orders()[::-1]
    ]
    y, b = (np.concatenate(each) for each in zip(*rules, strict=True))
    return y / (m - 1), b / m


@functools.partial(jax.jit, static_argnames="resolution")
def _search(
    resolution: Resolution,
    inputs: FewPoints | ManyInputs,
    targets: FewPoints | EvenTargets,
    epsilon: Float[Array, ""],
    *fixed: Array,
) -> Found:
    inputs, targets, epsilon, fixed = as_double((inputs, targets, epsilon, fixed))
    panels, finer, order, stages, *_ = resolution
    # In the last stage panels are chosen at epsilon itself. Then they stay.
    softer = _STAGE_RATIO ** np.arange(stages - 1, -1, -1.0)
    orders = np.append(np.full(stages, order), resolution.orders()[[2, 1, 0]])
    jobs = (
        epsilon * np.append(softer, np.ones(3)),
        jnp.asarray(orders),
        np.arange(len(orders)) < stages,
        fixed,
    )

    def vary(carried):
        return varying_like(carried, inputs, targets, epsilon, fixed)

    def nodes(s_edges, y_edges, used, fixed):
        s, a = inputs.nodes(s_edges, used, order)
        y, b = fixed or targets.nodes(y_edges, used, order)
        # They sum to 1 only in the precision they came in.
        return s, a / jnp.sum(a), y, b / jnp.sum(b)

    def advance(before, job):
        found, old_epsilon, is_first = before
        new_epsilon, used, choosing, fixed = job
        s_edges, y_edges = found.s_edges, found.y_edges
        s, a, y, b = nodes(s_edges, y_edges, used, fixed)
        logits = -_costs(s, y) / new_epsilon
        # The first plan is so smooth that any guess will do.
        guess = found.potentials_at(old_epsilon, y, b) * (old_epsilon / new_epsilon)
        guess = jnp.where(is_first, 0.0, guess)
        log_rows, v, steps, failure = solve(logits, a, b, guess)
        found = Found(s, a, y, b, v, s_edges, y_edges, found.steps + steps, failure)
        if stages == 0:
            return vary((found, new_epsilon, jnp.asarray(False))), found

        rows = jnp.where(b > 0, jnp.exp(log_rows), 0.0)
        columns = jnp.maximum(a, 0.0)[:, None] * rows
        if isinstance(targets, FewPoints):
            # What light targets draw their mass from has to be resolved as well.
            rows += jnp.exp(found.columns(new_epsilon, y)[0])
        s_shares, s_length = inputs.shares(s_edges, a, order)
        y_shares, y_length = targets.shares(y_edges, b, order)
        chosen = found._replace(
            s_edges=_equal_parts(
                _spread(y, rows.T), s_shares, s_length, finer * panels
            ),
            y_edges=_equal_parts(_spread(s, columns), y_shares, y_length, panels),
        )
        after = jax.tree.map(functools.partial(jnp.where, choosing), chosen, found)
        return vary((after, new_epsilon, jnp.asarray(False))), found

    edges = inputs.first_edges(finer * panels), targets.first_edges(panels)
    # The first step takes nothing but edges from before.
    points = jax.eval_shape(
        lambda fixed: nodes(*edges, order, tuple(each[0] for each in fixed)), fixed
    )
    points = [jnp.zeros(each.shape, each.dtype) for each in points]
    zero = jnp.zeros(())
    anything = Found(*points, jnp.zeros_like(points[-1]), *edges, zero, zero)
    first = vary((anything, epsilon, jnp.asarray(True)))
    _, all_found = jax.lax.scan(advance, first, jobs)
    last = jax.tree.map(lambda each: jax.lax.rev(each[-3:], (0,)), all_found)
    return last._replace(y_edges=targets.positions(last.y_edges))


def _spread(positions: Array, shares: Array) -> Array:
    """Return how far apart, at each column of shares, the positions are."""
    total = jnp.sum(shares, axis=0)
    shares = shares / jnp.where(total > 0, total, 1.0)
    gaps = positions[:, None] - product(positions, shares)
    return jnp.sum(shares * gaps**_SPREAD_ORDER, axis=0) ** (1 / _SPREAD_ORDER)


def _equal_parts(density: Array, shares: Array, length: Any, panels: int) -> Array:
    """Return whole-numbered edges in [0, length] of panels of equal integral."""
    density = density + _LEAST_SPREAD * jnp.max(density) + 1e-30

    # Both rise from part to part, and evenly within.
    ends = jnp.cumsum(jnp.stack([density * shares, shares]), axis=1)
    levels = np.arange(1, panels) / panels * ends[0, -1]
    part = jnp.sum(ends[0, :-1, None] < levels, axis=0)
    risen, passed, density = jnp.stack([*ends, density])[:, part]
    inner = jnp.round(passed - (risen - levels) / density)
    return jnp.concatenate([jnp.zeros(1), inner, jnp.full(1, length, inner.dtype)])


def without_nan(found: Found) -> Found:
    """Return a plan of numbers, though not of those that were to be found.

    What is read of it is then not certain, and NaN. Where other plans make up for it
    that has no part in the derivative: 0 times what it was, which must be a number.
    """
    return in_double(
        lambda found: found._replace(v=jnp.where(jnp.isfinite(found.v), found.v, 0.0)),
        found,
    )


def estimated_error(results: Float[Array, "3 *k"], epsilon: Array) -> Array:
    """Return how far the last may be off, from results in [0, 1] at growing order.

    Errors of Gauss rules shrink geometrically with the order: the next difference
    would be smaller than the last in the ratio of the last two. Half of that shrinking
    is taken for granted. Rounding of costs over epsilon comes on top.
    """
    half, most, full = results
    first, second = largest(most - half), largest(full - most)
    ratio = second / jnp.where(first == 0, 1.0, first)
    ratio = jnp.where(first == 0, 1.0, jnp.minimum(ratio, 1.0))
    rounding = 4 * float(jnp.finfo(full.dtype).eps) * (30 + 1 / epsilon)
    return _SAFETY * second * jnp.sqrt(ratio) + rounding


@jax.custom_jvp
def log_plan(
    s: Float[Array, " k"],
    a: Float[Array, " k"],
    epsilon: Float[Array, ""],
    further: Float[Array, " f"],
    found: Found,
) -> tuple[Float[Array, "k N"], Float[Array, "k f"]]:
    """Return the rows of a plan and the columns at further targets, in the log.

    With the derivatives of those that solve the problem, by inputs s, their weights a
    and epsilon.
    """
    del a  # is that of what was found

    def wide(found, epsilon, further):
        return found.log_rows(epsilon), found.columns(epsilon, further)[0]

    log_rows, log_columns = in_double(wide, found, epsilon, further)
    return (
        jax.lax.convert_element_type(log_rows, s.dtype),
        jax.lax.convert_element_type(log_columns, s.dtype),
    )


@log_plan.defjvp
def _log_plan_jvp(primals, tangents):
    s, a, epsilon, further, found = primals
    s_dot, a_dot, epsilon_dot, *_ = tangents
    log_rows, log_columns = log_plan(*primals)

    def logits_dot(y):
        gap = (s[:, None] - y) / epsilon
        return gap * (gap * epsilon_dot - 2 * s_dot[:, None])

    y, b = (jax.lax.convert_element_type(each, s.dtype) for each in (found.y, found.b))
    towards = logits_dot(y)
    towards += implicit(log_rows, a, b, towards, a_dot, jnp.zeros_like(b))
    shift = jnp.sum(jnp.exp(log_rows) * towards, axis=1, keepdims=True)
    change = normalised_dot(log_rows, b, towards), logits_dot(further) - shift
    return (log_rows, log_columns), change
