"""What is measured, one line of the table each, and the bar its ratio should keep."""

from dataclasses import dataclass, replace
from typing import TypeAlias

from tests.benchmarks.cluster import CLUSTERS, Images, Moved
from tests.benchmarks.commands import COMMANDS, Commands
from tests.benchmarks.contestants import (
    ARGSORT,
    GRADIENT,
    MEDIAN,
    OTT_MEDIAN,
    OTT_RANKS,
    OTT_TOP,
    RANKDATA,
    RANKS,
    SORT,
    TOP,
    Contestant,
    SkippedError,
    normal,
)
from tests.benchmarks.first import FIRST, First
from tests.benchmarks.images import (
    IMAGES,
    Filter,
    Flight,
    Folder,
    Generic,
    Photograph,
)
from tests.benchmarks.learning import (
    CLASSES,
    CROSS_STEP,
    LOSS,
    OTT_LOSS,
    OTT_STEP,
    STEP,
)
from tests.benchmarks.losses import TRAINED, Trained
from tests.benchmarks.memory import available_memory, measured_peak
from tests.benchmarks.report import Row
from tests.benchmarks.text import bytes_text, seconds_text, shape_text
from tests.benchmarks.timing import medians


@dataclass(frozen=True)
class Race:
    """The times of two contestants on the same kind of values.

    Attributes:
        their_shape: where theirs is not the same as ours.
        memory: bytes that the larger of them takes.
        budget: seconds for the calls of each.
    """

    ours: Contestant
    theirs: Contestant
    shape: tuple[int, ...]
    bar: float
    their_shape: tuple[int, ...] | None = None
    memory: int = 0
    budget: float = 5.0

    @property
    def what(self) -> str:
        return f"{self.ours.name}, {shape_text(self.shape)}"

    @property
    def beside(self) -> str:
        name, shape = self.theirs.name, self.their_shape
        return name if shape is None else f"{name}, {shape_text(shape)}"

    def quick(self) -> "Race":
        their_shape = None if self.their_shape is None else _few(self.their_shape)
        return replace(
            self, shape=_few(self.shape), their_shape=their_shape, memory=0, budget=0.2
        )

    def measure(self) -> Row:
        _require(self.memory)
        calls = [
            self.ours.prepare(normal(self.shape)),
            self.theirs.prepare(normal(self.their_shape or self.shape)),
        ]
        ours, theirs = medians(calls, self.budget)
        times = seconds_text(ours), seconds_text(theirs)
        return Row(self.what, self.beside, *times, ours / theirs, self.bar)


@dataclass(frozen=True)
class Peak:
    """The peak memory of ranks beside the size of its input, which it includes."""

    n: int
    bar: float

    @property
    def what(self) -> str:
        return f"peak memory of ranks, {shape_text((self.n,))}"

    @property
    def beside(self) -> str:
        return "size of the input"

    def quick(self) -> "Peak":
        return replace(self, n=_few((self.n,))[0])

    def measure(self) -> Row:
        size = 4 * self.n
        # Enough to find out that the bar is not kept.
        _require(int(3 * self.bar * size))
        peak = measured_peak(self.n)
        sizes = bytes_text(peak), bytes_text(size)
        return Row(self.what, self.beside, *sizes, peak / size, self.bar)


def _few(shape: tuple[int, ...]) -> tuple[int, ...]:
    return max(shape[0] >> 8, 64), *shape[1:]


def _require(memory: int) -> None:
    free = available_memory()
    if free is not None and free < memory:
        raise SkippedError(
            f"It takes {bytes_text(memory)} of memory, and {bytes_text(free)} is free."
        )


Line: TypeAlias = (
    Race
    | Peak
    | First
    | Trained
    | Commands
    | Images
    | Moved
    | Filter
    | Generic
    | Photograph
    | Folder
    | Flight
)

# Images of the size of scikit-learn's digits, and of MNIST's.
_DIGITS, _MNIST = (1_000, 8, 8), (1_000, 28, 28)

LINES: tuple[Line, ...] = (
    Race(RANKS, ARGSORT, (2**20,), bar=0.8),
    Race(RANKS, ARGSORT, (2**23,), bar=0.25),
    Race(RANKS, RANKDATA, (2**20,), bar=0.06),
    Race(RANKS, RANKDATA, (2**23,), bar=0.06),
    Race(SORT, ARGSORT, (2**23,), bar=0.35),
    Race(MEDIAN, OTT_MEDIAN, (10**6,), bar=0.1),
    Race(TOP, OTT_TOP, (10**6,), bar=0.1),
    # ott-jax holds several matrices of n² entries.
    Race(RANKS, OTT_RANKS, (10_000,), bar=0.001, memory=24 * 10_000**2),
    Race(RANKS, OTT_RANKS, (10_000, 10), bar=0.05),
    Race(RANKS, OTT_RANKS, (1_000, 100), bar=0.05),
    Race(GRADIENT, RANKS, (2**20,), bar=4),
    Race(RANKS, RANKS, (2**24,), bar=16, their_shape=(2**20,)),
    Peak(10**8, bar=3),
    Race(STEP, CROSS_STEP, _DIGITS, bar=1.15),
    Race(STEP, CROSS_STEP, _MNIST, bar=1.15),
    Race(LOSS, OTT_LOSS, (1_000, CLASSES), bar=0.1),
    # The network alone is more than a tenth of these.
    Race(STEP, OTT_STEP, _DIGITS, bar=0.1),
    Race(STEP, OTT_STEP, _MNIST, bar=0.1),
    *TRAINED,
    *FIRST,
    *COMMANDS,
    *CLUSTERS,
    *IMAGES,
)
