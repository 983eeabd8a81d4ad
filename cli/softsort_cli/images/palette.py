"""Pixels as places in a palette, and the part of a frame that changes."""

import numpy as np

from softsort_cli.images.picture import blocks

WITH_OPACITY = 2, 4  # channels


def places(frame: np.ndarray, colours: np.ndarray) -> np.ndarray | None:
    """Where the colour of each pixel is in a palette; None if one is nowhere.

    Colours are of shape (n, channels). Where opacity is none, any such colour will do.
    """
    pixels = frame.reshape(*frame.shape[:2], -1)
    if not len(colours) or pixels.shape[2:] != colours.shape[1:]:
        return None
    invisible = np.empty(0, np.intp)
    if colours.shape[1] in WITH_OPACITY:
        invisible = np.flatnonzero(colours[:, -1] == 0)
    known, first = np.unique(_keys(colours), return_index=True)
    result = np.empty(pixels.shape[:2], np.min_scalar_type(len(colours) - 1))
    for rows in blocks(pixels):
        keys = _keys(pixels[rows])
        nearest = np.searchsorted(known, keys).clip(max=len(known) - 1)
        place, missing = first[nearest], known[nearest] != keys
        if invisible.size:
            gone = missing & (pixels[rows][..., -1] == 0)
            place[gone], missing[gone] = invisible[0], False
        if missing.any():
            return None
        result[rows] = place
    return result


def _keys(colours: np.ndarray) -> np.ndarray:
    """Colours of up to 16 bits a channel as one number each."""
    keys = np.zeros(colours.shape[:-1], np.uint64)
    for channel in np.moveaxis(colours, -1, 0):
        keys = keys << np.uint64(16) | channel
    return keys


def box(where: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns in which something is; the first ones if nothing is."""
    sides = []
    for axis in (1, 0):
        used = np.flatnonzero(where.any(axis=axis))
        sides.append(slice(used[0], used[-1] + 1) if used.size else slice(0, 1))
    down, across = sides
    return down, across
