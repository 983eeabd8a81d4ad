"""Losses over soft ranks and quantiles, to be minimised by gradients."""

from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Real

from softsort_core import SoftSortError, quantile, ranks

Epsilon: TypeAlias = float | Array
Numbers: TypeAlias = Array | np.ndarray


def soft_error_loss(
    logits: Real[Numbers, "*batch classes"],
    labels: Int[Numbers, "*batch"],
    k: int = 1,
    *,
    epsilon: Epsilon = 1e-2,
) -> Float[Array, ""]:
    """Average how many ranks the true class is short of the k highest logits.

    This is mean(relu(classes - k - rank of the true class's logit)), the soft 0/1 loss
    and its top-k form (Cuturi, Teboul and Vert 2019). As epsilon -> 0 it tends to how
    many wrong classes stand above, beyond the k - 1 that may: to 0 where the true class
    is among the k highest.

    Args:
        logits: a score for each class.
        labels: the true classes, from 0. One that does not exist makes the loss NaN.
        k: how many classes may be named, at least 1 and fewer than there are.
        epsilon: regularisation, as in `softsort_core.ranks`.

    Returns:
        The mean over the batch.

    Raises:
        SoftSortError: `k` is out of its range, or labels do not match the logits.

    Examples:
        >>> import jax.numpy as jnp
        >>> from softsort_core.losses import soft_error_loss
        >>> logits = jnp.array([[3.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
        >>> print(soft_error_loss(logits, jnp.array([0, 0]), epsilon=1e-3).round(3))
        1.0
    """
    classes = logits.shape[-1]
    if not 1 <= k < classes:
        raise SoftSortError(f"k is {k}: give a number from 1 to {classes - 1}")
    if np.shape(labels) != logits.shape[:-1]:
        raise SoftSortError(
            f"labels has shape {np.shape(labels)}: give one label for each of the rows "
            f"of logits, {logits.shape[:-1]}"
        )
    if np.ma.is_masked(labels):
        raise SoftSortError("labels has masked values: leave out their rows")
    # Indices from the end would be classes, too.
    labels = jnp.asarray(labels).astype(jnp.int32)
    labels = jnp.where(labels < 0, classes, labels)
    each = jnp.take_along_axis(ranks(logits, epsilon=epsilon), labels[..., None], -1)
    return jnp.mean(jax.nn.relu(classes - k - each))


def soft_spearman_loss(
    predictions: Real[Numbers, "*batch n"],
    targets: Real[Numbers, "*batch n"],
    *,
    epsilon: Epsilon = 1e-2,
) -> Float[Array, ""]:
    """Return 1 less the correlation of the soft ranks of predictions and targets.

    It lies between 0, the same order, and 2, the opposite order. As epsilon -> 0 it
    tends to 1 less Spearman's rank correlation, ties having their average rank.
    Constant predictions or targets are correlated with nothing: the loss is 1.

    Args:
        predictions: ranked along the last axis, of at least 2 values.
        targets: what their order should be, of the same shape.
        epsilon: regularisation, as in `softsort_core.ranks`.

    Returns:
        The mean over the batch.

    Raises:
        SoftSortError: shapes that differ, or with fewer than 2 values on the last axis.

    Examples:
        >>> import jax.numpy as jnp
        >>> from softsort_core.losses import soft_spearman_loss
        >>> wanted = jnp.array([-1.0, 0.0, 2.0])
        >>> loss = soft_spearman_loss(jnp.array([1.0, 4.0, 9.0]), wanted, epsilon=1e-3)
        >>> print(loss.round(3))
        0.0
    """
    if predictions.shape != targets.shape or predictions.shape[-1:] < (2,):
        raise SoftSortError(
            f"predictions has shape {predictions.shape} and targets {targets.shape}: "
            "give the same shape to both, with at least 2 values on the last axis"
        )
    x, y = _direction(predictions, epsilon), _direction(targets, epsilon)
    return jnp.mean(1 - jnp.sum(x * y, axis=-1))


def _direction(
    values: Real[Numbers, "*batch n"], epsilon: Epsilon
) -> Float[Array, "*batch n"]:
    """Return the soft ranks less their mean, divided by their norm; 0 if all agree."""
    n = values.shape[-1]
    centred = ranks(values, epsilon=epsilon) - (n - 1) / 2
    squares = jnp.sum(centred**2, axis=-1, keepdims=True)
    # Ranks are rounded numbers of up to n.
    equal = squares <= n * (n * jnp.finfo(centred.dtype).eps) ** 2
    return jnp.where(equal, 0.0, centred / jnp.sqrt(jnp.where(equal, 1.0, squares)))


def soft_least_quantile_loss(
    errors: Real[Numbers, "*batch n"], q: float = 0.5, *, epsilon: Epsilon = 1e-2
) -> Float[Array, ""]:
    """Return the soft quantile of errors, which the worst ones cannot move far.

    The errors beyond it are trimmed: as epsilon -> 0 the loss tends to the quantile of
    level q, of squared errors at q = 0.5 to what least median of squares minimises.

    Args:
        errors: one for each sample, along the last axis.
        q: level in [0, 1].
        epsilon: regularisation, as in `softsort_core.quantile`.

    Returns:
        The mean over the batch.

    Raises:
        SoftSortError: `q` is out of its range, or there are no errors. If `q` is
            traced, the loss is NaN instead.

    Examples:
        >>> import jax.numpy as jnp
        >>> from softsort_core.losses import soft_least_quantile_loss
        >>> errors = jnp.array([1.0, 2.0, 3.0, 4.0, 100.0])
        >>> print(soft_least_quantile_loss(errors, epsilon=1e-6).round(3))
        3.0
    """
    return jnp.mean(quantile(errors, q, epsilon=epsilon))
