"""Results: appended to the parts of a table, or a table of their own."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO, TypeAlias

import numpy as np
import polars as pl

from softsort_cli import console
from softsort_cli.errors import CommandError
from softsort_cli.io import compression, files, prefetch
from softsort_cli.options.tables import Appending, TableWriting
from softsort_cli.tables import columnar, infer, numbers
from softsort_cli.tables.column_data import Kept
from softsort_cli.tables.formats import Form
from softsort_cli.tables.table import Part, Table

# A part of a table, the results for its rows, and which of these are written.
Rows: TypeAlias = "tuple[Part, Mapping[str, np.ndarray | pl.Series], Kept]"
# Some rows, and which columns --float-format made.
Frame: TypeAlias = "tuple[pl.DataFrame, Container[str]]"


def check_names(table: Table, names: Sequence[str], form: Form, replace: bool) -> None:
    """Refuse names of results that are taken, before anything is computed."""
    if not table.headers:
        return
    stays_as_it_came = form.kind == table.form.kind == "ndjson"
    taken = Counter(table.names)
    for name in names:
        if taken[name] > 1:
            raise CommandError(
                f"{table.source} has several columns named {name!r}, as a result would "
                "be: rename them"
            )
        if name in taken and stays_as_it_came:
            raise CommandError(
                f"{table.source} has a member {name!r}, as a result would be: NDJSON "
                "is written as it came, and cannot have it replaced; rename it"
            )
        if name in taken and not replace:
            raise CommandError(
                f"{table.source} already has a column {name!r}: --replace to overwrite "
                "it, or leave it out with -c"
            )


def check_table(table: Table, keys: Sequence[str], names: Sequence[str]) -> None:
    """Refuse a table of results of which two columns would have one name.

    The keys of groups come before its names.
    """
    seen = set[str]()
    for name in names:
        if name in keys:
            raise CommandError(
                f"{table.source}: {name!r} is a key of --by, and cannot be a result as "
                "well: rename that column, or results by --names if the command has it"
            )
        if name in seen:
            raise CommandError(
                f"{table.source}: several columns of results would be called {name!r}: "
                "choose one of them by its number, as in -c 2"
            )
        seen.add(name)
    for name, count in Counter(keys).items():
        if count > 1:
            raise CommandError(
                f"{table.source}: several columns of --by are called {name!r}: rename "
                "them"
            )


def write_appended(
    table: Table, rows: Iterable[Rows], form: Form, writing: Appending
) -> None:
    """Write the table with results behind its rows, or these alone."""
    only = writing.only
    if isinstance(table, columnar.Frames) and not only:
        table.check_types()
    if not form.is_binary and not only:
        columnar.check_types(table.source, table.types(), form)
    as_it_came = (form.kind, form.delimiter) == (table.form.kind, table.form.delimiter)
    with files.open_output(writing.output, force=writing.force) as stream:
        if form.is_binary:
            frames = (frame for frame, _ in _frames(table, rows, form, writing))
            form.load().write(columnar.lazy_of(frames), form, stream, table)
        else:
            texts = (
                _appended(table, rows, form, writing)
                if as_it_came and not only
                else _converted(table, _frames(table, rows, form, writing), form)
            )
            _pack(texts, table, form, stream)
        table.input.check_unchanged()


def _pack(texts: Iterable[bytes], table: Table, form: Form, stream: BinaryIO) -> None:
    """Write texts in the encoding in which the table came.

    But JSON is of UTF-8 to all who read it; only what is JSON already stays as it is.
    """
    is_free = form.delimiter or form.kind == table.form.kind
    codec = table.input.codec if is_free else "utf-8"
    with compression.packed(stream, form.packing) as packed:
        for text in texts:
            packed.write(compression.encoded(text, codec))


def _decimal(table: Table, form: Form) -> str:
    """The mark before fractions of what is written."""
    return table.spelling.decimal if form.delimiter else "."


def _appended(
    table: Table, rows: Iterable[Rows], form: Form, writing: Appending
) -> Iterator[bytes]:
    """What was there byte for byte, and new cells."""
    append, decimal = form.load().append, _decimal(table, form)
    how = writing.float_format, form.delimiter or None, decimal

    def text(row: Rows) -> bytes:
        part, results, kept = row
        cells = {name: numbers.as_cells(each, *how) for name, each in results.items()}
        return append(part, cells, kept)

    yield from prefetch.each(text, rows)


def _converted(table: Table, frames: Iterable[Frame], form: Form) -> Iterator[bytes]:
    """What the rows of frames say, as text."""
    headers, ending = table.headers, table.ending()
    for frame, formatted in frames:
        yield form.load().text_of(
            frame, form, formatted, headers=headers, ending=ending
        )
        headers = False


def _frames(
    table: Table, rows: Iterable[Rows], form: Form, writing: Appending
) -> Iterator[Frame]:
    """The parts as frames, whose texts stay texts, and which columns are formatted.

    Or only the results of each.
    """
    only, spec, decimal = writing.only, writing.float_format, _decimal(table, form)
    types = infer.types_of(table) if table.infers and not only else {}
    if len(set(table.names)) < len(table.names) and not only:
        raise CommandError(
            f"{table.source} has several columns of one name: it can only be written "
            "in the format in which it came"
        )
    has_comments = False  # which delimited text alone can have
    for part, results, kept in rows:
        has_comments |= not only and getattr(part, "has_comments", False)
        columns = {} if only else table.columns(part)
        columns = infer.typed(columns, types, table.spelling)
        for name, values in results.items():
            columns[name] = numbers.as_cells(values, spec, decimal=decimal)
        frame = pl.DataFrame(
            {name: numbers.spelled(each, decimal) for name, each in columns.items()}
        )
        frame = frame if kept is None else frame.filter(kept)
        yield frame, results if spec else ()
    if has_comments:
        console.note(f"note: {table.source}: its comments are not written")


def write_table(
    table: Table,
    columns: Mapping[str, pl.Series | np.ndarray],
    form: Form,
    writing: TableWriting,
) -> None:
    """Write a table of results alone: numbers, and series of what else they are of."""
    spec, decimal = writing.float_format, _decimal(table, form)
    cells = {
        name: numbers.as_cells(each, spec, decimal=decimal)
        for name, each in columns.items()
    }
    frame = pl.DataFrame(cells)
    if not form.is_binary:
        columnar.check_types(table.source, frame.schema, form)
    with files.open_output(writing.output, force=writing.force) as stream:
        if form.is_binary:
            form.load().write(frame.lazy(), form, stream)
            return
        series = {n for n, each in columns.items() if isinstance(each, pl.Series)}
        formatted = cells.keys() - series if spec else ()
        texts = _converted(table, [(frame, formatted)], form)
        _pack(texts, table, form, stream)
