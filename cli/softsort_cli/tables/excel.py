"""Sheets of Excel, read by fastexcel as polars does, and written by XlsxWriter.

There are values in them and how they are shown, and no types: what is shown as a date
is one, and a column of several kinds of values is one of texts.
"""

import datetime
import difflib
import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import polars as pl

from softsort_cli import console
from softsort_cli.errors import CommandError, UsageError
from softsort_cli.io.source import Input
from softsort_cli.tables import arrow_schema, columnar
from softsort_cli.tables.formats import Form
from softsort_cli.tables.table import Table
from softsort_cli.tables.times import DAY, Time

ROWS, COLUMNS, CHARACTERS = 1 << 20, 1 << 14, 32_767  # of a sheet, and of a cell
DIGITS = 10**15  # integers up to here are kept
# What numbers count days from, in days since 1970. The first days of 1900 are a day
# off, for its February has 29 days there: before March, dates are texts.
EPOCH, FIRST = -25_569, -25_508
CLOCKS = datetime.date(1899, 12, 31)  # of which times of the day are read
SHOWN = {
    "date": "yyyy-mm-dd",
    "timestamp": "yyyy-mm-dd hh:mm:ss.000",
    "time": "hh:mm:ss.000",
    "duration": "[h]:mm:ss.000",
}


@dataclass(frozen=True)
class Sheet(columnar.Frames):
    """A table in a sheet, which is read as a whole."""

    sheet: str = ""
    frame: Any = field(default=None, compare=False)

    def lazy(self) -> pl.LazyFrame:
        """The table."""
        return self.frame.lazy()

    def types(self) -> Mapping[str, pl.DataType]:
        """The types of the columns; none is known without rows."""
        return self.frame.schema if self.frame.height else {}

    def schema(self) -> arrow_schema.Schema:
        """Nothing besides names and types: all times are kept."""
        return arrow_schema.Schema({}, {}, set(self.names))


def open_table(
    file: Input, form: Form, *, sheet: str | None = None, **_: object
) -> Sheet:
    """Read a sheet: the first, if none is named."""
    import fastexcel

    # It warns of columns without values.
    logging.getLogger("fastexcel").addHandler(logging.NullHandler())
    with columnar.panics_told(f"{file.source} is not a whole .xlsx file"):
        book = fastexcel.read_excel(file.stream().read())
    names = book.sheet_names
    if sheet is not None and sheet not in names:
        near = difflib.get_close_matches(sheet, names, n=1) or names[:8]
        raise UsageError(
            f"--sheet {sheet!r}: {file.source} has none; there is "
            + ", ".join(map(repr, near))
        )
    if sheet is None and len(names) > 1:
        listed = ", ".join(map(repr, names[1:9]))
        console.note(
            f"note: {file.source}: sheet {names[0]!r} is read; --sheet for {listed}"
        )
    name = names[0] if sheet is None else sheet
    with columnar.panics_told(f"{file.source}: sheet {name!r} is no table"):
        # All rows tell what a column holds.
        frame = book.load_sheet(name, schema_sample_rows=None).to_polars()
    if not frame.width:
        raise CommandError(f"{file.source}: sheet {name!r} is empty: expected a table")
    frame = frame.with_columns(map(_narrowed, frame.get_columns()))
    return Sheet(file, form, frame.columns, sheet=name, frame=frame)


def _narrowed(cells: pl.Series) -> pl.Series:
    """Integers, dates and times of the day as such: sheets have none of these."""
    there = cells.drop_nulls()
    if cells.dtype == pl.Float64:
        are_whole = (there.abs() <= DIGITS) & (there % 1 == 0)
        return cells.cast(pl.Int64) if len(there) and are_whole.all() else cells
    if isinstance(cells.dtype, pl.Datetime):
        if len(there) and (there.dt.date() == CLOCKS).all():
            return cells.dt.time()
        are_days = len(there) and (there.dt.truncate("1d") == there).all()
        return cells.cast(pl.Date) if are_days else cells
    return cells


def write(
    lazy: pl.LazyFrame, form: Form, stream: BinaryIO, of: Table | None = None
) -> None:
    """Write a sheet, and tell what is not in it."""
    import xlsxwriter

    frame, source = lazy.collect(), "the table" if of is None else of.source
    columnar.check_types(source, frame.schema, form)
    if frame.height >= ROWS or frame.width > COLUMNS:
        raise CommandError(
            f"{source}: a sheet has at most {ROWS - 1:,} rows below the header and "
            f"{COLUMNS:,} columns; write Parquet, as in -o FILE.parquet"
        )
    buffer, is_sheet = io.BytesIO(), isinstance(of, Sheet)
    book = xlsxwriter.Workbook(buffer, {"in_memory": True})
    sheet = book.add_worksheet(of.sheet if isinstance(of, Sheet) else None)
    remarks = []
    for place, cells in enumerate(frame.get_columns()):
        sheet.write_string(0, place, cells.name)
        values, shown, changed = _values(cells)
        remarks += [f"{cells.name!r} {what}" for what in changed]
        style = book.add_format({"num_format": shown}) if shown else None
        writes = {bool: sheet.write_boolean, str: sheet.write_string}
        for row, value in enumerate(values, 1):
            if value is None:
                continue
            one = writes.get(type(value), sheet.write_number)
            if one(row, place, value, style) == -2:
                raise CommandError(
                    f"{source}, column {cells.name!r}, row {row}: a cell of Excel has "
                    f"at most {CHARACTERS:,} characters; write Parquet, or leave it out"
                )
    book.close()
    remarks += ["values alone, no formulas, formats or other sheets"] * is_sheet
    if remarks:
        console.note(f"note: {source} is written with {'; '.join(remarks)}")
    stream.write(buffer.getvalue())


def _values(cells: pl.Series) -> tuple[list[Any], str, list[str]]:
    """What is written, how it is shown, and what of it is not kept."""
    kind, changed = cells.dtype, []
    if kind.is_temporal():
        return _moments(cells)
    if kind.is_integer() and (cells.cast(pl.Int128).abs() > DIGITS).any():
        changed.append("of 15 digits")
    if kind.is_decimal():
        cells = cells.cast(pl.Float64)
        changed.append("as numbers of 15 digits")
    if kind.is_float():
        cells = cells.set(~cells.is_finite(), None)
    is_text = not (kind.is_numeric() or kind == pl.Boolean)
    return (cells.cast(pl.String) if is_text else cells).to_list(), "", changed


def _moments(cells: pl.Series) -> tuple[list[Any], str, list[str]]:
    """Days, with fractions, which are shown as dates and times."""
    time, changed = Time.of_type(cells.dtype), []
    assert time is not None
    if time.zone:
        return cells.cast(pl.String).to_list(), "", ["as texts, for they have zones"]
    ticks, fine = cells.to_physical().cast(pl.Int64), time.per_unit // 1000
    if fine and (ticks % fine != 0).any():
        changed.append("to milliseconds")
    unit = DAY * time.per_unit if fine else 1
    days, shown = (ticks / unit).to_list(), SHOWN[time.name]
    if time.name in ("time", "duration"):
        return days, shown, changed
    texts = cells.cast(pl.String).to_list()
    values = [
        text if day is None or day < FIRST else day - EPOCH
        for day, text in zip(days, texts, strict=True)
    ]
    if any(isinstance(value, str) for value in values):
        changed.append("as texts before March 1900")
    return values, shown, changed
