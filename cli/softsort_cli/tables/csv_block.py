"""Some lines of delimited text: where they and their cells begin and end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl

from softsort_cli.errors import CommandError
from softsort_cli.tables.csv_quotes import BOM, Masked, places, unquote
from softsort_cli.tables.formats import delimiter_hint

# Columns, and rows, of which cells are found together: there are so many of the one
# that steps for each take long, and so few of the other that a copy does not.
MANY, FEW = 64, 1000


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
        text = self.masked.text
        ends = places(text, "\n")
        is_whole = text.endswith(b"\n") or text in (b"", BOM)
        return ends if is_whole else np.append(ends, len(text))

    @cached_property
    def starts(self) -> np.ndarray:
        """Where each line starts."""
        starts = np.empty_like(self.ends)
        starts[:1] = len(BOM) if self.masked.text.startswith(BOM) else 0
        starts[1:] = self.ends[:-1] + 1
        return starts

    @cached_property
    def stops(self) -> np.ndarray:
        """Where what each line says ends: before its carriage return."""
        codes = np.frombuffer(self.masked.text, np.uint8)
        if self.masked.carriage not in self.masked.originals or not codes.size:
            return self.ends
        last = codes[np.maximum(self.ends - 1, 0)]
        return self.ends - (last == ord(self.masked.carriage))

    def cut(self, start: int, *cuts: np.ndarray) -> pl.Series:
        """All text from a place on, cut in these places of each line or row."""
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
    def _says(self) -> tuple[np.ndarray, np.ndarray]:
        """Which lines are blank, and which of the others are no comments."""
        comment, blank = self.comment, self.stops == self.starts
        says = ~blank
        if comment and comment.encode() in self.masked.text:
            lines = self.within(self.starts, self.stops)
            says &= ~lines.str.starts_with(comment).to_numpy()
        return blank, says

    @property
    def has_comments(self) -> bool:
        """Whether a line that is not blank holds no cells."""
        blank, says = self._says
        return not (blank | says).all()

    @cached_property
    def _first(self) -> int | None:
        """The first line that says something, if it decides what the columns are."""
        says = self._says[1]
        return int(np.argmax(says)) if self.known is None and says.any() else None

    @cached_property
    def names(self) -> list[str] | None:
        """The names of the columns; None if there is nothing but remarks.

        Without a header these are "1", "2" and so on.
        """
        if self._first is None:
            return self.known
        first = self.line(self._first).split(self.delimiter)
        if self.headers:
            return [unquote(self.masked.restore_text(cell)) for cell in first]
        return [str(number + 1) for number in range(len(first))]

    @property
    def header(self) -> int | None:
        """Which line names the columns, if it is here."""
        return self._first if self.headers else None

    @cached_property
    def rows(self) -> np.ndarray:
        """Which lines hold cells of rows.

        A blank line holds none, but where there is one column: its absent cell.
        """
        blank, says = self._says
        if self.names is not None and len(self.names) == 1:
            says = says | blank
        first = 0 if self.header is None else self.header + 1
        return first + np.flatnonzero(says[first:])

    @property
    def row_ends(self) -> np.ndarray:
        """Where what each row says ends."""
        return self.stops[self.rows]

    @property
    def height(self) -> int:
        """The number of rows."""
        return len(self.rows)

    def with_text(self, text: bytes) -> Block:
        """A block with this as its masked text, whose lines end at the same places."""
        block = replace(self, masked=replace(self.masked, text=text))
        vars(block).update(ends=self.ends, names=self.names)
        return block

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
        """The text of each chosen column, one cell a row, masked but for delimiters."""
        if not columns or not self.height:
            return [pl.Series([], dtype=pl.String) for _ in columns]
        if len(columns) >= MANY and self.height <= FEW:
            cells = self._cells_together(columns)
        else:
            cells = [self.within(*self.bounds(column)) for column in columns]
        # What separates cells may be in quoted numbers.
        for stand_in, original in self.masked.originals.items():
            if original == self.delimiter:
                cells = [
                    each.str.replace_all(stand_in, original, literal=True)
                    for each in cells
                ]
        return cells

    def _cells_together(self, columns: Sequence[int]) -> list[pl.Series]:
        """The cells of many columns, found in few steps: each takes some time."""
        delimiters, rows = self._delimiters, self.rows
        starts = np.column_stack([self.starts[rows], delimiters + 1])
        stops = np.column_stack([delimiters, self.stops[rows]])
        cells = self.within(starts.ravel(), stops.ravel())
        places = np.asarray(columns)[:, None] + np.arange(self.height) * starts.shape[1]
        cells = cells.gather(places.ravel())
        return [
            cells.slice(start, self.height)
            for start in range(0, len(cells), self.height)
        ]

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
        assert self.names is not None
        delimiters = places(self.masked.text, self.delimiter)
        width, starts, stops = (
            len(self.names) - 1,
            self.starts[self.rows],
            self.row_ends,
        )
        if self.height < len(self.ends):
            is_row = np.zeros(len(self.ends), bool)
            is_row[self.rows] = True
            counts = _counts(delimiters, self.starts, self.stops)
            delimiters = delimiters[np.repeat(is_row, counts)]
        # If there are as many as there should be, and none of them is before the row
        # that it should be in or behind it, every row has its own.
        if len(delimiters) == self.height * width:
            table = delimiters.reshape(self.height, width)
            first, last = table[:, :1].T, table[:, -1:].T
            if (first >= starts).all() and (last < stops).all():
                return table
        counts = _counts(delimiters, starts, stops)
        row = int((counts != width).argmax())
        than = "the header" if self.headers else "the first row"
        raise CommandError(
            f"{self.source}, line {self.line_number(row)}: {counts[row] + 1} "
            f"instead of {len(self.names)} cells as in {than}; "
            + (
                delimiter_hint(self.names[0] if len(self.names) == 1 else "")
                or "correct the line, or --delimiter"
            )
        )

    def texts(self, columns: Sequence[int]) -> list[pl.Series]:
        """What the cells of each chosen column say; null if nothing."""
        restore, quotes = self.masked.restore_text, b'"' in self.masked.text
        columns_of_texts = []
        for cells in self.cells(columns):
            quoted = quotes and cells.str.contains('"', literal=True).any()
            if quoted or self.masked.originals:
                texts = [unquote(restore(cell)) for cell in cells]
                cells = pl.Series(texts, dtype=pl.String)
            columns_of_texts.append(cells.set(cells == "", None))
        return columns_of_texts


def _counts(
    delimiters: np.ndarray, starts: np.ndarray, stops: np.ndarray
) -> np.ndarray:
    """How many delimiters are from each start to its stop."""
    return np.searchsorted(delimiters, stops) - np.searchsorted(delimiters, starts)
