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
from jaxtyping import Array, Float

from softsort_core.arguments import is_concrete
from softsort_core.numerics import largest, product, repeated, varying_like
from softsort_core.plans import moments as chebyshev
from softsort_core.plans.dense import SMOOTH, SOLVED, implicit, normalised_dot, solve
from softsort_core.plans.gauss_rules import gauss_rule
from softsort_core.squash import as_double, in_double

# Central moments of this order measure a spread. High ones see the far points that
# hold little of a mass, whose share falls off exponentially.
_SPREAD_ORDER = 8
# Share of the mean spread that every place counts for.
_LEAST_SPREAD = 1e-3
_STAGE_RATIO = 4.0
# Relative error of the column sums of plans that panels are chosen by.
_ROUGH = 1e-4
# Orders of the rules, relative to that of the result, whose results are compared.
_ORDERS = (0.5, 0.75, 1.0)
_SAFETY = 3.0
# The order of the norm of their differences.
_NORM = 16


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


class Inputs(NamedTuple):
    """A measure in cells, each of which is within a panel; or points, a cell each.

    Attributes:
        moments: Chebyshev moments of the mass of each cell.
        low: the least of squashed values, at place 0.
        width: how far from it place 1 is.
        places: where in [0, 1] points are; None if there are as many even cells.
    """

    moments: Float[Array, "cells order"]
    low: Float[Array, ""]
    width: Float[Array, ""]
    places: Float[Array, " cells"] | None = None

    def nodes(self, edges: Array, used: Array | int, order: int) -> tuple[Array, Array]:
        """Return positions and weights of `order` nodes in each panel.

        Of which `used` are enough for all moments that are kept.
        """
        positions = self.low + self.width * panel_nodes(edges, order)
        return positions.reshape(-1), self.weights(edges, used, order)

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
        return product(kept, analysis).reshape(-1)

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
        return are_in, jax.lax.convert_element_type(factors, self.moments.dtype)


class FewPoints(NamedTuple):
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
    """Many evenly spaced targets in [0, 1] of equal weight; edges count them."""

    number: Any  # an integer, or a scalar array

    def size(self, resolution: Resolution) -> int:
        """Return how many nodes there are."""
        return resolution.nodes

    def first_edges(self, panels: int) -> Array:
        return self.rounded(jnp.asarray(np.linspace(0.0, 1.0, panels + 1)))

    def nodes(self, edges: Array, used: Array | int, order: int) -> tuple[Array, Array]:
        nodes, masses = gauss_rule(jnp, jnp.diff(edges), order, used)
        y = (edges[:-1, None] + nodes) / (self.number - 1)
        return y.reshape(-1), (masses / self.number).reshape(-1)

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
    terms = jax.lax.convert_element_type(terms, levels.dtype)
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
    angles = jnp.arccos(jnp.clip((positions - start) * scale - 1, -1, 1))
    # A single loop, which takes less to compile than a recurrence.
    degrees = np.arange(order).reshape(-1, *[1] * angles.ndim)
    return jnp.cos(degrees * angles)


class Potentials(NamedTuple):
    """A plan p_ij = exp(u_i + v_j - c_ij / epsilon).

    Attributes:
        s: positions of inputs, or of nodes that stand for them.
        a: their weights.
        y: positions of targets or nodes.
        b: their weights, summing to 1.
        u: potentials of the inputs.
        v: potentials of the targets.
    """

    s: Float[Array, " k"]
    a: Float[Array, " k"]
    y: Float[Array, " N"]
    b: Float[Array, " N"]
    u: Float[Array, " k"]
    v: Float[Array, " N"]

    def rows(self, epsilon: Array) -> Array:
        """Return p_ij; targets without weight take no part."""
        return jnp.exp(self.log_rows(epsilon))

    def log_rows(self, epsilon: Array) -> Array:
        """Return log p_ij."""
        v = jnp.where(self.b > 0, self.v, -jnp.inf)
        return self.u[:, None] + v - costs(self.s, self.y) / epsilon

    def log_columns(self, epsilon: Array, y: Array) -> tuple[Array, Array]:
        """Return log p_ij of further targets y less its maximum, and that.

        As if they were so light that they changed nothing, with potentials 0.
        """
        log_shares = self.u[:, None] - costs(self.s, y) / epsilon
        log_shares = jnp.where(self.a[:, None] != 0, log_shares, -jnp.inf)
        peak = jnp.max(log_shares, axis=0)
        return log_shares - peak, peak

    def among(self, s: Array, a: Array, epsilon: Array) -> "Potentials":
        """Return the same of other inputs, wherever they are."""
        scores = jnp.where(self.b > 0, self.v - costs(s, self.y) / epsilon, -jnp.inf)
        peak = jnp.max(scores, axis=1)
        total = product(jnp.exp(scores - peak[:, None]), jnp.ones_like(self.v))
        return self._replace(s=s, a=a, u=-peak - jnp.log(total))


class Found(NamedTuple):
    """A plan by nodes, in double precision and without derivative.

    Attributes:
        plan: between the nodes, at half, three quarters and all of the order.
        s_edges: the edges of the panels of inputs, as places in [0, 1].
        y_edges: those of the panels of targets, where in [0, 1] these are.
        steps: how many the solver took in all.
        failure: 0, or infinite if none was found.
    """

    plan: Potentials
    s_edges: Float[Array, " panels+1"]
    y_edges: Float[Array, " panels+1"]
    steps: Float[Array, ""]
    failure: Float[Array, ""]


def costs(s: Array, y: Array) -> Array:
    """Return the costs of transport."""
    return (s[:, None] - y) ** 2


def search(
    inputs: Inputs,
    targets: FewPoints | EvenTargets,
    epsilon: Float[Array, ""],
    resolution: Resolution,
) -> Found:
    """Return the plan; see `Resolution`.

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
            return search(*as_double(given))
    return in_double(search, *given)


@functools.lru_cache(maxsize=64)
def _rules(m: int, resolution: Resolution) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights in [0, 1] for m even targets, of the orders in turn."""
    rules = [
        gauss_rule(np, np.array([float(m)]), resolution.order, used)
        for used in resolution.orders()
    ]
    y, b = (np.concatenate(each) for each in zip(*rules, strict=True))
    return y / (m - 1), b / m


@functools.partial(jax.jit, static_argnames="resolution")
def _search(
    resolution: Resolution,
    inputs: Inputs,
    targets: FewPoints | EvenTargets,
    epsilon: Float[Array, ""],
    *fixed: Array,
) -> Found:
    panels, finer, order, stages, *_ = resolution
    # In the last stage panels are chosen at epsilon itself. Then they stay.
    softer = _STAGE_RATIO ** np.arange(stages - 1, -1, -1.0)
    jobs = (
        epsilon * np.append(softer, np.ones(3)),
        jnp.asarray(np.append(np.full(stages, order), resolution.orders())),
        np.arange(stages + 3) < stages,
        np.arange(stages + 3) == 0,
        fixed,
    )

    # They sum to 1 only in the precision they came in.
    inputs = inputs._replace(moments=_normalised(inputs.moments, inputs.moments[:, 0]))
    if isinstance(targets, FewPoints):
        weights = _normalised(targets.weights, targets.weights)
        targets = targets._replace(weights=weights)

    def advance(before, job):
        old, s_edges, y_edges, old_epsilon, steps = before
        new_epsilon, used, choosing, is_first, fixed = job
        s, a = inputs.nodes(s_edges, used, order)
        y, b = fixed or targets.nodes(y_edges, used, order)
        # The potentials of the nodes before that would give these their mass. Negative
        # weights can do no more than rounding there.
        log_columns, peak = old.log_columns(old_epsilon, y)
        received = product(old.a, jnp.exp(log_columns))
        received = jnp.maximum(received, 1e-300)
        guess = -(peak + jnp.log(received)) * (old_epsilon / new_epsilon)
        # The first plan is so smooth that any guess will do.
        guess = jnp.where(is_first, 0.0, guess)
        guess = jnp.log(jnp.where(b > 0, b, 1.0)) + jnp.asarray(guess)
        level = jnp.where(is_first, jnp.minimum(1.0, SMOOTH * new_epsilon), 1.0)
        logits = -costs(s, y) / new_epsilon
        tolerance = jnp.where(choosing, _ROUGH, SOLVED)
        u, v, more_steps, failure = solve(logits, a, b, guess, level, tolerance)
        plan, steps = Potentials(s, a, y, b, u, v), steps + more_steps
        # In one array, for which all is written at once.
        found = jnp.concatenate([*plan, failure[None]])
        if stages == 0:
            return varying((plan, s_edges, y_edges, new_epsilon, steps)), found

        rows = plan.rows(new_epsilon)
        if isinstance(targets, FewPoints):
            # What light targets draw their mass from has to be resolved as well.
            rows += jnp.exp(plan.log_columns(new_epsilon, y)[0])
        density = _spread(y, jnp.ones_like(b), rows.T)[None]
        shares = _fejer(s_edges, order)[None]
        if isinstance(targets, EvenTargets):
            more = 0, a.size - b.size
            of_targets = _spread(s, jnp.maximum(a, 0.0), rows)
            density = jnp.append(density, jnp.pad(of_targets, more)[None], 0)
            shares = jnp.append(shares, jnp.pad(b, more)[None], 0)
        edges = jax.vmap(functools.partial(_equal_parts, finer * panels))(
            density, shares
        )
        s_edges = jnp.where(choosing, inputs.rounded(edges[0]), s_edges)
        if isinstance(targets, EvenTargets):
            chosen = targets.rounded(edges[1, ::finer])
            y_edges = jnp.where(choosing, chosen, y_edges)
        return varying((plan, s_edges, y_edges, new_epsilon, steps)), found

    def varying(carried):
        return varying_like(carried, inputs, targets, epsilon, fixed)

    edges = inputs.rounded(jnp.asarray(np.linspace(0.0, 1.0, finer * panels + 1)))
    edges = edges, targets.first_edges(panels)
    # The first step takes nothing but edges from before.
    s = jnp.ones(finer * panels * order)
    y = jnp.ones(targets.size(resolution))
    first = Potentials(s, s, y, y, s, y), *edges, epsilon, jnp.zeros(())
    last, found = jax.lax.scan(advance, varying(first), jobs)
    plan, s_edges, y_edges, _, steps = last
    *plans, failure = jnp.split(found[-3:], np.cumsum([len(each) for each in plan]), 1)
    if isinstance(targets, EvenTargets):
        y_edges = targets.positions(y_edges)
    return Found(Potentials(*plans), s_edges, y_edges, steps, jnp.sum(failure))


def _normalised(values: Array, weights: Array) -> Array:
    return values / product(jnp.ones_like(weights), weights)


def _spread(positions: Array, weights: Array, shares: Array) -> Array:
    """Return how far apart, at each column of shares, the positions are."""
    both = product(jnp.stack([weights, weights * positions]), shares)
    total = jnp.maximum(both[0], 1e-300)
    powers = shares * (positions[:, None] - both[1] / total) ** _SPREAD_ORDER
    return (product(weights, powers) / total) ** (1 / _SPREAD_ORDER)


def _fejer(edges: Array, order: int) -> Array:
    """Return how much of the length of all panels each of their nodes stands for."""
    even = np.arange(0, order, 2)
    rule = (1 / (1 - even**2.0)) @ chebyshev.analysis(order)[even]
    return (jnp.diff(edges)[:, None] * rule).reshape(-1)


def _equal_parts(parts: int, density: Array, shares: Array) -> Array:
    """Return edges in [0, 1] of parts of equal integral of a density."""
    integrals = (density + _LEAST_SPREAD * product(density, shares) + 1e-30) * shares
    # As a product, which takes less to compile than a sum so far.
    places = jnp.arange(integrals.size)
    is_before = places[:, None] < places
    before = product(integrals, is_before.astype(integrals.dtype))
    levels = np.arange(1, parts) / parts * (before[-1] + integrals[-1])
    # How much of each share lies below a level: it is passed evenly.
    passed = (levels[:, None] - before) / (integrals + 1e-300)
    inner = product(jnp.clip(passed, 0.0, 1.0), shares)
    return jnp.concatenate([jnp.zeros(1), inner, jnp.ones(1)])


def estimated_error(results: Float[Array, "3 *k"], epsilon: Array) -> Array:
    """Return how far the last may be off, from results in [0, 1] at growing order.

    Errors of Gauss rules shrink geometrically with the order: the next difference
    would be smaller than the last in the ratio of the last two. Half of that shrinking
    is taken for granted. Rounding of costs over epsilon comes on top.
    """
    # Norms are at least the largest of all and, unlike a maximum, NaN if one is.
    powers = (results[1:] - results[:-1]).reshape(2, -1) ** _NORM
    first, second = product(powers, jnp.ones(powers.shape[1])) ** (1 / _NORM)
    ratio = second / jnp.where(first == 0, 1.0, first)
    ratio = jnp.where(first == 0, 1.0, jnp.minimum(ratio, 1.0))
    rounding = 4 * float(jnp.finfo(results.dtype).eps) * (30 + 1 / epsilon)
    return _SAFETY * second * jnp.sqrt(ratio) + 0.0 * first + rounding


def _in_precision_of(s: Array, *arrays: Array) -> tuple[Array, ...]:
    return tuple(jax.lax.convert_element_type(each, s.dtype) for each in arrays)


# What follows are the rows of a plan, and the columns at further targets, in the log,
# with the derivatives of those that solve the problem, by inputs s, their weights a and
# epsilon. What is known of the plan is of the same inputs.


@jax.custom_jvp
def log_rows(
    s: Float[Array, " k"],
    a: Float[Array, " k"],
    epsilon: Float[Array, ""],
    known: Potentials,
) -> Float[Array, "k N"]:
    """Return log p_ij."""
    del a
    return _in_precision_of(s, in_double(Potentials.log_rows, known, epsilon))[0]


@log_rows.defjvp
def _log_rows_jvp(primals, tangents):
    rows, known = log_rows(*primals), primals[-1]
    (b,) = _in_precision_of(rows, known.b)
    return rows, normalised_dot(rows, b, _scores_dot(rows, primals, tangents))


@jax.custom_jvp
def log_columns(
    s: Float[Array, " k"],
    a: Float[Array, " k"],
    epsilon: Float[Array, ""],
    known: Potentials,
    further: Float[Array, " f"],
) -> Float[Array, "k f"]:
    """Return log p_ij of further targets, as `Potentials.log_columns` does."""
    del a
    found, _ = in_double(Potentials.log_columns, known, epsilon, further)
    return _in_precision_of(s, found)[0]


@log_columns.defjvp
def _log_columns_jvp(primals, tangents):
    *of_plan, further = primals
    rows = log_rows(*of_plan)
    (y,) = _in_precision_of(rows, further)
    shift = jnp.exp(rows) * _scores_dot(rows, primals, tangents)
    shift = repeated(product(shift, jnp.ones(shift.shape[1], shift.dtype)), y.size)
    return log_columns(*primals), _logits_dot(y, primals, tangents) - shift


def _scores_dot(rows: Array, primals: Any, tangents: Any) -> Array:
    """Return the tangents of v_j - c_ij / epsilon at the nodes."""
    _, a, _, known, *_ = primals
    y, b = _in_precision_of(rows, known.y, known.b)
    logits_dot = _logits_dot(y, primals, tangents)
    nothing = jnp.zeros_like(b)
    v_dot = implicit(rows, a, b, logits_dot, tangents[1], nothing)
    return logits_dot + repeated(v_dot, a.size).T


def _logits_dot(y: Array, primals: Any, tangents: Any) -> Array:
    """Return the tangents of -c_ij / epsilon."""
    s, _, epsilon, *_ = primals
    s_dot, _, epsilon_dot, *_ = tangents
    gap = (s[:, None] - y) / epsilon
    return gap * (gap * epsilon_dot - 2 * repeated(s_dot, y.size))


# Means are found without derivative. Theirs are those of the same by what is measured:
# points, or nodes that stand for them, so many in each panel.


class Points(NamedTuple):
    """Inputs, or nodes that stand for them.

    Attributes:
        s: their positions.
        a: their weights.
        weighted: weights times values, where these are averaged.
    """

    s: Float[Array, " n"]
    a: Float[Array, " n"]
    weighted: Float[Array, " n"] | None = None

    def nodes(self, _: int) -> "Points":
        return self


class InCells(NamedTuple):
    """Inputs by the moments of cells, for which nodes of panels stand.

    Attributes:
        inputs: how they are represented.
        moments: of weights times values, where these are averaged.
        edges: those of the panels.
    """

    inputs: Inputs
    moments: Float[Array, "cells order"] | None
    edges: Float[Array, " panels+1"]

    def nodes(self, order: int) -> Points:
        s, a = self.inputs.nodes(self.edges, order, order)
        if self.moments is None:
            return Points(s, a)
        weighted = self.inputs._replace(moments=self.moments)
        return Points(s, a, weighted.weights(self.edges, order, order))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def means_at_inputs(order, measured, epsilon, values, fixed):
    """Return means, the first of what is fixed, of values of targets given an input."""
    del order, measured, epsilon, values
    return fixed[0]


@means_at_inputs.defjvp
def _means_at_inputs_jvp(order, primals, tangents):
    *given, (_, known) = primals

    def means(measured, epsilon, values):
        s, a, _ = measured.nodes(order)
        return product(jnp.exp(log_rows(s, a, epsilon, known)), values)

    _, change = jax.jvp(means, tuple(given), tangents[:-1])
    return means_at_inputs(order, *primals), change


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def means_of_levels(order, measured, epsilon, weights, fixed):
    """Return means, the first of what is fixed, of levels of targets given an input.

    `weights` are those times the levels of further targets that stand for all.
    """
    del order, measured, epsilon, weights
    return fixed[0]


@means_of_levels.defjvp
def _means_of_levels_jvp(order, primals, tangents):
    *given, (_, further, known) = primals

    def means(measured, epsilon, weights):
        s, a, _ = measured.nodes(order)
        columns = jnp.exp(log_columns(s, a, epsilon, known, further))
        return product(columns, weights / product(a, columns))

    _, change = jax.jvp(means, tuple(given), tangents[:-1])
    return means_of_levels(order, *primals), change


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def means_at_targets(order, measured, epsilon, fixed):
    """Return means, the first of what is fixed, of values of inputs given a target."""
    del order, measured, epsilon
    return fixed[0]


@means_at_targets.defjvp
def _means_at_targets_jvp(order, primals, tangents):
    *given, (found, further, known) = primals

    def means(measured, epsilon):
        s, a, weighted = measured.nodes(order)
        columns = jnp.exp(log_columns(s, a, epsilon, known, further))
        # Of values less their mean: what both have in common would swamp the rest.
        gaps = repeated(weighted, found.size) - found * repeated(a, found.size)
        more = product(jnp.ones_like(a), gaps * columns)
        return found + more / product(a, columns)

    _, change = jax.jvp(means, tuple(given), tangents[:-1])
    return means_at_targets(order, *primals), change
