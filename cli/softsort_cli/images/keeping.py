"""The filters that tell the noise of an image, and take out what there is."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from softsort_cli import jax_setup
from softsort_cli.errors import UsageError
from softsort_cli.images import precision
from softsort_cli.images.filters import BITS, Rows
from softsort_cli.options.images import AUTO, Shape
from softsort_cli.options.softness import Computing

SIZE = 5, 5  # of the window, where none is asked for


class Present:
    """The rows of an image with NaN for values that there are not."""

    def __init__(self, rows: Rows) -> None:
        self.rows, self.shape = rows, rows.shape

    def __getitem__(self, rows: slice) -> np.ndarray:
        values, known = self.rows[rows], self.rows.known(rows)
        return values if known is None else np.where(known, values, np.nan)


def check(
    method: str,
    size: tuple[int, ...],
    shape: Shape,
    solver: Computing,
    quantile: float,
    iterations: int,
) -> None:
    """Refuse what these filters have not."""
    if (
        solver.hard
        or solver.squash != "sigmoid"
        or solver.epsilon == AUTO
        or solver.cluster is not None
        or shape.footprint
        or shape.weights
        or max(size) == 1
        or quantile != 0.5
        or iterations != 1
    ):
        raise UsageError(
            f"--method {method}: leave out --hard, --squash, --quantile, --footprint, "
            "--weights, --iterations, --cluster and auto, and give a --size above 1"
        )


def strips(
    method: str, solver: Computing, rows: Rows, memory: int, settings: dict[str, Any]
) -> Iterator[tuple[slice, np.ndarray]]:
    """An image with less noise, strip by strip.

    By keep, only what is likely noise of single pixels changes; by auto, the noise that
    all pixels have is also taken out, as far as there is some.
    """
    jax_setup.start(solver, BITS)
    from softsort_filters import denoise_strips

    settings = settings | {"alpha": rows.alpha, "memory": memory}
    if method == "keep":
        settings["deviation"] = 0
    start = partial(denoise_strips, Present(rows), **settings)
    return precision.throughout(rows.dtype, start)
