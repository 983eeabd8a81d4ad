"""Which format a table has, and how a cell of delimited text is quoted."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from softsort_cli.errors import UsageError

DELIMITERS = {"csv": ",", "tsv": "\t", "psv": "|"}
KINDS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".psv": "psv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
}
PACKINGS = {".gz": "gz", ".zst": "zst"}
# What people have besides; taking it for CSV would only give a puzzling message.
FOREIGN = {".json", ".xlsx", ".xls", ".ods", ".bz2", ".xz", ".zip"}


@dataclass(frozen=True)
class Form:
    """How a table is written down."""

    kind: str  # delimited, ndjson, parquet or arrow
    delimiter: str = ""
    packing: str = ""  # gz, zst or none

    @property
    def is_binary(self) -> bool:
        """Whether cells have types instead of texts."""
        return self.kind in ("parquet", "arrow")


def form_in(path: Path | None, kind: str | None, delimiter: str | None) -> Form:
    """The form of an input: as asked for, or by the extension, or CSV.

    Whether it is packed is seen from its first bytes.
    """
    named = _kind_of(path)
    if path is not None and path.suffix.lower() in FOREIGN:
        raise UsageError(
            f"{path}: CSV, TSV, PSV, NDJSON, Parquet and Arrow are read, and .gz and "
            ".zst of them; convert it to one of these"
        )
    return _form(named or kind or "csv", delimiter)


def check_kind(kind: str | None, path: Path | None, output: Path | None) -> None:
    """Refuse a --format that no file is left for, as the names of both say another."""
    named = _kind_of(path), _kind_of(output)
    if kind is not None and None not in named and kind not in named:
        raise UsageError(
            f"--format {kind} is for files whose names do not tell: {path} is "
            f"{named[0]} and {output} is {named[1]}; leave it out, or rename one"
        )


def form_out(output: Path | None, kind: str | None, came: Form) -> Form:
    """The form of an output: by the extension, or as asked for, or as it came."""
    if output is not None and output.suffix.lower() in FOREIGN:
        raise UsageError(
            f"-o {output}: CSV, TSV, PSV, NDJSON, Parquet and Arrow are written, and "
            ".gz and .zst of them"
        )
    packing = "" if output is None else PACKINGS.get(output.suffix.lower(), "")
    named = _kind_of(output) or kind
    if named is None:
        return replace(came, packing=packing)
    form = replace(_form(named, None), packing=packing)
    if form.delimiter and came.delimiter not in ("", *DELIMITERS.values()):
        return replace(came, packing=packing)  # what --delimiter says
    if form.is_binary and packing:
        raise UsageError(
            f"-o {output}: {form.kind} is compressed inside: leave out .{packing}"
        )
    return form


def _kind_of(path: Path | None) -> str | None:
    if path is None:
        return None
    suffix = path.suffix.lower()
    if suffix in PACKINGS:
        suffix = Path(path.stem).suffix.lower()
    return KINDS.get(suffix)


def _form(kind: str, delimiter: str | None) -> Form:
    if delimiter is not None:
        if kind not in DELIMITERS:
            raise UsageError(f"--delimiter is for delimited text, not for {kind}")
        return Form("delimited", _character(delimiter))
    if kind in DELIMITERS:
        return Form("delimited", DELIMITERS[kind])
    return Form(kind)


def _character(delimiter: str) -> str:
    character = {"tab": "\t", r"\t": "\t"}.get(delimiter, delimiter)
    if not re.fullmatch(r"[^\w\0\n\r\".+-]|_", character, re.ASCII) or character > "~":
        raise UsageError(
            f"--delimiter {delimiter!r} is not a single ASCII character that no "
            "number contains; write --delimiter tab for a tab"
        )
    return character


def unquote(cell: str) -> str:
    """What a cell says, as `csv` reads it."""
    quoted = re.match(r'"((?:[^"]|"")*)"', cell)
    return quoted[1].replace('""', '"') + cell[quoted.end() :] if quoted else cell


def quote(cell: str, delimiter: str) -> str:
    """A cell that says this, quoted only where it must be."""
    if re.search(rf'[{re.escape(delimiter)}"\r\n]', cell):
        return '"' + cell.replace('"', '""') + '"'
    return cell
