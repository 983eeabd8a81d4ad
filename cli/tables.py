"""Files <-> tables of text.

A table is its lines. Cells are read from them, and new cells are written behind them;
what was there is never parsed and written again, so it stays as it arrived byte for
byte. Comment lines and empty lines are carried along where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from cli import files
from cli.errors import CommandError
from cli.formats import unquote
from cli.records import BOM, Masked, mask

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Table:
    """The lines of a delimited text, masked (see `cli.records`), and what they are."""

    source: str
    delimiter: str
    lines: pl.Series  # every line, without its line ending
    carriage: pl.Series | None  # for each line, the carriage return that ended it
    header: int | None  # which line names the columns
    names: list[str]  # without a header: "1", "2", ...
    rows: pl.Series  # which lines hold cells
    masked: Masked

    def line_number(self, row: int) -> int:
        """Where a row begins in the file, counting from 1."""
        line = int(self.rows[row])
        quoted = self.lines.head(line).str.count_matches(
            self.masked.newline, literal=True
        )
        return line + 1 + int(quoted.sum())

    def cells(
        self, columns: Sequence[int], limit: int | None = None
    ) -> list[pl.Series]:
        """The masked text of each chosen column, one cell a row."""
        import polars as pl

        rows = self.rows if limit is None else self.rows.head(limit)
        if not columns or rows.is_empty():
            return [pl.Series([], dtype=pl.String) for _ in columns]
        # Row after row to the end of the file is the common case: no copy is needed.
        whole = len(rows) == len(self.lines) - rows[0] and self.carriage is None
        skipped = int(rows[0]) if whole else 0
        text = (
            self.masked.text if whole else text_of(self.lines.gather(rows).to_frame())
        )
        names = [str(column) for column in range(len(self.names))]
        frame = _split(text, names, self.delimiter, sorted(columns), skipped)
        return [frame[names[column]] for column in columns]


def read(
    path: Path | None,
    *,
    delimiter: str,
    headers: bool = True,
    comment: str | None = None,
) -> Table:
    """Read a table from a file, or from standard input for None and `-`."""
    data, source = files.read_bytes(path), files.label(path)
    return parse(data, source, delimiter=delimiter, headers=headers, comment=comment)


def parse(
    data: bytes, source: str, *, delimiter: str, headers: bool, comment: str | None
) -> Table:
    """Find the lines and the rows of a delimited text."""
    start = data[:1024].removeprefix(BOM)
    if not start.strip(b"\r\n") and not data.removeprefix(BOM).strip(b"\r\n"):
        raise CommandError(f"{source} is empty: expected a table")
    masked = mask(data, source, delimiter, comment)
    lines, carriage = _lines(masked, data, source)
    holds = lines != ""
    if comment:
        holds &= ~lines.str.starts_with(comment)
    rows = holds.arg_true()
    if rows.is_empty():
        raise CommandError(f"{source} holds nothing but comments")
    first = [unquote(masked.restore_text(c)) for c in lines[rows[0]].split(delimiter)]
    names = first if headers else [str(number + 1) for number in range(len(first))]
    header = int(rows[0]) if headers else None
    if headers:
        rows = rows[1:]
    if rows.is_empty():
        raise CommandError(f"{source} has a header but no rows")
    table = Table(source, delimiter, lines, carriage, header, names, rows, masked)
    _check_widths(table)
    return table


def _lines(
    masked: Masked, data: bytes, source: str
) -> tuple[pl.Series, pl.Series | None]:
    import polars as pl

    try:
        lines = _split(masked.text, ["line"], masked.unused)["line"]
    except pl.exceptions.ComputeError:
        raise CommandError(_not_utf8(data, source)) from None
    if masked.carriage not in masked.originals:
        return lines, None
    ended = lines.str.ends_with(masked.carriage)
    carriage = ended.replace_strict(True, masked.carriage, default="")
    return lines.str.strip_suffix(masked.carriage), carriage


def _split(
    text: bytes,
    names: Sequence[str],
    delimiter: str,
    columns: Sequence[int] | None = None,
    skipped: int = 0,
) -> pl.DataFrame:
    """The text between delimiters, line by line, whatever it is."""
    import polars as pl

    # Polars takes a text that begins with "x^" and the like for compressed data. It
    # drops a byte order mark.
    return pl.read_csv(
        BOM + text if text.startswith(b"x") else text,
        has_header=False,
        schema=dict.fromkeys(names, pl.String),
        columns=columns,
        separator=delimiter,
        quote_char=None,
        skip_lines=skipped,
        empty_string_is_null=False,
    )


def _not_utf8(data: bytes, source: str) -> str:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return (
            f"{source}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8; "
            "convert the file first, as in `iconv -f WINDOWS-1252 -t UTF-8`"
        )
    return f"{source} cannot be split into lines"


def _check_widths(table: Table) -> None:
    whole = len(table.rows) == len(table.lines) - table.rows[0]
    lines = (
        table.lines.slice(int(table.rows[0]))
        if whole
        else table.lines.gather(table.rows)
    )
    wrong = (
        lines.str.count_matches(table.delimiter, literal=True) != len(table.names) - 1
    )
    if wrong.any():
        row = int(wrong.arg_true()[0])
        cells = lines[row].count(table.delimiter) + 1
        than = "the header" if table.header is not None else "the first row"
        raise CommandError(
            f"{table.source}, line {table.line_number(row)}: {cells} instead of "
            f"{len(table.names)} cells as in {than}; correct the line, or --delimiter"
        )


def text_of(frame: pl.DataFrame, separator: str = ",") -> bytes:
    """The rows of a frame of text as lines, nothing quoted."""
    buffer = BytesIO()
    frame.write_csv(
        buffer, include_header=False, separator=separator, quote_style="never"
    )
    return buffer.getvalue()
