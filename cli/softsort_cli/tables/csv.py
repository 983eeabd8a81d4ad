"""Delimited text: CSV, TSV and the like.

Cells are read where they are in the text, and new ones are written between what was
there before, which is never parsed and written again: it stays as it arrived byte for
byte. Comment lines and blank lines are carried along where they are; where there is one
column, a blank line is a row without a cell.
"""

from collections import deque
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
import polars as pl

from softsort_cli.errors import CommandError
from softsort_cli.io import prefetch
from softsort_cli.io.source import Input, read_blocks
from softsort_cli.tables.csv_block import Block
from softsort_cli.tables.csv_quotes import count, end_of_records, mask, quote
from softsort_cli.tables.formats import Form
from softsort_cli.tables.table import Table

# Bytes of a file of which is held for another pass what was found in it.
HELD = 1 << 28


@dataclass(frozen=True)
class Delimited(Table):
    """A table in a delimited text."""

    comment: str | None = None
    # The blocks of a pass, and how many bytes of the file each is, for the next pass.
    # Text that is in the file as it is masked is read there once more.
    held: list[tuple[Block, int]] | None = None

    def parts(self, columns: Sequence[int] | None = None) -> Iterator[Block]:
        """The table, some lines at a time, whatever columns are asked for."""
        del columns
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
        for block in self._blocks():
            if self.held is not None:
                text = block.masked.text
                in_file = not block.masked.originals
                read.append((block.with_text(b"" if in_file else text), len(text)))
            yield block
        if self.held is not None:
            self.held.extend(read)

    def ending(self) -> str:
        """What ends its first line."""
        first = next(replace(self, held=None).parts())
        return "\r\n" if first.stops[0] < first.ends[0] else "\n"

    def _blocks(self) -> Iterator[Block]:
        pieces, names = self._pieces(), None
        for data, before in pieces:
            block = self._block(data, before)
            yield block
            names = block.names
            if names is not None:
                break
        yield from prefetch.each(lambda piece: self._block(*piece, names), pieces)

    def _pieces(self) -> Iterator[tuple[bytes, int]]:
        """Whole records, and how many lines came before them."""
        delimiter, comment, before = self.form.delimiter, self.comment, 0
        for data in read_blocks(
            self.input.stream(),
            self.source,
            lambda data: end_of_records(data, delimiter, comment),
        ):
            yield data, before
            before += count(data, "\n")

    def _block(self, data: bytes, before: int, names: list[str] | None = None) -> Block:
        """A block, of which it is known which lines are rows.

        The first line that is one names the columns, unless `names` are known.
        """
        delimiter, comment = self.form.delimiter, self.comment
        masked = mask(data, self.source, delimiter, comment, before)
        _check_utf8(data, self.source, before)
        block = Block(
            self.source, delimiter, self.headers, comment, names, masked, before
        )
        _ = block.rows
        return block


def open_table(
    file: Input,
    form: Form,
    *,
    headers: bool,
    comment: str | None,
    spare: float = 0,
    **_: object,
) -> Delimited:
    """Find the columns of a delimited text.

    What is held for a second pass takes at most as much as the file, numbers maybe
    twice as much: it is held if there is `spare` memory for that.
    """
    fits = 0 < file.size() <= HELD and 4 * file.size() <= spare and file.is_plain
    table = Delimited(file, form, [], headers, comment=comment)
    source, names, remarks = file.source, None, False
    for block in table.parts():
        names = names or block.names
        if names is not None and block.height:
            return replace(table, names=names, held=[] if fits else None)
        remarks |= bool((block.stops > block.starts).any())
    if names is not None and "\r" in "".join(names):
        raise CommandError(
            f"{source} has a single line: carriage returns alone do not end any; "
            "convert it, as in tr '\\r' '\\n'"
        )
    if names is not None:
        return replace(table, names=names)
    if remarks:
        raise CommandError(f"{source} holds nothing but comments")
    raise CommandError(f"{source} is empty: expected a table")


def _check_utf8(data: bytes, source: str, before: int) -> None:
    try:
        if not data.isascii():
            data.decode()
    except UnicodeDecodeError as error:
        line = before + data.count(b"\n", 0, error.start) + 1
        raise CommandError(
            f"{source}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8; "
            "name what it is, as in --encoding windows-1252"
        ) from None


def append(
    block: Block, columns: Mapping[str, pl.Series], rows: np.ndarray | None = None
) -> bytes:
    """The bytes of the block with cells of `columns` appended to its rows.

    A column whose name the table has already takes the place of that one. Only the
    `rows` that are true are written, if there are any.
    """
    if rows is not None:
        block = _only(block, rows)
        columns = {
            name: cells.filter(pl.Series(rows)) for name, cells in columns.items()
        }
    names, delimiter, text = block.names or [], block.delimiter, block.masked.text
    at = {name: place for place, name in enumerate(names)}
    old = {at[name]: columns[name] for name in columns if name in at}
    new = {name: cells for name, cells in columns.items() if name not in at}
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
        lines = _replaced(block, stop, old) if old else block.cut(stop, ends)
        _write(made, [lines, *new.values()], delimiter)
        stop = int(ends[-1])
    made.write(text[stop:])
    return block.masked.restore(made.getvalue())


def _only(block: Block, rows: np.ndarray) -> Block:
    """The block without the rows that are false."""
    text, stays = block.masked.text, np.ones(len(block.ends), bool)
    stays[block.rows[~rows]] = False
    # Up to the start of the next line.
    after = np.minimum(block.ends + 1, len(text))
    start = int(block.starts[0])
    made = BytesIO()
    made.write(text[:start])
    lines = block.cut(start, after).filter(pl.Series(stays))
    _write(made, [lines], block.delimiter)
    return replace(block, masked=replace(block.masked, text=made.getvalue()))


def _replaced(block: Block, start: int, columns: Mapping[int, pl.Series]) -> pl.Series:
    """The rows of the block, from a place on, with other text in some cells."""
    places = sorted(columns)
    cuts = [cut for column in places for cut in block.bounds(column)]
    pieces, step = block.cut(start, *cuts, block.row_ends), len(cuts) + 1
    parts = [pieces.gather_every(step, place) for place in range(step)]
    parts[1::2] = [columns[column] for column in places]
    texts = [part.cast(pl.String).fill_null("") for part in parts]
    return pl.select(pl.concat_str(texts)).to_series()


def _write(made: BytesIO, columns: Sequence[pl.Series], separator: str) -> None:
    """Write rows of cells that begin with the ends of lines, nothing quoted."""
    named = {str(place): cells for place, cells in enumerate(columns)}
    pl.DataFrame(named).write_csv(
        made,
        include_header=False,
        separator=separator,
        line_terminator="",
        quote_style="never",
    )


def text_of(
    frame: pl.DataFrame,
    form: Form,
    formatted: Container[str] = (),
    *,
    headers: bool,
    ending: str,
) -> bytes:
    """The rows of a frame, quoted as polars does it."""
    del formatted  # texts, whatever made them
    made = BytesIO()
    frame.write_csv(
        made,
        separator=form.delimiter,
        include_header=headers,
        line_terminator=ending,
    )
    return made.getvalue()
