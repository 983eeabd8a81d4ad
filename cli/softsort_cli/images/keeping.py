"""The filters that tell the noise of an image, and take out what there is."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from softsort_cli import jax_setup
from softsort_cli.errors import UsageError
from softsort_cli.images import learned, precision
from softsort_cli.images.filters import BITS, Rows
from softsort_cli.options.images import AUTO, Method, Shape
from softsort_cli.options.softness import Computing

SIZE = 5, 5  # of the window, where none is asked for


class Present:
    """The rows of an image with NaN for values that there are not."""

    def __init__(self, rows: Rows) -> None:
        self.rows, self.shape = rows, rows.shape

    def __getitem__(self, rows: slice) -> np.ndarray:
        values, known = self.rows[rows], self.rows.known(rows)
        return values if known is None else np.where(known, values, np.nan)


def chosen(method: Method) -> tuple[str, dict[str, Any]]:
    """The method, and the settings of a filter that was learned."""
    if method.filter is not None:
        if method.method is not None or method.learn:
            raise UsageError("--filter: leave out --method and --learn, it knows both")
        return learned.read(method.filter)
    if method.learn and method.method == "median":
        raise UsageError("--learn: give --method keep or auto")
    return method.method or ("auto" if method.learn else "median"), {}


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
    method: str,
    solver: Computing,
    rows: Rows,
    memory: int,
    settings: dict[str, Any],
    *,
    learns: bool = False,
) -> Iterator[tuple[slice, np.ndarray]]:
    """An image with less noise, strip by strip.

    By keep, only what is likely noise of single pixels changes; by auto, the noise that
    all pixels have is also taken out, as far as there is some. How, each image may
    tell first.
    """
    jax_setup.start(solver, BITS)
    from softsort_filters import denoise_strips

    settings = settings | {"alpha": rows.alpha, "memory": memory}
    settings |= learned.deviation(method)
    if learns:
        with precision.of("float32"):
            settings |= learned.of_image(rows, Present(rows), method, settings["size"])
    start = partial(denoise_strips, Present(rows), **settings)
    return precision.throughout(rows.dtype, start)
