"""What a filter will take, told before it starts."""

import math
from collections.abc import Sequence

from softsort_cli import console
from softsort_cli.errors import CommandError

VALUES_A_SECOND = 10**8  # of windows, by a processor or two
TOLD, MOST = 60, 3600  # seconds


def check(source: str, shape: Sequence[int], window: int, times: int = 1) -> float:
    """About how many seconds filtering takes; minutes are told, hours refused."""
    seconds = math.prod(shape) * window * times / VALUES_A_SECOND
    if seconds <= TOLD:
        return seconds
    unit, length = ("hours", 3600) if seconds > MOST else ("minutes", 60)
    takes = f"{window:,} values around each of {math.prod(shape):,} take some "
    takes += f"{math.ceil(seconds / length):,} {unit}"
    if seconds > MOST:
        raise CommandError(
            f"{source}: {takes}; choose a smaller window, or scale the image down"
        )
    console.note(f"note: {source}: {takes}")
    return seconds
