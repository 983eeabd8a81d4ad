"""Columns of results: appended to the lines of a table, or a table of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from cli.errors import CommandError
from cli.formats import quote
from cli.records import BOM
from cli.tables import Table, text_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

CHUNK = 1 << 17  # lines written at a time


def check_names(
    table: Table, sources: Sequence[str], names: Sequence[str], replace: bool
) -> None:
    """Refuse names of results that are taken, before anything is computed."""
    if table.header is None:
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


def append(
    table: Table, columns: Mapping[str, pl.Series], skipped: np.ndarray
) -> Iterator[bytes]:
    """The bytes of the table with each of `columns` appended, some lines at a time.

    A column whose name the table has already takes the place of that one. The rows in
    `skipped` are left out.
    """
    import numpy as np
    import polars as pl

    headed = table.header is not None
    old = {n: c for n, c in columns.items() if headed and n in table.names}
    new = {n: c for n, c in columns.items() if n not in old}
    lines = _replaced(table, old) if old else table.lines
    fields = [part for column in new.values() for part in (table.delimiter, column)]
    rows, count = table.rows.to_numpy(), len(table.lines)
    behind = _glue(fields, len(rows))
    names = "".join(table.delimiter + quote(name, table.delimiter) for name in new)
    # What follows each line: cells behind rows, names behind the header, nothing
    # behind comments and empty lines.
    which = np.full(count, len(rows) + 1, np.uint32)
    which[rows] = np.arange(len(rows), dtype=np.uint32)
    if headed:
        which[table.header] = len(rows)
    behind = pl.concat([behind, pl.Series([names, ""])]).gather(which)
    parts = pl.DataFrame({"line": lines, "behind": behind})
    if table.carriage is not None:
        parts = parts.with_columns(table.carriage.alias("carriage"))
    if len(skipped):
        kept = np.ones(count, bool)
        kept[rows[skipped]] = False
        parts = parts.filter(kept)
    yield from _bytes(table, parts)


def _bytes(table: Table, parts: pl.DataFrame) -> Iterator[bytes]:
    if table.masked.text.startswith(BOM):
        yield BOM
    seam = table.masked.unused
    for start in range(0, parts.height, CHUNK):
        # Writing the parts apart and closing the seams is faster than joining them.
        text = text_of(parts.slice(start, CHUNK), seam).replace(seam.encode(), b"")
        text = table.masked.restore(text)
        ends = start + CHUNK >= parts.height
        whole = not ends or table.masked.text.endswith(b"\n")
        yield text if whole else text.removesuffix(b"\n")


def _replaced(table: Table, columns: Mapping[str, pl.Series]) -> pl.Series:
    """The lines of the table with other text in the cells of these columns."""
    rows = table.lines.gather(table.rows)
    width = len(table.names)
    cells = (
        rows.str.split_exact(table.delimiter, width - 1).struct.unnest().get_columns()
    )
    for name, column in columns.items():
        cells[table.names.index(name)] = column
    spaced = [part for cell in cells for part in (table.delimiter, cell)][1:]
    return table.lines.scatter(table.rows, _glue(spaced, len(rows)))


def _glue(parts: list[str | pl.Series], length: int) -> pl.Series:
    """The texts of all parts together, row by row."""
    import polars as pl

    if not parts:
        return pl.Series([""]).new_from_index(0, length)
    columns = [pl.lit(part) for part in parts]
    return pl.select(pl.concat_str(columns)).to_series()


def table_of(
    table: Table, names: Sequence[str], columns: Sequence[pl.Series], delimiter: str
) -> bytes:
    """The bytes of a table of results alone, with the line endings of `table`."""
    header = delimiter.join(quote(name, delimiter) for name in names)
    spaced = [part for column in columns for part in (delimiter, column)][1:]
    body = text_of(_glue(spaced, len(columns[0])).to_frame())
    text = body if table.header is None else header.encode() + b"\n" + body
    crlf = table.carriage is not None and table.carriage[0] != ""
    return text.replace(b"\n", b"\r\n") if crlf else text
