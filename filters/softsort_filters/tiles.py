"""Images in tiles of one shape, for which a program is compiled once."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_SIDES = 64, 288  # of a tile, with what is around it
_AHEAD = 4  # tiles that are computed before the first is waited for

Place = tuple[slice, slice, slice]


def cut(
    images: Sequence[Float[np.ndarray, "H W c"]], margins: tuple[int, int]
) -> Iterator[tuple[Place, list[Float[Array, "down across 1"]]]]:
    """Cut images that were extended by margins into tiles with margins.

    With each tile comes where in the image it is, without its margins.
    """
    height, width, channels = images[0].shape
    side = _SIDES[0] if max(height, width) <= _SIDES[0] else _SIDES[1]
    height, width = height - 2 * margins[0], width - 2 * margins[1]
    down, across = (max(side, 4 * margin) for margin in margins)
    steps = down - 2 * margins[0], across - 2 * margins[1]
    for channel in range(channels):
        for i in range(0, height, steps[0]):
            for j in range(0, width, steps[1]):
                tiles = [
                    image[i : i + down, j : j + across, channel : channel + 1]
                    for image in images
                ]
                rows, columns = tiles[0].shape[:2]
                rest = [(0, down - rows), (0, across - columns), (0, 0)]
                tiles = [jnp.asarray(np.pad(tile, rest, "edge")) for tile in tiles]
                place = (
                    slice(i, min(i + steps[0], height)),
                    slice(j, min(j + steps[1], width)),
                    slice(channel, channel + 1),
                )
                yield place, tiles


def put_together(
    function: Callable[..., Sequence[Array]],
    images: Sequence[Float[np.ndarray, "H W c"]],
    margins: tuple[int, int],
    results: Sequence[Float[np.ndarray, "h w c"]],
) -> None:
    """Fill arrays by a function of tiles and their channel that leaves out margins."""
    running = deque[tuple[Place, Sequence[Array]]]()

    def take():
        place, computed = running.popleft()
        for result, values in zip(results, computed, strict=True):
            rows, columns, _ = result[place].shape
            result[place] = np.asarray(values)[:rows, :columns]

    for place, tiles in cut(images, margins):
        running.append((place, function(*tiles, place[2].start)))
        if len(running) > _AHEAD:
            take()
    while running:
        take()
