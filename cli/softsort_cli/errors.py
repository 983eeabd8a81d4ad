"""The ways in which a command refuses, and exit codes; those of signals are 128 on."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

SOME_FAILED = 3  # the other inputs are done


class CommandError(Exception):
    """Data, a file or a device that the command cannot work with."""

    exit_code = 1


class UsageError(CommandError):
    """A command line that cannot be carried out as written."""

    exit_code = 2


class ClosedPipeError(Exception):
    """The reader of standard output has gone: the command ends, and quietly.

    Not an OSError, because Typer turns those into exit code 1.
    """


def need_libraries(
    *names: str, who: str = "this", extra: str = "learn", error: Any = CommandError
) -> None:
    """Refuse to go on without these libraries of an extra, which somebody needs."""
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise error(
            f"{who} needs {' and '.join(missing)}: pip install 'softsort-cli[{extra}]'"
        )


@contextmanager
def damage_told(failure: str, *others: type[Exception]) -> Iterator[None]:
    """Make any error of a library one of the command, but for these others.

    A broken file can break what reads it, and what is made of it what writes, anywhere.
    """
    try:
        yield
    except (CommandError, MemoryError, *others):
        raise
    except Exception as error:
        raise CommandError(f"{failure}: {error}") from error


@contextmanager
def reported(failure: str) -> Iterator[None]:
    """Make an error of the operating system one of the command, with its reason."""
    try:
        yield
    except OSError as error:
        raise CommandError(f"{failure}: {error.strerror}") from error
