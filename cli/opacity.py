"""Colours count by their opacity, so that what cannot be seen adds nothing.

The premultiplied colours are filtered, and divided by the opacity filtered likewise.
Opacity stays as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli import images

if TYPE_CHECKING:
    import numpy as np


class Seen:
    """The rows of a frame as they are to be filtered, made when they are asked for."""

    def __init__(self, frame: np.ndarray, picture: images.Picture, dtype: str) -> None:
        self.frame, self.picture, self.dtype = frame, picture, dtype
        self.shape = frame.shape

    def __getitem__(self, rows: slice) -> np.ndarray:
        import numpy as np

        values = images.to_unit(self.frame[rows], self.dtype)
        if not self.picture.alpha or self.picture.premultiplied:
            return values
        opacity = values[..., -1:]
        return np.concatenate([values[..., :-1] * opacity, opacity], axis=-1)

    def visible(self, filtered: np.ndarray, rows: slice) -> np.ndarray:
        """The picture of which these rows were filtered."""
        import numpy as np

        if not self.picture.alpha:
            return filtered
        values = images.to_unit(self.frame[rows], self.dtype)
        colours, opacity = values[..., :-1], values[..., -1:]
        around = filtered[..., -1:]
        with np.errstate(divide="ignore", invalid="ignore"):
            shown = filtered[..., :-1] / around
            shown = shown * opacity if self.picture.premultiplied else shown
        return np.concatenate([np.where(around == 0, colours, shown), opacity], axis=-1)
