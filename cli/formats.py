"""Which delimiter a table has, and how a cell is quoted."""

from __future__ import annotations

import re
from pathlib import Path

from cli.errors import CommandError, UsageError

DELIMITERS = {"csv": ",", "tsv": "\t"}
FORMATS = {".csv": "csv", ".tsv": "tsv", ".tab": "tsv"}
LATER = {
    ".parquet",
    ".arrow",
    ".feather",
    ".json",
    ".jsonl",
    ".ndjson",
    ".xlsx",
    ".xls",
}
PACKED = {".gz", ".zst", ".bz2", ".xz", ".zip"}


def delimiter_of(path: Path | None, form: str | None, delimiter: str | None) -> str:
    """The delimiter of a table: as asked for, or by the extension, or a comma."""
    if delimiter is not None:
        character = {"tab": "\t", r"\t": "\t"}.get(delimiter, delimiter)
        if (
            not re.fullmatch(r"[^\w\0\n\r\".+-]|_", character, re.ASCII)
            or character > "~"
        ):
            raise UsageError(
                f"--delimiter {delimiter!r} is not a single ASCII character that no "
                "number contains; write --delimiter tab for a tab"
            )
        return character
    suffix = "" if path is None else path.suffix.lower()
    if form is None and suffix in PACKED:
        raise CommandError(
            f"{path} is compressed: unpack it into a pipe, as in "
            f"`gzip -dc {path} | softsort ... -`"
        )
    if form is None and suffix in LATER:
        raise CommandError(
            f"{path}: only CSV and TSV are read; convert it to one of them"
        )
    return DELIMITERS[form or FORMATS.get(suffix, "csv")]


def check_suffix(output: Path | None) -> None:
    """Refuse an output whose name promises a format that is not written."""
    if output is not None and output.suffix.lower() in LATER | PACKED:
        raise UsageError(f"-o {output}: only CSV and TSV are written")


def delimiter_for(output: Path | None) -> str | None:
    """The delimiter that the name of an output asks for."""
    form = None if output is None else FORMATS.get(output.suffix.lower())
    return None if form is None else DELIMITERS[form]


def unquote(cell: str) -> str:
    """What a cell says, as `csv` reads it."""
    quoted = re.match(r'"((?:[^"]|"")*)"', cell)
    return quoted[1].replace('""', '"') + cell[quoted.end() :] if quoted else cell


def quote(cell: str, delimiter: str) -> str:
    """A cell that says this, quoted only where it must be."""
    if re.search(rf'[{re.escape(delimiter)}"\r\n]', cell):
        return '"' + cell.replace('"', '""') + '"'
    return cell
