"""The filters that images are given to, with the precision that their pixels need."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from softsort_cli import jax_setup
from softsort_cli.images import alpha, exact, precision, tiff_bands
from softsort_cli.images.tiff_streaming import PageRows, Strips
from softsort_cli.options.softness import Computing

Rows: TypeAlias = alpha.FrameRows | alpha.VolumeRows | PageRows | tiff_bands.BandRows
BITS = "32"  # enough for pixels of 16 bits


def quantile_filter(solver: Computing, bits: str = BITS) -> Callable[..., np.ndarray]:
    """The filter of images in memory: the exact one for --hard, else the soft one."""
    if solver.hard:
        return exact.quantile_filter
    jax_setup.start(solver, bits)
    import softsort_filters

    def soft(image: np.ndarray, **settings: Any) -> np.ndarray:
        options = solver.keywords() | settings
        options["channel_axis"] = -1 if image.ndim > len(options["size"]) else None
        with precision.of(image.dtype):
            return np.asarray(softsort_filters.soft_quantile_filter(image, **options))

    return soft


def strips_filter(solver: Computing) -> Callable[..., Strips]:
    """The soft filter of images that are too large for memory, strip by strip."""
    jax_setup.start(solver, BITS)
    from softsort_filters import soft_quantile_strips

    def strips(rows: Rows, **settings: Any) -> Strips:
        settings |= {"squashing_fun": solver.squashing_fun}
        start = partial(soft_quantile_strips, rows, **settings)
        return precision.throughout(rows.dtype, start)

    return strips
