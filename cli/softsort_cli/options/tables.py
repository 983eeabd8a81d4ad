"""Options of the commands on tables."""

import math
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

import typer

from softsort_cli.options import completion
from softsort_cli.options.declare import option
from softsort_cli.options.output import Writing, to_file, to_folder
from softsort_cli.options.sizes import bytes_of, memory
from softsort_cli.tables import formats

TABLE_HELP = (
    f"{formats.titles('or')}, and {formats.PACKED}; - or nothing for standard input."
)
if TYPE_CHECKING:
    Format: TypeAlias = str
else:
    Format = Literal[tuple(formats.NAMED)]

Table = Annotated[Path | None, typer.Argument(metavar="FILE", help=TABLE_HELP)]
Tables = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="FILES",
        help=f"{TABLE_HELP} Several, or a quoted pattern, are parts of one table.",
    ),
]
Plot = Annotated[
    Path | None,
    option(
        "--plot",
        metavar="FILE",
        help="Draw soft against exact results too, of groups the largest: .png, .svg "
        "or .pdf.",
    ),
]

Descending = Annotated[
    bool, option("--descending", "--desc", help="The largest value is the first.")
]


def _thousands(mark: str | None) -> str | None:
    """Refuse a mark that a number contains, or that is more than one."""
    if mark is not None and (len(mark) != 1 or mark.isalnum() or mark in '+-"\n\r\t'):
        raise typer.BadParameter(
            f"{mark!r} is not a character that can part digits: name . or , or ' or _ "
            "or a space."
        )
    return mark


@dataclass(frozen=True)
class Reading:
    """How a table is read."""

    theme: ClassVar = "Reading"

    columns: Annotated[
        list[str] | None,
        option(
            "--columns",
            "-c",
            autocompletion=completion.columns,
            metavar="COLUMNS",
            show_default="every numeric column",
            help="Names, numbers from 1, ranges 2-4 or 3-, /regex/, !excluded; "
            "separated by commas or repeated. An exact name wins. Dates and times are "
            "values, too, if they are chosen.",
        ),
    ] = None
    delimiter: Annotated[
        str | None,
        option(
            "--delimiter",
            "-d",
            metavar="CHAR",
            show_default="by extension, else ,",
            help="What separates cells; `tab` for a tab. So it is written, unless the "
            "name of the output is of another format.",
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
        Format | None,
        option(
            "--format",
            show_default="by extension, else CSV in, and out as it came",
            help="The format of standard input and output, and of files whose names do "
            "not tell.",
        ),
    ] = None
    sheet: Annotated[
        str | None,
        option(
            "--sheet",
            metavar="NAME",
            show_default="the first",
            help="Which sheet of a file of Excel is read.",
        ),
    ] = None
    encoding: Annotated[
        str | None,
        option(
            "--encoding",
            metavar="NAME",
            show_default="utf-8",
            help="Of the text that is read; it is written in it again, but as NDJSON, "
            "Parquet and Arrow in UTF-8.",
        ),
    ] = None
    by: Annotated[
        list[str] | None,
        option(
            "--by",
            metavar="COLUMNS",
            autocompletion=completion.columns,
            help="Take each group of rows with the same cells here on its own; names "
            "and numbers as for -c. Rows without a cell are a group.",
        ),
    ] = None
    na_values: Annotated[
        list[str] | None,
        option(
            "--na-values",
            metavar="WORDS",
            help="What else says that there is no number, beside an empty cell, NA, "
            "NaN, N/A, null, None, #N/A, \\N and the like; separated by commas or "
            "repeated. A number stands for all cells that are equal to it.",
        ),
    ] = None
    decimal: Annotated[
        Literal[".", ","],
        option(
            "--decimal",
            help="What is before the fractions of numbers in text; so results are "
            "written, too, but in NDJSON.",
        ),
    ] = "."
    thousands: Annotated[
        str | None,
        option(
            "--thousands",
            metavar="CHAR",
            callback=_thousands,
            show_default="nothing",
            help="What may be between groups of three digits of numbers in text; a "
            "space stands for those at which no line is broken, too.",
        ),
    ] = None
    weights: Annotated[
        str | None,
        option(
            "--weights",
            metavar="COLUMN",
            autocompletion=completion.columns,
            help="How often each row counts: results are those of rows repeated as "
            "often. Rows of weight 0 take no part; a cell that is no number from 0 on "
            "is an error.",
        ),
    ] = None
    infer: Annotated[
        bool,
        option(
            "--infer",
            help="Where text is written as Parquet, Arrow or Excel: its columns as "
            "numbers, dates and the like, if all of their cells are; as text "
            "otherwise, or with zeros before numbers.",
        ),
    ] = False
    on_invalid: Annotated[
        Literal["error", "null", "skip"],
        option(
            "--on-invalid",
            help="A cell that is neither a number nor says that there is none: fail, "
            "treat it as empty, or leave its row out.",
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


@dataclass(frozen=True)
class TableWriting(Writing):
    """Where a table goes, and how its numbers are written."""

    output: Annotated[Path | None, to_file(show_default="standard output")] = None
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


def _names(text: str | None) -> str | None:
    """Refuse a --names that is no pattern for the name of a column."""
    try:
        fields = [each[1:] for each in Formatter().parse(text or "_")]
        known = all(each in ((None,) * 3, ("column", "", None)) for each in fields)
    except ValueError:
        known = False
    if not known or text == "":
        raise typer.BadParameter(
            f"{text!r}: write {{column}} for the name of the column, as in "
            "'{column}_soft', and {{ }} for braces."
        )
    return text


@dataclass(frozen=True)
class Appending(TableWriting):
    """Where a table with more columns goes, their names, and what they may replace."""

    names: Annotated[
        str | None,
        option(
            "--names",
            metavar="PATTERN",
            callback=_names,
            show_default="as said above",
            help="Names of the results, such as '{column}_soft'.",
        ),
    ] = None
    only: Annotated[
        bool,
        option("--only", help="Write the results alone, and the keys of --by."),
    ] = False

    replace: Annotated[
        bool,
        option("--replace", help="Overwrite columns that have the name of a result."),
    ] = False


@dataclass(frozen=True)
class PartsWriting(Appending):
    """Where a table in one or many parts goes."""

    out_dir: Annotated[
        Path | None,
        to_folder(
            "Write each part here, under its name. A second run leaves out the parts "
            "that are finished."
        ),
    ] = None
