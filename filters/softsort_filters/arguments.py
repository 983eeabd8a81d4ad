"""What callers pass, checked and made into arrays.

Values that are traced by JAX cannot be looked at, so only concrete ones are checked.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, DTypeLike, Float, Shaped

from softsort_core import SoftSortError

Image: TypeAlias = ArrayLike | Sequence[Any]
Number: TypeAlias = ArrayLike


def as_array(image: Image, name: str = "image") -> Shaped[Array, "h w *c"]:
    """Return an image of real numbers as it is."""
    if np.ma.is_masked(image):
        raise SoftSortError(
            f"{name} has masked values: fill them in, as {name}.filled(0) does"
        )
    if not isinstance(image, jax.Array):
        try:
            image = np.asarray(image)
        except ValueError as error:
            raise SoftSortError(f"{name} is not a table of numbers: {error}") from error
    if not (_is_real(image.dtype) or jnp.issubdtype(image.dtype, jnp.bool_)):
        raise SoftSortError(f"{name} has dtype {image.dtype}: give real numbers")
    if image.ndim not in (2, 3) or image.size == 0:
        raise SoftSortError(
            f"{name} has shape {image.shape}: give (height, width) or (height, width, "
            "channels), none of them 0"
        )
    return image if isinstance(image, jax.Array) else jnp.asarray(image)


def as_image(
    image: Image, name: str = "image"
) -> tuple[Float[Array, "h w *c"], DTypeLike]:
    """Return an image as float32 or float64, and the dtype to give results in."""
    array = as_array(image, name)
    dtype = array.dtype
    if not jnp.issubdtype(dtype, jnp.floating):
        dtype = jnp.result_type(float)
    return array.astype(jnp.promote_types(dtype, jnp.float32)), dtype


def as_level(q: Number, dtype: DTypeLike) -> Float[Array, ""]:
    """Return a quantile level in [0, 1]."""
    return _as_scalar(q, "q", dtype, lambda q: 0 <= q <= 1, "one level in [0, 1]")


def as_positive(
    value: Number, name: str, dtype: DTypeLike, example: str
) -> Float[Array, ""]:
    """Return a positive, finite number."""
    return _as_scalar(
        value,
        name,
        dtype,
        lambda value: 0 < value < np.inf,
        f"one positive number, such as {example}",
    )


def as_amount(amount: Number, dtype: DTypeLike) -> Float[Array, ""]:
    """Return a finite amount that is not negative."""
    return _as_scalar(
        amount,
        "amount",
        dtype,
        lambda amount: 0 <= amount < np.inf,
        "one number that is not negative, such as 0.1",
    )


def as_number(value: Number, name: str, dtype: DTypeLike) -> Array:
    """Return a number that the dtype can hold."""
    whole = jnp.issubdtype(dtype, jnp.integer)

    def fits(cast):
        return not whole or cast == value

    return _as_scalar(value, name, dtype, fits, f"one number that {dtype} can hold")


def as_count(iterations: Any) -> int:
    """Return how often to filter."""
    if not isinstance(iterations, int | np.integer) or iterations < 1:
        raise SoftSortError(
            f"iterations is {iterations!r}: give a positive integer, such as 1"
        )
    return int(iterations)


def _as_scalar(
    value: Any,
    name: str,
    dtype: DTypeLike,
    accepts: Callable[[Any], Any],
    remedy: str,
) -> Array:
    if isinstance(value, Tracer):
        good = value.shape == ()
    else:
        array = np.asarray(value)
        good = array.shape == () and _is_real(array.dtype)
        good = good and not np.ma.is_masked(value)
        with np.errstate(all="ignore"):
            good = good and accepts(array.astype(dtype))
    if not good:
        raise SoftSortError(f"{name} is {value!r}: give {remedy}")
    return jnp.asarray(value, dtype)


def _is_real(dtype: DTypeLike) -> bool:
    return jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)
