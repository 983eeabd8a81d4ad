"""What callers pass, checked and made into arrays.

Values that are traced by JAX cannot be looked at, so only concrete ones are checked;
wrong traced values give NaN.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.typing import ArrayLike
from jaxtyping import Array

from softsort_core.errors import SoftSortError

Values: TypeAlias = ArrayLike | Sequence[Any]
# Single precision has a reciprocal of it, and of its.
_LEAST_WEIGHT = 2.0**-100


def is_concrete(value: Any) -> bool:
    """Return whether the value, or all in a tree, can be looked at now."""
    return not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value))


def is_staging() -> bool:
    """Return whether operations are recorded now, on whatever values, and not run."""
    return isinstance(_nothing(), Tracer)


# What is compiled is called in a tenth of the time in which an array is made.
_nothing = jax.jit(lambda: np.float32(0))


def _refuse_masked(values: Any, name: str) -> None:
    """Raise an error if some values, or those of a sequence of arrays, are masked."""
    parts = values if isinstance(values, list | tuple) else [values]
    if any(np.ma.is_masked(part) for part in parts):
        raise SoftSortError(
            f"{name} has masked values: leave them out, as {name}.compressed() does, "
            "or fill them in and give them the weight 0"
        )


def as_array(values: Any, name: str) -> Array | np.ndarray:
    """Return an array of NumPy's, or of JAX's if that is what it is made of."""
    if isinstance(values, jax.Array):
        return values
    try:
        return np.asanyarray(values)
    except jax.errors.TracerArrayConversionError:
        return jnp.asarray(values)
    except ValueError:
        raise SoftSortError(
            f"{name} has rows of different lengths: pad them, and say by where which "
            "values take part"
        ) from None


def shape_of(values: Any, name: str = "inputs") -> tuple[int, ...]:
    """Return the shape of what may be an array."""
    return (
        np.shape(values) if hasattr(values, "shape") else as_array(values, name).shape
    )


def is_real(value: Any) -> bool:
    """Return whether it is a real number, or an array of these."""
    return _is_real(as_array(value, "it").dtype)


def _is_real(dtype: Any) -> bool:
    if jnp.issubdtype(dtype, jnp.floating):
        return dtype.itemsize > 1
    return any(jnp.issubdtype(dtype, kind) for kind in (jnp.integer, jnp.bool_))


def as_floating(values: Any, name: str) -> tuple[Array, Any]:
    """Return the values as float32 or float64, and the dtype to give results in.

    Integers and booleans become JAX's default float, half precisions are computed in
    float32 and given back as they came.
    """
    _refuse_masked(values, name)
    array = as_array(values, name)
    if not _is_real(array.dtype):
        raise SoftSortError(
            f"{name} has dtype {array.dtype}: give real numbers (integers, or floats "
            "of 16 bits or more)"
        )
    if isinstance(array, np.ndarray):
        array = np.asarray(array)
        if array.dtype.kind == "f":
            # NumPy has wider ones, too, and others of which the bytes are in turn.
            array = array.astype(f"f{min(array.dtype.itemsize, 8)}", copy=False)
        elif array.dtype.kind in "iub":
            _check_integers(array, name)
            array = array.astype(jnp.result_type(float))
    array = _sharded_by_jax(jnp.asarray(array))
    if not jnp.issubdtype(array.dtype, jnp.floating):
        if is_concrete(array):
            _check_integers(np.asarray(array), name)
        array = array.astype(jnp.result_type(float))
    dtype = array.dtype
    if dtype in (jnp.float32, jnp.float64):
        return array, dtype
    return array.astype(jnp.promote_types(dtype, jnp.float32)), dtype


def _sharded_by_jax(array: Array) -> Array:
    """Return an array in places that do not tell where what is made of it has to be."""
    if not is_concrete(array) or not isinstance(array.sharding, NamedSharding):
        return array
    mesh, auto = array.sharding.mesh, AxisType.Auto
    if all(axis == auto for axis in mesh.axis_types):
        return array
    types = (auto,) * len(mesh.axis_names)
    mesh = Mesh(np.asarray(mesh.devices), mesh.axis_names, axis_types=types)
    return jax.device_put(array, NamedSharding(mesh, array.sharding.spec))


def _check_integers(values: np.ndarray, name: str) -> None:
    dtype = jnp.result_type(float)
    limit = 2 ** (jnp.finfo(dtype).nmant + 1)
    if values.size and max(abs(int(values.min())), abs(int(values.max()))) > limit:
        raise SoftSortError(
            f"{name} has integers beyond {limit}, which {dtype} cannot tell apart: "
            "subtract a common offset or enable jax_enable_x64"
        )


def as_epsilon(epsilon: Any) -> Any:
    """Return epsilon, a positive scalar."""
    return _as_positive(epsilon, "epsilon", 0.01)


def as_blur(blur: Any) -> Any:
    """Return the blur, a positive scalar."""
    return _as_positive(blur, "blur", 0.3)


def as_tolerance(tolerance: Any) -> Any:
    """Return the tolerance, a positive scalar."""
    return _as_positive(tolerance, "tolerance", 1e-6)


def _as_positive(value: Any, name: str, example: float) -> Any:
    if np.shape(value) == ():
        if not is_concrete(value):
            return jnp.where((value > 0) & (value < jnp.inf), value, jnp.nan)
        is_number = is_real(value) and not np.ma.is_masked(value)
        if is_number and np.isfinite(value) and value > 0:
            return value
    raise SoftSortError(
        f"{name} is {value!r}: give one positive number, such as {example}"
    )


def as_weights(weights: Any, name: str) -> Array | None:
    """Return non-negative weights with a positive sum, not yet normalised.

    If they are traced they may still be others.
    """
    if weights is None:
        return None
    _refuse_masked(weights, name)
    if is_concrete(weights) and is_real(weights):
        array = np.asarray(weights, np.float64)
        low, total = np.min(array, initial=np.inf), np.sum(array)
        if not (low >= 0 and np.isfinite(total) and total > 0):
            raise SoftSortError(
                f"{name} must be finite, non-negative and not all zero: the smallest "
                f"is {low}, the sum {total}"
            )
        most = np.max(array)
        if not _LEAST_WEIGHT < most < 1 / _LEAST_WEIGHT:
            weights = array / most  # they are relative
    return as_floating(weights, name)[0]


def as_distribution(weights: Any, name: str) -> Array:
    """Return a vector of non-negative weights that sums to 1."""
    vector = as_weights(weights, name)
    if vector is None or vector.ndim != 1:
        raise SoftSortError(f"{name} has shape {np.shape(weights)}: give a vector")
    shares = normalised(vector)
    if is_concrete(shares):
        return shares
    return jnp.where(jnp.all(vector >= 0), shares, jnp.nan)


def as_ladder(targets: Any) -> tuple[Array, Any]:
    """Return finite numbers in ascending order, and their dtype."""
    ladder, dtype = as_floating(targets, "targets")
    if ladder.ndim != 1 or ladder.size == 0:
        raise SoftSortError(f"targets has shape {ladder.shape}: give a vector")
    if is_concrete(ladder):
        array = np.asarray(ladder)
        if not np.isfinite(array).all():
            raise SoftSortError("targets has NaN or infinity: give finite numbers")
        if not (np.diff(array) >= 0).all():
            raise SoftSortError("targets is not in ascending order: sort it first")
        return ladder, dtype
    is_rising = jnp.all(ladder[1:] >= ladder[:-1])
    return jnp.where(is_rising, ladder, jnp.nan), dtype


def normalised(weights: Array) -> Array:
    """Return weights over their sum, whose square, in derivatives, is in range."""
    largest = jax.lax.stop_gradient(jnp.max(weights))
    # XLA multiplies by the reciprocal, and takes that of 2**126 and more for 0.
    unit = jnp.where(largest > 1, 2.0**-30, 1.0).astype(weights.dtype)
    weights = weights * unit / (largest * unit)
    return weights / jnp.sum(weights)


def as_count(count: Any, name: str, low: int, high: int | None = None) -> int:
    """Return an integer in [low, high]."""
    if isinstance(count, bool) or not isinstance(count, int | np.integer):
        raise SoftSortError(f"{name} is {count!r}: give an integer")
    if count < low or (high is not None and count > high):
        bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise SoftSortError(f"{name} is {count}: give an integer {bounds}")
    return int(count)


def as_levels(q: Any) -> Array | np.ndarray:
    """Return quantile levels as a vector; None stands for 0.2, 0.5 and 0.8."""
    q = [0.2, 0.5, 0.8] if q is None else q
    _refuse_masked(q, "q")
    if is_concrete(q):
        q = np.asarray(q)
        if not (q.dtype.kind in "fiu" and np.all((q >= 0) & (q <= 1))):
            raise SoftSortError(f"q is {q}: quantile levels are numbers in [0, 1]")
    levels = np.atleast_1d(q) if is_concrete(q) else jnp.atleast_1d(q)
    if levels.ndim != 1 or levels.size == 0:
        raise SoftSortError(f"q has shape {levels.shape}: give a number or a vector")
    if not is_concrete(levels):
        return jnp.where(jnp.all((levels >= 0) & (levels <= 1)), levels, jnp.nan)
    return levels
