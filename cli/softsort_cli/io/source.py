"""Inputs that can be read several times, whatever they are: files, pipes, packed."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from softsort_cli.errors import CommandError, reported
from softsort_cli.io import compression, files

BLOCK = 3 << 20  # bytes read at a time


@dataclass(frozen=True)
class Input:
    """A file, or what was spooled from a pipe into a temporary one."""

    source: str
    file: BinaryIO
    packing: str
    codec: str
    stamp: tuple[int, int] | None  # size and time of change, of a file
    start: int = 0  # where it was when it was opened
    first: Input | None = None  # closes the file when nobody holds it any more

    def stream(self) -> BinaryIO:
        """The content from its start: unpacked, and a text as UTF-8."""
        self.file.seek(self.start)
        stream = compression.unpacked(self.file, self.packing, self.source)
        return compression.transcoded(stream, self.codec, self.source)

    def size(self) -> int:
        """Bytes as they are stored."""
        return self.stamp[0] if self.stamp else 0

    @property
    def is_plain(self) -> bool:
        """Whether the content is what is stored."""
        return not self.packing and self.codec == "utf-8"

    def read(self, place: int, size: int) -> bytes:
        """So many bytes of plain content, if it is what was there before."""
        with reported(f"cannot read {self.source}"):
            self.file.seek(self.start + place)
            data = self.file.read(size)
        self.check_unchanged()
        return data

    def check_unchanged(self) -> None:
        """Refuse a file that has changed since it was opened."""
        if self.stamp is not None and _stamp(self.file) != self.stamp:
            raise CommandError(
                f"{self.source} has changed while it was read: run the command again"
            )


def unpacked(file: Input) -> Input:
    """A packed file as one whose content can be read anywhere."""
    if file.is_plain:
        return file
    spooled = _spooled(file.stream(), file.source)
    unpacked = Input(file.source, spooled, "", "utf-8", None, first=file)
    weakref.finalize(unpacked, spooled.close)
    return unpacked


def open_input(path: Path | None, encoding: str | None = None) -> Input:
    """Open a file, or standard input for None and `-`."""
    source = files.label(path)
    with reported(f"cannot read {source}"):
        file = files.open_input(path)
        stamp = _stamp(file)
        if not file.seekable():
            file, stamp = _spooled(file, source), None
        place = file.tell()
        start = file.read(4)
    opened = Input(source, file, compression.packing_of(start), "utf-8", stamp, place)
    if not files.is_stream(path) or stamp is None:
        weakref.finalize(opened, file.close)
    if encoding is None:
        return opened
    codec = compression.codec_of(encoding, opened.stream().read(4))
    return replace(opened, codec=codec, first=opened)


def _spooled(pipe: BinaryIO, source: str) -> BinaryIO:
    with files.in_temporary_folder(source):
        # It has no name: whatever ends the command, nothing of it stays.
        file = tempfile.TemporaryFile()  # noqa: SIM115
    while data := pipe.read(BLOCK):
        with files.in_temporary_folder(source):
            file.write(data)
            file.flush()
    file.seek(0)
    return file  # pyright: ignore[reportReturnType]


def _stamp(file: BinaryIO) -> tuple[int, int] | None:
    try:
        status = os.fstat(file.fileno())
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def read_blocks(
    stream: BinaryIO, source: str, end_of_records: Callable[[bytearray], int]
) -> Iterator[bytes]:
    """The content of a stream in pieces of whole records, by where they end."""
    buffer, held = bytearray(BLOCK), 0
    with reported(f"cannot read {source}"):
        while True:
            with memoryview(buffer) as view:
                held += stream.readinto(view[held:])  # pyright: ignore[reportAttributeAccessIssue]
                is_last = held < len(buffer)
                end = held if is_last else end_of_records(buffer)
                if end:
                    yield bytes(view[:end])
                if is_last:
                    return
                view[: held - end] = view[end:held]
            held -= end
            if not end:
                buffer += bytes(len(buffer))
