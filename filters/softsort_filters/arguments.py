"""What callers pass, checked and made into arrays.

Values that are traced by JAX cannot be looked at, so only concrete ones are checked.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, DTypeLike, Float, Shaped

from softsort_core import SoftSortError

Image: TypeAlias = ArrayLike | Sequence[Any]
Number: TypeAlias = ArrayLike
ChannelAxis: TypeAlias = int | Literal["last"] | None

EPSILON = 1e-2  # of values in [0, 1], by default
MOST_CHANNELS = 4  # that are taken for such unless it is said


class Axes(NamedTuple):
    """How the axes of an image are ordered for the filters.

    There they are rows, columns, depth and channels, the last two of length 1 if there
    are none.
    """

    order: tuple[int, ...]  # rows, columns, and depth and channels where there are any
    spatial: int  # how many axes windows extend along: 2 or 3
    has_channels: bool

    def laid_out(self, image: Array) -> Shaped[Array, "h w z c"]:
        """Return an image with its axes in order."""
        image = jnp.transpose(image, self.order)
        depth = image.shape[2] if self.spatial == 3 else 1
        return image.reshape(*image.shape[:2], depth, -1)

    def restored(self, image: Shaped[Array, "h w z c"], shape: Sequence[int]) -> Array:
        """Return an image with its axes as they were in this shape."""
        image = image.reshape([shape[axis] for axis in self.order])
        return jnp.transpose(image, np.argsort(self.order).tolist())


def is_traced(*arrays: Any) -> bool:
    """Return whether JAX traces one of them, or all that is done now."""
    leaves = jax.tree.leaves((arrays, jnp.zeros(())))
    return any(isinstance(each, Tracer) for each in leaves)


def as_axes(shape: Sequence[int], channel_axis: ChannelAxis) -> Axes:
    """Return which axes of an image are what."""
    if channel_axis == "last":
        axis = 2 if len(shape) == 3 else None
        if axis and shape[axis] > MOST_CHANNELS:
            raise SoftSortError(
                f"image has shape {tuple(shape)}: are its last {shape[axis]} values "
                "channels? Then say channel_axis=-1, or channel_axis=None if it is a "
                "volume"
            )
    elif channel_axis is None:
        axis = None
    else:
        axis = (
            channel_axis if isinstance(channel_axis, int | np.integer) else len(shape)
        )
        if not -len(shape) <= axis < len(shape):
            raise SoftSortError(
                f"channel_axis is {channel_axis!r}: give one of the {len(shape)} axes "
                "of the image, or None"
            )
        axis = int(axis) % len(shape)
    spatial = [each for each in range(len(shape)) if each != axis]
    if len(spatial) not in (2, 3):
        raise SoftSortError(
            f"image has shape {tuple(shape)} and channel_axis is {channel_axis!r}: "
            "give two or three axes besides that of channels"
        )
    *depth, rows, columns = spatial
    order = (rows, columns, *depth, *([] if axis is None else [axis]))
    return Axes(order, len(spatial), axis is not None)


def as_known(
    where: Any, axes: Axes, shape: Sequence[int]
) -> Bool[Array, "h w z #c"] | None:
    """Return which values count as the filters take it."""
    if where is None:
        return None
    if not isinstance(where, jax.Array):
        where = np.asarray(where)
    of_pixels = [
        n for axis, n in enumerate(shape) if axis in axes.order[: axes.spatial]
    ]
    if where.dtype != jnp.bool_ or list(where.shape) not in (list(shape), of_pixels):
        raise SoftSortError(
            f"where has shape {where.shape} and dtype {where.dtype}: give booleans of "
            f"shape {tuple(shape)}"
        )
    if where.ndim < len(shape):
        where = jnp.expand_dims(where, axes.order[-1])
    return axes.laid_out(jnp.asarray(where))


def as_array(
    image: Image, name: str = "image", *, most_axes: int = 3
) -> Array | np.ndarray:
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
        if image.dtype.kind == "f":
            # Those of FITS files have their bytes in turn.
            image = image.astype(f"f{min(image.dtype.itemsize, 8)}", copy=False)
    if not (_is_real(image.dtype) or jnp.issubdtype(image.dtype, jnp.bool_)):
        raise SoftSortError(f"{name} has dtype {image.dtype}: give real numbers")
    if not 2 <= image.ndim <= most_axes or image.size == 0:
        raise SoftSortError(
            f"{name} has shape {image.shape}: give (height, width) or (height, width, "
            "channels), none of them 0"
        )
    return image


def as_jax(array: Array | np.ndarray, name: str) -> Shaped[Array, "..."]:
    """Return an array of jax's, whose integers may be of fewer bits."""
    result = jnp.asarray(array)
    whole = jnp.issubdtype(array.dtype, jnp.integer)
    if whole and result.dtype != array.dtype and np.any(np.asarray(result) != array):
        raise SoftSortError(
            f"{name} has {array.dtype} values that {result.dtype} cannot hold: give "
            "floats, or jax.config.update('jax_enable_x64', True) first"
        )
    return result


def as_image(
    image: Image, name: str = "image", *, most_axes: int = 3
) -> tuple[Float[Array, "..."], DTypeLike]:
    """Return an image as float32 or float64, and the dtype to give results in."""
    array = as_array(image, name, most_axes=most_axes)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        # Before jax makes 32 bits of 64, which integers may need.
        array = array.astype(jnp.result_type(float))
    array = jnp.asarray(array)
    dtype = array.dtype
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


def as_count(count: Any, name: str = "iterations") -> int:
    """Return a positive integer, by default how often to filter."""
    if not isinstance(count, int | np.integer) or count < 1:
        raise SoftSortError(f"{name} is {count!r}: give a positive integer, such as 1")
    return int(count)


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
