"""The memory of images in work, so that no batch is killed for some of its images.

Each says what it needs before it is decoded. It waits for others, or is refused.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from softsort_cli.errors import CommandError
from softsort_cli.work import engine

# How often pixels are there: decoded, read, filtered and encoded; and surely.
COPIES, SURELY = 4, 2
# Where Linux says what a container may take, by two versions of what holds it.
LIMITS = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"


class _Share(threading.local):
    """What the image in work in a thread holds, and all of them may."""

    held = most = 0


class _Total:
    """What all images in work hold."""

    def __init__(self) -> None:
        self.held, self.changed = 0, threading.Condition()


_mine, _all = _Share(), _Total()


@contextmanager
def shared(most: int) -> Iterator[None]:
    """Have the image of this thread hold no more than `most` together with others.

    One that needs more is alone.
    """
    _mine.most = most
    try:
        yield
    finally:
        _hold(0)
        _mine.most = 0


def claim(source: str, size: int) -> None:
    """Wait for memory for pixels of so many bytes; refuse what there never will be."""
    if SURELY * size > _there_is():
        raise CommandError(
            f"{source} has pixels of {size} bytes, more than there is memory for; cut "
            "it into pieces, or scale it down"
        )
    _hold(min(COPIES * size, _mine.most))


def _hold(wanted: int) -> None:
    with _all.changed:
        _all.held -= _mine.held
        _mine.held = 0
        _all.changed.notify_all()
        while wanted and _all.held + wanted > _mine.most:
            _all.changed.wait(timeout=1)
            engine.check_wanted()
        _all.held += wanted
        _mine.held = wanted


def _there_is() -> float:
    """The bytes of memory of this machine, or that a container may take of it."""
    sizes = [float("inf")]
    with suppress(AttributeError, OSError, ValueError):  # not so on every system
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for limit in map(Path, LIMITS):
        with suppress(OSError, ValueError):
            sizes.append(int(limit.read_text()))
    return min(sizes)
