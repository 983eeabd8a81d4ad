"""The soft permutation that operators read, as a matrix that need not be made."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from softsort_core.arguments import (
    Values,
    as_count,
    as_floating,
    as_weights,
    is_concrete,
    normalised,
)
from softsort_core.defaults import EPSILON, TOLERANCE
from softsort_core.errors import SoftSortError
from softsort_core.operators.masks import (
    EvenPerSlice,
    PerSlice,
    as_mask,
    count_used,
    targets_of_each,
    turned,
)
from softsort_core.operators.over_plans import (
    Reading,
    Softness,
    Squashing,
    equal_targets,
    over_plans,
)
from softsort_core.operators.read_slices import Read
from softsort_core.operators.sort_with import read_vectors
from softsort_core.plans.choose import AnyPlan, points_of
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
        where: which of them take part; None for all.
        epsilon: regularisation.
        tolerance: largest error of a product, relative to the range of what is
            multiplied.
        num_targets: m; None for as many as inputs that take part, before columns of
            zeros.
        squashing_fun: see `softsort_core.sort`.
        normalised: what sums to 1.
        descending: whether the first target is that of the largest values.
        is_transposed: whether its shape is (m, n).
    """

    inputs: Float[Array, " n"]
    shares: Float[Array, " n"] | None
    where: Bool[Array, " n"] | None
    epsilon: Any
    tolerance: Any
    num_targets: int | None = field(metadata=_STATIC)
    squashing_fun: Squashing = field(metadata=_STATIC)
    normalised: Normalised = field(metadata=_STATIC)
    descending: bool = field(metadata=_STATIC)
    is_transposed: bool = field(default=False, metadata=_STATIC)
    # NumPy leaves products to this class.
    __array_ufunc__ = None

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m), or (m, n) if it is transposed."""
        n = self.inputs.size
        m = n if self.num_targets is None else self.num_targets
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
        n, m = self.shape[::-1] if self.is_transposed else self.shape
        if n > MANY or n * m > _LARGEST:
            raise SoftSortError(
                f"the matrix would be of {n} x {m} entries, of up to {MANY} inputs "
                f"and {_LARGEST} in all: multiply by the plan instead, with @"
            )
        targets = PerSlice(points_of(self._count(), m, self.inputs.dtype))
        rows = self._turned(
            self._read(Reading(_read_matrix, for_each=True), targets).T
        ).T
        if self.normalised != "rows":
            rows *= self._mass()[:, None]
        if self.normalised == "columns":
            sums = jnp.sum(rows, axis=0)
            rows /= jnp.where(sums > 0, sums, 1.0)
        return rows.T if self.is_transposed else rows

    def _at_inputs(self, columns: Array) -> Array:
        targets, columns = self._targets(), self._turned(columns)
        if isinstance(targets, int):
            # Of a mask that is known, those that have a mass are.
            columns = columns[:targets]
            targets = equal_targets(targets, self.epsilon)
        means = self._read(Reading(_read_levels, for_each=True), targets, columns)
        if self.normalised == "rows":
            return means
        factor = self._count() if self.normalised == "columns" else 1
        return self._mass()[:, None] * means * factor

    def _at_targets(self, columns: Array) -> Array:
        if self.normalised == "rows":
            mass = self._mass()[:, None]
            columns = columns / jnp.where(mass > 0, mass, 1.0)
        reading = Reading(read_vectors, of_one=self.num_targets is None)
        means = self._read(reading, self._targets(), columns)
        means = self._turned(means)
        return means if self.normalised == "columns" else means / self._count()

    def _turned(self, columns: Array) -> Array:
        return turned(columns, self._count()) if self.descending else columns

    def _count(self) -> Array:
        """Return the number of targets that have a mass."""
        if self.num_targets is not None:
            return jnp.asarray(self.num_targets)
        used = count_used(self.inputs, 0, self.where)
        return jnp.maximum(jnp.asarray(used), 1)

    def _targets(self) -> int | EvenPerSlice:
        if self.num_targets is not None:
            return self.num_targets
        used = count_used(self.inputs, 0, self.where)
        return targets_of_each(used, self.inputs.size)

    def _read(self, reading: Reading, targets: Any, *arguments: Array) -> Array:
        epsilon, tolerance = self.epsilon, self.tolerance
        squashed = self.squashing_fun, self.shares
        softness = Softness(epsilon, *squashed, tolerance, self.where, fill=0.0)
        has_all = reading.for_each or reading.of_one
        return over_plans(
            reading, self.inputs, 0, targets, softness, *arguments, same_shape=has_all
        )

    def _mass(self) -> Array:
        """Return the share of each input, 0 for those that take no part."""
        n = self.inputs.size
        shares = jnp.full(n, 1 / n, self.inputs.dtype)
        shares = shares if self.shares is None else self.shares
        if self.where is None:
            return shares
        shares = jnp.where(self.where, shares, 0.0)
        total = jnp.sum(shares)
        return shares / jnp.where(total > 0, total, 1.0)


def transport_plan(
    inputs: Values,
    num_targets: int | None = None,
    *,
    normalised_by: Normalised = "rows",
    descending: bool = False,
    epsilon: float | Array = EPSILON,
    squashing_fun: Squashing = None,
    input_weights: Values | None = None,
    tolerance: float = TOLERANCE,
    where: Values | None = None,
) -> TransportPlan:
    """Return the soft permutation that sorts some values, as an operator.

    As epsilon -> 0, tends to the matrix with 1 at (i, j) where value i has the rank j;
    as epsilon grows, to even entries. It is never made unless `matrix` is called:
    products with it take the time of an operator, linear in the number of values.
    `plan @ numpy.arange(n)` are the soft ranks, and `plan.T @ x` the sorted values.

    Args:
        inputs: a vector of n real numbers; of rows, use `jax.vmap`.
        num_targets: the number m of columns, each of an equal share of the mass; by
            default as many as inputs that take part, before columns of zeros if these
            are fewer than n.
        normalised_by: whether `rows` or `columns` sum to 1, which is the same for as
            many targets as equal inputs; None for the masses, which sum to 1 in all.
        descending: whether the first column is that of the largest values.
        epsilon: regularisation, positive, relative to squashed values in (0, 1).
        squashing_fun: see `sort`.
        input_weights: see `sort`. To normalise rows, none may be 0.
        tolerance: see `sort`; relative to the range of what is multiplied.
        where: see `sort`. Rows of inputs that take no part are zeros.

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
    m = None if num_targets is None else as_count(num_targets, "num_targets", 1)
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
    mask = as_mask(where, x.shape)
    softness = epsilon, tolerance, m, squashing_fun
    return TransportPlan(x, shares, mask, *softness, normalised_by, descending)


def _read_levels(plan: AnyPlan, values: Array, columns: Array) -> Read:
    """Read the means of columns of levels, one per target, at each value."""
    means, certain = jax.lax.map(plan.given_input, columns.astype(values.dtype).T)
    return means.T, certain


def _read_matrix(plan: AnyPlan, values: Array) -> Read:
    """Read how much of each value goes to each target."""
    del values
    assert isinstance(plan, Plan)
    rows = jnp.where(plan.target_weights > 0, jnp.exp(plan.log_rows), 0.0)
    return rows, jnp.isfinite(plan.failure)[None]
