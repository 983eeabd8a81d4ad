"""The search for panels that resolve the plan between very many points.

The potentials of a transport problem are smooth, so inputs and targets act through
what any good quadrature makes of them, panel by panel.

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
from softsort_core.numerics import MOST_LOG_SHARE, product, varying_like
from softsort_core.plans import chebyshev
from softsort_core.plans.gauss_rules import gauss_rule
from softsort_core.plans.newton import SMOOTH, SOLVED, solve
from softsort_core.plans.panels import EvenTargets, Inputs, PointTargets, Resolution
from softsort_core.precision import as_double, in_double

# Central moments of this order measure a spread. High ones see the far points that
# hold little of a mass, whose share falls off exponentially.
_SPREAD_ORDER = 8
# Share of the mean spread that every place counts for.
_LEAST_SPREAD = 1e-3
_STAGE_RATIO = 4.0
# Relative error of the column sums of plans that panels are chosen by.
_ROUGH = 1e-4


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

        As if they were so light that they changed nothing, with potentials 0. Inputs
        without weight have no part in the maximum.
        """
        log_shares = self.u[:, None] - costs(self.s, y) / epsilon
        peak = jnp.max(self.of_used(log_shares), axis=0)
        return jnp.minimum(log_shares - peak, MOST_LOG_SHARE), peak

    def of_used(self, log_shares: Array) -> Array:
        """Return the same, but nothing for inputs without weight."""
        return jnp.where(self.a[:, None] != 0, log_shares, -jnp.inf)

    def among(self, s: Array, a: Array, epsilon: Array) -> "Potentials":
        """Return the same of other inputs, wherever they are."""
        scores = jnp.where(self.b > 0, self.v - costs(s, self.y) / epsilon, -jnp.inf)
        peak = jnp.max(scores, axis=1)
        total = product(jnp.exp(scores - peak[:, None]), jnp.ones_like(self.v))
        return self._replace(s=s, a=a, u=-peak - jnp.log(total))


class PanelSolution(NamedTuple):
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
    targets: PointTargets | EvenTargets,
    epsilon: Float[Array, ""],
    resolution: Resolution,
) -> PanelSolution:
    """Return the plan; see `Resolution`.

    Compiled once for any number of inputs and targets that are not taken as they are.
    """
    rules = ()
    if isinstance(targets, EvenTargets) and resolution.stages == 0:
        # Nodes that are known beforehand need not be found while it runs.
        rules = _rules(targets.number, resolution)
    arguments = inputs, targets, epsilon, *rules
    search = functools.partial(_search, resolution)
    if is_concrete(arguments):
        with jax.enable_x64(True):
            return search(*as_double(arguments))
    return in_double(search, *arguments)


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
    targets: PointTargets | EvenTargets,
    epsilon: Float[Array, ""],
    *fixed: Array,
) -> PanelSolution:
    panels, finer, order, stages, *_ = resolution
    inputs, targets = _normalised(inputs, targets)

    def advance(before, job):
        old, s_edges, y_edges, old_epsilon, steps = before
        new_epsilon, used, choosing, is_first, fixed = job
        s, a = inputs.nodes(s_edges, used, order)
        y, b = fixed or targets.nodes(y_edges, used, order)
        if inputs.few is not None and isinstance(targets, EvenTargets):
            y, b = map(inputs.few.rather, targets.themselves(y.size), (y, b))
        guess = _guess(old, old_epsilon, new_epsilon, y)
        # The first plan is so smooth that any guess will do.
        guess = jnp.where(is_first, 0.0, guess)
        guess = jnp.log(jnp.where(b > 0, b, 1.0)) + jnp.asarray(guess)
        level = jnp.where(is_first, jnp.minimum(1.0, SMOOTH * new_epsilon), 1.0)
        logits = -costs(s, y) / new_epsilon
        tolerance = jnp.where(choosing, _ROUGH, SOLVED)
        u, v, more_steps, failure = solve(logits, a, b, guess, level, tolerance)
        plan, steps = Potentials(s, a, y, b, u, v), steps + more_steps
        # In one array, for which all is written at once.
        numbers = jnp.concatenate([*plan, failure[None]])
        if stages == 0:
            return varying((plan, s_edges, y_edges, new_epsilon, steps)), numbers

        edges = _chosen_edges(plan, new_epsilon, s_edges, inputs, targets, resolution)
        s_edges = jnp.where(choosing, edges[0], s_edges)
        if isinstance(targets, EvenTargets):
            y_edges = jnp.where(choosing, edges[1], y_edges)
        return varying((plan, s_edges, y_edges, new_epsilon, steps)), numbers

    def varying(carried):
        return varying_like(carried, inputs, targets, epsilon, fixed)

    edges = inputs.rounded(jnp.asarray(np.linspace(0.0, 1.0, finer * panels + 1)))
    edges = edges, targets.first_edges(panels)
    # The first step takes nothing but edges from before.
    s = jnp.ones(finer * panels * order)
    y = jnp.ones(targets.size(resolution))
    first = Potentials(s, s, y, y, s, y), *edges, epsilon, jnp.zeros(())
    last, history = jax.lax.scan(
        advance, varying(first), _jobs(resolution, epsilon, fixed)
    )
    plan, s_edges, y_edges, _, steps = last
    *plans, failure = jnp.split(
        history[-3:], np.cumsum([len(each) for each in plan]), 1
    )
    if isinstance(targets, EvenTargets):
        y_edges = targets.positions(y_edges)
    return PanelSolution(Potentials(*plans), s_edges, y_edges, steps, jnp.sum(failure))


def _guess(old: Potentials, old_epsilon: Array, epsilon: Array, y: Array) -> Array:
    """Return about the potentials of targets, less log b, from a larger epsilon.

    They are those of the nodes before that would give these their mass.
    """
    log_columns, peak = old.log_columns(old_epsilon, y)
    # Negative weights can do no more than rounding there.
    received = jnp.maximum(product(old.a, jnp.exp(log_columns)), 1e-300)
    return -(peak + jnp.log(received)) * (old_epsilon / epsilon)


def _chosen_edges(
    plan: Potentials,
    epsilon: Array,
    s_edges: Array,
    inputs: Inputs,
    targets: PointTargets | EvenTargets,
    resolution: Resolution,
) -> list[Array]:
    """Return edges of panels of inputs, and of even targets, of equal spread."""
    panels, finer, order, *_ = resolution
    s, a, y, b, *_ = plan
    rows = shared = plan.rows(epsilon)
    is_even = isinstance(targets, EvenTargets)
    if not is_even or targets.rest is not None:
        # What light targets draw their mass from has to be resolved as well.
        shared = rows + jnp.exp(plan.of_used(plan.log_columns(epsilon, y)[0]))
    density = _spread(y, jnp.ones_like(b), shared.T)[None]
    shares = _fejer(s_edges, order)[None]
    if is_even:
        even = slice(panels * order)
        b = b[even] / product(jnp.ones_like(b[even]), b[even])
        more = 0, a.size - b.size
        of_targets = _spread(s, jnp.maximum(a, 0.0), rows[:, even])
        density = jnp.append(density, jnp.pad(of_targets, more)[None], 0)
        shares = jnp.append(shares, jnp.pad(b, more)[None], 0)
    edges = jax.vmap(functools.partial(_equal_parts, finer * panels))(density, shares)
    chosen = [inputs.rounded(edges[0])]
    if isinstance(targets, EvenTargets):
        chosen.append(targets.rounded(edges[1, ::finer]))
    return chosen


def _jobs(resolution: Resolution, epsilon: Array, fixed: Any) -> tuple[Any, ...]:
    """Return, one after another, epsilons and orders, and what is fixed for each.

    And whether panels are chosen by the plan, and whether there is none before.
    """
    stages = resolution.stages
    # In the last stage panels are chosen at epsilon itself. Then they stay.
    softer = _STAGE_RATIO ** np.arange(stages - 1, -1, -1.0)
    return (
        epsilon * np.append(softer, np.ones(3)),
        jnp.asarray(np.append(np.full(stages, resolution.order), resolution.orders())),
        np.arange(stages + 3) < stages,
        np.arange(stages + 3) == 0,
        fixed,
    )


def _normalised(
    inputs: Inputs, targets: PointTargets | EvenTargets
) -> tuple[Inputs, PointTargets | EvenTargets]:
    """Return them with weights that sum to 1.

    They do only in the precision they came in.
    """

    def over_sum(values: Array, weights: Array) -> Array:
        return values / product(jnp.ones_like(weights), weights)

    few = inputs.few
    if few is not None:
        few = few._replace(mass=over_sum(few.mass, few.mass))
    moments = over_sum(inputs.moments, inputs.moments[:, 0])
    if isinstance(targets, PointTargets):
        weights = over_sum(targets.weights, targets.weights)
        targets = targets._replace(weights=weights)
    return inputs._replace(moments=moments, few=few), targets


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
