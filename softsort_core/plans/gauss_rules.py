"""Nodes that stand for even targets: those of Gauss rules, the same for all inputs.

They depend on numbers alone, and need NumPy and SciPy alone.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np

# Orders that are enough for values that spread like normal ones, times sqrt(epsilon).
_ORDERS = {"float32": 5.6, "float64": 7.2}
# So few targets are their own nodes.
_EXACT = 32
# What they save is spent on points for inputs: so few values can be far apart.
_FINER = 1.5


class SharedNodes(NamedTuple):
    """How finely plans of rows are resolved.

    Attributes:
        nodes: number of nodes of many targets, a multiple of 8.
    """

    nodes: int

    def order(self, m: int) -> int:
        """Return half the number of points for inputs if there are m targets."""
        finer = _FINER if m <= _EXACT else 1
        return 4 * math.ceil(finer * self.nodes / 4)


def rule_orders(order: int) -> tuple[int, int, int]:
    """Return the orders whose results are compared; the last is that of all."""
    return order // 2, 3 * order // 4, order


def shared_nodes(epsilon: float, dtype: Any) -> tuple[SharedNodes, SharedNodes]:
    """Return how rows are resolved; the second is enough for most that are not smooth.

    Smooth potentials need as many terms as features of width sqrt(epsilon) fit in.
    """
    eighths = math.ceil(_ORDERS[np.dtype(dtype).name] / math.sqrt(epsilon) / 8 - 1e-6)
    order = 8 * max(2, eighths)
    return SharedNodes(order), SharedNodes(2 * order)


# Nodes in [0, 1] and their weights, for the orders in turn.
Rules = tuple[tuple[Any, Any], ...]


@functools.lru_cache(maxsize=1024)
def rules(m: int, resolution: SharedNodes) -> Rules:
    """Return what stands for m even targets of equal weight."""
    if m <= _EXACT:
        return (_targets(m, _EXACT),) * 3
    return tuple(_rule(m, order) for order in rule_orders(resolution.order(m)))


def _targets(m: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the targets themselves; what pads them has no weight."""
    places = np.arange(size)
    return np.minimum(places / (m - 1), 1.0), np.where(places < m, 1 / m, 0.0)


def _rule(m: int, order: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a rule of an even order."""
    from scipy.linalg import (
        eigh_tridiagonal,  # a tenth of a second, for long rows alone
    )

    if m <= order:
        return _targets(m, order)
    (off,) = _jacobi_matrix(np, np.array([float(m)]), order, order)
    # The diagonal is 0: the nodes are the roots, of both signs, of the eigenvalues of
    # every other row of the matrix's square, which are half as many.
    squares, products = off**2, off[:-1] * off[1:]
    diagonal = squares[::2] + np.append(0.0, squares[1::2])
    squared, vectors = eigh_tridiagonal(diagonal, products[::2])
    values, entries = np.sqrt(squared), vectors[0] / math.sqrt(2)
    values = np.concatenate([-values[::-1], values])
    y, b = _rule_of(np, m, values, np.concatenate([entries[::-1], entries]))
    return y / (m - 1), b / m


def gauss_rule(xp: Any, counts: Any, order: int, used: Any) -> tuple[Any, Any]:
    """Return nodes in [0, c - 1] and weights of 0, 1, ... c - 1, for each count c.

    With min(used, c) nodes that have a weight; the others have none.
    """
    off = _jacobi_matrix(xp, counts, order, used)
    lower = xp.concatenate([off, off[:, :1] * 0], axis=1)[:, None] * np.eye(order, k=-1)
    # What is above the diagonal is not looked at.
    is_symmetric = {} if xp is np else {"symmetrize_input": False}
    nodes, vectors = xp.linalg.eigh(lower, **is_symmetric)
    return _rule_of(xp, counts[:, None], nodes, vectors[:, 0, :])


def _jacobi_matrix(xp: Any, counts: Any, order: int, used: Any) -> Any:
    """Return, for each count, the entries beside the diagonal, which is 0.

    They are of the matrix whose eigenvectors are the rule; see `gauss_rule`.
    """
    k = np.arange(1, order)
    c = counts[:, None]
    squares = k**2 * (c**2 - k**2) / (4.0 * (4 * k**2 - 1))
    return xp.sqrt(xp.where((k < c) & (k < used), squares, 0.0))


def _rule_of(xp: Any, count: Any, values: Any, entries: Any) -> tuple[Any, Any]:
    """Return the rule by the eigenvalues and the first entries of the eigenvectors."""
    shares = entries**2
    return values + (count - 1) / 2, count * xp.where(shares > 1e-24, shares, 0.0)
