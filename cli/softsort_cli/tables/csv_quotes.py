"""Where the cells and the lines of a delimited text begin and end.

A newline or a delimiter inside quotes is content. Here each of them is exchanged for
a control character that the text does not contain, so that afterwards every newline
ends a line and every delimiter ends a cell: the text can be split without looking at
quotes, and `restore` gives back the original bytes, whatever was done in between.

Quotes mean what they mean to Python's `csv`: they enclose a cell only if they begin it,
and are ordinary characters elsewhere. A comment line holds no cells.
"""

import re
from dataclasses import dataclass
from itertools import islice

import numpy as np

from softsort_cli.errors import CommandError
from softsort_cli.tables.formats import start_hint

BOM = b"\xef\xbb\xbf"
CONTROL = bytes([*range(1, 9), *range(14, 32), 127])


@dataclass(frozen=True)
class Masked:
    """A text whose every newline and delimiter is structure."""

    text: bytes
    newline: str  # what stands for a newline inside quotes
    carriage: str  # what stands for a carriage return anywhere
    originals: dict[str, str]  # of the characters that stand for others

    def restore(self, masked: bytes) -> bytes:
        """The original bytes of (a part of) the text."""
        for stand_in, original in self.originals.items():
            masked = masked.replace(stand_in.encode(), original.encode())
        return masked

    def restore_text(self, masked: str) -> str:
        """The original characters of a part of the text."""
        return self.restore(masked.encode()).decode()


def count(text: bytes, character: str) -> int:
    """How often an ASCII character occurs."""
    # Lines are short: looking at every byte is faster than leaping to the next end.
    return int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord(character)))


def places(text: bytes | bytearray, character: str) -> np.ndarray:
    """Where an ASCII character occurs."""
    codes = np.frombuffer(text, np.uint8)
    places = np.flatnonzero(codes == ord(character))
    return places.astype(np.int32) if len(text) < 1 << 31 else places


def end_of_records(data: bytes | bytearray, delimiter: str, comment: str | None) -> int:
    """How many bytes at the start of a text are whole records."""
    end = data.rfind(b"\n") + 1
    if b'"' not in data:
        return end
    bounds = _quoted(data, delimiter, comment)
    if np.searchsorted(bounds, end) % 2:
        # A cell may have any number of newlines, and of quotes between them.
        ends = places(data, "\n")
        ends = ends[np.searchsorted(bounds, ends) % 2 == 0]
        end = int(ends[-1]) + 1 if len(ends) else 0
    return end


def mask(
    data: bytes, source: str, delimiter: str, comment: str | None, before: int = 0
) -> Masked:
    """Exchange every newline, delimiter and carriage return that is content.

    So many lines came `before` this text.
    """
    if b"\0" in data:
        line = before + data.count(b"\n", 0, data.index(b"\0")) + 1
        expected = "expected CSV or the like in UTF-8; see --format and --encoding"
        raise CommandError(
            f"{source} is not a text table (it holds zero bytes, the first in line "
            f"{line}): {start_hint(data) or expected}"
        )
    unused = (
        chr(code) for code in CONTROL if chr(code) != delimiter and code not in data
    )
    free = list(islice(unused, 3))
    if len(free) < 3:
        raise CommandError(
            f"{source} is not a text table (it is full of control codes)"
        )
    newline, cell, carriage = free
    if b'"' in data:
        bounds = _quoted(data, delimiter, comment)
        if len(bounds) % 2:
            line = before + data.count(b"\n", 0, int(bounds[-1])) + 1
            raise CommandError(f"{source}, line {line}: a quoted cell is never closed")
        data = _hide(data, bounds, {"\n": newline, delimiter: cell})
    data = data.replace(b"\r", carriage.encode())
    originals = {newline: "\n", cell: delimiter, carriage: "\r"}
    used = {code: text for code, text in originals.items() if code.encode() in data}
    return Masked(data, newline, carriage, used)


def _hide(data: bytes, bounds: np.ndarray, marks: dict[str, str]) -> bytes:
    """Exchange the marked characters after every odd one of `bounds`."""
    text = np.frombuffer(data, np.uint8).copy()
    inside = np.zeros(len(text), bool)
    inside[bounds] = True
    np.logical_xor.accumulate(inside, out=inside)
    for structure, stand_in in marks.items():
        text[inside & (text == ord(structure))] = ord(stand_in)
    return text.tobytes()


def _quoted(data: bytes | bytearray, delimiter: str, comment: str | None) -> np.ndarray:
    """Places in the text between which, pair by pair, everything is quoted.

    The last one has no partner if its cell is never closed.
    """
    text = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(text == ord('"'))
    remark = None if comment is None else re.escape(comment.encode())
    remarks = (
        comment is not None
        and comment.encode() in data
        and re.search(rb'(?m)^(?:%s)?%s[^\n]*"' % (BOM, remark), data)
    )
    if not remarks and _regular(text, quotes, delimiter):
        return quotes
    return _quoted_cells(data, delimiter, remark)


def _regular(text: np.ndarray, quotes: np.ndarray, delimiter: str) -> bool:
    """Whether odd quotes open at the start of a cell and even ones close at its end.

    Two quotes in a row inside a cell are one that closes and one that opens again, so
    that counting the quotes before a place tells whether it is inside.
    """
    opening, closing = quotes[::2], quotes[1::2]
    start = len(BOM) if text[:3].tobytes() == BOM else 0
    edge = np.zeros(256, bool)
    edge[[ord(delimiter), ord("\n")]] = True
    opens = edge[text[opening - 1]] | (opening == start)
    opens[1:] |= opening[1:] == closing[: len(opening) - 1] + 1
    edge[[ord("\r"), ord('"')]] = True
    closes = edge[text[np.minimum(closing + 1, len(text) - 1)]]
    closes |= closing == len(text) - 1
    return bool(opens.all() and closes.all())


def _quoted_cells(
    data: bytes | bytearray, delimiter: str, remark: bytes | None
) -> np.ndarray:
    """Where quotes open and close cells of any text, found one cell at a time."""
    start = len(BOM) if data.startswith(BOM) else 0
    cell = rb'(?<![^%s\n])"[^"]*(?:""[^"]*)*("?)' % re.escape(delimiter.encode())
    if remark is not None:
        cell += rb"|(?<![^\n])%s[^\n]*" % remark
    bounds = []
    # A view, so that the text begins after the byte order mark.
    for match in re.finditer(cell, memoryview(data)[start:]):
        if match[1] is None:
            continue
        bounds.append(start + match.start())
        if match[1]:
            bounds.append(start + match.end() - 1)
    return np.array(bounds, np.int64)


def unquote(cell: str) -> str:
    """What a cell says, as `csv` reads it."""
    quoted = re.match(r'"((?:[^"]|"")*)"', cell)
    return quoted[1].replace('""', '"') + cell[quoted.end() :] if quoted else cell


def quote(cell: str, delimiter: str) -> str:
    """A cell that says this, quoted only where it must be."""
    if re.search(rf'[{re.escape(delimiter)}"\r\n]', cell):
        return '"' + cell.replace('"', '""') + '"'
    return cell
