"""Losses over soft quantiles, of errors and of predicted samples."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real

from softsort_core import SoftSortError, quantile
from softsort_core.arguments import as_array, as_levels
from softsort_core.defaults import EPSILON
from softsort_core.losses.samples import (
    Epsilon,
    Numbers,
    average,
    shares_of,
    without_others,
)


def soft_least_quantile_loss(
    errors: Real[Numbers, "*batch n"] | list[Any],
    q: Real[Numbers, "*k"] | list[float] | float = 0.5,
    *,
    epsilon: Epsilon = EPSILON,
    weights: Real[Numbers, "*batch n"] | list[Any] | None = None,
    where: Bool[Numbers, "*batch n"] | list[Any] | None = None,
) -> Float[Array, ""]:
    """Return the soft quantile of errors, which the worst ones cannot move far.

    The errors beyond it are trimmed: as epsilon -> 0 the loss tends to the quantile of
    level q, of squared errors at q = 0.5 to what least median of squares minimises.

    Args:
        errors: one for each sample, along the last axis.
        q: a level in [0, 1], or several, over which the mean is taken.
        epsilon: regularisation, as in `softsort_core.quantile`.
        weights: how much each error counts; non-negative, equal by default.
        where: which errors count; others may be anything. Rows of which none does are
            left out.

    Returns:
        The mean over the batch.

    Raises:
        SoftSortError: an argument out of its range, shapes that do not match, or no
            errors. If `q` is traced, the loss is NaN instead.

    Examples:
        >>> import jax.numpy as jnp
        >>> from softsort_core.losses import soft_least_quantile_loss
        >>> errors = jnp.array([1.0, 2.0, 3.0, 4.0, 100.0])
        >>> print(soft_least_quantile_loss(errors, epsilon=1e-6).round(3))
        3.0
    """
    errors = as_array(errors, "errors")
    shares = shares_of(errors.shape, weights, where)
    if shares is None:
        return jnp.mean(quantile(errors, q, epsilon=epsilon))

    counted = shares != 0
    values = quantile(
        errors, q, epsilon=epsilon, input_weights=weights, where=counted, fill=0.0
    )
    counts = jnp.any(counted, axis=-1)
    return average(jnp.mean(values, axis=-1), counts.astype(values.dtype))


def soft_pinball_loss(
    samples: Real[Numbers, "*batch n"] | list[Any],
    targets: Real[Numbers, "*batch"] | list[Any],
    q: Real[Numbers, " k"] | list[float] | float = 0.5,
    *,
    epsilon: Epsilon = EPSILON,
    weights: Real[Numbers, "*batch"] | list[Any] | None = None,
    where: Bool[Numbers, "*batch"] | list[Any] | None = None,
) -> Float[Array, ""]:
    """Return the pinball loss of soft quantiles of samples, such as an ensemble's.

    That is q (target - quantile) above the quantile and (1 - q) (quantile - target)
    below, which the quantile of level q of the targets minimises. As epsilon -> 0 it
    tends to the pinball loss of the quantiles of the samples; twice the mean over many
    even levels, to their continuous ranked probability score.

    Args:
        samples: n of each prediction, along the last axis.
        targets: what was to be predicted.
        q: a level in [0, 1], or several, over which the mean is taken.
        epsilon: regularisation, as in `softsort_core.quantile`.
        weights: how much each prediction counts; non-negative, equal by default.
        where: which predictions count; others may be anything.

    Returns:
        The mean over the batch.

    Raises:
        SoftSortError: an argument out of its range, shapes that do not match, or no
            samples. If `q` is traced, the loss is NaN instead.

    Examples:
        >>> import jax.numpy as jnp
        >>> from softsort_core.losses import soft_pinball_loss
        >>> samples = jnp.array([1.0, 2.0, 3.0, 4.0, 100.0])
        >>> print(soft_pinball_loss(samples, jnp.array(5.0), epsilon=1e-6).round(3))
        1.0
    """
    samples, targets = as_array(samples, "samples"), as_array(targets, "targets")
    if samples.ndim == 0 or samples.shape[:-1] != targets.shape:
        raise SoftSortError(
            f"samples has shape {samples.shape} and targets {targets.shape}: give "
            "samples of each target along one axis more, the last"
        )
    levels = as_levels(q)
    shares = shares_of(targets.shape, weights, where)
    samples = without_others(samples, shares, "samples")
    values = quantile(samples, levels, epsilon=epsilon)
    above = without_others(targets, shares, "targets")[..., None] - values
    pinball = jnp.maximum(levels * above, (levels - 1) * above)
    return average(jnp.mean(pinball, axis=-1), shares)
