"""Parquet and Arrow: tables whose cells have types, read and written by polars."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from softsort_cli.errors import CommandError
from softsort_cli.io.source import Input
from softsort_cli.tables.formats import Form

if TYPE_CHECKING:
    import polars as pl

ROWS = 1 << 18  # at a time


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

    said = cells

    def place(self, column: int, row: int) -> str:
        """Where a value is and what it is, for messages."""
        value = self.frame[row, self.names[column]]
        return f"row {self.before + row + 1}: {value!r}"


@dataclass(frozen=True)
class Frames:
    """A table in Parquet or Arrow."""

    input: Input
    form: Form
    names: list[str]

    @property
    def source(self) -> str:
        """Its name in messages."""
        return self.input.source

    def lazy(self) -> pl.LazyFrame:
        """The table, not read yet."""
        import polars as pl

        file = self.input.file
        if self.form.kind == "parquet":
            file.seek(0)
            return pl.scan_parquet(file)
        file.seek(0)
        is_stream = file.read(6) != b"ARROW1"
        # Polars reads on from where the descriptor is. Where Python is may be within
        # what it holds of the file, of which the end is the descriptor's place.
        file.seek(0, os.SEEK_END)
        file.seek(0)
        return pl.read_ipc_stream(file).lazy() if is_stream else pl.scan_ipc(file)

    def parts(self, columns: Sequence[int] | None = None) -> Iterator[Part]:
        """These columns of the table, or all, some rows at a time."""
        from polars import selectors

        before, lazy = 0, self.lazy()
        if columns is not None:
            # Bare names may be patterns: `*` and `^...$`.
            names = [self.names[column] for column in columns]
            lazy = lazy.select(selectors.by_name(names))
        for frame in lazy.collect_batches(maintain_order=True, chunk_size=ROWS):
            yield Part(self.names, frame, before)
            before += frame.height

    def typed(self, part: Part) -> Mapping[str, pl.Series]:
        """The columns of a part."""
        return dict(zip(self.names, part.frame.get_columns(), strict=True))


def open_frames(given: Input, form: Form) -> Frames:
    """Read the columns' names and types."""
    import polars as pl

    table = Frames(given, form, [])
    try:
        names = table.lazy().collect_schema().names()
        count = table.lazy().select(pl.len()).collect().item()
    except (pl.exceptions.PolarsError, OSError) as error:
        said = str(error).splitlines()[0]
        raise CommandError(
            f"{given.source} is not a whole {form.kind} file: {said}"
        ) from None
    if not count:
        raise CommandError(f"{given.source} has no rows")
    return Frames(given, form, names)
