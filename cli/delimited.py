"""Delimited text: CSV, TSV and the like.

A block of a table is its lines. Cells are read from them, and new cells are written
behind them; what was there is never parsed and written again, so it stays as it arrived
byte for byte. Comment lines and empty lines are carried along where they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from io import BytesIO
from typing import TYPE_CHECKING

from cli import ahead
from cli.errors import CommandError
from cli.formats import Form, quote, unquote
from cli.inputs import Input, read_blocks
from cli.records import BOM, Masked, count, has_empty_lines, mask, whole

if TYPE_CHECKING:
    import numpy as np
    import polars as pl


HELD = 1 << 28  # bytes of a file that are held in memory for another pass


@dataclass(frozen=True)
class Block:
    """Some lines of a delimited text, masked (see `cli.records`), and what they are.

    Whoever needs numbers alone needs no lines: these are split when they are asked for.
    """

    source: str
    delimiter: str
    headers: bool  # whether the table has a line that names its columns
    comment: str | None
    known: list[str] | None  # the names of the columns, if a block before has told them
    masked: Masked
    before: int  # how many lines came before

    @cached_property
    def text(self) -> bytes:
        """The masked text with newlines alone at the ends of lines."""
        carriage = self.masked.carriage.encode()
        if self.carriage_free:
            return self.masked.text
        return self.masked.text.replace(carriage + b"\n", b"\n").removesuffix(carriage)

    @property
    def carriage_free(self) -> bool:
        """Whether there is no carriage return at all."""
        return self.masked.carriage not in self.masked.originals

    @cached_property
    def line_count(self) -> int:
        """The number of lines."""
        return count(self.text, "\n") + (not self.text.endswith(b"\n"))

    @cached_property
    def lines(self) -> pl.Series:
        """Every line, without its line ending."""
        import polars as pl

        if not self.text.removeprefix(BOM).strip(b"\n"):
            return pl.Series([""] * self.line_count, dtype=pl.String)
        return _split(self.text, ["line"], self.masked.unused)["line"]

    @cached_property
    def carriage(self) -> pl.Series | None:
        """For each line, the carriage return that ended it, if there are any."""
        if self.carriage_free:
            return None
        lines = _split(self.masked.text, ["line"], self.masked.unused)["line"]
        ended = lines.str.ends_with(self.masked.carriage)
        return ended.replace_strict(True, self.masked.carriage, default="")

    @cached_property
    def is_dense(self) -> bool:
        """Whether every line holds cells."""
        comment = self.comment and self.comment.encode()
        return not ((comment and comment in self.text) or has_empty_lines(self.text))

    @cached_property
    def _holding(self) -> np.ndarray:
        """Which lines hold cells."""
        import numpy as np

        if self.is_dense:
            return np.arange(self.line_count)
        comment, holds = self.comment, self.lines != ""
        if comment:
            holds &= ~self.lines.str.starts_with(comment)
        return holds.arg_true().to_numpy()

    @cached_property
    def names(self) -> list[str] | None:
        """The names of the columns; None if there is nothing but remarks.

        Without a header these are "1", "2" and so on.
        """
        if self.known is not None or not len(self._holding):
            return self.known
        first = self.lines[int(self._holding[0])].split(self.delimiter)
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
    def height(self) -> int:
        """The number of rows."""
        return len(self.rows)

    def ready(self) -> Block:
        """The same once it is known which lines are rows."""
        _ = self.rows
        return self

    def bare(self) -> Block:
        """The same without what takes memory: its lines and what was found in them."""
        bare = replace(self)
        vars(bare).update(is_dense=self.is_dense, line_count=self.line_count)
        return bare

    def line_number(self, row: int) -> int:
        """Where a row begins in the file, counting from 1."""
        line = int(self.rows[row])
        quoted = self.lines.head(line).str.count_matches(
            self.masked.newline, literal=True
        )
        return self.before + line + 1 + int(quoted.sum())

    def place(self, column: int, row: int) -> str:
        """Where a cell is and what it says, for messages."""
        line = self.lines[int(self.rows[row])]
        cell = self.masked.restore_text(line.split(self.delimiter)[column])
        shown = cell if len(cell) <= 40 else cell[:40] + "..."
        return f"line {self.line_number(row)}: {shown!r}"

    def ending(self) -> str | None:
        """What ends every line; None if they differ."""
        removed = len(self.masked.text) - len(self.text)
        if not removed:
            return "\n"
        return self.masked.carriage + "\n" if removed == self.line_count else None

    def is_contiguous(self) -> bool:
        """Whether the rows run to the end, as they do without remarks between."""
        return not self.height or self.height == self.line_count - int(self.rows[0])

    def cells(self, columns: Sequence[int]) -> list[pl.Series]:
        """The masked text of each chosen column, one cell a row."""
        import polars as pl

        if not columns or not self.height:
            return [pl.Series([], dtype=pl.String) for _ in columns]
        assert self.names is not None
        names = [str(column) for column in range(len(self.names))]
        # Row after row to the end of the text is the common case: no copy is needed.
        direct = self.is_contiguous()
        skipped = int(self.rows[0]) if direct else 0
        text = self.text if direct else text_of(self.lines.gather(self.rows).to_frame())
        wanted = sorted({*columns, len(names) - 1})
        frame = _split(text, names, self.delimiter, wanted, skipped)
        # Cells that a row lacks are empty there, and those too many are left out. If
        # none lacks any, and there are as many as there should be, every row is right.
        found = count(text, self.delimiter)
        if (
            skipped
            or found != self.height * (len(names) - 1)
            or (frame[names[-1]] == "").any()
        ):
            self._check_widths()
        return [frame[names[column]] for column in columns]

    def _check_widths(self) -> None:
        """Refuse rows that have more or fewer cells than there are names."""
        assert self.names is not None
        lines = self.lines
        if self.height < self.line_count:
            first = int(self.rows[0])
            is_tail = self.is_contiguous()
            lines = lines.slice(first) if is_tail else lines.gather(self.rows)
        found = lines.str.count_matches(self.delimiter, literal=True)
        wrong = found != len(self.names) - 1
        if wrong.any():
            row = int(wrong.arg_true()[0])
            than = "the header" if self.headers else "the first row"
            raise CommandError(
                f"{self.source}, line {self.line_number(row)}: {found[row] + 1} "
                f"instead of {len(self.names)} cells as in {than}; correct the line, "
                "or --delimiter"
            )

    def said(self, columns: Sequence[int]) -> list[pl.Series]:
        """What the cells of each chosen column say; null if nothing."""
        import polars as pl

        found = []
        for cells in self.cells(columns):
            quoted = cells.str.contains('"', literal=True)
            if quoted.any() or self.masked.originals:
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
    held: list[Block] | None = None  # those of a pass, for the next one

    @property
    def source(self) -> str:
        """Its name in messages."""
        return self.input.source

    def holding(self, memory: float) -> Delimited:
        """The same, where a pass spares the next one work, if memory allows.

        The blocks take as much as the file, numbers maybe twice as much.
        """
        given = self.input
        fits = 0 < given.size() <= HELD and 4 * given.size() <= memory
        return replace(self, held=[]) if fits and not given.packing else self

    def parts(self, columns: Sequence[int] | None = None) -> Iterator[Block]:  # noqa: ARG002
        """The table, some lines at a time, whatever columns are asked for."""
        if self.held:
            # Whoever leaves early finds nothing held the next time.
            held = deque(self.held)
            self.held.clear()
            while held:
                yield held.popleft()  # no longer held
            return
        read = []
        for block in self._read():
            if self.held is not None:
                read.append(block.bare())
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
        yield from ahead.each(lambda piece: self._parse(*piece, names), pieces)

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
        remarks |= bool((block.lines != "").any())
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
        BOM + text if text.startswith((b"x", b"\x1f", b"(")) else text,
        has_header=False,
        schema=dict.fromkeys(names, pl.String),
        columns=columns,
        separator=delimiter,
        quote_char=None,
        skip_lines=skipped,
        empty_string_is_null=False,
        truncate_ragged_lines=True,
    )


def append(
    block: Block, columns: Mapping[str, pl.Series], kept: np.ndarray | None = None
) -> bytes:
    """The bytes of the block with cells of `columns` appended to its rows.

    A column whose name the table has already takes the place of that one. Only the
    rows `kept` are written, if not all.
    """
    import numpy as np
    import polars as pl

    names = block.names or []
    old = {name: _text(cells) for name, cells in columns.items() if name in names}
    new = {name: cells for name, cells in columns.items() if name not in old}
    ending = block.ending()
    if kept is None and not old and ending and block.height == block.line_count:
        parts = pl.DataFrame({"line": block.lines, **_numbered(new)})
        return _bytes(block, parts, ending=ending)
    lines = _replaced(block, old) if old else block.lines
    fields = [part for cells in new.values() for part in (block.delimiter, cells)]
    head = "".join(block.delimiter + quote(name, block.delimiter) for name in new)
    # What follows each line: cells behind rows, names behind the header, nothing
    # behind comments and empty lines.
    which = np.full(len(lines), block.height, np.uint32)
    which[block.rows] = np.arange(block.height, dtype=np.uint32)
    if block.header is not None:
        which[block.header] = block.height + 1
    behind = pl.concat([_glue(fields, block.height), pl.Series(["", head])])
    parts = pl.DataFrame({"line": lines, "behind": behind.gather(which)})
    if block.carriage is not None:
        parts = parts.with_columns(block.carriage.alias("carriage"))
    if kept is not None:
        stays = np.ones(len(lines), bool)
        stays[block.rows] = kept
        parts = parts.filter(stays)
    # Writing the parts apart and closing the seams is faster than joining them.
    return _bytes(block, parts, seam=block.masked.unused)


def _numbered(columns: Mapping[str, pl.Series]) -> dict[str, pl.Series]:
    # A name in a file may be that of another column here.
    return {f"new {place}": cells for place, cells in enumerate(columns.values())}


def _bytes(
    block: Block, parts: pl.DataFrame, *, seam: str | None = None, ending: str = "\n"
) -> bytes:
    text = text_of(parts, seam or block.delimiter, ending)
    if seam:
        text = text.replace(seam.encode(), b"")
    if not block.masked.text.endswith(b"\n"):
        text = text.removesuffix(b"\n")
    if block.masked.text.startswith(BOM):
        text = BOM + text
    return block.masked.restore(text)


def _replaced(block: Block, columns: Mapping[str, pl.Series]) -> pl.Series:
    """The lines of the block with other text in the cells of these columns."""
    assert block.names is not None
    rows = block.lines.gather(block.rows)
    split = rows.str.split_exact(block.delimiter, len(block.names) - 1)
    cells = split.struct.unnest().get_columns()
    for name, column in columns.items():
        cells[block.names.index(name)] = column
    spaced = [part for cell in cells for part in (block.delimiter, cell)][1:]
    return block.lines.scatter(block.rows, _glue(spaced, block.height))


def _text(cells: pl.Series) -> pl.Series:
    import polars as pl

    return cells.cast(pl.String).fill_null("")


def _glue(parts: list[str | pl.Series], length: int) -> pl.Series:
    """The texts of all parts together, row by row."""
    import polars as pl

    if not parts:
        return pl.Series([""]).new_from_index(0, length)
    columns = [pl.lit(part if isinstance(part, str) else _text(part)) for part in parts]
    return pl.select(pl.concat_str(columns)).to_series()


def text_of(frame: pl.DataFrame, separator: str = ",", ending: str = "\n") -> bytes:
    """The rows of a frame as lines, nothing quoted."""
    buffer = BytesIO()
    frame.write_csv(
        buffer,
        include_header=False,
        separator=separator,
        line_terminator=ending,
        quote_style="never",
    )
    return buffer.getvalue()


def table_of(
    names: Sequence[str], columns: Sequence[pl.Series], delimiter: str, ending: str
) -> bytes:
    """A delimited text of these columns; without names it has no header."""
    header = delimiter.join(quote(name, delimiter) for name in names)
    spaced = [part for column in columns for part in (delimiter, column)][1:]
    body = text_of(_glue(spaced, len(columns[0])).to_frame())
    text = header.encode() + b"\n" + body if names else body
    return text.replace(b"\n", ending.encode())
