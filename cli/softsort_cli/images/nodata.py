"""Pixels that hold no data: left out of all windows, and kept where they are."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from softsort_cli import console
from softsort_cli.errors import UsageError
from softsort_cli.images.picture import Picture

KEEP, IGNORE = "keep", "ignore"


@dataclass(frozen=True)
class NoData:
    """What the option says."""

    keeps: bool = False
    value: float | None = None  # besides NaN, and what the file says
    is_told: bool = False  # so that nothing need be said of it


def read(text: str | None) -> NoData:
    """What `--nodata keep|ignore|VALUE` says."""
    if text is None or text == IGNORE:
        return NoData(is_told=text is not None)
    if text == KEEP:
        return NoData(keeps=True, is_told=True)
    try:
        return NoData(keeps=True, value=float(text), is_told=True)
    except ValueError:
        raise UsageError(f"--nodata {text!r}: give keep, ignore or a value") from None


def known(picture: Picture, nodata: NoData) -> Callable[[np.ndarray], Any] | None:
    """A function of pixels that tells which of them hold data; None if all do."""
    said = picture.encoding.get("nodata")
    if not nodata.keeps:
        if said is not None and not math.isnan(said) and not nodata.is_told:
            console.note(
                f"note: {picture.source}: it says that {said:g} is no data, which "
                "counts like the rest: --nodata keep leaves it out, --nodata ignore "
                "says that this is meant"
            )
        return None
    values = [each for each in (nodata.value, said) if each is not None]

    def function(pixels: np.ndarray) -> np.ndarray:
        return np.isfinite(pixels) & ~np.isin(pixels, values)

    return function
