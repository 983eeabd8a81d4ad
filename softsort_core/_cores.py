"""Work that is shared among the cores of a processor.

XLA runs a loop on one core, however many there are.
"""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
from jaxtyping import Array

from softsort_core import _kept as kept
from softsort_core._jaxlib import core_count

# Parts that are not worth a thread of their own are smaller.
_LEAST = 2**4


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
    # Programs that are watched run one after another.
    apply = map if kept.is_watched() else _threads(cores).map
    double = jnp.result_type(float) == jnp.float64

    def on_thread(core: int) -> Array:
        # What is set for the thread that asks does not hold for others.
        with jax.enable_x64(double), jax.default_device(device):
            part = work(count * core // cores, count * (core + 1) // cores)
            return jax.block_until_ready(part)

    return list(apply(on_thread, range(cores)))


@functools.cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="softsort")
