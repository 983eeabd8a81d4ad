"""Channels, opacity and what is not there: images apart, and put together again.

Arrays are of `xp`, NumPy or its like, where that is asked for.
"""

from typing import Any

import numpy as np
from jaxtyping import Array

from softsort_core import SoftSortError

MIDDLE = 512  # sides of what is enough to tell the noise


def middle_of(image: Any) -> Any:
    """The middle of an image, all of one that is small."""
    rows, columns = (
        slice(max(side - MIDDLE, 0) // 2, max(side - MIDDLE, 0) // 2 + MIDDLE)
        for side in image.shape[:2]
    )
    return image[rows, columns]


def check_alpha(pixels: Array, alpha: bool) -> None:
    """Refuse an image that has no channel beside that of opacity."""
    if alpha and (pixels.ndim < 3 or pixels.shape[2] < 2):
        raise SoftSortError(
            f"alpha: image has shape {pixels.shape}: give channels, the last of opacity"
        )


def split(image: Any, alpha: bool, xp: Any) -> tuple[Any, Any]:
    """Values, and how much they count: by opacity, and only where they are finite.

    Both have channels.
    """
    pixels = image.reshape(*image.shape[:2], -1)
    weight = xp.ones_like(pixels)
    if alpha:
        pixels, opacity = pixels[..., :-1], pixels[..., -1:]
        most = xp.max(opacity)
        weight = xp.broadcast_to(opacity / xp.where(most > 0, most, 1), pixels.shape)
    return pixels, xp.where(xp.isfinite(pixels), weight, 0)


def restored(result: Any, counts: Any, image: Any, xp: Any, alpha: bool) -> Any:
    """Results in the shape of the image, and where nothing counts what was there."""
    pixels = image.reshape(*image.shape[:2], -1)
    result = xp.where(counts > 0, result, pixels[..., :-1] if alpha else pixels)
    result = xp.where(xp.isfinite(result), result, np.nan)
    if alpha:
        result = xp.concatenate([result, pixels[..., -1:]], axis=-1)
    return result.reshape(image.shape)
