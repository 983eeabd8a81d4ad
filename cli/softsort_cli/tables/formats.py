"""The formats of tables: one entry here, and one file that reads and writes it.

The file has `open_table(input, form, **settings)`. Where cells have types, it has
`write(lazy, form, stream)` as well; where they are texts

- `append(part, columns, rows)`: the bytes of a part with more cells,
- `text_of(frame, form, formatted, headers=, ending=)`: those of whole rows.
"""

import codecs
import re
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from softsort_cli.errors import UsageError, need_libraries
from softsort_cli.io.compression import MAGIC


@dataclass(frozen=True)
class Form:
    """A format, and how a table in it is delimited and packed."""

    title: str
    suffixes: tuple[str, ...]
    file: str  # in this folder
    delimiter: str = ""  # of delimited text
    is_binary: bool = False  # whether cells have types instead of texts
    packing: str = ""  # gz, zst or none
    start: bytes = b""  # of all files in it, if these can be told by it
    modules: tuple[str, ...] = ()  # of the extra of its name

    @property
    def name(self) -> str:
        """What --format calls it."""
        return self.title.lower()

    @property
    def kind(self) -> str:
        """What messages call it: all delimited texts are of one kind."""
        return "delimited" if self.delimiter else self.name

    def check_installed(self) -> None:
        """Refuse a format whose libraries are not there."""
        refused = {"who": self.title, "extra": self.name, "error": UsageError}
        need_libraries(*self.modules, **refused)

    def load(self) -> Any:
        """The file that reads and writes it, imported when it is needed."""
        return import_module(f"softsort_cli.tables.{self.file}")


ALL = (
    Form("CSV", (".csv",), "csv", ","),
    Form("TSV", (".tsv", ".tab"), "csv", "\t"),
    Form("PSV", (".psv",), "csv", "|"),
    Form("NDJSON", (".ndjson", ".jsonl"), "ndjson"),
    Form("Parquet", (".parquet", ".pq"), "columnar", is_binary=True, start=b"PAR1"),
    Form(
        "Arrow",
        (".arrow", ".feather", ".ipc"),
        "columnar",
        is_binary=True,
        start=b"ARROW1",
    ),
    Form(
        "Excel",
        (".xlsx",),
        "excel",
        is_binary=True,
        modules=("fastexcel", "xlsxwriter"),
        start=b"PK\3\4",
    ),
)
NAMED = {form.name: form for form in ALL}
BY_SUFFIX = {suffix: form for form in ALL for suffix in form.suffixes}
PACKED = " and ".join(f".{packing}" for packing in MAGIC.values()) + " of them"
# What people have besides; taking it for CSV would only give a puzzling message.
FOREIGN = {".json", ".xls", ".ods", ".bz2", ".xz", ".zip"}


def titles(joint: str) -> str:
    """The names of all formats in a sentence."""
    *others, last = (form.title for form in ALL)
    return f"{', '.join(others)} {joint} {last}"


def form_in(path: Path | None, name: str | None, delimiter: str | None) -> Form:
    """The form of an input: by the extension, or as asked for, or CSV.

    Whether it is packed is seen from its first bytes.
    """
    if path is not None and _suffix(path) in FOREIGN:
        raise UsageError(
            f"{path}: {titles('and')} are read, and {PACKED}; convert it to one of "
            "these"
        )
    form = _by_suffix(path) or NAMED[name or "csv"]
    if delimiter is None:
        return form
    if not form.delimiter:
        raise UsageError(f"--delimiter is for delimited text, not for {form.name}")
    return replace(form, delimiter=_character(delimiter))


def delimiter_hint(text: str) -> str:
    """What to try if this may be several cells and not one."""
    for delimiter in ";\t|,":
        if delimiter in text:
            shown = "tab" if delimiter == "\t" else repr(delimiter)
            return f"is it separated by {shown}? Try --delimiter {shown}"
    return ""


def start_hint(data: bytes) -> str:
    """What to try if a text that starts like this is none."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "is it UTF-16? Try --encoding utf-16"
    alike = [form for form in ALL if form.start and data.startswith(form.start)]
    return f"is it {alike[0].title}? Try --format {alike[0].name}" if alike else ""


def check_kind(name: str | None, path: Path | None, output: Path | None) -> None:
    """Refuse a --format that no file is left for, as the names of both say another."""
    came, goes = _by_suffix(path), _by_suffix(output)
    if name and came and goes and name not in (came.name, goes.name):
        raise UsageError(
            f"--format {name} is for files whose names do not tell: {path} is "
            f"{came.name} and {output} is {goes.name}; leave it out, or rename one"
        )


def form_out(output: Path | None, name: str | None, came: Form) -> Form:
    """The form of an output: by the extension, or as asked for, or as it came."""
    if output is not None and _suffix(output) in FOREIGN:
        raise UsageError(f"-o {output}: {titles('and')} are written, and {PACKED}")
    packing = "" if output is None else _packing(output)
    form = _by_suffix(output) or NAMED.get(name or "") or came
    if form.name == came.name:
        form = came  # with its --delimiter
    if form.is_binary and packing:
        raise UsageError(
            f"-o {output}: {form.kind} is compressed inside: leave out .{packing}"
        )
    return replace(form, packing=packing)


def _packing(path: Path) -> str:
    """How a file of this name is packed."""
    ending = path.suffix.lower()[1:]
    return ending if ending in MAGIC.values() else ""


def _suffix(path: Path) -> str:
    """The extension that says what is in a file, packed or not."""
    return (Path(path.stem) if _packing(path) else path).suffix.lower()


def _by_suffix(path: Path | None) -> Form | None:
    return None if path is None else BY_SUFFIX.get(_suffix(path))


def _character(delimiter: str) -> str:
    character = {"tab": "\t", r"\t": "\t"}.get(delimiter, delimiter)
    if not re.fullmatch(r"[^\w\0\n\r\".+-]|_", character, re.ASCII) or character > "~":
        raise UsageError(
            f"--delimiter {delimiter!r} is not a single ASCII character that no "
            "number contains; write --delimiter tab for a tab"
        )
    return character
