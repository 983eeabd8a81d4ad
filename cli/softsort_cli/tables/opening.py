"""Files <-> tables: any format, some rows at a time.

Every kind of table has `source`, `form`, `names`, `parts()` and `typed(part)`, every
part of one has `height`, `cells(columns)`, `said(columns)` and `place(column, row)`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from softsort_cli.errors import UsageError
from softsort_cli.io import source
from softsort_cli.options.tables import Reading
from softsort_cli.tables import columnar, csv, formats, ndjson

Table: TypeAlias = csv.Delimited | ndjson.Ndjson | columnar.Frames
Part: TypeAlias = csv.Block | ndjson.Block | columnar.Part


def open_table(path: Path | None, reading: Reading) -> Table:
    """Open a file, or standard input for None and `-`."""
    form = formats.form_in(path, reading.form, reading.delimiter)
    if form.kind != "delimited":
        for option, given in (
            ("--no-headers", reading.no_headers),
            ("--comment", reading.comment),
            ("--encoding", form.is_binary and reading.encoding),
        ):
            if given:
                raise UsageError(f"{option} is for delimited text, not for {form.kind}")
    given = source.open_input(path, reading.encoding)
    if form.is_binary:
        return columnar.open_frames(given, form)
    if form.kind == "ndjson":
        return ndjson.open_ndjson(given, form)
    return csv.open_delimited(
        given,
        form,
        headers=not reading.no_headers,
        comment=reading.comment or None,
    )
