"""Results: appended to the parts of a table, or a table of their own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from softsort_cli.errors import CommandError
from softsort_cli.io import compression, files, prefetch
from softsort_cli.options.tables import TableWriting
from softsort_cli.tables import columnar, csv, ndjson, numbers, opening
from softsort_cli.tables.column_data import Kept
from softsort_cli.tables.formats import Form, quote

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

# A part of a table, the results for its rows, and which of these are written.
Rows: TypeAlias = "tuple[opening.Part, Mapping[str, np.ndarray], Kept]"


def check_names(
    table: opening.Table, sources: Sequence[str], names: Sequence[str], replace: bool
) -> None:
    """Refuse names of results that are taken, before anything is computed."""
    if isinstance(table, csv.Delimited) and not table.headers:
        return
    for position, name in enumerate(names):
        if name in names[:position]:
            raise CommandError(
                f"{table.source} has several columns named {sources[position]!r}: "
                "choose one of them by its number, as in -c 2"
            )
        if name in table.names and not replace:
            raise CommandError(
                f"{table.source} already has a column {name!r}: --replace to overwrite "
                "it, or leave it out with -c"
            )
        if table.names.count(name) > 1:
            raise CommandError(
                f"{table.source} has several columns named {name!r}: --replace cannot "
                "tell which one to overwrite; rename them"
            )
        if name in table.names and isinstance(table, ndjson.Ndjson):
            raise CommandError(
                f"{table.source} has a member {name!r}: NDJSON is written as it came, "
                "and cannot have it replaced; rename it"
            )


def _check_types(
    table: opening.Table, types: Mapping[str, pl.DataType], form: Form
) -> None:
    """Refuse columns of types that a text has no cells for."""
    import polars as pl

    for name, kind in types.items():
        nested = kind.is_nested() or kind == pl.Duration
        if (form.kind == "delimited" and nested) or _has_bytes(kind):
            raise CommandError(
                f"{table.source}, column {name!r}: {form.kind} text has no cells for "
                f"{str(kind).lower()}; write Parquet or Arrow, as in -o FILE.parquet, "
                "or cast the column to text, or leave it out of the file"
            )


def _has_bytes(kind: pl.DataType) -> bool:
    """Whether cells of this type hold bytes, which may be no text."""
    import polars as pl

    if isinstance(kind, pl.Struct):
        return any(_has_bytes(field.dtype) for field in kind.fields)  # pyright: ignore[reportArgumentType]
    inner = getattr(kind, "inner", None)
    return kind == pl.Binary or (inner is not None and _has_bytes(inner))


def write_appended(
    table: opening.Table, rows: Iterable[Rows], form: Form, writing: TableWriting
) -> None:
    """Write the table with results behind its rows."""
    spec = writing.float_format
    if isinstance(table, columnar.Frames) and not form.is_binary:
        _check_types(table, table.lazy().collect_schema(), form)
    with files.open_output(writing.output, force=writing.force) as stream:
        if form.is_binary:
            parts = (frame for frame, _ in _typed(table, rows))
            _sink(_lazy(parts), form, stream)
        else:
            as_it_came = form.kind == table.form.kind and (
                form.delimiter == table.form.delimiter
            )
            write = _appended if as_it_came else _converted
            with compression.packed(stream, form.packing) as packed:
                for text in write(table, rows, form, spec):
                    packed.write(compression.encoded(text, table.input.codec))
        table.input.check_unchanged()


def _appended(
    _: opening.Table, rows: Iterable[Rows], form: Form, spec: str | None
) -> Iterator[bytes]:
    """What was there byte for byte, and new cells."""
    append = ndjson.append if form.kind == "ndjson" else csv.append
    delimiter = form.delimiter or None

    def text(row: Rows) -> bytes:
        part, results, kept = row
        cells = {
            name: numbers.as_cells(values, spec, delimiter)
            for name, values in results.items()
        }
        return append(part, cells, kept)  # pyright: ignore[reportArgumentType]

    yield from prefetch.each(text, rows)


def _converted(
    table: opening.Table, rows: Iterable[Rows], form: Form, spec: str | None
) -> Iterator[bytes]:
    headed = not isinstance(table, csv.Delimited) or table.headers
    for place, (frame, formatted) in enumerate(_typed(table, rows, spec)):
        if form.kind == "ndjson":
            yield ndjson.table_of(frame, formatted)
            continue
        buffer = BytesIO()
        frame.write_csv(
            buffer, separator=form.delimiter, include_header=headed and place == 0
        )
        yield buffer.getvalue()


def _typed(
    table: opening.Table, rows: Iterable[Rows], spec: str | None = None
) -> Iterator[tuple[pl.DataFrame, Container[str]]]:
    """The parts as frames, whose texts stay texts, and which columns `spec` made."""
    import polars as pl

    if len(set(table.names)) < len(table.names):
        raise CommandError(
            f"{table.source} has several columns of one name: it can only be written "
            "in the format in which it came"
        )
    for part, results, kept in rows:
        columns = dict(table.typed(part))  # pyright: ignore[reportArgumentType]
        for name, values in results.items():
            columns[name] = numbers.as_cells(values, spec)
        frame = pl.DataFrame(columns)
        if frame.height:
            frame = frame if kept is None else frame.filter(kept)
            yield frame, results if spec else ()


def write_beside(
    table: columnar.Frames,
    columns: Mapping[str, np.ndarray],
    kept: Kept,
    form: Form,
    writing: TableWriting,
) -> None:
    """Write a table of typed cells with whole columns of results beside its own.

    Polars takes both in row groups, side by side, without a visit to this program.
    """
    import polars as pl
    from polars import selectors

    new = {name: numbers.as_cells(each, None) for name, each in columns.items()}
    replaced = [name for name in table.names if name in new]
    old = table.lazy().drop(selectors.by_name(replaced))
    order = list(dict.fromkeys([*table.names, *new]))
    stays = "kept"
    while stays in order:
        stays += "_"
    if kept is not None:
        new[stays] = pl.Series(kept)
    lazy = pl.concat([old, pl.LazyFrame(new)], how="horizontal")
    lazy = lazy if kept is None else lazy.filter(stays)
    with files.open_output(writing.output, force=writing.force) as stream:
        _sink(lazy.select(selectors.by_name(order)), form, stream)
        table.input.check_unchanged()


def _lazy(parts: Iterator[pl.DataFrame]) -> pl.LazyFrame:
    """The parts of a frame, taken one by one."""
    from polars.io.plugins import register_io_source

    first = next(parts)

    def source(with_columns, predicate, n_rows, batch_size):  # noqa: ARG001
        yield first
        yield from parts

    return register_io_source(source, schema=first.schema)


def _sink(lazy: pl.LazyFrame, form: Form, stream: BinaryIO) -> None:
    import polars as pl

    with tempfile.TemporaryFile() as spool:
        # Straight into a file; into a pipe by way of one, for polars needs to seek.
        name = getattr(stream, "name", None)
        target = stream if isinstance(name, str) and Path(name).is_file() else spool
        try:
            if form.kind == "parquet":
                # Level 3, the default, takes a fifth longer for half a percent.
                lazy.sink_parquet(target, compression_level=1)
            else:
                lazy.sink_ipc(target)
        except pl.exceptions.PolarsError as error:
            raise OSError(0, str(error).splitlines()[0]) from error
        if target is spool:
            spool.seek(0)
            shutil.copyfileobj(spool, stream)


def write_table(
    table: opening.Table,
    columns: Mapping[str, pl.Series | np.ndarray],
    form: Form,
    writing: TableWriting,
) -> None:
    """Write a table of results alone."""
    import polars as pl

    spec = writing.float_format
    cells = {
        name: each if isinstance(each, pl.Series) else numbers.as_cells(each, spec)
        for name, each in columns.items()
    }
    given = {name for name, each in columns.items() if isinstance(each, pl.Series)}
    formatted = cells.keys() - given if spec else ()
    if not form.is_binary:
        _check_types(table, {name: each.dtype for name, each in cells.items()}, form)
    with files.open_output(writing.output, force=writing.force) as stream:
        if form.is_binary:
            _sink(pl.LazyFrame(cells), form, stream)
            return
        if form.kind == "ndjson":
            text = ndjson.table_of(pl.DataFrame(cells), formatted)
        else:
            text = _delimited(table, cells, form)
        with compression.packed(stream, form.packing) as packed:
            packed.write(compression.encoded(text, table.input.codec))


def _delimited(
    table: opening.Table, cells: Mapping[str, pl.Series], form: Form
) -> bytes:
    import polars as pl

    names, ending = list(cells), "\n"
    if isinstance(table, csv.Delimited):
        names = names if table.headers else []
        first = next(table.parts())
        crlf = first.stops[0] < first.ends[0]
        ending = "\r\n" if crlf else "\n"
    quoted = [
        pl.Series([quote(text or "", form.delimiter) for text in each], dtype=pl.String)
        if each.dtype == pl.String
        else each
        for each in cells.values()
    ]
    return csv.table_of(names, quoted, form.delimiter, ending)
