"""The limit epsilon -> 0: its results, and how near they are."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from softsort_core.squash import squash


def hard_ranks(values: np.ndarray) -> np.ndarray:
    """Return ranks from 0 to n - 1, ties sharing their average."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(sizes) - (sizes + 1) / 2)[group]


def hard_error(
    values: np.ndarray, squashed: np.ndarray | None, epsilon: float
) -> float:
    """Return how far the plan onto as many even targets may be from the hard one.

    A bound, relative to the range of results. Potentials that give all targets of a
    group of ties the same share of it, and that are even at the boundaries of groups,
    let no more than exp(-gap step / epsilon) of a value stray over one: `gap` is how
    far groups are apart and `step` how far targets are. Other values that squashing
    brings together are no ties. Without squashed values, these are by default.
    """
    if squashed is None:
        # In double precision, which tells apart what single precision brings together.
        with jax.enable_x64(True):
            squashed = np.asarray(squash(jnp.asarray(values, float), None))
    n = squashed.size
    gaps = np.diff(squashed[np.unique(values, return_index=True)[1]])
    if gaps.size == 0:
        return 0.0
    return 4 * n * math.exp(-max(float(gaps.min()), 0.0) / (n - 1) / epsilon)


def hard_if_certain(
    read: Callable[[np.ndarray], np.ndarray],
    rows: np.ndarray,
    squashed: np.ndarray | None,
    epsilon: float,
    tolerance: float,
) -> np.ndarray | None:
    """Return what the soft operator tends to, if all slices are that to tolerance.

    Args:
        read: the hard operator on a slice, of n values to n results.
        rows: the slices, one a row.
        squashed: the same, squashed; None for the default squashing.
        epsilon: regularisation.
        tolerance: largest error that is returned, relative to the range of results.
    """
    if not np.isfinite(rows).all():
        return None
    pairs = zip(rows, [None] * len(rows) if squashed is None else squashed, strict=True)
    if any(hard_error(*pair, epsilon) > tolerance for pair in pairs):
        return None
    return np.stack([read(row) for row in rows])
