"""What `jax.vmap` maps is solved as slices along an axis are: all at once."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array

from softsort_core.axis import as_slices, weight_slices
from softsort_core.operators.read_slices import Problem, Slices


def read_mapped(
    read: Callable[[Slices, Problem], Array],
    read_rows: Callable[[Slices, Problem], Array],
    slices: Slices,
    problem: Problem,
    axes: tuple[int, ...],
) -> Array:
    """Return `read(slices, problem)`, or by `read_rows` if that is mapped.

    Outside of `jit`, rows are at hand as soon as they are together: there `read_rows`
    can look at them, and solves for most of them by few nodes.
    """
    mapped = custom_vmap(read)

    @mapped.def_vmap
    def _(size: int, are_mapped: Any, slices: Slices, problem: Problem):
        if any(jax.tree.leaves(are_mapped[1])):
            places = jax.tree.map(
                lambda is_mapped: 0 if is_mapped else None, are_mapped
            )
            return jax.vmap(read, places)(slices, problem), True

        def repeated(array: Any, is_mapped: bool) -> Array:
            shape = np.shape(array) if is_mapped else (size, *np.shape(array))
            return jnp.broadcast_to(array, shape)

        def as_rows(x: Array, a: Array | None, squashed: Array | None, own: Any):
            places = None if squashed is None else as_slices(squashed, axes)
            return Slices(as_slices(x, axes), weight_slices(a, x, axes), places, own)

        slices = jax.tree.map(repeated, slices, are_mapped[0])
        rows = jax.tree.map(
            lambda each: each.reshape(-1, *each.shape[2:]), jax.vmap(as_rows)(*slices)
        )
        results = jnp.asarray(read_rows(rows, problem))
        if slices.values.ndim > 2:
            results = results.reshape(size, -1, *results.shape[1:])
        return results, True

    # A rule of mapping has no derivatives in reverse; those of `read` take its place.
    function = jax.custom_jvp(lambda *arguments: mapped(*arguments))

    def tangents_of(primals: Any, tangents: Any) -> tuple[Array, Array]:
        leaves, tree = jax.tree.flatten(primals)
        dots = tree.flatten_up_to(tangents)
        moving = [i for i, dot in enumerate(dots) if not isinstance(dot, SymbolicZero)]

        def moved(*some: Array) -> Array:
            new = dict(zip(moving, some, strict=True))
            all_ = (new.get(i, leaf) for i, leaf in enumerate(leaves))
            return read(*tree.unflatten(all_))

        return jax.jvp(moved, [leaves[i] for i in moving], [dots[i] for i in moving])

    function.defjvp(tangents_of, symbolic_zeros=True)
    return function(slices, problem)
