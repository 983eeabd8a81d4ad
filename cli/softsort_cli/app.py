"""The command line: its commands, and how any of them can end."""

import difflib
import gc
import importlib
import os
import re
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, NoReturn

import typer
import typer.main
from typer.core import TyperGroup

from softsort_cli import compile_cache, console, interrupts
from softsort_cli.errors import ClosedPipeError, CommandError
from softsort_cli.io import files
from softsort_cli.options.fast_values import Command, Plainly
from softsort_cli.options.help_pages import HelpPage, write_list

HELP = """Soft sorting of tables, soft median filtering of images, learning by ranks.

Epsilon trades exactness for smoothness: as it goes to 0, results tend to the exact
ones, which --hard computes.

Tables are CSV, TSV, PSV, NDJSON, Parquet, Arrow or Excel, from a file or a pipe;
results go to standard output, messages to standard error. Every cell that was there
stays as it is.

Every option can be set by an environment variable: SOFTSORT_EPSILON=0.1 is
--epsilon 0.1.

\b
Exit codes:
  0    done
  1    the data cannot be used, or a file cannot be read or written
  2    the command line is wrong
  3    some of several inputs failed, the others are done
  130  interrupted; 128 and its number for another signal, such as 143 for SIGTERM

\b
Examples:
  softsort rank prices.csv -c price
  softsort denoise photo.png --size 5
"""

# What each command does, as the first line of its own help says. A command is imported
# when it is asked for: --help and completion need not wait for all of them.
COMMANDS = {
    "rank": "Append the soft rank of each value as {column}_rank.",
    "sort": "Append each column softly sorted as {column}_sorted.",
    "topk": "Write the K largest soft values of each column.",
    "quantile": "Write soft quantiles of each column.",
    "normalize": "Give each column another distribution, in the same order.",
    "quantize": "Draw the values of each column to a few levels.",
    "sweep": "Sort and rank each column at many epsilons.",
    "denoise": "Take noise out of images with a soft median filter.",
    "learn-filter": "Learn a filter from noisy images, for denoise --filter.",
    "noise": "Spoil an image with noise, to try denoise on.",
    "compare": "Show what filters make of noise, in one picture and one table.",
    "train": "Train a small network to classify images, by the soft 0/1 loss or "
    "cross-entropy.",
    "predict": "Classify images by a network that was trained by softsort train.",
    "info": "Show versions, devices, folders and a numerical self-check.",
}


class Commands(HelpPage, Plainly, TyperGroup):
    """The commands by name."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = dict.fromkeys(COMMANDS)  # pyright: ignore

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """The command of this name, imported now; None if there is no such."""
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        module = importlib.import_module(f"softsort_cli.commands.{name}")
        single = typer.Typer(rich_markup_mode=None, add_completion=False)
        single.command(cmd_name, cls=Command)(getattr(module, name))
        command = typer.main.get_command(single)
        for parameter in command.params:
            # By default a variable would be split at spaces, which names may have.
            parameter.envvar_list_splitter = "\n"  # pyright: ignore
        return command

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, and what each command does."""
        super().format_options(ctx, formatter)
        write_list(formatter, "Commands", list(COMMANDS.items()))


app = typer.Typer(
    cls=Commands,
    help=HELP,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(_: Any) -> str:
    from importlib.metadata import version

    return f"softsort {version('softsort-cli')}"


def _manual(context: Any) -> str:
    from softsort_cli import manual

    return manual.page(context.command, context)


def _instead(name: str, text: Callable[[Any], str], about: str) -> Any:
    """Declare an option that shows a text instead of running a command."""

    def show(context: typer.Context, value: bool) -> None:
        if value:
            typer.echo(text(context))
            raise typer.Exit

    return typer.Option(
        name, callback=show, is_eager=True, expose_value=False, help=about
    )


@app.callback()
def _softsort(
    version: Annotated[
        bool, _instead("--version", _version, "Show the version.")
    ] = False,
    manual: Annotated[
        bool,
        _instead(
            "--man", _manual, "Show the manual page, for `softsort --man | man -l -`."
        ),
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """Run the command line, and end with its exit code."""
    interrupts.watch()
    encoding = "utf-8" if sys.stderr is None else sys.stderr.encoding
    if sys.stderr is None:
        # It is closed: what is said would be printed on standard output instead, and
        # the next file that is opened would take its place for what libraries say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    # What is told goes on where libraries, which write to descriptor 2, are silenced.
    sys.stderr = os.fdopen(
        os.dup(2), "w", buffering=1, encoding=encoding, errors="backslashreplace"
    )
    # Imports and tracing make many objects that stay: looking through them for
    # garbage all the time would cost a tenth of a short command.
    gc.set_threshold(100_000)
    # Threads that read or write the next piece of a file work outside the interpreter
    # for the most part: they need not wait long to get into it between.
    sys.setswitchinterval(5e-4)
    # Systems are many and small, and solved one after another: threads that wait for
    # one another in each took five times as long. numpy reads this when it is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # An error of polars that is none of its own takes one line, not a hundred.
    os.environ.setdefault("RUST_BACKTRACE", "0")
    try:
        code = _flushed(run())
    except KeyboardInterrupt:
        code = 130
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    # Taking the interpreter, jax and its threads down in order would cost a fifth of
    # a short command, and wait for what threads still do that nobody needs any more;
    # everything written is closed by now.
    os._exit(128 + interrupts.ended_by if interrupts.ended_by else code)


def _flushed(code: int) -> int:
    """The exit code, once all that was written is gone where it goes."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        files.discard_stdout()
        if not isinstance(error, BrokenPipeError):
            code = _fail(f"cannot write standard output: {error.strerror}")
    with suppress(OSError):  # as in `console`
        sys.stderr.flush()
    compile_cache.seal()
    return code


def run(arguments: list[str] | None = None) -> int:
    """Run the command line and say in one line what went wrong, if anything."""
    try:
        return app(arguments, prog_name="softsort", standalone_mode=False) or 0
    except typer.TyperException as error:
        return _refuse(error)
    except CommandError as error:
        return _fail(str(error), error.exit_code)
    except (ClosedPipeError, BrokenPipeError):
        files.discard_stdout()
        return 0
    except SystemExit as error:
        # Typer's way out when --help meets a closed pipe.
        if isinstance(error.__context__, BrokenPipeError):
            files.discard_stdout()
            return 0
        raise
    except KeyboardInterrupt:
        return 130
    except MemoryError:
        return _fail("not enough memory")
    except BaseException as error:  # panics of polars are no Exceptions
        known = isinstance(error, ValueError) and type(error).__module__ != "builtins"
        what = "" if known else f"{type(error).__name__}: "
        return _fail(what + str(error))


def _fail(message: str, code: int = 1) -> int:
    if interrupts.ended_by:
        # A library that was interrupted may make another error of it.
        return 128 + interrupts.ended_by
    if console.verbose:
        with suppress(OSError):
            traceback.print_exc()
    console.error(message)
    return code


def _refuse(error: typer.TyperException) -> int:
    """Say in one line what is wrong with the command line."""
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        with suppress(OSError):
            # Without colours where stderr is no terminal.
            typer.echo(message, err=True)
        return error.exit_code
    # That is pydantic's, and says nothing.
    message = message.replace("Value error, ", "").rstrip(".")
    if wrong := re.search(r"'(\w+)' is not one of (.*)", message):
        near = difflib.get_close_matches(wrong[1], re.findall(r"\w+", wrong[2]), n=1)
        message += f"; did you mean {near[0]!r}?" if near else ""
    where = context.command_path if context else "softsort"
    return _fail(f"{message}; see `{where} --help`", error.exit_code)
