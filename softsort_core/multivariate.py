"""Ranks and quantiles of vectors: maps between samples and a reference measure."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from softsort_core.arguments import (
    Values,
    as_count,
    as_distribution,
    as_epsilon,
    as_floating,
)
from softsort_core.errors import SoftSortError
from softsort_core.numerics import product, used_range, weighted_softmax
from softsort_core.plans.certificate import marked
from softsort_core.plans.dense import Plan, transport
from softsort_core.solver_options import explains_solver_options

# The default epsilon is this share of the standard deviation of the costs.
_RELATIVE_EPSILON = 0.05


def _squared_euclidean(
    x: Float[Array, " d"], y: Float[Array, " d"]
) -> Float[Array, ""]:
    """Return |x - y|^2."""
    return jnp.sum((x - y) ** 2)


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=[
        "inputs",
        "targets",
        "input_weights",
        "input_scores",
        "target_scores",
        "epsilon",
    ],
    meta_fields=["cost_fn"],
)
@dataclass(frozen=True)
class TransportMaps:
    """The maps between inputs and targets that an entropic plan defines everywhere.

    It unpacks into two functions, the CDF and the quantile map: `cdf, quantile = maps`.

    Attributes:
        inputs: n vectors of the samples, shape (n, d).
        targets: m vectors of the reference measure, shape (m, d).
        input_weights: their weights, shape (n,), by which the softmax over them counts.
        input_scores: what is added to -cost / epsilon before that.
        target_scores: the same for the softmax over targets.
        epsilon: regularisation, in units of the cost.
        cost_fn: cost between two vectors.
    """

    inputs: Float[Array, "n d"]
    targets: Float[Array, "m d"]
    input_weights: Float[Array, " n"]
    input_scores: Float[Array, " n"]
    target_scores: Float[Array, " m"]
    epsilon: Float[Array, ""]
    cost_fn: Callable[[Array, Array], Array]

    def transport(
        self, vec: Float[Array, "*b d"], forward: bool = True
    ) -> Float[Array, "*b d"]:
        """Map vectors: forward is the multivariate CDF, backward the quantile map.

        Each vector becomes the expectation of the points it is transported to, a
        convex combination of the targets (forward) or of the inputs (backward). For
        the squared Euclidean cost that is the entropic map of Pooladian and
        Niles-Weed 2021.
        """
        vec = as_floating(vec, "vec")[0]
        points = self.targets if forward else self.inputs
        if forward:
            softmax, scores = jax.nn.softmax, self.target_scores
        else:
            softmax = functools.partial(weighted_softmax, weights=self.input_weights)
            scores = self.input_scores
        if vec.shape[-1:] != points.shape[-1:]:
            raise SoftSortError(
                f"vec has shape {vec.shape}: its last axis must be {points.shape[-1]}"
            )

        def one(vector):
            costs = jax.vmap(lambda point: self._cost(vector, point, forward))(points)
            return product(softmax(scores - costs / self.epsilon), points)

        flat = jax.vmap(one)(vec.reshape(-1, vec.shape[-1]))
        return flat.reshape(vec.shape)

    def __iter__(self) -> Iterator[Callable[..., Array]]:
        yield self.transport
        yield functools.partial(self.transport, forward=False)

    def _cost(self, vector: Array, point: Array, forward: bool) -> Array:
        return self.cost_fn(*((vector, point) if forward else (point, vector)))


@explains_solver_options
def multivariate_cdf_quantile_maps(
    inputs: Values,
    target_sampler: Callable[[Array, tuple[int, int]], Array] | None = None,
    rng: Array | None = None,
    num_target_samples: int | None = None,
    cost_fn: Callable[[Array, Array], Array] | None = None,
    epsilon: float | Array | None = None,
    input_weights: Values | None = None,
    target_weights: Values | None = None,
) -> TransportMaps:
    """Return the multivariate CDF and quantile maps of samples.

    The samples are transported onto points of a reference measure on the unit cube,
    which makes a rank a vector (Chernozhukov, Galichon, Hallin and Henry 2017).
    As epsilon -> 0, samples map to the points of the optimal assignment; as epsilon
    grows, every vector maps to the mean.

    Args:
        inputs: n samples of dimension d, shape (n, d).
        target_sampler: maps a key and a shape (m, d) to points of the reference
            measure; uniform on the unit cube by default.
        rng: the key given to it; `jax.random.PRNGKey(0)` by default.
        num_target_samples: m; n by default.
        cost_fn: cost between two vectors of dimension d; by default their squared
            Euclidean distance.
        epsilon: regularisation in units of the cost; by default 0.05 times the
            standard deviation of the costs.
        input_weights: non-negative weights of the samples, shape (n,).
        target_weights: non-negative weights of the reference points, shape (m,).

    Returns:
        Maps whose `transport(vec)` is the CDF, from vectors like the inputs to the
        reference measure, and `transport(vec, forward=False)` the quantile map back;
        `cdf, quantile = maps` are these two as functions.
        NaN or infinity in an input that has a weight, traced arguments out of their
        range, or a solve that did not converge make all their results NaN.

    Raises:
        SoftSortError: an argument of the wrong shape or out of its range.

    Examples:
        >>> import jax, softsort_core as soft
        >>> samples = jax.random.normal(jax.random.key(1), (200, 2))
        >>> maps = soft.multivariate_cdf_quantile_maps(samples)
        >>> maps.transport(samples).shape
        (200, 2)
    """
    x = as_floating(inputs, "inputs")[0]
    if x.ndim != 2 or 0 in x.shape:
        raise SoftSortError(f"inputs has shape {x.shape}: give n vectors, (n, d)")
    n, d = x.shape
    m = as_count(
        n if num_target_samples is None else num_target_samples,
        "num_target_samples",
        1,
    )
    cost_fn = _squared_euclidean if cost_fn is None else cost_fn
    sampler = jax.random.uniform if target_sampler is None else target_sampler
    key = jax.random.PRNGKey(0) if rng is None else rng
    targets = jnp.asarray(sampler(key, (m, d)), x.dtype)
    a = _weights(input_weights, "input_weights", n, x.dtype)
    b = _weights(target_weights, "target_weights", m, x.dtype)
    # A sample without weight takes no part: it is brought near, wherever it is.
    low, high = used_range(x, a)
    near = jnp.where(jnp.isfinite(x), x, low)
    near = jnp.clip(near, low - (high - low), high + (high - low))
    x = jnp.where(a[:, None] > 0, x, near)
    costs = jax.vmap(lambda u: jax.vmap(lambda v: cost_fn(u, v))(targets))(x)
    if epsilon is None:
        used = (a[:, None] > 0) & (b > 0)
        deviation = jax.lax.stop_gradient(jnp.std(costs, where=used))
        epsilon = _RELATIVE_EPSILON * jnp.where(deviation > 0, deviation, 1.0)
    epsilon = jnp.asarray(as_epsilon(epsilon), x.dtype)
    logits = -costs / epsilon
    plan: Plan = transport(logits, a, b)
    potentials = marked(plan.potentials, jnp.isfinite(plan.failure))
    target_scores = jnp.where(b > 0, potentials, -jnp.inf)
    input_scores = -logsumexp(logits + target_scores, axis=1)
    return TransportMaps(x, targets, a, input_scores, target_scores, epsilon, cost_fn)


def _weights(weights: Values | None, name: str, size: int, dtype: Any) -> Array:
    if weights is None:
        return jnp.full(size, 1 / size, dtype)
    vector = as_distribution(weights, name)
    if vector.shape != (size,):
        raise SoftSortError(f"{name} has shape {vector.shape}: give {size} weights")
    return vector.astype(dtype)
