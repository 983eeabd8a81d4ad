"""The operators for PyTorch: JAX computes them, on the tensors' device.

Tensors go to JAX and results come back by DLPack. Needs PyTorch, which nothing else
here imports.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

import softsort_core


def over_tensors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Have a function of JAX's take and return tensors, with their gradients.

    Args:
        function: such as an operator of `softsort_core` or a loss of
            `softsort_core.losses`, which returns floating arrays, in a tree or alone.

    Returns:
        A function with the same arguments. Tensors anywhere among them are passed on as
        arrays; floating ones get gradients, which have gradients. Those of double
        precision are computed in it, whatever JAX's default is. What `torch.compile`
        compiles takes it within `torch.compiler.disable`.

    Examples:
        >>> import torch, softsort_core.torch as soft
        >>> x = torch.tensor([1.0, 5.0, 4.0, 8.0, 12.0], requires_grad=True)
        >>> ranks = soft.ranks(x)
        >>> ranks.detach().round(decimals=2)
        tensor([0.0200, 1.8400, 1.1500, 3.0000, 3.9900])
        >>> ranks[0].backward()
        >>> x.grad.round(decimals=2)
        tensor([ 0.0200,  0.0000, -0.0300,  0.0000,  0.0000])
    """

    @wraps(function)
    def called(*arguments: Any, **settings: Any) -> Any:
        leaves, tree = jax.tree.flatten((arguments, settings))
        places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
        shape = []

        def of_arrays(*arrays: jax.Array | np.ndarray) -> list[jax.Array]:
            filled = list(leaves)
            for i, array in zip(places, arrays, strict=True):
                filled[i] = array
            args, kwargs = jax.tree.unflatten(tree, filled)
            results, structure = jax.tree.flatten(function(*args, **kwargs))
            shape[:] = [structure]
            return results

        results = _OverArrays.apply(of_arrays, *(leaves[i] for i in places))
        return jax.tree.unflatten(shape[0], results)

    return called


class _OverArrays(torch.autograd.Function):
    """A function of arrays and its pullback."""

    @staticmethod
    def forward(ctx: Any, function: Callable[..., Any], *tensors: torch.Tensor) -> Any:
        needed = [
            i for i, is_needed in enumerate(ctx.needs_input_grad[1:]) if is_needed
        ]
        with jax.enable_x64(_are_double(tensors)):
            arrays = [_array(tensor) for tensor in tensors]
            if not needed:
                return tuple(map(_tensor, function(*arrays)))
            results, ctx.pullback = _pulled_back(function, needed, arrays)
        ctx.function, ctx.needed, ctx.count = function, needed, len(tensors)
        ctx.is_double = _are_double(tensors)
        ctx.save_for_backward(*tensors)
        return tuple(map(_tensor, results))

    @staticmethod
    def backward(ctx: Any, *cotangents: torch.Tensor) -> Any:
        gradients: list[torch.Tensor | None] = [None] * ctx.count
        if torch.is_grad_enabled():
            # Gradients are to have gradients, by what they were computed of, too.
            function, needed, count = ctx.function, ctx.needed, ctx.count

            def slopes_of(*arrays: Any) -> list[jax.Array]:
                _, pullback = _pulled_back(function, needed, arrays[:count])
                return list(pullback(list(arrays[count:])))

            slopes = _OverArrays.apply(slopes_of, *ctx.saved_tensors, *cotangents)
        else:
            with jax.enable_x64(ctx.is_double):
                slopes = ctx.pullback([_array(each) for each in cotangents])
                slopes = [_tensor(slope) for slope in slopes]
        for i, slope in zip(ctx.needed, slopes, strict=True):
            gradients[i] = slope
        return None, *gradients


def _pulled_back(function: Callable[..., Any], needed: list[int], arrays: Any) -> Any:
    """Return what a function makes of arrays, and its pullback to some of them."""

    def of_needed(*some: jax.Array) -> Any:
        filled = list(arrays)
        for i, array in zip(needed, some, strict=True):
            filled[i] = array
        return function(*filled)

    return jax.vjp(of_needed, *(arrays[i] for i in needed))


def _are_double(tensors: Any) -> bool:
    return any(tensor.dtype == torch.float64 for tensor in tensors)


# Copies: an optimiser changes tensors in place, which arrays are not made for.
def _array(tensor: torch.Tensor) -> jax.Array | np.ndarray:
    if tensor.dtype in (torch.int64, torch.uint64):
        # JAX would take the lower half of their bits; NumPy's are looked at.
        return tensor.cpu().numpy().copy()
    return jnp.array(jnp.from_dlpack(tensor.detach().contiguous()), copy=True)


def _tensor(array: jax.Array) -> torch.Tensor:
    return torch.from_dlpack(array).clone()


sort = over_tensors(softsort_core.sort)
ranks = over_tensors(softsort_core.ranks)
topk_mask = over_tensors(softsort_core.topk_mask)
top_k = over_tensors(softsort_core.top_k)
quantile = over_tensors(softsort_core.quantile)
median = over_tensors(softsort_core.median)
quantile_normalization = over_tensors(softsort_core.quantile_normalization)
quantize = over_tensors(softsort_core.quantize)
sort_with = over_tensors(softsort_core.sort_with)

__all__ = [
    "median",
    "over_tensors",
    "quantile",
    "quantile_normalization",
    "quantize",
    "ranks",
    "sort",
    "sort_with",
    "top_k",
    "topk_mask",
]
