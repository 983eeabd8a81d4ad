"""Derivatives of what is read of a plan by its nodes, which is found without any.

They are those of the plan that solves the problem, by inputs s, their weights a and
epsilon. What is known of the plan is of the same inputs.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from softsort_core.numerics import product, repeated
from softsort_core.plans.adaptive_panels import Potentials
from softsort_core.plans.dense import implicit, normalised_dot
from softsort_core.plans.panels import Inputs
from softsort_core.precision import as_dtype, in_double


@jax.custom_jvp
def log_rows(
    s: Float[Array, " k"],
    a: Float[Array, " k"],
    epsilon: Float[Array, ""],
    known: Potentials,
) -> Float[Array, "k N"]:
    """Return log p_ij."""
    del a
    return as_dtype(in_double(Potentials.log_rows, known, epsilon), s.dtype)


@log_rows.defjvp
def _log_rows_jvp(primals, tangents):
    rows, known = log_rows(*primals), primals[-1]
    b = as_dtype(known.b, rows.dtype)
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
    columns, _ = in_double(Potentials.log_columns, known, epsilon, further)
    return as_dtype(columns, s.dtype)


@log_columns.defjvp
def _log_columns_jvp(primals, tangents):
    *of_plan, further = primals
    rows = log_rows(*of_plan)
    y = as_dtype(further, rows.dtype)
    shift = jnp.exp(rows) * _scores_dot(rows, primals, tangents)
    shift = repeated(product(shift, jnp.ones(shift.shape[1], shift.dtype)), y.size)
    return log_columns(*primals), _logits_dot(y, primals, tangents) - shift


def _scores_dot(rows: Array, primals: Any, tangents: Any) -> Array:
    """Return the tangents of v_j - c_ij / epsilon at the nodes."""
    _, a, _, known, *_ = primals
    y, b = as_dtype((known.y, known.b), rows.dtype)
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
        few: the inputs that may be all, and 1 if they are; see `panels.Few`.
    """

    inputs: Inputs
    moments: Float[Array, "cells order"] | None
    edges: Float[Array, " panels+1"]
    few: tuple[Points, Float[Array, ""]] | None = None

    def nodes(self, order: int) -> Points:
        nodes = Points(*self.inputs.nodes(self.edges, order, order))
        if self.moments is not None:
            weighted = self.inputs._replace(moments=self.moments)
            weights = weighted.weights(self.edges, order, order)
            nodes = nodes._replace(weighted=weights)
        if self.few is None:
            return nodes
        few, are_all = self.few
        return jax.tree.map(lambda *each: jnp.where(are_all > 0, *each), few, nodes)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def means_at_inputs(order, measured, epsilon, values, fixed):
    """Return means, the first of what is fixed, of values of targets given an input."""
    del order, measured, epsilon, values
    return fixed[0]


@means_at_inputs.defjvp
def _means_at_inputs_jvp(order, primals, tangents):
    *arguments, (_, known) = primals

    def means(measured, epsilon, values):
        s, a, _ = measured.nodes(order)
        return product(jnp.exp(log_rows(s, a, epsilon, known)), values)

    _, change = jax.jvp(means, tuple(arguments), tangents[:-1])
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
    *arguments, (_, further, known) = primals

    def means(measured, epsilon, weights):
        s, a, _ = measured.nodes(order)
        columns = jnp.exp(log_columns(s, a, epsilon, known, further))
        return product(columns, weights / product(a, columns))

    _, change = jax.jvp(means, tuple(arguments), tangents[:-1])
    return means_of_levels(order, *primals), change


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def means_at_targets(order, measured, epsilon, fixed):
    """Return means, the first of what is fixed, of values of inputs given a target."""
    del order, measured, epsilon
    return fixed[0]


@means_at_targets.defjvp
def _means_at_targets_jvp(order, primals, tangents):
    *arguments, (values, further, known) = primals

    def means(measured, epsilon):
        s, a, weighted = measured.nodes(order)
        columns = jnp.exp(log_columns(s, a, epsilon, known, further))
        # Of values less their mean: what both have in common would swamp the rest.
        gaps = repeated(weighted, values.size) - values * repeated(a, values.size)
        more = product(jnp.ones_like(a), gaps * columns)
        return values + more / product(a, columns)

    _, change = jax.jvp(means, tuple(arguments), tangents[:-1])
    return means_at_targets(order, *primals), change
