"""Work that is shared among the cores of a processor.

XLA runs a loop on one core, however many there are.
"""

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
from jaxtyping import Array

# Parts that are not worth a thread of their own are smaller.
_LEAST = 2**4


def core_count() -> int:
    """Return how many cores this process may use; NPROC tells XLA the same."""
    if "NPROC" in os.environ:
        return int(os.environ["NPROC"])
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def over_parts(
    work: Callable[[int, int], Array], count: int, beside: Array
) -> list[Array]:
    """Return what `work(start, stop)` makes of the parts of `count` things.

    Args:
        work: computes on the device of `beside`, and is called on several threads.
        count: how many things there are.
        beside: if it is on a processor, there is a part for each of its cores.
    """
    device, *others = beside.devices()
    cores = min(core_count(), count // _LEAST) if device.platform == "cpu" else 1
    if cores <= 1 or others:
        return [work(0, count)]
    double = jnp.result_type(float) == jnp.float64

    def on_thread(core: int) -> Array:
        # What is set for the thread that asks does not hold for others.
        with jax.enable_x64(double), jax.default_device(device):
            part = work(count * core // cores, count * (core + 1) // cores)
            return jax.block_until_ready(part)

    return list(_threads(cores).map(on_thread, range(cores)))


@functools.cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="softsort")
