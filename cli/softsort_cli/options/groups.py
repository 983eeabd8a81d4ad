"""The options that commands share, declared once.

A command takes whole groups of them, as in `def rank(solver: Solver, table: Reading)`;
`command` shows Typer the fields of each group as single options.
"""

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from softsort_cli import console
from softsort_cli.options import completion

AUTO = 0.0  # the epsilon that stands for the choice of one
MOST = 10_000_000  # values, or pixels of a window, that an option can ask for
KEYWORD = inspect.Parameter.KEYWORD_ONLY


def option(*names: str, **settings: Any) -> Any:
    """Declare an option that can also come from SOFTSORT_<ITS LONG NAME>."""
    long = next((name for name in names if name.startswith("--")), names[0])
    envvar = "SOFTSORT_" + long.strip("-").replace("-", "_").upper()
    return typer.Option(*names, envvar=envvar, show_envvar=False, **settings)


def positive(value: float | None) -> float | None:
    """Refuse an option that is given and is not a positive number."""
    if value is not None and not 0 < value < math.inf:
        raise typer.BadParameter(f"{value} is not a positive number, such as 0.01.")
    return value


def bytes_of(size: str) -> int:
    """How many bytes 256MiB, 2G and the like are: without the i, by thousands."""
    found = re.fullmatch(
        r"(\d+\.?\d*|\.\d+)\s*(?:([kmgt])(i?))?b?",
        size.strip(),
        re.ASCII | re.IGNORECASE,
    )
    count = 0.0
    if found:
        base = 1024 if found[3] else 1000
        count = float(found[1]) * base ** " kmgt".index((found[2] or " ").lower())
    if not 1 <= count < math.inf:
        raise typer.BadParameter(
            f"{size!r} is not a size, such as 256MiB, 2GB, 1.5G or 1000000."
        )
    return round(count)


def _size(value: str | None) -> str | None:
    if value is not None:
        bytes_of(value)
    return value


def memory(what: str, **settings: Any) -> Any:
    """Declare --max-memory, and say what of it."""
    units = "k, M, G, T stand for 1000 and its powers, Ki, Mi, Gi, Ti for those of 1024"
    return option(
        "--max-memory",
        metavar="SIZE",
        callback=_size,
        help=f"{what} As in 256MiB or 2G: {units}.",
        **settings,
    )


def _quiet(value: bool) -> bool:
    console.quiet = value
    return value


def _verbose(value: bool) -> bool:
    console.verbose = value
    return value


Table = Annotated[
    Path | None,
    typer.Argument(
        metavar="FILE",
        help="CSV, TSV, PSV, NDJSON, Parquet or Arrow, and .gz and .zst of them; - or "
        "nothing for standard input.",
    ),
]
Tables = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="FILES",
        help="CSV, TSV, PSV, NDJSON, Parquet or Arrow, and .gz and .zst of them; - or "
        "nothing for standard input. Several, or a quoted pattern, are parts of one "
        "table.",
    ),
]
Plot = Annotated[
    Path | None,
    option(
        "--plot",
        metavar="FILE",
        help="Draw soft against exact results too: .png, .svg or .pdf.",
    ),
]
QUIET_HELP = "Say nothing on stderr but errors."


@dataclass(frozen=True)
class Talk:
    """How much the command says on stderr."""

    quiet: Annotated[
        bool, option("--quiet", "-q", callback=_quiet, is_eager=True, help=QUIET_HELP)
    ] = False
    verbose: Annotated[
        bool,
        option(
            "--verbose",
            "-v",
            callback=_verbose,
            is_eager=True,
            help="Show warnings of libraries, and tracebacks of errors.",
        ),
    ] = False


@dataclass(frozen=True)
class TalkWithoutQ(Talk):
    """The same for a command where -q means something else."""

    quiet: Annotated[
        bool, option("--quiet", callback=_quiet, is_eager=True, help=QUIET_HELP)
    ] = False


@dataclass(frozen=True)
class Softness:
    """How soft."""

    epsilon: Annotated[
        float,
        option(
            "--epsilon",
            "-e",
            callback=positive,
            help="Softness: smaller is closer to the exact result, larger is smoother.",
        ),
    ] = 0.01
    squash: Annotated[
        Literal["sigmoid", "none"],
        option(
            "--squash",
            help="Map values into (0, 1) by a sigmoid after whitening, or take them "
            "as they are.",
        ),
    ] = "sigmoid"
    hard: Annotated[
        bool,
        option(
            "--hard",
            help="The exact operator, for comparison; epsilon, squash and device play "
            "no part.",
        ),
    ] = False


def _epsilon_or_auto(text: Any) -> float:
    if text == "auto":
        return AUTO
    try:
        value = float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a number nor auto.") from None
    positive(value)
    return value


@dataclass(frozen=True)
class Place:
    """Where it is computed."""

    device: Annotated[
        Literal["auto", "cpu", "gpu", "tpu"],
        option("--device", help="Where to compute."),
    ] = "auto"


@dataclass(frozen=True)
class Device(Place):
    """Where it is computed, and how finely."""

    precision: Annotated[
        Literal["32", "64"] | None,
        option(
            "--precision",
            show_default="64 for tables, 32 for images",
            help="Bits of the floating-point numbers.",
        ),
    ] = None


@dataclass(frozen=True)
class Solver(Device, Softness):
    """How soft, and where it is computed."""

    cluster: Annotated[
        str | None,
        option(
            "--cluster",
            metavar="ADDRESS|FILE|local[:N]",
            show_default="this process",
            help="Compute on a cluster of Dask: the tcp:// or tls:// address of its "
            "scheduler, or its scheduler file, or N processes on this machine.",
        ),
    ] = None


@dataclass(frozen=True)
class ImageSolver(Solver):
    """The same for images, whose noise can tell how soft."""

    epsilon: Annotated[
        float,
        option(
            "--epsilon",
            "-e",
            metavar="NUMBER|auto",
            parser=_epsilon_or_auto,
            help="Softness: smaller is closer to the exact result, larger is smoother; "
            "auto chooses for each image, and says what.",
        ),
    ] = 0.01


@dataclass(frozen=True)
class Reading:
    """How a table is read."""

    columns: Annotated[
        list[str] | None,
        option(
            "--columns",
            "-c",
            autocompletion=completion.columns,
            metavar="COLUMNS",
            show_default="every numeric column",
            help="Names, numbers from 1, ranges 2-4 or 3-, /regex/, !excluded; "
            "separated by commas or repeated. An exact name wins.",
        ),
    ] = None
    delimiter: Annotated[
        str | None,
        option(
            "--delimiter",
            "-d",
            metavar="CHAR",
            show_default="by extension, else ,",
            help="What separates cells; `tab` for a tab.",
        ),
    ] = None
    no_headers: Annotated[
        bool,
        option("--no-headers", "-n", help="The first row holds data; write no header."),
    ] = False
    comment: Annotated[
        str | None,
        option(
            "--comment",
            metavar="PREFIX",
            help="Lines that begin with this hold no data; where the table is written "
            "again, they stay where they are.",
        ),
    ] = None
    form: Annotated[
        Literal["csv", "tsv", "psv", "ndjson", "parquet", "arrow"] | None,
        option(
            "--format",
            show_default="by extension, else CSV in, and out as it came",
            help="The format of standard input and output, and of files whose names do "
            "not tell.",
        ),
    ] = None
    encoding: Annotated[
        str | None,
        option(
            "--encoding",
            metavar="NAME",
            show_default="utf-8",
            help="Of the text that is read; the table is written in it again.",
        ),
    ] = None
    by: Annotated[
        list[str] | None,
        option(
            "--by",
            metavar="COLUMN",
            autocompletion=completion.columns,
            help="Take each group of rows with the same cell here on its own; "
            "repeatable. Rows without a cell are a group.",
        ),
    ] = None
    on_invalid: Annotated[
        Literal["error", "null", "skip"],
        option(
            "--on-invalid",
            help="A cell that is neither number nor empty, NA, NaN: fail, treat it as "
            "empty, or leave its row out.",
        ),
    ] = "error"
    max_memory: Annotated[
        str | None,
        memory(
            "What the numbers may take. Beyond it, the file is read more often "
            "instead, if the command can.",
            show_default="no limit",
        ),
    ] = None

    def allowed(self) -> float:
        """The bytes that numbers may take."""
        return math.inf if self.max_memory is None else bytes_of(self.max_memory)


def _output(**settings: Any) -> Any:
    return option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write to this file; it is whole or not there.",
        **settings,
    )


@dataclass(frozen=True)
class Writing:
    """Where a result goes."""

    output: Annotated[Path | None, _output()] = None
    force: Annotated[bool, option("--force", help="Replace an existing file.")] = False


@dataclass(frozen=True)
class ImageWriting(Writing):
    """Where an image goes, and with how much of what its file said."""

    strip: Annotated[
        bool,
        option(
            "--strip",
            help="Leave out EXIF (the orientation too), ICC profile, resolution and "
            "other metadata.",
        ),
    ] = False


@dataclass(frozen=True)
class BatchWriting(ImageWriting):
    """Where many images go."""

    out_dir: Annotated[
        Path | None,
        option(
            "--out-dir",
            metavar="FOLDER",
            help="Write here, under the same names and in the same folders.",
        ),
    ] = None
    recursive: Annotated[
        bool, option("--recursive", "-r", help="Take all images in folders.")
    ] = False
    skip_existing: Annotated[
        bool, option("--skip-existing", help="Leave out images that are done already.")
    ] = False
    dry_run: Annotated[
        bool, option("--dry-run", help="Only say what would be written.")
    ] = False


@dataclass(frozen=True)
class Shape:
    """Which pixels around each one count, and how much."""

    size: Annotated[
        str | None,
        option(
            "--size",
            metavar="N|WxH|auto",
            show_default="3",
            help="The sides of the window in pixels, odd: 3, or 5x3; with --epsilon "
            "auto also auto, for 3, 5 or 7.",
        ),
    ] = None
    footprint: Annotated[
        str | None,
        option(
            "--footprint",
            metavar="disk:R|FILE",
            help="Which pixels of the window count: those within R pixels, or those "
            "above 0 in a grey image or a table (.txt, .csv).",
        ),
    ] = None
    weights: Annotated[
        str | None,
        option(
            "--weights",
            metavar="gaussian:S|FILE",
            help="How much they count: by their distance, S pixels being the standard "
            "deviation, or as in a grey image or a table.",
        ),
    ] = None


@dataclass(frozen=True)
class Noise:
    """How an image is spoilt."""

    kind: Annotated[
        Literal["salt-and-pepper", "gaussian", "speckle"],
        option("--kind", help="Of which kind the noise is."),
    ] = "salt-and-pepper"
    amount: Annotated[
        float,
        option(
            "--amount",
            min=0,
            max=1,
            help="The share of pixels that turn black or white; the standard deviation "
            "of Gaussian noise, white being 1; of speckle, each value being 1.",
        ),
    ] = 0.1
    seed: Annotated[
        int,
        option(
            "--seed", min=0, max=2**63 - 1, help="The same seed gives the same noise."
        ),
    ] = 0


@dataclass(frozen=True)
class TableWriting(Writing):
    """Where a table goes, and how its numbers are written."""

    output: Annotated[Path | None, _output(show_default="standard output")] = None
    float_format: Annotated[
        str | None,
        option(
            "--float-format",
            metavar="SPEC",
            show_default="the shortest that reads back the same",
            help="Format of the results, such as .4f.",
        ),
    ] = None
    dry_run: Annotated[
        bool,
        option(
            "--dry-run", help="Read and check everything, and say what would be done."
        ),
    ] = False


@dataclass(frozen=True)
class Appending(TableWriting):
    """The same for a table that gets more columns."""

    replace: Annotated[
        bool,
        option("--replace", help="Overwrite columns that have the name of a result."),
    ] = False


@dataclass(frozen=True)
class PartsWriting(Appending):
    """The same for a table in one or many parts."""

    out_dir: Annotated[
        Path | None,
        option(
            "--out-dir",
            metavar="FOLDER",
            help="Write each part here, under its name. A second run leaves out the "
            "parts that are finished.",
        ),
    ] = None


def command(function: Callable[..., None], talk: type = Talk) -> Callable[..., None]:
    """Show Typer the fields of the option groups that `function` takes, and of `talk`.

    Examples in its docstring keep their lines in the help.
    """
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Any] = {
        n: hint for n, hint in hints.items() if is_dataclass(hint)
    }

    def flat(**values: Any) -> None:
        for field in fields(talk):
            del values[field.name]  # its callback has taken note of it
        for name, group in groups.items():
            taken = {field.name: values.pop(field.name) for field in fields(group)}
            values[name] = group(**taken)
        function(**values)

    parameters = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name in groups:
            parameters += _parameters(groups[name])
        else:
            parameters.append(parameter.replace(kind=KEYWORD, annotation=hints[name]))
    parameters += _parameters(talk)
    flat.__signature__ = inspect.Signature(parameters)  # pyright: ignore
    flat.__annotations__ = {each.name: each.annotation for each in parameters}
    flat.__name__ = function.__name__
    flat.__doc__ = re.sub(
        r"(?m)^ *(?=Examples?:$)", "\b\n", inspect.getdoc(function) or ""
    )
    return flat


def _parameters(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name, KEYWORD, default=field.default, annotation=hints[field.name]
        )
        for field in fields(group)
    ]
