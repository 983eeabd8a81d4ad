"""NDJSON: a JSON object a line.

As in CSV, what was there stays as it arrived: new members are written before the last
brace of a line.
"""

import json
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import ClassVar

import numpy as np
import polars as pl

from softsort_cli.errors import CommandError
from softsort_cli.io.source import Input, read_blocks
from softsort_cli.tables import json_members
from softsort_cli.tables.csv_quotes import BOM
from softsort_cli.tables.formats import Form
from softsort_cli.tables.table import Table

# A backslash in a key, or what looks like it.
ESCAPED = re.compile(rb'\\[^"]*"\s*:')
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Block:
    """Some lines, one object each; empty lines stay where they are."""

    source: str
    names: list[str]
    lines: list[bytes]
    rows: list[int]  # which lines hold objects
    before: int  # how many lines came before
    decimal: str = "."  # the mark of fractions in strings

    @property
    def height(self) -> int:
        """The number of rows."""
        return len(self.rows)

    def text(self) -> bytes:
        """The objects alone."""
        text = b"\n".join(self.lines[row] for row in self.rows)
        return text.removeprefix(BOM)

    def add_names(self, names: dict[str, None]) -> None:
        """Add those of the members of the objects."""
        try:
            lines = pl.Series([self.lines[row].decode() for row in self.rows])
            if names:
                lines = json_members.lines_beyond(lines, names)
            for line in lines:
                names |= dict.fromkeys(json.loads(line.removeprefix("\ufeff")).keys())
        except (ValueError, AttributeError, RecursionError):  # no JSON, no object
            self._check_lines()
            raise

    def cells(self, columns: Sequence[int]) -> list[pl.Series]:
        """The values of chosen members as text, one a row; null for none.

        Numbers may be spelled in another way; see `texts`.
        """
        if not self.height or self.decimal != ".":
            say = partial(json_members.texts, decimal=self.decimal)
            return self._members(columns, say)
        names = [self.names[column] for column in columns]
        schema, text = dict.fromkeys(names, pl.String), self.text()
        try:
            frame = pl.read_ndjson(BytesIO(text), schema=schema)
        except pl.exceptions.PolarsError:
            frame = None
        if frame is None or frame.height != self.height:
            self._check_lines()
            return self.texts(columns)  # polars reads no NaN
        # Polars takes the first of several members of one name.
        if ESCAPED.search(text) or any(
            _repeats(text, name, frame[name].count()) for name in names
        ):
            return self.texts(columns)
        return [frame[name] for name in names]

    def texts(self, columns: Sequence[int]) -> list[pl.Series]:
        """Values as they are written: `1.10` stays that. The lines are valid JSON.

        The last of several members of one name counts, as in most readers of JSON.
        """
        return self._members(columns, json_members.texts)

    def strings(self, columns: Sequence[int]) -> list[pl.Series]:
        """Which values are strings."""
        return self._members(columns, json_members.are_strings)

    def _members(
        self, columns: Sequence[int], say: Callable[[pl.Series], pl.Series]
    ) -> list[pl.Series]:
        """What is said of the values of chosen members, null where there is none."""
        if not self.height:
            return [pl.Series([], dtype=pl.String) for _ in columns]
        members = json_members.split(self.text())
        rows, keys = members["row"].to_numpy(), members["key"]
        names = [self.names[column] for column in columns]
        mine: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for key in keys.unique():
            if (name := json.loads(key)) in mine:
                mine[name].append((keys == key).to_numpy().nonzero()[0])
        cells = []
        for name in names:
            which = np.full(self.height, -1)
            places = np.sort(np.concatenate([*mine[name], which[:0]]))
            values = say(members["value"].gather(places))
            which[rows[places]] = np.arange(len(places))
            absent = pl.Series(which < 0)
            cells.append(values.gather(pl.Series(which).set(absent, None)))
        return cells

    def place(self, column: int, row: int) -> str:
        """Where a value is and what it is, for messages."""
        members = json.loads(self.lines[self.rows[row]])
        text = json.dumps(members.get(self.names[column]))
        shown = text if len(text) <= 40 else text[:40] + "..."
        return f"line {self.before + self.rows[row] + 1}: {shown}"

    def _check_lines(self) -> None:
        for row in self.rows:
            where = f"{self.source}, line {self.before + row + 1}"
            try:
                value = json.loads(self.lines[row])
            except (ValueError, RecursionError) as error:
                raise CommandError(f"{where}: not JSON: {error}") from None
            if not isinstance(value, dict):
                raise CommandError(f"{where}: not a JSON object, as in {{...}}")


def _repeats(text: bytes, name: str, values: int) -> bool:
    """Whether a line may have several members of a name, which has so many values."""
    key = json.dumps(name, ensure_ascii=False).encode()
    if text.count(key) <= values:
        return False
    key = re.escape(key)
    return re.search(key + rb"[^\n]*" + key, text) is not None


@dataclass(frozen=True)
class Ndjson(Table):
    """A table in NDJSON."""

    can_replace: ClassVar[bool] = False

    def parts(self, columns: Sequence[int] | None = None) -> Iterator[Block]:
        """The table, some lines at a time, whatever columns are asked for."""
        del columns
        before, block = 0, None
        for data in read_blocks(
            self.input.stream(), self.source, lambda data: data.rfind(b"\n") + 1
        ):
            lines = data.split(b"\n")
            rows = [
                place for place, line in enumerate(lines) if line.strip(b"\r " + BOM)
            ]
            block = Block(
                self.source, self.names, lines, rows, before, self.spelling.decimal
            )
            yield block
            before += data.count(b"\n")
        if block is None:
            yield Block(self.source, self.names, [], [], 0)


def open_table(file: Input, form: Form, **_: object) -> Ndjson:
    """Find the members that the objects have."""
    names: dict[str, None] = {}
    for block in Ndjson(file, form, []).parts():
        block.add_names(names)
    return Ndjson(file, form, list(names))


def _label(name: str, space: str = " ") -> pl.Expr:
    return pl.lit(json.dumps(name, ensure_ascii=False) + ":" + space)


def _numbers(cells: pl.Series) -> pl.Series:
    """Numbers, or texts that a format made of them, as JSON.

    A text that is a number in JSON stays as it is, another becomes a string.
    """
    if cells.dtype == pl.String:
        strings = [
            text if text is None or NUMBER.fullmatch(text) else json.dumps(text)
            for text in cells
        ]
        cells = pl.Series(strings, dtype=pl.String)
    return cells.cast(pl.String).fill_null("null")


def text_of(
    frame: pl.DataFrame, form: Form, formatted: Container[str] = (), **_: object
) -> bytes:
    """The rows of a frame as objects; formatted columns hold numbers as texts."""
    names = frame.columns
    if not any(name in formatted for name in names):
        buffer = BytesIO()
        frame.write_ndjson(buffer)
        return buffer.getvalue()
    texts = []
    for name, cells in zip(names, frame.get_columns(), strict=True):
        if name in formatted:
            texts.append(_label(name, "") + _numbers(cells))
        else:
            # An object of this member alone, without its braces.
            lines = text_of(cells.to_frame(), form).decode().split("\n")[:-1]
            texts.append(pl.lit(pl.Series([line[1:-1] for line in lines])))
    joined = pl.select(pl.concat_str(texts, separator=",")).to_series()
    return "".join(f"{{{line}}}\n" for line in joined).encode()


def append(
    block: Block, columns: Mapping[str, pl.Series], rows: np.ndarray | None = None
) -> bytes:
    """The bytes of the block with members added to all objects, or to true `rows`."""
    lines: list[bytes | None] = list(block.lines)
    if not block.height or not columns:  # no member in any object
        return b"\n".join(block.lines)
    texts = [_label(name) + _numbers(cells) for name, cells in columns.items()]
    added = pl.select(pl.concat_str(texts, separator=", ")).to_series()
    for place, row in enumerate(block.rows):
        if rows is not None and not rows[place]:
            lines[row] = None
            continue
        line = block.lines[row].rstrip()
        end = block.lines[row][len(line) :]
        if line.strip(BOM) in (b"", b"{}") or not line.endswith(b"}"):
            block._check_lines()
        joint = b"" if line[:-1].rstrip().endswith(b"{") else b", "
        lines[row] = line[:-1] + joint + added[place].encode() + b"}" + end
    return b"\n".join(line for line in lines if line is not None)
