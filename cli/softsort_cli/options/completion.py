"""Completion of the names of columns, from the header of the file.

It answers while somebody types, so it imports nothing heavy and looks at the start of
the file only; Parquet and Arrow are not completed.
"""

import csv
import json
import os
from pathlib import Path
from typing import Any

from softsort_cli.errors import CommandError
from softsort_cli.io import compression
from softsort_cli.tables import formats

START = 1 << 16  # bytes that hold the header


def columns(ctx: Any, incomplete: str) -> list[str]:
    """The names that go on like this; those before the last comma stay."""
    before, comma, begun = incomplete.rpartition(",")
    # An option that still lacks its value leaves the file among what is not parsed, and
    # what comes behind the cursor is known to the shell alone.
    line = os.environ.get("COMP_WORDS", "").split()[1:]
    files = [ctx.params.get("file"), *(ctx.params.get("tables") or [])]
    words = [*files, *ctx.args, *line]
    file = next((Path(word) for word in words if word and Path(word).is_file()), None)
    if file is None:
        return []
    try:
        names = _names(file, ctx.params)
    except (OSError, ValueError, CommandError):
        return []
    return [before + comma + name for name in names if name.startswith(begun)]


def _names(path: Path, options: dict[str, Any]) -> list[str]:
    form = formats.form_in(path, options.get("form"), options.get("delimiter"))
    if form.is_binary:
        return []
    with path.open("rb") as file:
        packing = compression.packing_of(file.read(4))
        file.seek(0)
        stream = compression.unpacked(file, packing, "")
        codec = options.get("encoding") or "utf-8-sig"
        text = stream.read(START).decode(codec, "replace")
    comment = options.get("comment")
    lines = [
        line
        for line in text.split("\n")
        if line.strip("\r") and not (comment and line.startswith(comment))
    ]
    if form.delimiter:
        return next(csv.reader(lines, delimiter=form.delimiter), [])
    return list(json.loads(lines[0])) if lines else []
