"""Transport onto very many evenly spaced targets, through few nodes.

The potentials of a transport problem are smooth, so its targets act through what any
good quadrature makes of them. Panels of neighbouring targets are replaced by the nodes
of their own Gauss rule, which is known in closed form (the polynomials orthogonal on
an even grid are Gram's) and is exact, with positive weights, for twice as many
polynomials as it has nodes; a panel of few targets keeps them.

Where plans are sharp the panels have to be small. A feature of E[s | y] at y is about
epsilon wide, divided by how far apart the inputs are that share the target. So panels
of equal integral of that spread over epsilon resolve every feature, and their number
is at most of the order of 1 / sqrt(epsilon) whatever the inputs. The spread is that of
the plan at a larger epsilon, which shrinks until the panels are those of the plan.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from softsort_core._transport import Start, cold_start, implicit, solve

# Central moments of this order measure a spread. High ones see the far inputs that
# hold little of a target, whose share falls off exponentially.
_SPREAD_ORDER = 8
# Share of the widest spread that every target counts for.
_LEAST_SPREAD = 1e-3
_STAGE_RATIO = 4.0
# Orders of the rules, relative to that of the result, whose results are compared.
_COARSER = (0.5, 0.75)
_SAFETY = 3.0


class Resolution(NamedTuple):
    """How finely targets are resolved.

    Attributes:
        panels: number of panels.
        order: nodes of each.
        stages: how often the panels are chosen anew, at an epsilon 4 times smaller.
    """

    panels: int
    order: int
    stages: int


class Grid(NamedTuple):
    """The plan between n inputs and m targets at 0 ... 1, by nodes.

    Attributes:
        targets: the positions of the N nodes.
        target_weights: their weights, summing to 1.
        log_rows: log p_ij for each input and node.
        log_columns: the same for each input and those further targets that were asked
            for, up to a constant for each of these.
    """

    targets: Float[Array, " N"]
    target_weights: Float[Array, " N"]
    log_rows: Float[Array, "n N"]
    log_columns: Float[Array, "n k"]

    def given_input(self, values: Float[Array, " N"]) -> Float[Array, " n"]:
        """Return the mean of the nodes' values at each input."""
        rows = jnp.where(self.target_weights > 0, jnp.exp(self.log_rows), 0.0)
        return rows @ values

    def given_further(
        self, a: Float[Array, " n"], ax: Float[Array, " n"]
    ) -> Float[Array, " k"]:
        """Return the mean of the inputs' values x at each of the further targets."""
        columns = jnp.exp(self.log_columns)
        return (ax @ columns) / (a @ columns)


def gauss_rule(xp: Any, counts: Any, order: int, used: Any) -> tuple[Any, Any]:
    """Return nodes in [0, c - 1] and weights of 0, 1, ... c - 1, for each count c.

    With min(used, c) nodes that have a weight; the others have none.
    """
    k = np.arange(1, order)
    c = counts[:, None]
    squares = k**2 * (c**2 - k**2) / (4.0 * (4 * k**2 - 1))
    off = xp.sqrt(xp.where((k < c) & (k < used), squares, 0.0))
    upper = xp.concatenate([off, off[:, :1] * 0], axis=1)[:, :, None] * np.eye(
        order, k=1
    )
    nodes, vectors = xp.linalg.eigh(upper + xp.swapaxes(upper, 1, 2))
    shares = vectors[:, 0, :] ** 2
    return nodes + (c - 1) / 2, c * xp.where(shares > 1e-24, shares, 0.0)


@functools.partial(jax.custom_jvp, nondiff_argnums=(5, 6))
def grid_plan(
    s: Float[Array, " n"],
    a: Float[Array, "3 n"],
    ax: Float[Array, "3 n"] | None,
    epsilon: Float[Array, ""],
    further: Float[Array, " k"],
    m: int,
    resolution: Resolution,
) -> tuple[Grid, Float[Array, ""]]:
    """Return the plan and an estimate of the error of what is read from it.

    All is solved in double precision and given back in that of `s`. The plan is also
    made at half and three quarters of the order; differences tell the error.

    Args:
        s: the inputs.
        a: their weights, which may be slightly negative, as those of a quadrature rule
            can be: for half, three quarters and all of the order.
        ax: weights times values, likewise, if their means at `further` are what is
            read; None if it is the mean target of each input.
        epsilon: regularisation.
        further: further targets, without weight.
        m: number of targets.
        resolution: how finely they are resolved.
    """
    with jax.enable_x64(True):
        wide = jax.tree.map(
            lambda each: jax.lax.convert_element_type(each, jnp.float64),
            (s, a, ax, epsilon, further),
        )
        s64, a64, ax64, epsilon64, further64 = wide
        # They sum to 1 only in the precision they came in.
        a64 = a64 / jnp.sum(a64, axis=1, keepdims=True)
        found = _search(s64, a64, epsilon64, m, resolution)
        grids = [
            _grid(s64, weights, epsilon64, each, further64)
            for weights, each in zip(a64, found, strict=True)
        ]
        if ax64 is None:
            results = [grid.given_input(grid.targets) for grid in grids]
        else:
            results = [
                grid.given_further(*each)
                for grid, *each in zip(grids, a64, ax64, strict=True)
            ]
        error = _estimated_error(*results, epsilon=epsilon64)
        return jax.tree.map(
            lambda each: jax.lax.convert_element_type(each, s.dtype), (grids[-1], error)
        )


@grid_plan.defjvp
def _grid_plan_jvp(m, resolution, primals, tangents):
    s, a, ax, epsilon, further = primals
    s_dot, a_dot, _, epsilon_dot, _ = tangents
    grid, error = grid_plan(s, a, ax, epsilon, further, m, resolution)

    def logits_dot(y):
        gap = (s[:, None] - y) / epsilon
        return gap * (gap * epsilon_dot - 2 * s_dot[:, None])

    towards = logits_dot(grid.targets)
    b = grid.target_weights
    v_dot, shift = implicit(
        grid.log_rows, a[-1], b, towards, a_dot[-1], jnp.zeros_like(b)
    )
    change = Grid(
        jnp.zeros_like(b),
        jnp.zeros_like(b),
        towards + v_dot - shift[:, None],
        logits_dot(further) - shift[:, None],
    )
    return (grid, error), (change, jnp.zeros_like(error))


class _Found(NamedTuple):
    """Nodes, weights and potentials."""

    y: Array
    b: Array
    v: Array

    def log_normaliser(self, s: Array, epsilon: Array) -> Array:
        """Return log sum_k exp(v_k - (s_i - y_k)^2 / epsilon) for each input."""
        scores = self.v - _costs(s, self.y) / epsilon
        return logsumexp(jnp.where(self.b > 0, scores, -jnp.inf), axis=1, keepdims=True)

    def potentials_at(
        self, s: Array, a: Array, epsilon: Array, y: Array, b: Array
    ) -> Array:
        """Return the potentials of targets y that would give them their mass b."""
        log_shares = -_costs(s, y) / epsilon - self.log_normaliser(s, epsilon)
        log_shares = jnp.where(a[:, None] != 0, log_shares, -jnp.inf)
        peak = jnp.max(log_shares, axis=0)
        # Negative weights can do no more than rounding here.
        received = jnp.clip(a @ jnp.exp(log_shares - peak), 1e-300)
        return jnp.log(jnp.where(b > 0, b, 1.0)) - peak - jnp.log(received)


def _costs(s: Array, y: Array) -> Array:
    return (s[:, None] - y) ** 2


def _grid(s: Array, a: Array, epsilon: Array, found: _Found, further: Array) -> Grid:
    normaliser = found.log_normaliser(s, epsilon)
    log_rows = found.v - _costs(s, found.y) / epsilon - normaliser
    log_columns = -_costs(s, further) / epsilon - normaliser
    log_columns = jnp.where(a[:, None] != 0, log_columns, -jnp.inf)
    return Grid(found.y, found.b, log_rows, log_columns - jnp.max(log_columns, axis=0))


def _search(
    s: Array, a: Array, epsilon: Array, m: int, resolution: Resolution
) -> list[_Found]:
    """Return nodes, weights and potentials at half, three quarters and all orders."""
    panels, order, stages = resolution
    # In the last stage panels are chosen at epsilon itself. Then they stay.
    softer = _STAGE_RATIO ** np.arange(stages - 1, -1, -1.0)
    orders = [order] * (stages + 1) + [round(order * part) for part in _COARSER]
    weights = [2] * (stages + 1) + list(range(len(_COARSER)))
    jobs = (
        epsilon * np.append(softer, np.ones(1 + len(_COARSER))),
        np.array(orders),
        a[np.array(weights)],
        np.arange(len(orders)) < stages,
    )

    def advance(before, job):
        edges, found, old_epsilon, cold = before
        new_epsilon, used, a, choosing = job
        nodes, masses = gauss_rule(jnp, jnp.diff(edges), order, used)
        y = ((edges[:-1, None] + nodes) / (m - 1)).reshape(-1)
        b = (masses / m).reshape(-1)
        logits = -_costs(s, y) / new_epsilon
        extended = found.potentials_at(s, a, old_epsilon, y, b)
        warm_start = Start(jnp.asarray(1.0), extended * (old_epsilon / new_epsilon))
        start = jax.tree.map(
            functools.partial(jnp.where, cold), cold_start(logits, b), warm_start
        )
        log_rows, v = solve(logits, a, b, start)
        edges = jnp.where(choosing, _panels(s, a, b, log_rows, m, panels), edges)
        found = _Found(y, b, v)
        return (edges, found, new_epsilon, jnp.asarray(False)), found

    even = jnp.asarray(np.round(np.linspace(0.0, m, panels + 1)))
    anything = jnp.full(panels * order, 1.0 / (panels * order))
    first = even, _Found(anything, anything, anything), epsilon, jnp.asarray(True)
    _, all_found = jax.lax.scan(advance, first, jobs)
    return [
        jax.tree.map(lambda each, i=i: each[stages + i], all_found) for i in (1, 2, 0)
    ]


def _panels(
    s: Array, a: Array, b: Array, log_rows: Array, m: int, panels: int
) -> Array:
    """Return the bounds, among 0 ... m, of panels of equal integral of the spread."""
    shares = jnp.maximum(a, 0.0)[:, None] * jnp.where(b > 0, jnp.exp(log_rows), 0.0)
    total = jnp.sum(shares, axis=0)
    shares = shares / jnp.where(total > 0, total, 1.0)
    gaps = s[:, None] - s @ shares
    spread = jnp.sum(shares * gaps**_SPREAD_ORDER, axis=0) ** (1 / _SPREAD_ORDER)
    spread = spread + _LEAST_SPREAD * jnp.max(spread)

    def integral(density):
        return jnp.concatenate([jnp.zeros(1), jnp.cumsum(density)])

    rising = integral(spread * b)
    levels = jnp.linspace(0.0, 1.0, panels + 1) * rising[-1]
    bounds = jnp.round(jnp.interp(levels, rising, integral(b)) * m)
    return bounds.at[0].set(0).at[-1].set(m)


def _estimated_error(
    half: Array, most: Array, full: Array, *, epsilon: Float[Array, ""]
) -> Array:
    """Return how far `full` may be off, from results between 0 and 1 at growing order.

    Errors of Gauss rules shrink geometrically with the order: the next difference
    would be smaller than the last in the ratio of the last two. Half of that shrinking
    is taken for granted. Rounding of costs over epsilon comes on top.
    """
    first, second = jnp.max(jnp.abs(most - half)), jnp.max(jnp.abs(full - most))
    ratio = jnp.where(first > 0, jnp.minimum(second / first, 1.0), 1.0)
    rounding = 2 * float(jnp.finfo(full.dtype).eps) * (10 + 1 / epsilon)
    return _SAFETY * second * jnp.sqrt(ratio) + rounding
