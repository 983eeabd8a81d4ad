"""NDJSON: a JSON object a line.

As in CSV, what was there stays as it arrived: new members are written before the last
brace of a line.
"""

import json
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from io import BytesIO

import numpy as np
import polars as pl

from softsort_cli.errors import CommandError
from softsort_cli.io.source import Input, read_blocks
from softsort_cli.tables import json_members
from softsort_cli.tables.formats import Form
from softsort_cli.tables.table import Table

EMPTY = "\r \ufeff"  # what may be in a line that holds no object
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Block:
    """Some lines, one object each; empty lines stay where they are."""

    source: str
    names: list[str]
    lines: pl.Series
    before: int  # how many lines came before
    decimal: str = "."  # the mark of fractions in strings

    @cached_property
    def rows(self) -> pl.Series:
        """Which lines hold objects."""
        return (self.lines.str.strip_chars(EMPTY) != "").arg_true()

    @cached_property
    def objects(self) -> pl.Series:
        """The objects, each as it is written."""
        return self.lines.gather(self.rows).str.strip_prefix("\ufeff")

    @property
    def height(self) -> int:
        """The number of rows."""
        return len(self.rows)

    def add_names(self, names: dict[str, None]) -> None:
        """Add those of the members of the objects, if all are such."""
        try:
            # The first tells of most of the others.
            for some in (self.objects.head(1), self.objects):
                for line in json_members.lines_beyond(some, names):
                    names |= dict.fromkeys(json.loads(line).keys())
        except (ValueError, AttributeError, RecursionError):  # no JSON, no object
            lines = [line.encode() for line in self.lines]
            _check_lines(lines, self.source, self.before)
            raise

    def cells(self, columns: Sequence[int]) -> list[pl.Series]:
        """The values of chosen members as text, one a row; null for none."""
        say = partial(json_members.texts, decimal=self.decimal)
        return self._members(columns, say)

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
        members = json_members.split(self.objects.str.join("\n").item().encode())
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
        members = json.loads(self.objects[row])
        text = json.dumps(members.get(self.names[column]))
        shown = text if len(text) <= 40 else text[:40] + "..."
        return f"line {self.before + self.rows[row] + 1}: {shown}"


def _check_lines(lines: Sequence[bytes], source: str, before: int) -> None:
    """Refuse lines that are no objects; so many came before."""
    for number, line in enumerate(lines, before + 1):
        if not line.decode(errors="replace").strip(EMPTY):
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CommandError(f"{source}, line {number}: not JSON: {error}") from None
        if not isinstance(value, dict):
            raise CommandError(
                f"{source}, line {number}: not a JSON object, as in {{...}}"
            )


@dataclass(frozen=True)
class Ndjson(Table):
    """A table in NDJSON."""

    def parts(self, columns: Sequence[int] | None = None) -> Iterator[Block]:
        """The table, some lines at a time, whatever columns are asked for."""
        del columns
        before, block, decimal = 0, None, self.spelling.decimal
        for data in read_blocks(
            self.input.stream(), self.source, lambda data: data.rfind(b"\n") + 1
        ):
            try:
                text = pl.Series([data.decode()])
            except UnicodeDecodeError:
                _check_lines(data.split(b"\n"), self.source, before)
                raise
            lines = text.str.split("\n").explode()
            block = Block(self.source, self.names, lines, before, decimal)
            yield block
            before += len(lines) - 1
        if block is None:
            yield Block(self.source, self.names, pl.Series([], dtype=pl.String), 0)


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
    lines, stays = block.lines.clone(), np.ones(len(block.lines), bool)
    if block.height and columns:
        texts = [_label(name) + _numbers(cells) for name, cells in columns.items()]
        # An object, and what is behind it.
        line = pl.lit(lines.gather(block.rows))
        whole = line.str.strip_chars_end(" \t\r")
        start = whole.str.strip_suffix("}")
        is_empty = start.str.strip_chars_end(" \t").str.ends_with("{")
        joint = pl.when(is_empty).then(pl.lit("")).otherwise(pl.lit(", "))
        added = pl.concat_str(texts, separator=", ")
        end = line.str.strip_prefix(whole)
        longer = pl.select(start + joint + added + "}" + end).to_series()
        lines = lines.scatter(block.rows, longer)
    if rows is not None:
        stays[block.rows.to_numpy()[~rows]] = False
    return lines.filter(pl.Series(stays)).str.join("\n").item().encode()
