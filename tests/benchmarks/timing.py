"""The one way to time: the same load for all, and the median."""

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import TypeAlias

Call: TypeAlias = Callable[[], object]

# A call that takes longer than this many seconds is timed once.
SLOW = 10.0
_FEWEST, _MOST = 3, 25


def medians(calls: Sequence[Call], budget: float) -> list[float]:
    """Return the median time of each call, in seconds.

    The calls must be compiled and warm. They take turns, so that whatever else the
    machine does meets all of them; each has about `budget` seconds in all, and is
    called three times at least, or once if that takes long.
    """
    times = [[_seconds(call)] for call in calls]
    counts = [_repetitions(first, budget) for (first,) in times]
    for done in range(1, max(counts)):
        for call, count, taken in zip(calls, counts, times, strict=True):
            if done < count:
                taken.append(_seconds(call))
    return [median(taken) for taken in times]


def _repetitions(first: float, budget: float) -> int:
    if first > SLOW:
        return 1
    return min(max(round(budget / first), _FEWEST), _MOST)


def _seconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
