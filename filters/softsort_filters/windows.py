"""Odd windows over the pixels of an image: shapes, borders and bounded memory."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, DTypeLike, Num

from softsort_core import SoftSortError

# numpy's names for the ways to continue an image that scipy.ndimage has.
PAD_MODES = {
    "reflect": "symmetric",
    "nearest": "edge",
    "mirror": "reflect",
    "wrap": "wrap",
    "constant": "constant",
}

# Window values of a tile. A few arrays of this many numbers are the working memory,
# whatever the size of image and window. Larger tiles leave the cache, smaller ones
# spend their time on dispatch.
_VALUES_IN_A_TILE = 2**19

# A CPU reduction is vectorised over the pixels where the compiler can unroll it over
# the window, which is up to about 13 values.
_UNROLLED = 9

# By those kernels, of later releases, sums of windows would depend in their last digits
# on how large the image is.
compiled = functools.partial(
    jax.jit, compiler_options={"xla_cpu_experimental_ynn_fusion_type": ""}
)


class Window(NamedTuple):
    """Which pixels around a pixel count: sides, and places within them.

    Both are (rows, columns, depth), where an image has no depth, 1. In the rows of its
    numbers neighbours in depth are `step` apart, all that have one column side by side.
    """

    shape: tuple[int, int, int]
    places: tuple[tuple[int, int, int], ...]
    step: int = 1


def as_window(
    size: Any, footprint: Any, weights: Any, axes: int = 2
) -> tuple[Window, Num[Array, " n"] | None, int]:
    """Return the window, the weights of its values, and how many values it has.

    Sides are given in the order of the two or three axes, depth first. Values that are
    known to weigh nothing are no part of the window, but are counted.
    """
    masks = {
        name: _as_mask(mask, name, axes)
        for name, mask in (("footprint", footprint), ("weights", weights))
        if mask is not None
    }
    shapes = {name: mask.shape for name, mask in masks.items()}
    if size is not None or not masks:
        shapes["size"] = window_shape(3 if size is None else size, axes)
    if len(set(shapes.values())) > 1:
        told = " and ".join(f"{name} of {shape}" for name, shape in shapes.items())
        raise SoftSortError(f"{told} are different windows: give one")
    (shape,) = set(shapes.values())
    counted = masks.get("footprint", np.ones(shape, bool))
    used = counted & masks.get("weights", counted)
    if not used.any():
        raise SoftSortError(f"no value of the {shape} window has a weight: give one")
    values = None if weights is None else jnp.asarray(weights)[np.nonzero(used)]
    places = tuple(_depth_last(place) for place in np.argwhere(used).tolist())
    depth = 1 if axes == 2 else shape[0]
    window = Window((*shape[-2:], depth), places)
    return window, values, int(counted.sum())


def _depth_last(place: Sequence[int]) -> tuple[int, int, int]:
    *depth, row, column = place
    return row, column, sum(depth)


def _as_mask(mask: Any, name: str, axes: int) -> np.ndarray:
    """Where a footprint is true or weights are positive; of traced ones, everywhere."""
    if np.ndim(mask) != axes or not all(side % 2 for side in np.shape(mask)):
        raise SoftSortError(
            f"{name} has shape {np.shape(mask)}: a window has a pixel at its centre, "
            f"so give a table with {axes} odd sides"
        )
    if isinstance(mask, Tracer) and name == "weights":
        return np.ones(mask.shape, bool)
    if np.ma.is_masked(mask):
        raise SoftSortError(f"{name} has masked values: fill in 0 for them")
    values = np.asarray(mask)
    if name == "footprint" and not np.isin(values, (0, 1)).all():
        raise SoftSortError(f"footprint is {mask}: give booleans, or 0 and 1")
    if values.dtype.kind not in "fiub" or not np.all((values >= 0) & (values < np.inf)):
        raise SoftSortError(f"{name} is {mask}: give numbers that are not negative")
    return values > 0


def window_shape(size: Any, axes: int = 2) -> tuple[int, ...]:
    """Sides of a window along two or three axes, each an odd positive integer."""
    sides = size.tolist() if isinstance(size, np.ndarray | jax.Array) else size
    if isinstance(sides, int | np.integer):
        sides = (sides,) * axes
    if (
        not isinstance(sides, Sequence)
        or len(sides) != axes
        or not all(
            isinstance(side, int | np.integer) and side > 0 and side % 2
            for side in sides
        )
    ):
        each, example = {
            2: ("two (rows, columns)", "(5, 3)"),
            3: ("three (depth, rows, columns)", "(3, 5, 5)"),
        }[axes]
        raise SoftSortError(
            f"size is {size!r}: a window has a pixel at its centre, so give an odd "
            f"positive integer or {each}, such as 3 or {example}"
        )
    return tuple(map(int, sides))


def check_border(border: str) -> None:
    """Refuse a border that is not one of scipy.ndimage's five."""
    if border not in PAD_MODES:
        raise SoftSortError(f"border is {border!r}: give one of {', '.join(PAD_MODES)}")


def extended(
    image: Any, margins: Sequence[int], border: str, outside: Any, xp: Any
) -> Any:
    """Continue the first axes of an image on each side, as scipy.ndimage does.

    Args:
        image: an array of `xp`, NumPy or its like, with channels behind these axes.
        margins: by how many pixels.
        border: one of the keys of `PAD_MODES`.
        outside: the value there if border is "constant".
        xp: see `image`.
    """
    constant = {"constant_values": outside} if border == "constant" else {}
    widths = [*((margin, margin) for margin in margins), (0, 0)]
    return xp.pad(image, widths, PAD_MODES[border], **constant)


def map_windows(
    function: Callable[..., Array],
    images: Sequence[Num[Array, "H W c"]],
    window: Window,
) -> Num[Array, "h w c"]:
    """Apply a function to the windows of images that were extended for that.

    For one tile of pixels after the other, `function` gets the values of their windows
    from each image and returns (rows, columns). As it treats each window alone, the
    tiles do not show in the result. Derivatives recompute one tile at a time, so memory
    is bounded there too.

    Of windows with depth, results are where the first of their values is in depth;
    those of the last columns that reach beyond are of no use.
    """
    rows, columns, depth = window.shape
    deeper = (depth - 1) * window.step
    height, width, channels = images[0].shape
    height, width = height - rows + 1, width - columns + 1
    # Channels lie side by side, so that the next column is `channels` numbers away
    # and colour images need nothing else.
    down, across = _tile(height, width * channels, len(window.places))
    n_down, n_across = -(-height // down), -(-width * channels // across)
    after = n_across * across - width * channels + deeper
    fill = (0, n_down * down - height), (0, after)
    flat = [jnp.pad(i.reshape(i.shape[0], -1), fill, mode="edge") for i in images]
    reach = down + rows - 1, across + (columns - 1) * channels + deeper
    shifts = tuple((i, j * channels + k * window.step) for i, j, k in window.places)

    @jax.checkpoint
    def one_tile(index):
        corner = index // n_across * down, index % n_across * across
        tiles = [jax.lax.dynamic_slice(image, corner, reach) for image in flat]
        return function(*(Values(tile, shifts, (down, across)) for tile in tiles))

    tiles = jax.lax.map(one_tile, jnp.arange(n_down * n_across))
    tiles = tiles.reshape(n_down, n_across, down, across).swapaxes(1, 2)
    whole = tiles.reshape(n_down * down, n_across * across)
    return whole[:height, : width * channels].reshape(height, width, channels)


def _tile(height: int, width: int, n: int) -> tuple[int, int]:
    """Rows and columns of the tiles that divide an image evenly within the bound."""
    pixels = max(_VALUES_IN_A_TILE // n, 1)
    across = -(-width // -(-width // pixels))
    down = max(pixels // across, 1)
    return -(-height // -(-height // down)), across


class Values(NamedTuple):
    """The values of the windows of a tile of pixels."""

    tile: Num[Array, "H W"]
    shifts: tuple[tuple[int, int], ...]
    shape: tuple[int, int]

    def stacked(self) -> Num[Array, "n rows columns"]:
        """Return them as one array, made by a loop."""
        return jax.lax.map(
            lambda shift: jax.lax.dynamic_slice(self.tile, shift, self.shape),
            jnp.asarray(self.shifts),
        )

    def centre(self) -> Num[Array, "rows columns"]:
        """Return the values in the middle of the windows."""
        (height, width), (rows, columns) = self.tile.shape, self.shape
        i, j = (height - rows) // 2, (width - columns) // 2
        return self.tile[i : i + rows, j : j + columns]


def is_small(window: Window, dtype: DTypeLike) -> bool:
    """Return whether one loop over the pixels can hold all values of a window."""
    flat = window.shape[2] == 1
    return flat and len(window.places) <= _UNROLLED and dtype == jnp.float32


def views(
    image: Num[Array, "H W c"], window: Window
) -> list[Num[Array, "height width_c"]]:
    """Return the n values of all windows as n arrays, which need not be made.

    Channels lie side by side, as in the tiles.
    """
    rows, columns, _ = window.shape
    height, channels = image.shape[0] - rows + 1, image.shape[2]
    width = (image.shape[1] - columns + 1) * channels
    flat = image.reshape(image.shape[0], -1)
    return [
        flat[i : i + height, j * channels : j * channels + width]
        for i, j, _ in window.places
    ]


def window_sums(*terms: Num[Array, "n *tile"]) -> tuple[Num[Array, "*tile"], ...]:
    """Sums over axis 0, all in one pass. Not differentiable."""
    zeros = tuple(jnp.zeros((), term.dtype) for term in terms)

    def add(left, right):
        return tuple(a + b for a, b in zip(left, right, strict=True))

    n = terms[0].shape[0]
    if n <= _UNROLLED:
        return tuple(jax.lax.reduce(terms, zeros, add, (0,)))
    grouped = n - n % _UNROLLED
    groups = tuple(t[:grouped].reshape(-1, _UNROLLED, *t.shape[1:]) for t in terms)
    partial_sums = jax.lax.reduce(groups, zeros, add, (1,))
    rest = jax.lax.reduce(tuple(t[grouped:] for t in terms), zeros, add, (0,))
    return add([jnp.sum(s, 0) for s in partial_sums], rest)
