"""The soft permutation that operators read, as a matrix that need not be made."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core.arguments import (
    Values,
    as_count,
    as_floating,
    as_weights,
    is_concrete,
    normalised,
)
from softsort_core.defaults import TOLERANCE
from softsort_core.errors import SoftSortError
from softsort_core.operators.over_plans import (
    Reading,
    Softness,
    Squashing,
    equal_targets,
    over_plans,
)
from softsort_core.operators.read_slices import Read
from softsort_core.operators.sort_with import read_vectors
from softsort_core.plans.choose import AnyPlan
from softsort_core.plans.dense import Plan
from softsort_core.plans.quadrature import MANY

# Entries of a matrix that is made: all targets are solved for.
_LARGEST = 2**20

Normalised: TypeAlias = Literal["rows", "columns"] | None
_STATIC = {"static": True}


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class TransportPlan:
    """The matrix of a transport plan, or its transpose; see `transport_plan`.

    Each product solves for the plan, in the time of an operator: what is to be
    multiplied is best multiplied together.

    Attributes:
        inputs: n values.
        shares: their weights, which sum to 1; None for equal ones.
        epsilon: regularisation.
        tolerance: largest error of a product, relative to the range of what is
            multiplied.
        num_targets: m.
        squashing_fun: see `softsort_core.sort`.
        normalised: what sums to 1.
        descending: whether the first target is that of the largest values.
        is_transposed: whether its shape is (m, n).
    """

    inputs: Float[Array, " n"]
    shares: Float[Array, " n"] | None
    epsilon: Any
    tolerance: Any
    num_targets: int = field(metadata=_STATIC)
    squashing_fun: Squashing = field(metadata=_STATIC)
    normalised: Normalised = field(metadata=_STATIC)
    descending: bool = field(metadata=_STATIC)
    is_transposed: bool = field(default=False, metadata=_STATIC)
    # NumPy leaves products to this class.
    __array_ufunc__ = None

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m), or (m, n) if it is transposed."""
        n, m = self.inputs.size, self.num_targets
        return (m, n) if self.is_transposed else (n, m)

    @property
    def T(self) -> "TransportPlan":
        """The transpose."""
        return dataclasses.replace(self, is_transposed=not self.is_transposed)

    def __matmul__(self, values: Values) -> Float[Array, "..."]:
        """Multiply a vector, or the columns of a matrix."""
        array = jnp.asarray(as_floating(values, "values")[0], self.inputs.dtype)
        if array.ndim not in (1, 2) or array.shape[0] != self.shape[1]:
            raise SoftSortError(
                f"a plan of shape {self.shape} cannot multiply shape {array.shape}"
            )
        columns = array.reshape(array.shape[0], -1)
        product = self._at_targets if self.is_transposed else self._at_inputs
        return product(columns).reshape(-1, *array.shape[1:])

    def __rmatmul__(self, values: Values) -> Float[Array, "..."]:
        """Multiply from the left."""
        return (self.T @ jnp.asarray(values).T).T

    def sum(self, axis: int | None = None) -> Float[Array, "..."]:
        """Return the sums along an axis, or of all."""
        if axis not in (None, 0, 1, -1, -2):
            raise SoftSortError(f"axis {axis} does not exist: a plan has 2 axes")
        plan = self if axis in (1, -1) else self.T
        sums = plan @ jnp.ones(plan.shape[1], self.inputs.dtype)
        return jnp.sum(sums) if axis is None else sums

    def matrix(self) -> Float[Array, "..."]:
        """Return all entries, of a plan of up to a million of them.

        Raises:
            SoftSortError: there are more.
        """
        n, m = self.inputs.size, self.num_targets
        if n > MANY or n * m > _LARGEST:
            raise SoftSortError(
                f"the matrix would be of {n} x {m} entries, of up to {MANY} inputs "
                f"and {_LARGEST} in all: multiply by the plan instead, with @"
            )
        rows = self._read(_read_matrix, np.full(m, 1 / m))
        rows = jnp.flip(rows, 1) if self.descending else rows
        if self.normalised != "rows":
            rows *= self._mass()[:, None]
        if self.normalised == "columns":
            rows /= jnp.sum(rows, axis=0)
        return rows.T if self.is_transposed else rows

    def _at_inputs(self, columns: Array) -> Array:
        m = self.num_targets
        columns = jnp.flip(columns, 0) if self.descending else columns
        means = self._read(_read_levels, equal_targets(m, self.epsilon), columns)
        if self.normalised == "rows":
            return means
        mass = self._mass()[:, None]
        return mass * means * (m if self.normalised == "columns" else 1)

    def _at_targets(self, columns: Array) -> Array:
        m = self.num_targets
        if self.normalised == "rows":
            columns = columns / self._mass()[:, None]
        means = self._read(read_vectors, m, columns, same_shape=False)
        means = jnp.flip(means, 0) if self.descending else means
        return means if self.normalised == "columns" else means / m

    def _read(self, read: Any, targets: Any, *arguments: Array, **shape: bool) -> Array:
        softness = Softness(
            self.epsilon, self.squashing_fun, self.shares, self.tolerance
        )
        reading = Reading(read)
        return over_plans(
            reading, self.inputs, 0, targets, softness, *arguments, **shape
        )

    def _mass(self) -> Array:
        n = self.inputs.size
        even = jnp.full(n, 1 / n, self.inputs.dtype)
        return even if self.shares is None else self.shares


def transport_plan(
    inputs: Values,
    num_targets: int | None = None,
    *,
    normalised_by: Normalised = "rows",
    descending: bool = False,
    epsilon: float | Array = 1e-2,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
) -> TransportPlan:
    """Return the soft permutation that sorts some values, as an operator.

    As epsilon -> 0, tends to the matrix with 1 at (i, j) where value i has the rank j;
    as epsilon grows, to even entries. It is never made unless `matrix` is called:
    products with it take the time of an operator, linear in the number of values.
    `plan @ numpy.arange(n)` are the soft ranks, and `plan.T @ x` the sorted values.

    Args:
        inputs: a vector of n real numbers; of rows, use `jax.vmap`.
        num_targets: the number m of columns, each of an equal share of the mass; n by
            default.
        normalised_by: whether `rows` or `columns` sum to 1, which is the same for as
            many targets as equal inputs; None for the masses, which sum to 1 in all.
        descending: whether the first column is that of the largest values.
        epsilon: regularisation, positive, relative to squashed values in (0, 1).
        squashing_fun: see `sort`.
        input_weights: see `sort`. To normalise rows, none may be 0.
        tolerance: see `sort`; relative to the range of what is multiplied.

    Returns:
        An operator of shape (n, m) with `@`, from both sides, `T`, `sum` and `matrix`.
        It is a tree of JAX's. Products that are not certain are NaN.

    Raises:
        SoftSortError: an argument out of its range.

    Examples:
        >>> import jax.numpy as jnp, softsort_core as soft
        >>> x = jnp.array([9.0, 5.0, 7.0])
        >>> plan = soft.transport_plan(x, epsilon=0.1)
        >>> plan.matrix().tolist()
        [[0.003, 0.183, 0.813], [0.813, 0.183, 0.003], [0.183, 0.633, 0.183]]
        >>> (plan @ jnp.arange(3.0)).tolist(), soft.ranks(x, epsilon=0.1).tolist()
        ([1.81, 0.19, 1.0], [1.81, 0.19, 1.0])
        >>> (plan.T @ x).tolist(), soft.sort(x, epsilon=0.1).tolist()
        ([5.381, 7.0, 8.619], [5.381, 7.0, 8.619])
    """
    x, _ = as_floating(inputs, "inputs")
    if x.ndim != 1 or x.size == 0:
        raise SoftSortError(
            f"inputs has shape {x.shape}: give a vector of at least one value, and of "
            "rows call jax.vmap(transport_plan)"
        )
    m = x.size if num_targets is None else as_count(num_targets, "num_targets", 1)
    if normalised_by not in ("rows", "columns", None):
        raise SoftSortError(
            f"normalised_by is {normalised_by!r}: give 'rows', 'columns' or None"
        )
    weights = as_weights(input_weights, "input_weights")
    if weights is not None and weights.shape != x.shape:
        raise SoftSortError(
            f"input_weights has shape {weights.shape}: give one for each of the "
            f"{x.size} inputs"
        )
    is_known = normalised_by == "rows" and is_concrete(weights)
    if is_known and weights is not None and np.any(np.asarray(weights) == 0):
        raise SoftSortError(
            "input_weights has zeros, and rows without mass cannot sum to 1: give "
            "normalised_by='columns' or None"
        )
    shares = None if weights is None else normalised(weights).astype(x.dtype)
    return TransportPlan(
        x, shares, epsilon, tolerance, m, squashing_fun, normalised_by, descending
    )


def _read_levels(plan: AnyPlan, values: Array, columns: Array) -> Read:
    """Read the means of columns of levels, one per target, at each value."""
    means, certain = jax.lax.map(plan.given_input, columns.astype(values.dtype).T)
    return means.T, certain


def _read_matrix(plan: AnyPlan, values: Array) -> Read:
    """Read how much of each value goes to each target."""
    del values
    assert isinstance(plan, Plan)
    return jnp.exp(plan.log_rows), jnp.isfinite(plan.failure)[None]
