"""Delimited text: CSV, TSV and the like.

A block of a table is some lines, and where they and their cells begin and end. Cells
are read there, and new ones are written between what was there before, which is never
parsed and written again: it stays as it arrived byte for byte. Comment lines and empty
lines are carried along where they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING

from softsort_cli.errors import CommandError
from softsort_cli.io import prefetch
from softsort_cli.io.source import Input, read_blocks
from softsort_cli.tables.csv_quotes import BOM, Masked, count, mask, places, whole
from softsort_cli.tables.formats import Form, quote, unquote

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


# Bytes of a file of which is held for another pass what was found in it.
HELD = 1 << 28


@dataclass(frozen=True)
class Block:
    """Some lines of a delimited text, masked (see `csv_quotes`), and what they are."""

    source: str
    delimiter: str
    headers: bool  # whether the table has a line that names its columns
    comment: str | None
    known: list[str] | None  # the names of the columns, if a block before has told them
    masked: Masked
    before: int  # how many lines came before

    @cached_property
    def ends(self) -> np.ndarray:
        """Where each line ends in the masked text."""
        import numpy as np

        text = self.masked.text
        ends = places(text, "\n")
        return ends if text.endswith(b"\n") else np.append(ends, len(text))

    @cached_property
    def starts(self) -> np.ndarray:
        """Where each line starts."""
        import numpy as np

        starts = np.empty_like(self.ends)
        starts[0] = len(BOM) if self.masked.text.startswith(BOM) else 0
        starts[1:] = self.ends[:-1] + 1
        return starts

    @cached_property
    def stops(self) -> np.ndarray:
        """Where what each line says ends: before its carriage return."""
        import numpy as np

        codes = np.frombuffer(self.masked.text, np.uint8)
        if self.masked.carriage not in self.masked.originals or not codes.size:
            return self.ends
        last = codes[np.maximum(self.ends - 1, 0)]
        return self.ends - (last == ord(self.masked.carriage))

    @property
    def line_count(self) -> int:
        """The number of lines."""
        return len(self.ends)

    def cut(self, start: int, *cuts: np.ndarray) -> pl.Series:
        """All text from a place on, cut in these places of each line or row."""
        import numpy as np

        from softsort_cli.tables import arrow_texts

        ends = np.empty(1 + len(cuts) * len(cuts[0]), self.ends.dtype)
        ends[0] = start
        for number, places_of_cut in enumerate(cuts):
            ends[1 + number :: len(cuts)] = places_of_cut
        return arrow_texts.texts(self.masked.text, ends)

    def within(self, starts: np.ndarray, stops: np.ndarray) -> pl.Series:
        """The text from each start to its stop."""
        return self.cut(0, starts, stops).gather_every(2, 1)

    def line(self, number: int) -> str:
        """One of the lines, counting from 0."""
        return self.masked.text[self.starts[number] : self.stops[number]].decode()

    @cached_property
    def _holding(self) -> np.ndarray:
        """Which lines hold cells."""
        import numpy as np

        comment, holds = self.comment, self.stops > self.starts
        if comment and comment.encode() in self.masked.text:
            lines = self.within(self.starts, self.stops)
            holds &= ~lines.str.starts_with(comment).to_numpy()
        return np.flatnonzero(holds)

    @cached_property
    def names(self) -> list[str] | None:
        """The names of the columns; None if there is nothing but remarks.

        Without a header these are "1", "2" and so on.
        """
        if self.known is not None or not len(self._holding):
            return self.known
        first = self.line(self._holding[0]).split(self.delimiter)
        if self.headers:
            return [unquote(self.masked.restore_text(cell)) for cell in first]
        return [str(number + 1) for number in range(len(first))]

    @property
    def header(self) -> int | None:
        """Which line names the columns, if it is here."""
        is_here = self.headers and self.known is None and len(self._holding)
        return int(self._holding[0]) if is_here else None

    @cached_property
    def rows(self) -> np.ndarray:
        """Which lines hold cells of rows."""
        return self._holding if self.header is None else self._holding[1:]

    @property
    def row_ends(self) -> np.ndarray:
        """Where what each row says ends."""
        return self.stops[self.rows]

    @property
    def height(self) -> int:
        """The number of rows."""
        return len(self.rows)

    def ready(self) -> Block:
        """The same once it is known which lines are rows."""
        _ = self.rows
        return self

    def with_text(self, text: bytes) -> Block:
        """The same with this as its masked text; of what was found in it, the ends."""
        block = replace(self, masked=replace(self.masked, text=text))
        vars(block).update(ends=self.ends)
        return block

    def without(self, dropped: np.ndarray) -> Block:
        """The same without some of its rows."""
        import numpy as np
        import polars as pl

        text, stays = self.masked.text, np.ones(self.line_count, bool)
        stays[self.rows[dropped]] = False
        # Up to the start of the next line.
        after = np.minimum(self.ends + 1, len(text))
        start = int(self.starts[0])
        made = BytesIO()
        made.write(text[:start])
        lines = self.cut(start, after).filter(pl.Series(stays))
        _write(made, [lines], self.delimiter, "")
        return replace(self, masked=replace(self.masked, text=made.getvalue()))

    def line_number(self, row: int) -> int:
        """Where a row begins in the file, counting from 1."""
        line = int(self.rows[row])
        before = self.masked.text[: self.starts[line]]
        return self.before + line + 1 + before.count(self.masked.newline.encode())

    def place(self, column: int, row: int) -> str:
        """Where a cell is and what it says, for messages."""
        line = self.line(self.rows[row])
        cell = self.masked.restore_text(line.split(self.delimiter)[column])
        shown = cell if len(cell) <= 40 else cell[:40] + "..."
        return f"line {self.line_number(row)}: {shown!r}"

    def cells(self, columns: Sequence[int]) -> list[pl.Series]:
        """The masked text of each chosen column, one cell a row."""
        import polars as pl

        if not columns or not self.height:
            return [pl.Series([], dtype=pl.String) for _ in columns]
        return [self.within(*self.bounds(column)) for column in columns]

    def bounds(self, column: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the cells of a column start and stop, row by row."""
        delimiters = self._delimiters
        is_last = column == delimiters.shape[1]
        starts = delimiters[:, column - 1] + 1 if column else self.starts[self.rows]
        return starts, self.row_ends if is_last else delimiters[:, column]

    @cached_property
    def _delimiters(self) -> np.ndarray:
        """Where the delimiters between the cells of each row are.

        Rows that have more or fewer cells than there are names are refused.
        """
        import numpy as np

        assert self.names is not None
        found, width = places(self.masked.text, self.delimiter), len(self.names) - 1
        starts, stops = self.starts[self.rows], self.row_ends
        if self.height < self.line_count:
            is_row = np.zeros(self.line_count, bool)
            is_row[self.rows] = True
            counts = _counts(found, self.starts, self.stops)
            found = found[np.repeat(is_row, counts)]
        # If there are as many as there should be, and none of them is before the row
        # that it should be in or behind it, every row has its own.
        if len(found) == self.height * width:
            found = found.reshape(self.height, width)
            first, last = found[:, :1].T, found[:, -1:].T
            if (first >= starts).all() and (last < stops).all():
                return found
            found = found.ravel()
        counts = _counts(found, starts, stops)
        row = int((counts != width).argmax())
        than = "the header" if self.headers else "the first row"
        raise CommandError(
            f"{self.source}, line {self.line_number(row)}: {counts[row] + 1} "
            f"instead of {len(self.names)} cells as in {than}; correct the line, "
            "or --delimiter"
        )

    def said(self, columns: Sequence[int]) -> list[pl.Series]:
        """What the cells of each chosen column say; null if nothing."""
        import polars as pl

        found, quotes = [], b'"' in self.masked.text
        for cells in self.cells(columns):
            quoted = quotes and cells.str.contains('"', literal=True).any()
            if quoted or self.masked.originals:
                texts = [unquote(self.masked.restore_text(cell)) for cell in cells]
                cells = pl.Series(texts, dtype=pl.String)
            found.append(cells.set(cells == "", None))
        return found


@dataclass(frozen=True)
class Delimited:
    """A table in a delimited text."""

    input: Input
    form: Form
    headers: bool
    comment: str | None
    names: list[str]
    # The blocks of a pass, and how many bytes of the file each is, for the next pass.
    # Text that is in the file as it is masked is read there once more.
    held: list[tuple[Block, int]] | None = None

    @property
    def source(self) -> str:
        """Its name in messages."""
        return self.input.source

    def holding(self, memory: float) -> Delimited:
        """The same, where a pass spares the next one work, if memory allows.

        What is held takes at most as much as the file, numbers maybe twice as much.
        """
        given = self.input
        fits = 0 < given.size() <= HELD and 4 * given.size() <= memory
        return replace(self, held=[]) if fits and given.is_plain else self

    def parts(self, columns: Sequence[int] | None = None) -> Iterator[Block]:  # noqa: ARG002
        """The table, some lines at a time, whatever columns are asked for."""
        if self.held:
            # Whoever leaves early finds nothing held the next time.
            held, place = deque(self.held), 0
            self.held.clear()
            while held:
                block, size = held.popleft()  # no longer held
                text = block.masked.text or self.input.read(place, size)
                yield block.with_text(text)
                place += size
            return
        read = []
        for block in self._read():
            if self.held is not None:
                text = block.masked.text
                kept = text if block.masked.originals else b""
                read.append((block.with_text(kept), len(text)))
            yield block
        if self.held is not None:
            self.held.extend(read)

    def _read(self) -> Iterator[Block]:
        pieces = self._pieces()
        names = None
        for data, before in pieces:
            block = self._parse(data, before)
            yield block
            names = block.names
            if names is not None:
                break
        yield from prefetch.each(lambda piece: self._parse(*piece, names), pieces)

    def _pieces(self) -> Iterator[tuple[bytes, int]]:
        """Whole records, and how many lines came before them."""
        delimiter, comment, before = self.form.delimiter, self.comment, 0
        for data in read_blocks(
            self.input.stream(),
            self.source,
            lambda data: whole(data, delimiter, comment),
        ):
            yield data, before
            before += count(data, "\n")

    def _parse(self, data: bytes, before: int, names: list[str] | None = None) -> Block:
        return parse(
            data,
            self.source,
            delimiter=self.form.delimiter,
            headers=self.headers,
            comment=self.comment,
            names=names,
            before=before,
        )

    def typed(self, block: Block) -> Mapping[str, pl.Series]:
        """The columns of a block for a format whose cells have types."""
        columns = block.said(range(len(self.names)))
        return dict(zip(self.names, columns, strict=True))


def open_delimited(
    given: Input, form: Form, *, headers: bool, comment: str | None
) -> Delimited:
    """Find the columns of a delimited text."""
    table = Delimited(given, form, headers, comment, [])
    source, names, remarks = given.source, None, False
    for block in table.parts():
        names = block.names
        if names is not None and block.height:
            return Delimited(given, form, headers, comment, names)
        remarks |= bool((block.stops > block.starts).any())
    if names is not None and "\r" in "".join(names):
        raise CommandError(
            f"{source} has a single line: carriage returns alone do not end any; "
            "convert it, as in tr '\\r' '\\n'"
        )
    if names is not None:
        raise CommandError(f"{source} has a header but no rows")
    if remarks:
        raise CommandError(f"{source} holds nothing but comments")
    raise CommandError(f"{source} is empty: expected a table")


def parse(
    data: bytes,
    source: str,
    *,
    delimiter: str,
    headers: bool,
    comment: str | None,
    names: list[str] | None = None,
    before: int = 0,
) -> Block:
    """Find the lines and the rows of a block of text.

    The first line that is one names the columns, unless `names` are known.
    """
    masked = mask(data, source, delimiter, comment, before)
    _check_utf8(data, source, before)
    return Block(source, delimiter, headers, comment, names, masked, before).ready()


def _check_utf8(data: bytes, source: str, before: int) -> None:
    if data.isascii():
        return
    import polars as pl

    with suppress(pl.exceptions.PolarsError):
        pl.Series([data]).cast(pl.String)  # many times as fast as to decode it here
        return
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = before + data.count(b"\n", 0, error.start) + 1
        raise CommandError(
            f"{source}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8; "
            "name what it is, as in --encoding windows-1252"
        ) from None


def _counts(found: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """How many of the places that were found are from each start to its stop."""
    import numpy as np

    return np.searchsorted(found, stops) - np.searchsorted(found, starts)


def append(
    block: Block, columns: Mapping[str, pl.Series], kept: np.ndarray | None = None
) -> bytes:
    """The bytes of the block with cells of `columns` appended to its rows.

    A column whose name the table has already takes the place of that one. Only the
    rows `kept` are written, if not all.
    """
    import polars as pl

    if kept is not None:
        block = block.without(~kept)
        columns = {
            name: cells.filter(pl.Series(kept)) for name, cells in columns.items()
        }
    names, delimiter, text = block.names or [], block.delimiter, block.masked.text
    old = {names.index(name): columns[name] for name in columns if name in names}
    new = {name: cells for name, cells in columns.items() if name not in names}
    stop, head = 0, ""
    if block.header is not None:
        stop = int(block.stops[block.header])
        head = "".join(delimiter + quote(name, delimiter) for name in new)
    made = BytesIO()
    made.write(text[:stop] + head.encode())
    if block.height:
        # From the end of a row to that of the next: line endings, comments and empty
        # lines stay as well.
        ends = block.row_ends
        rows = _replaced(block, stop, old) if old else block.cut(stop, ends)
        _write(made, [rows, *new.values()], delimiter, "")
        stop = int(ends[-1])
    made.write(text[stop:])
    return block.masked.restore(made.getvalue())


def _replaced(block: Block, start: int, columns: Mapping[int, pl.Series]) -> pl.Series:
    """The rows of the block, from a place on, with other text in some cells."""
    cuts = [cut for column in sorted(columns) for cut in block.bounds(column)]
    pieces, step = block.cut(start, *cuts, block.row_ends), len(cuts) + 1
    parts = [pieces.gather_every(step, place) for place in range(step)]
    parts[1::2] = [columns[column] for column in sorted(columns)]
    return _glue(parts, block.height)


def _text(cells: pl.Series) -> pl.Series:
    import polars as pl

    return cells.cast(pl.String).fill_null("")


def _glue(parts: Sequence[str | pl.Series], length: int) -> pl.Series:
    """The texts of all parts together, row by row."""
    import polars as pl

    if not parts:
        return pl.Series([""]).new_from_index(0, length)
    columns = [pl.lit(part if isinstance(part, str) else _text(part)) for part in parts]
    return pl.select(pl.concat_str(columns)).to_series()


def _write(
    made: BytesIO, columns: Sequence[pl.Series], separator: str, ending: str
) -> None:
    """Write rows of cells, nothing quoted."""
    import polars as pl

    named = {str(place): cells for place, cells in enumerate(columns)}
    pl.DataFrame(named).write_csv(
        made,
        include_header=False,
        separator=separator,
        line_terminator=ending,
        quote_style="never",
    )


def table_of(
    names: Sequence[str], columns: Sequence[pl.Series], delimiter: str, ending: str
) -> bytes:
    """A delimited text of these columns; without names it has no header."""
    made = BytesIO()
    if names:
        header = delimiter.join(quote(name, delimiter) for name in names)
        made.write((header + ending).encode())
    spaced = [part for column in columns for part in (delimiter, column)][1:]
    _write(made, [_glue(spaced, len(columns[0]))], delimiter, ending)
    return made.getvalue()
