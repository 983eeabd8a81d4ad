"""Work on the next pieces of a file on other threads while this one uses the last."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

Piece = TypeVar("Piece")
Made = TypeVar("Made")

BRIEFLY = 0.1  # seconds
MOST = 4  # pieces in work: each takes some of the memory that is to be bounded


def each(function: Callable[[Piece], Made], pieces: Iterable[Piece]) -> Iterator[Made]:
    """What `function` makes of each piece, in their order.

    Pieces are taken on the thread that asks for results.
    """
    # One more than there are cores, for they wait for one another now and then.
    workers = min(MOST, (os.cpu_count() or 1) + 1)
    pool = ThreadPoolExecutor(workers)
    begun: deque[Future[Made]] = deque()
    try:
        for piece in pieces:
            begun.append(pool.submit(function, piece))
            # One more than there are workers: none waits while a result is used.
            if len(begun) > workers:
                yield awaited(begun.popleft())
        while begun:
            yield awaited(begun.popleft())
    finally:
        # Whoever leaves early, as at an interrupt, does not wait for what is in work.
        pool.shutdown(wait=False, cancel_futures=True)


def awaited(begun: Future[Made]) -> Made:
    """The result of what is done on another thread; an interrupt ends the wait."""
    # Polars lets system calls go on after an interrupt: one without an end would never
    # notice it.
    while not wait([begun], BRIEFLY).done:
        pass
    return begun.result()
