"""What tables of all formats have in common."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from softsort_cli.io.source import Input
from softsort_cli.tables.formats import Form
from softsort_cli.tables.numbers import PLAIN, Spelling


class Part(Protocol):
    """Some rows of a table."""

    @property
    def height(self) -> int:
        """The number of rows."""
        ...

    def cells(self, columns: Sequence[int]) -> list[pl.Series]:
        """Each chosen column, to be read as numbers."""
        ...

    def texts(self, columns: Sequence[int]) -> list[pl.Series]:
        """What the cells of each chosen column say, as it is written; null if nothing.

        Of a format whose cells have types, their values.
        """
        ...

    def place(self, column: int, row: int) -> str:
        """Where a cell is and what it says, for messages."""
        ...


@dataclass(frozen=True)
class Table:
    """A table: where it is read from, and its columns."""

    input: Input
    form: Form
    names: list[str]
    headers: bool = True  # whether it has a line that names its columns, or needs none
    spelling: Spelling = PLAIN  # of numbers in its texts
    infers: bool = False  # whether texts are written as the types that they have

    @property
    def source(self) -> str:
        """Its name in messages."""
        return self.input.source

    def parts(self, columns: Sequence[int] | None = None) -> Iterator[Part]:
        """The table, some rows at a time, with these columns at least, or all."""
        raise NotImplementedError

    def types(self) -> Mapping[str, pl.DataType]:
        """The types of the columns, where cells have types."""
        return {}

    def ending(self) -> str:
        """What ends lines of delimited text that is made of it."""
        return "\n"

    def columns(self, part: Part) -> dict[str, pl.Series]:
        """The columns of a part that has all of them."""
        cells = part.texts(range(len(self.names)))
        return dict(zip(self.names, cells, strict=True))
