"""Streams of bytes that are packed by gzip or zstd, and text in other encodings."""

import codecs
import io
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, BinaryIO

from softsort_cli.errors import CommandError, UsageError

CHUNK = 1 << 18
MAGIC = {b"\x1f\x8b": "gz", b"\x28\xb5\x2f\xfd": "zst"}
# A frame of zstd that says nothing, as pzstd and seekable formats begin with.
SKIPPED = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
UTF8 = ("utf-8", "utf8", "utf-8-sig")


def packing_of(start: bytes) -> str:
    """How a stream that starts like this is packed."""
    if SKIPPED.match(start):
        return "zst"
    return next((name for magic, name in MAGIC.items() if start.startswith(magic)), "")


class _Filter(io.RawIOBase):
    """A stream of what `convert` makes of another."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._ready = memoryview(chunk)
        count = min(len(buffer), len(self._ready))
        buffer[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count


def unpacked(stream: BinaryIO, packing: str, source: str) -> BinaryIO:
    """The content of a stream that may be packed."""
    if not packing:
        return stream
    return io.BufferedReader(_Filter(_unpacked(stream, packing, source)), CHUNK)


def _unpacked(stream: BinaryIO, packing: str, source: str) -> Iterator[bytes]:
    new: Callable[[], Any] = partial(zlib.decompressobj, wbits=31)
    broken: type[Exception] = zlib.error
    if packing == "zst":
        import zstandard

        # As packed by --long, of which dumps are; it takes no more than there is.
        new = zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj
        broken = zstandard.ZstdError
    member = new()
    try:
        while packed := stream.read(CHUNK):
            while packed:
                if member.eof and packing == "gz":
                    packed = packed.lstrip(b"\0")  # gzip takes zeros for padding
                    if not packed:
                        break
                if member.eof:  # another member follows
                    member = new()
                yield member.decompress(packed)
                packed = member.unused_data if member.eof else b""
    except broken as error:
        raise CommandError(
            f"cannot read {source}: damaged {packing}: {error}"
        ) from None
    if not member.eof:
        raise CommandError(f"cannot read {source}: its {packing} data end too early")


def packed(stream: BinaryIO, packing: str) -> AbstractContextManager[Any]:
    """A stream whose content is packed into another."""
    if packing == "gz":
        import gzip

        return gzip.GzipFile("", "wb", 6, stream, mtime=0)
    if packing == "zst":
        import zstandard

        return zstandard.ZstdCompressor().stream_writer(stream, closefd=False)
    return nullcontext(stream)


def codec_of(encoding: str, start: bytes) -> str:
    """The codec of a text that starts like this, its byte order settled."""
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)
    except (LookupError, UnicodeError):
        raise UsageError(
            f"--encoding {encoding!r} is not known; write utf-8, utf-16, latin-1, "
            "windows-1252, shift_jis"
        ) from None
    if name in ("utf-16", "utf-32"):
        big = start.startswith((b"\xfe\xff", b"\0\0\xfe\xff"))
        # The mark of the byte order stays a character of the text.
        return name + ("-be" if big else "-le")
    return "utf-8" if name in UTF8 else name


def transcoded(stream: BinaryIO, codec: str, source: str) -> BinaryIO:
    """A text as UTF-8, if it can be written back byte for byte."""
    if codec == "utf-8":
        return stream
    return io.BufferedReader(_Filter(_transcoded(stream, codec, source)), CHUNK)


def _transcoded(stream: BinaryIO, codec: str, source: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(codec)()
    pending = b""
    try:
        while True:
            data = stream.read(CHUNK)
            text = decoder.decode(data, final=not data)
            taken = pending + data
            pending = b"" if not data else decoder.getstate()[0]
            taken = taken[: len(taken) - len(pending)]
            if text.encode(codec) != taken:
                raise CommandError(
                    f"{source}: its text would change if written back as {codec}: "
                    "convert it to UTF-8 first"
                )
            yield text.encode()
            if not data:
                return
    except UnicodeError as error:
        raise CommandError(f"{source} is not {codec}: {error}") from None


def encoded(text: bytes, codec: str) -> bytes:
    """A UTF-8 text in another encoding."""
    try:
        return text if codec == "utf-8" else text.decode().encode(codec)
    except UnicodeEncodeError as error:
        raise CommandError(f"a result cannot be written in {codec}: {error}") from None
