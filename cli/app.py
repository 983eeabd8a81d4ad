"""The command line: its commands, and how any of them can end."""

import gc
import os
import signal
import sys
import traceback
from typing import Annotated, NoReturn

import typer

from cli import console, files
from cli.compare import compare
from cli.denoise import denoise
from cli.errors import ClosedPipeError, CommandError
from cli.info import info
from cli.noise import noise
from cli.normalize import normalize
from cli.predict import predict
from cli.quantile import quantile
from cli.quantize import quantize
from cli.rank import rank
from cli.sort import sort
from cli.sweep import sweep
from cli.topk import topk
from cli.train import train

HELP = """Soft sorting of tables, soft median filtering of images, learning by ranks.

Epsilon trades exactness for smoothness: as it goes to 0, results tend to the exact
ones, which --hard computes.

Tables are CSV, TSV, PSV, NDJSON, Parquet or Arrow, from a file or a pipe; results go to
standard output, messages to standard error. Every cell that was there stays as it is.

Every option can be set by an environment variable: SOFTSORT_EPSILON=0.1 is
--epsilon 0.1.

\b
Exit codes:
  0    done
  1    the data cannot be used, or a file cannot be read or written
  2    the command line is wrong
  3    some of several inputs failed, the others are done
  130  interrupted

\b
Examples:
  softsort rank prices.csv -c price
  softsort denoise photo.png --size 5
"""

# Without rich, --help takes half the time.
app = typer.Typer(
    help=HELP,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for function in (
    rank,
    sort,
    topk,
    quantile,
    normalize,
    quantize,
    sweep,
    denoise,
    noise,
    compare,
    train,
    predict,
    info,
):
    app.command()(function)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"softsort {version('softsort-cli')}")
        raise typer.Exit


def _show_manual(ctx: typer.Context, value: bool) -> None:
    if value:
        from cli import man

        typer.echo(man.page(ctx.command, ctx))
        raise typer.Exit


@app.callback()
def _softsort(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            expose_value=False,
            help="Show the version.",
        ),
    ] = False,
    manual: Annotated[
        bool,
        typer.Option(
            "--man",
            callback=_show_manual,
            is_eager=True,
            expose_value=False,
            help="Show the manual page, for `softsort --man | man -l -`.",
        ),
    ] = False,
) -> None:
    pass


def main() -> NoReturn:
    """Run the command line, and end with its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    # Imports and tracing make many objects that stay: looking through them for
    # garbage all the time would cost a tenth of a short command.
    gc.set_threshold(100_000)
    code = run()
    try:
        sys.stdout.flush()
    except OSError as error:
        files.discard_stdout()
        if not isinstance(error, BrokenPipeError):
            code = _fail(f"cannot write standard output: {error.strerror}")
    sys.stderr.flush()
    # Taking the interpreter, jax and its threads down in order would cost a fifth of
    # a short command; everything written is closed by now.
    os._exit(code)


def _terminate(*_: object) -> NoReturn:
    # As an exception, so that temporary files are removed on the way out.
    sys.exit(128 + signal.SIGTERM)


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
    except Exception as error:
        known = isinstance(error, ValueError) and type(error).__module__ != "builtins"
        what = "" if known else f"{type(error).__name__}: "
        return _fail(what + str(error))


def _fail(message: str, code: int = 1) -> int:
    if console.verbose:
        traceback.print_exc()
    console.error(message)
    return code


def _refuse(error: typer.TyperException) -> int:
    """Say in one line what is wrong with the command line."""
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        print(message, file=sys.stderr)
        return error.exit_code
    where = context.command_path if context else "softsort"
    return _fail(f"{message.rstrip('.')}; see `{where} --help`", error.exit_code)
