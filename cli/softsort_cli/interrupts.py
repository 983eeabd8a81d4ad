"""How a signal ends the command, wherever its main thread is.

Python tells the main thread of a signal, as an exception, when that thread is between
two steps of the interpreter: after a long solve, or never if it waits for what does not
come. So another thread is told of it at once, by a pipe, and ends the process if the
main thread has not done so in a moment. Nor is an exception for what is being imported:
some libraries abort the process at it.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

SIGNALS = "SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"  # that end a command
GRACE = 0.5  # seconds for the main thread to end by itself
CLEANING = 0.25  # seconds for what is done if it does not

ended_by = 0  # the signal that has ended the command
_on_forced_exit: list[Callable[[], Any]] = []
_lock = threading.Lock()


def watch() -> None:
    """Let signals end the process soon; those that are ignored, as by nohup, stay so.

    The main thread gets KeyboardInterrupt or SystemExit, once. A second signal does not
    wait for it.
    """
    # Not all are on all systems.
    every = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    numbers = [each for each in every if signal.getsignal(each) is not signal.SIG_IGN]
    if not numbers:
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_force_exit, args=[reader, numbers], daemon=True).start()
    for number in numbers:
        signal.signal(number, _end_main_thread)
    sys.unraisablehook = _tell_unraisable


def are_watched() -> bool:
    """Whether this process is the command's alone, and ends as `watch` says."""
    return signal.getsignal(signal.SIGTERM) is _end_main_thread


@contextmanager
def on_forced_exit(function: Callable[[], Any]) -> Iterator[None]:
    """Have a function called if the process is ended from outside in this block.

    That is after a signal, if the main thread does not end by itself; so it is called
    on another thread. On the ordinary way out of the block it is not.
    """
    with _lock:
        _on_forced_exit.append(function)
    try:
        yield
    finally:
        _on_forced_exit.remove(function)


@contextmanager
def cleanup(function: Callable[[], Any]) -> Iterator[None]:
    """Have a function called at the end of this block, whatever ends it.

    It must not mind to be called twice, nor on another thread.
    """
    with on_forced_exit(function):
        try:
            yield
        finally:
            function()


def _end_main_thread(number: int, frame: FrameType | None) -> None:
    global ended_by
    if ended_by:
        return  # the main thread is on its way out already
    ended_by = number
    if _imports(frame):
        _end(number)
    # As an exception, so that temporary files are removed on the way out.
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _imports(frame: FrameType | None) -> bool:
    """Whether something is being imported there."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _tell_unraisable(error: Any) -> None:
    """Tell of what could not be raised, but not if that is how the command ends."""
    if not ended_by:
        sys.__unraisablehook__(error)


def _force_exit(reader: int, numbers: list[int]) -> NoReturn:
    number = _next(reader, numbers)
    try:
        _during(GRACE, _next, reader, numbers)
    finally:
        _end(number)


def _end(number: int) -> NoReturn:
    try:
        _during(CLEANING, _clean)
    finally:
        os._exit(128 + number)


def _next(reader: int, numbers: list[int]) -> int:
    """Wait for a signal that ends the command."""
    while (number := os.read(reader, 1)[0]) not in numbers:
        pass
    return number


def _during(seconds: float, function: Callable[..., Any], *arguments: Any) -> None:
    """Call a function, and wait for it no longer than this."""
    thread = threading.Thread(target=function, args=arguments, daemon=True)
    thread.start()
    thread.join(seconds)


def _clean() -> None:
    _lock.acquire()  # for good: nothing is begun any more
    with suppress(OSError), ExitStack() as stack:
        for function in list(_on_forced_exit):
            stack.callback(function)
