"""Colours count by their opacity, so that what cannot be seen adds nothing.

The filters weight colours by it, which asks for colours that are not multiplied by it.
Opacity stays as it is.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from softsort_cli.errors import CommandError
from softsort_cli.images.picture import Picture, floats_of, to_unit

# Which of the pixels of a frame hold data; None if all do.
Known: TypeAlias = "Callable[[np.ndarray], Any] | None"


class FrameRows:
    """The rows of a frame as they are to be filtered, made when they are asked for."""

    def __init__(
        self,
        frame: np.ndarray,
        picture: Picture,
        dtype: str,
        *,
        multiplies: bool = False,
        known: Known = None,
    ) -> None:
        self.frame, self.dtype, self.source = frame, dtype, picture.source
        self.shape, self.alpha = frame.shape, picture.alpha
        self.premultiplied, self.multiplies = picture.premultiplied, multiplies
        self._known = known
        # In memory are all frames, and what becomes of them.
        self.held = 2 * sum(each.nbytes for each in picture.frames)

    def __getitem__(self, rows: slice) -> np.ndarray:
        values = to_unit(self.frame[rows], self.dtype)
        if self.premultiplied:
            opacity = values[..., -1:]
            values[..., :-1] /= np.where(opacity == 0, 1, opacity)
        return values

    def known(self, rows: slice) -> np.ndarray | None:
        """Which values there are; None if all."""
        return None if self._known is None else self._known(self.frame[rows])

    def stored(self, filtered: np.ndarray, rows: slice) -> np.ndarray:
        """Filtered rows as they are written: multiplied by opacity, if that is so."""
        if not self.multiplies:
            return filtered
        values = to_unit(self.frame[rows], self.dtype)
        invisible = values[..., -1:] == 0
        multiplied = filtered[..., :-1] * values[..., -1:]
        values[..., :-1] = np.where(invisible, values[..., :-1], multiplied)
        return values


def colours(picture: Picture, *, finite: bool = True) -> list[np.ndarray]:
    """Frames from 0 to 1, or floats as they are, without opacity.

    Floats of no value are refused, if all have to be `finite`.
    """
    dtype = floats_of(picture, finite=finite)
    values = [FrameRows(frame, picture, dtype)[:] for frame in picture.frames]
    return [each[..., :-1] if picture.alpha else each for each in values]


class VolumeRows:
    """The frames of a picture as one volume, to be filtered through them all."""

    def __init__(self, frames: Sequence[FrameRows]) -> None:
        first = frames[0]
        self.frames, self.shape = frames, (len(frames), *first.shape)
        self.dtype, self.source, self.alpha = first.dtype, first.source, first.alpha
        self.held = first.held
        if self.alpha or any(each.shape != first.shape for each in frames):
            raise CommandError(
                f"{self.source}: windows of several pages need pages of one size, "
                "without opacity: give a --size of two sides"
            )

    def __getitem__(self, pages: slice) -> np.ndarray:
        return np.stack([each[:] for each in self.frames[pages]])

    def known(self, pages: slice) -> None:
        """All values are there."""


def multiplied(values: np.ndarray) -> np.ndarray:
    """Colours multiplied by their opacity."""
    opacity = values[..., -1:]
    return np.concatenate([values[..., :-1] * opacity, opacity], axis=-1)
