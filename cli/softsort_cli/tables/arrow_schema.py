"""What an Arrow schema says that polars does not keep.

Parquet and Arrow files hold one, as a FlatBuffers message. See
https://github.com/apache/arrow/blob/main/format/Schema.fbs, and for how tables lie in
memory https://flatbuffers.dev/internals: a table begins with how far before it there is
the list of where its fields are, each by its number in the schema.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

MAGIC = b"ARROW1"  # at both ends of a file; a stream has none
CONTINUES = b"\xff\xff\xff\xff"
UNITS = "s", "ms", "us", "ns"
# The numbers of types in the schema.
DATE, TIME, TIMESTAMP, FIXED_BINARY, DURATION, RUNS = 8, 9, 10, 15, 18, 22


@dataclass(frozen=True)
class Table:
    """A table of FlatBuffers: where it is in the message."""

    data: bytes
    place: int

    def _field(self, number: int) -> int:
        """Where a field is; 0 if it has its default."""
        fields = self.place - self._number("i", self.place)
        if 4 + 2 * number >= self._number("H", fields):
            return 0
        offset = self._number("H", fields + 4 + 2 * number)
        return self.place + offset if offset else 0

    def _number(self, kind: str, place: int) -> int:
        return struct.unpack_from("<" + kind, self.data, place)[0]

    def number(self, field: int, kind: str, default: int = 0) -> int:
        """A field that is a number."""
        place = self._field(field)
        return self._number(kind, place) if place else default

    def there(self, field: int) -> int | None:
        """Where that is what a field stands for."""
        place = self._field(field)
        return place + self._number("I", place) if place else None

    def table(self, field: int) -> Table | None:
        """A field that is a table."""
        start = self.there(field)
        return None if start is None else Table(self.data, start)

    def tables(self, field: int) -> Iterator[Table]:
        """A field that is a list of tables."""
        start = self.there(field)
        if start is None:
            return
        for item in range(self._number("I", start)):
            place = start + 4 + 4 * item
            yield Table(self.data, place + self._number("I", place))

    def text(self, field: int) -> str:
        """A field that is a text."""
        start = self.there(field)
        if start is None:
            return ""
        size = self._number("I", start)
        return self.data[start + 4 : start + 4 + size].decode(errors="replace")


@dataclass(frozen=True)
class Schema:
    """What a schema says besides the names and types that polars reads."""

    metadata: dict[str, str]
    changed: dict[str, str]  # columns of which something is not kept, and what it is
    times: set[str]  # columns of times that are kept as they are

    @classmethod
    def of_file(cls, file: BinaryIO) -> Schema:
        """The schema of a file or stream, which is read from its start or its end."""
        file.seek(0)
        if file.read(len(MAGIC)) != MAGIC:
            file.seek(0)
            start = file.read(8)
            return cls.of_stream(start + file.read(int.from_bytes(start[4:], "little")))
        end = 4 + len(MAGIC)
        file.seek(-end, io.SEEK_END)
        size = int.from_bytes(file.read(4), "little")
        file.seek(-end - size, io.SEEK_END)
        return cls._of(_schema_in(file.read(size), 1))

    @classmethod
    def of_stream(cls, start: bytes) -> Schema:
        """The schema at the start of a stream."""
        return cls._of(_first_schema(start))

    @classmethod
    def _of(cls, schema: Table) -> Schema:
        changed, times = {}, set()
        for field in schema.tables(1):
            remarks = list(dict.fromkeys(_remarks(field)))
            if remarks:
                changed[field.text(0)] = ", ".join(remarks)
            elif field.number(2, "B") == TIME:
                times.add(field.text(0))
        return cls(_pairs(schema, 2), changed, times)


def _schema_in(data: bytes, field: int) -> Table:
    schema = Table(data, struct.unpack_from("<I", data)[0]).table(field)
    assert schema is not None
    return schema


def _first_schema(start: bytes) -> Table:
    return _schema_in(start.removeprefix(CONTINUES)[4:], 2)


def with_metadata(start: bytes, metadata: Mapping[str, str]) -> bytes:
    """The schema at the start of a stream, alone and with this metadata.

    What is new goes before what was there, for places are told as so many bytes ahead.
    """
    schema = _first_schema(start)
    fields = schema.there(1)
    assert fields is not None
    head = bytearray()
    # The message: of version 5, and what it holds is a schema.
    head += struct.pack("<I5H2xiIhBx", 16, 10, 12, 8, 10, 4, 12, 20, 4, 1)
    # The schema: its fields, which come last, and its metadata.
    head += struct.pack("<5H2xiII", 10, 12, 0, 4, 8, 12, 0, 4)
    # These are pairs, of which all have their fields at the same places.
    first = len(head) + 4 + 4 * len(metadata) + 8
    head += struct.pack("<I", len(metadata))
    for pair in range(len(metadata)):
        head += struct.pack("<I", first + 12 * pair - len(head))
    head += struct.pack("<4H", 8, 12, 4, 8)
    texts, after = bytearray(), first + 12 * len(metadata)
    for pair, both in enumerate(metadata.items()):
        head += struct.pack("<i", 8 + 12 * pair)
        for text in both:
            head += struct.pack("<I", after + len(texts) - len(head))
            code = text.encode()
            texts += struct.pack("<I", len(code)) + code + bytes(4 - len(code) % 4)
    head += texts
    head += bytes(-len(head) % 8)
    struct.pack_into("<I", head, 44, len(head) + fields - 44)
    message = bytes(head) + schema.data
    message += bytes(-len(message) % 8)
    return CONTINUES + struct.pack("<I", len(message)) + message


def _pairs(table: Table, field: int) -> dict[str, str]:
    return {pair.text(0): pair.text(1) for pair in table.tables(field)}


def _remarks(field: Table) -> Iterator[str]:
    """What polars does not keep of a column."""
    kind, described = field.number(2, "B"), field.table(3)
    assert described is not None
    if kind == TIME and (unit := described.number(0, "h", 1)) != UNITS.index("ns"):
        yield f"time[{UNITS[unit]}] as time[ns]"
    if kind == DURATION and described.number(0, "h", 1) == UNITS.index("s"):
        yield "duration[s] as duration[ms]"
    if kind == TIMESTAMP and described.number(0, "h") == UNITS.index("s"):
        yield "timestamp[s] as timestamp[ms]"
    if kind == TIMESTAMP and (zone := described.text(1)).startswith(("+", "-")):
        yield f"zone {zone} by a name"
    if kind == DATE and described.number(0, "h", 1):
        yield "date[ms] as timestamp[ms]"
    if kind == FIXED_BINARY:
        yield "bytes of one length as bytes of any"
    if kind == RUNS:
        yield "runs as single values"
    categories, keys = field.table(4), _pairs(field, 6)
    is_own = any(key.startswith("_PL_") for key in keys)  # written by polars
    if categories is not None and categories.number(2, "B") and not is_own:
        yield "without the order of its categories"
    if any(not key.startswith(("PARQUET:", "_PL_")) for key in keys):
        yield "without its metadata"
    for child in field.tables(5):
        yield from _remarks(child)
