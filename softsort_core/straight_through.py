"""Exact results whose derivatives are those of soft ones."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from softsort_core.defaults import LIMIT
from softsort_core.errors import SoftSortError


def straight_through(
    operator: Callable[..., Any], exact: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """Make an operator exact, and leave its derivatives soft.

    What it returns is what the operator tends to as epsilon -> 0, with the same
    arguments: ties have their average rank, for one. Derivatives of any order are those
    at the epsilon that it is called with, the straight-through estimator (Bengio,
    Leonard and Courville 2013).

    Args:
        operator: one of `softsort_core` along an axis, such as `ranks`, or a
            `functools.partial` of it; or, with `exact`, any function.
        exact: has the same arguments and returns arrays of the same shapes.

    Returns:
        A function with the arguments of the operator, for `jax.jit`, `jax.vmap` and
        derivatives of any order.

    Raises:
        SoftSortError: `operator` has no argument epsilon, or is compiled by `jax.jit`,
            and there is no `exact`.

    Examples:
        >>> import jax, jax.numpy as jnp, softsort_core as soft
        >>> ranks = soft.straight_through(soft.ranks)
        >>> x = jnp.array([1.0, 5.0, 4.0, 8.0, 12.0])
        >>> ranks(x).tolist()
        [0.0, 2.0, 1.0, 3.0, 4.0]
        >>> jax.grad(lambda x: ranks(x)[0])(x).tolist()
        [0.016, 0.003, -0.026, 0.002, 0.004]
    """
    if exact is None:
        _require_limit(operator)

    @functools.wraps(operator)
    def called(*arguments: Any, **settings: Any) -> Any:
        soft = operator(*arguments, **settings)
        if exact is None:
            hard = operator(*arguments, **(settings | {"epsilon": LIMIT}))
        else:
            hard = exact(*arguments, **settings)
        return jax.tree.map(_replaced, soft, hard)

    return called


def _require_limit(operator: Callable[..., Any]) -> None:
    if isinstance(operator, jax.stages.Wrapped):
        raise SoftSortError(
            "the operator is compiled, so that its exact form cannot be asked for: "
            "write jax.jit(straight_through(operator))"
        )
    if "epsilon" not in inspect.signature(operator).parameters:
        raise SoftSortError(
            f"{operator!r} has no argument epsilon, so that its exact form is not "
            "known: give it as straight_through(operator, exact)"
        )


@jax.custom_jvp
def _replaced(soft: Array, hard: Array) -> Array:
    """Return the hard results with the derivative of the soft ones."""
    # Mapped where these are, for JAX takes it for granted within `jax.checkpoint`: by
    # an epsilon alone that is mapped, derivatives would be summed, and shapes differ.
    return jax.lax.select(jnp.zeros(soft.shape, bool), soft, hard.astype(soft.dtype))


@_replaced.defjvp
def _replaced_jvp(
    primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    return _replaced(*primals), tangents[0]
