"""Losses of classifiers: soft ranks of the true class, and sets of classes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Real

from softsort_core import SoftSortError, quantile, ranks
from softsort_core.arguments import as_array, as_count, is_concrete
from softsort_core.defaults import EPSILON
from softsort_core.losses.samples import (
    Epsilon,
    Numbers,
    average,
    shares_of,
    without_others,
)


def soft_error_loss(
    logits: Real[Numbers, "*batch classes"] | list[Any],
    labels: Int[Numbers, "*batch"] | list[Any],
    k: int = 1,
    *,
    epsilon: Epsilon = EPSILON,
    weights: Real[Numbers, "*batch"] | list[Any] | None = None,
    where: Bool[Numbers, "*batch"] | list[Any] | None = None,
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
        weights: how much each row counts; non-negative, equal by default.
        where: which rows count; others may be anything.

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
    logits = as_array(logits, "logits")
    labels = _checked(labels, logits)
    shares = shares_of(logits.shape[:-1], weights, where)
    logits = without_others(logits, shares, "logits")
    classes = logits.shape[-1]
    highest = classes - as_count(k, "k", 1, classes - 1)
    each = _of_label(ranks(logits, epsilon=epsilon), labels)
    return average(jax.nn.relu(highest - each), shares)


def soft_conformal_loss(
    scores: Real[Numbers, "rows classes"] | list[Any],
    labels: Int[Numbers, " rows"] | list[Any],
    coverage: Float[Array, ""] | float = 0.9,
    *,
    temperature: Float[Array, ""] | float = 0.1,
    epsilon: Epsilon = EPSILON,
    weights: Real[Numbers, " rows"] | list[Any] | None = None,
    where: Bool[Numbers, " rows"] | list[Any] | None = None,
) -> Float[Array, ""]:
    """Average how many classes, beyond one, a conformal classifier names.

    The first half of the rows calibrates: a soft quantile of the scores of their true
    classes is the threshold above which the true class is with a probability of
    `coverage`. The loss is how many classes of the other rows are above it, less one,
    if more than none remains (Stutz et al. 2022, "Learning optimal conformal
    classifiers"). It says nothing of which class is right: add it to a loss that does.

    As epsilon and the temperature -> 0 it tends to that number at the exact threshold.

    Args:
        scores: of each class, such as log-probabilities; at least two rows.
        labels: the true classes, from 0. One that does not exist makes the loss NaN.
        coverage: in (0, 1).
        temperature: a score is above the threshold gradually, by the sigmoid of how far
            it is above, over this; positive, in units of the scores.
        epsilon: regularisation, as in `softsort_core.quantile`.
        weights: how much each row counts; non-negative, equal by default.
        where: which rows count; others may be anything.

    Returns:
        The mean over the second half of the rows.

    Raises:
        SoftSortError: an argument out of its range, or shapes that do not match.

    Examples:
        >>> import jax.numpy as jnp
        >>> from softsort_core.losses import soft_conformal_loss
        >>> scores = jnp.array([[3.0, 1.0], [0.0, 2.0], [2.5, 2.6], [4.0, 0.0]])
        >>> labels = jnp.array([0, 1, 0, 0])
        >>> loss = soft_conformal_loss(scores, labels, 0.8, temperature=1e-2)
        >>> print(loss.round(3))
        0.5
    """
    scores = as_array(scores, "scores")
    if scores.ndim != 2 or scores.shape[0] < 2:
        raise SoftSortError(
            f"scores has shape {scores.shape}: give at least 2 rows of classes, "
            "one to calibrate by"
        )
    half = scores.shape[0] // 2
    if is_concrete((coverage, temperature)) and not (
        0 < coverage < 1 and temperature > 0
    ):
        raise SoftSortError(
            f"coverage is {coverage} and temperature {temperature}: give a coverage "
            "between 0 and 1, such as 0.9, and a positive temperature"
        )
    labels = _checked(labels, scores)
    shares = shares_of(labels.shape, weights, where)
    scores = without_others(scores, shares, "scores")
    each = _of_label(scores[:half], labels[:half])
    first, others = (None, None) if shares is None else (shares[:half], shares[half:])
    n = half if first is None else jnp.sum(first != 0)
    # Among n + 1 rows in any order so many are no lower than the one in question.
    level = jnp.clip(((1 - coverage) * (n + 1) - 0.5) / n, 0.0, 1.0)
    threshold = quantile(each, level, epsilon=epsilon, input_weights=first)
    size = jnp.sum(jax.nn.sigmoid((scores[half:] - threshold) / temperature), axis=-1)
    return average(jax.nn.relu(size - 1), others)


def _checked(labels: Any, scores: Numbers) -> Int[Array, "*batch"]:
    """Return labels, one for each row; those that do not exist are beyond the last."""
    if scores.ndim == 0 or np.shape(labels) != scores.shape[:-1]:
        raise SoftSortError(
            f"labels has shape {np.shape(labels)} and scores {scores.shape}: give one "
            "label for each row of classes, along the last axis"
        )
    if np.ma.is_masked(labels):
        raise SoftSortError("labels has masked values: leave out their rows")
    labels = as_array(labels, "labels")
    if not jnp.issubdtype(labels.dtype, jnp.integer) and labels.dtype != bool:
        raise SoftSortError(f"labels has dtype {labels.dtype}: give integers")
    if isinstance(labels, np.ndarray):
        # JAX would take the lower half of their bits.
        labels = np.clip(labels.astype(np.int64), -1, scores.shape[-1])
    classes: Array = jnp.asarray(labels, jnp.int32)
    # Indices from the end would be classes, too.
    return jnp.where(classes < 0, scores.shape[-1], classes)


def _of_label(values: Array, labels: Array) -> Array:
    """Return in each row the value of the true class; NaN if there is no such."""
    return jnp.take_along_axis(values, labels[..., None], -1)[..., 0]
