"""Parquet and Arrow: tables whose cells have types, read and written by polars."""

import base64
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import polars as pl
from polars import selectors
from polars.io.plugins import register_io_source

from softsort_cli import console
from softsort_cli.errors import CommandError
from softsort_cli.io import files, source
from softsort_cli.io.source import Input
from softsort_cli.tables import arrow_schema
from softsort_cli.tables.formats import Form
from softsort_cli.tables.table import Table

ROWS = 1 << 18  # at a time
MOST_DIGITS = 38  # of a decimal that polars writes
# What pandas keeps of the names of columns that are texts: of one level, of this type.
TEXTS = {"name": None, "field_name": None, "numpy_type": "object", "metadata": None}
TEXTS["pandas_type"] = "unicode"


@dataclass(frozen=True)
class Part:
    """Some rows."""

    names: list[str]
    frame: pl.DataFrame  # of the columns that were asked for
    before: int  # how many rows came before

    @property
    def height(self) -> int:
        """The number of rows."""
        return self.frame.height

    def cells(self, columns: Sequence[int]) -> list[pl.Series]:
        """The values of each chosen column."""
        return [self.frame[self.names[column]] for column in columns]

    texts = cells

    def place(self, column: int, row: int) -> str:
        """Where a value is and what it is, for messages."""
        cells = self.frame[self.names[column]]
        value = cells[row]
        shown = str(value.to_list() if hasattr(value, "to_list") else value)
        shown = shown if len(shown) <= 40 else shown[:40] + "..."
        return f"row {self.before + row + 1}: {shown!r}, {type_name(cells.dtype)},"


@dataclass(frozen=True)
class Frames(Table):
    """A table in Parquet or Arrow."""

    def lazy(self) -> pl.LazyFrame:
        """The table, not read yet."""
        if self.form.name == "parquet":
            return pl.scan_parquet(self._rewound())
        is_stream = self._rewound().read(6) != b"ARROW1"
        file = self._rewound()
        return pl.read_ipc_stream(file).lazy() if is_stream else pl.scan_ipc(file)

    def _rewound(self) -> BinaryIO:
        """The file at its start."""
        # Polars reads on from where the descriptor is. Where Python is may be within
        # what it holds of the file, of which the end is the descriptor's place.
        self.input.file.seek(0, os.SEEK_END)
        self.input.file.seek(0)
        return self.input.file

    def parts(self, columns: Sequence[int] | None = None) -> Iterator[Part]:
        """These columns of the table, or all, some rows at a time."""
        before, lazy = 0, self.lazy()
        if columns is not None:
            # Bare names may be patterns: `*` and `^...$`.
            names = [self.names[column] for column in columns]
            lazy = lazy.select(selectors.by_name(names))
        for frame in lazy.collect_batches(maintain_order=True, chunk_size=ROWS):
            yield Part(self.names, frame, before)
            before += frame.height
        if not before:
            yield Part(self.names, lazy.clear().collect(), 0)

    def types(self) -> Mapping[str, pl.DataType]:
        """The types of the columns."""
        return self.lazy().collect_schema()

    def schema(self) -> arrow_schema.Schema:
        """What there is besides names and types."""
        if self.form.name != "parquet":
            return arrow_schema.Schema.of_file(self.input.file)
        metadata = pl.read_parquet_metadata(self._rewound())
        start = base64.b64decode(metadata.pop("ARROW:schema", ""))
        if not start:
            return arrow_schema.Schema(metadata, {}, set())
        schema = arrow_schema.Schema.of_stream(start)
        return replace(schema, metadata=schema.metadata | metadata)

    def check_types(self) -> None:
        """Refuse columns of types that polars reads, but cannot write."""
        wide = ", ".join(
            f"{name!r} ({type_name(kind)} of {kind.precision} digits)"
            for name, kind in self.types().items()
            if isinstance(kind, pl.Decimal) and kind.precision > MOST_DIGITS
        )
        if wide:
            raise CommandError(
                f"{self.source}: a column cannot be written again: {wide}; cast it to "
                "another type, or leave it out of the file"
            )
        with panics_told(f"{self.source}: a column cannot be written again"):
            self.lazy().clear().collect().write_ipc(io.BytesIO())


@contextmanager
def panics_told(failure: str) -> Iterator[None]:
    """Make one line of what polars cannot do, which may end in a panic."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:
        reason = str(error)
        # A panic tells of the error that it did not expect.
        told = re.search(r'ErrString\("(.*?)(?:"\)|\\n)', reason)
        reason = told[1] if told else reason.splitlines()[0]
        raise CommandError(f"{failure}: {reason}") from None


def open_table(file: Input, form: Form, **_: object) -> Frames:
    """Read the columns' names and types."""
    table = Frames(file := source.unpacked(file), form, [])
    with panics_told(f"{file.source} cannot be read as {form.title}"):
        names = table.lazy().collect_schema().names()
        table.lazy().select(pl.len()).collect()
    return Frames(file, form, names)


def lazy_of(frames: Iterator[pl.DataFrame]) -> pl.LazyFrame:
    """Frames one below another, taken one by one."""
    first = next(frames)

    def source(with_columns, predicate, n_rows, batch_size):  # noqa: ARG001
        yield first
        yield from frames

    return register_io_source(source, schema=first.schema)


def tell_changes(table: Table, form: Form, names: Sequence[str]) -> None:
    """Tell what is not kept of a table of typed cells that is written as one.

    These are the names of results.
    """
    if not isinstance(table, Frames) or not form.is_binary:
        return
    schema = table.schema()
    changed = [f"{name!r} {what}" for name, what in schema.changed.items()]
    changed += [
        f"{name!r} as time[ns]"
        for name, kind in table.types().items()
        if kind == pl.Time and name not in schema.times | schema.changed.keys()
    ]
    if schema.metadata and form.name == "arrow":
        changed.append(f"no metadata ({', '.join(map(repr, schema.metadata))})")
    elif schema.metadata != _for_names(schema.metadata, table.names, names):
        changed.append("names of columns that are texts to pandas")
    if changed:
        console.note(f"note: {table.source} is written with {'; '.join(changed)}")


def _for_names(
    metadata: Mapping[str, str], before: Sequence[str], names: Sequence[str]
) -> dict[str, str]:
    """The metadata of a table that has columns of these names as well.

    Names may be numbers, dates or of several levels to pandas, which then cannot read
    one that is none.
    """
    changed = dict(metadata)
    try:
        pandas = json.loads(metadata.get("pandas", "{}"))
        types = [level["numpy_type"] for level in pandas.get("column_indexes", ())]
    except (ValueError, TypeError, KeyError, AttributeError):
        return changed
    if (
        types
        and types not in (["object"], ["str"])
        and not set(before).issuperset(names)
    ):
        pandas["column_indexes"] = [TEXTS]
        changed["pandas"] = json.dumps(pandas)
    return changed


def write(
    lazy: pl.LazyFrame, form: Form, stream: BinaryIO, of: Table | None = None
) -> None:
    """Write a table of typed cells, with the metadata of what it is made `of`."""
    metadata = {}
    if isinstance(of, Frames) and form.name == "parquet":
        names = lazy.collect_schema().names()
        metadata = _for_names(of.schema().metadata, of.names, names)
    if metadata:
        # Readers by Arrow take it from there.
        start = io.BytesIO()
        oldest = pl.CompatLevel.oldest()
        lazy.collect_schema().to_frame().write_ipc_stream(start, compat_level=oldest)
        schema = arrow_schema.with_metadata(start.getvalue(), metadata)
        metadata["ARROW:schema"] = base64.b64encode(schema).decode()

    with tempfile.TemporaryFile() as spool:
        # Straight into a file; into a pipe by way of one, for polars needs to seek.
        name = getattr(stream, "name", None)
        target = stream if isinstance(name, str) and Path(name).is_file() else spool
        try:
            if form.name == "parquet":
                # Level 3, the default, takes a fifth longer for half a percent.
                lazy.sink_parquet(target, compression_level=1, metadata=metadata)
            else:
                lazy.sink_ipc(target)
        except pl.exceptions.PolarsError as error:
            failed = OSError(0, str(error).splitlines()[0])
            if target is stream:
                raise failed from error
            with files.in_temporary_folder("the table"):
                raise failed from error
        if target is spool:
            spool.seek(0)
            shutil.copyfileobj(spool, stream)


def check_types(source: str, types: Mapping[str, pl.DataType], form: Form) -> None:
    """Refuse columns of types that a text has no cells for."""
    for name, kind in types.items():
        nested = kind.is_nested() or (kind == pl.Duration and not form.is_binary)
        # Which may be no text.
        has_bytes = pl.Schema({name: kind}).contains_dtype(pl.Binary(), recursive=True)
        if (form.kind != "ndjson" and nested) or has_bytes:
            raise CommandError(
                f"{source}, column {name!r}: {form.title} has no cells for "
                f"{type_name(kind)}; write Parquet or Arrow, as in -o FILE.parquet, "
                "or cast the column to text, or leave it out of the file"
            )


def type_name(kind: pl.DataType) -> str:
    """What messages call the type of cells."""
    return str(kind.base_type()).lower()
