"""The time of ranks against the number of values, softsort's and others'."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.benchmarks.contestants import (
    ARGSORT,
    OTT_RANKS,
    RANKDATA,
    RANKS,
    Contestant,
    SkippedError,
    normal,
)
from tests.benchmarks.report import Skipped, device_text, is_on_gpu
from tests.benchmarks.timing import Call, medians

NAME = "plot of ranks against n"
SIZES = (1_000, 2_000, 5_000, 2**14, 2**16, 2**18, 2**20, 2**22, 2**23)
QUICK_SIZES = (64,)


@dataclass(frozen=True)
class Curve:
    contestant: Contestant
    label: str
    # Okabe and Ito's colours, which the colour-blind can tell; the markers help.
    colour: str
    marker: str
    # Time and memory of ott-jax grow with n².
    largest: int = SIZES[-1]


CURVES = (
    Curve(RANKS, "softsort.ranks", "#D55E00", "o"),
    Curve(ARGSORT, "numpy.argsort", "#0072B2", "s"),
    Curve(RANKDATA, "scipy.stats.rankdata", "#009E73", "^"),
    Curve(OTT_RANKS, "ott-jax ranks", "#555555", "D", largest=5_000),
)
Points: TypeAlias = list[tuple[int, float]]

# Points, and inches.
_FONT_SIZE = 11
_WIDTH, _HEIGHT = 8, 5


def measured_curves(
    sizes: Sequence[int], budget: float
) -> tuple[list[Points], list[Skipped]]:
    """Time all curves at each size in turn; return them and what they lack."""
    curves: list[Points] = [[] for _ in CURVES]
    skipped: list[Skipped] = []
    for n in sizes:
        values = normal((n,))
        calls: list[Call] = []
        timed: list[Points] = []
        for curve, points in zip(CURVES, curves, strict=True):
            if n > curve.largest:
                continue
            try:
                calls += [curve.contestant.prepare(values)]
                timed += [points]
            except SkippedError as error:
                skipped += [Skipped(NAME, f"{curve.label}, n = {n:,}", str(error))]
        for points, seconds in zip(timed, medians(calls, budget), strict=True):
            points += [(n, seconds)]
    return curves, skipped


def draw(curves: Sequence[Points], path: Path) -> None:
    """Write the plot."""
    with mpl.rc_context({"font.size": _FONT_SIZE}):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=150, layout="constrained")
        axes = figure.add_subplot()
        for curve, points in zip(CURVES, curves, strict=True):
            n, seconds = zip(*points, strict=True) if points else ((), ())
            axes.loglog(
                n, seconds, color=curve.colour, marker=curve.marker, linewidth=2
            )
        axes.set_title(f"Time to rank n float32 values: {device_text()}", loc="left")
        axes.set_xlabel("n, number of values")
        axes.set_ylabel("time in seconds")
        axes.grid(color="#dddddd", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        _label(axes, curves)
        figure.savefig(path)


def _label(axes: Axes, curves: Sequence[Points]) -> None:
    """Name each curve at its end, with names at the same n one line apart at least."""
    ends = [
        (seconds, n, curve)
        for curve, points in zip(CURVES, curves, strict=True)
        for n, seconds in points[-1:]
    ]
    low, high = np.log10(axes.get_ylim())
    # What a decade takes on paper, in points, and so do lines of text.
    decade = 72 * _HEIGHT / (high - low)
    lowest: dict[int, float] = {}
    for seconds, n, curve in sorted(ends, key=lambda end: end[0]):
        place = decade * np.log10(seconds)
        lowest[n] = max(place, lowest.get(n, -np.inf) + 1.5 * _FONT_SIZE)
        is_elsewhere = is_on_gpu() and curve.contestant in (ARGSORT, RANKDATA)
        axes.annotate(
            curve.label + (", CPU" if is_elsewhere else ""),
            (n, seconds),
            (10, lowest[n] - place),
            textcoords="offset points",
            color=curve.colour,
            verticalalignment="center",
        )
