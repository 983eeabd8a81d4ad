"""The image formats: how their files are told, what they hold, who reads and writes.

A new format is an entry here and a module of this folder that has

    read(data, source) -> Picture
    encode(picture) -> bytes

Both may raise anything of a broken file, or of broken metadata: `image_file` tells.
Here are only names, so that options and help can use them.
"""

import re
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

TIMING = frozenset({"duration", "loop"})
_COMMON = frozenset({"exif", "icc_profile", "xmp"})


@dataclass(frozen=True)
class Format:
    """One format of image files."""

    name: str  # in messages, and Pillow's
    title: str  # in lists
    suffixes: tuple[str, ...]  # the usual one first
    start: bytes  # a pattern that the first bytes match
    module: str  # in this folder
    metadata: frozenset[str]  # what has a place beside pixels
    dtypes: frozenset[str]  # of pixels
    frames: Literal["one", "alike", "any"]
    opacity: Literal["none", "on or off", "any"]
    colours: Container[int] = (1, 3)  # channels beside opacity
    finest: dict[str, Any] | None = None  # encoding that is nearest to the pixels


# The chunks of a PNG and the tags of a TIFF say what the rest says, in full.
_ALL = (
    Format(
        name="PNG",
        title="PNG",
        suffixes=(".png", ".apng"),
        start=rb"\x89PNG\r\n\x1a\n",
        module="png",
        metadata=_COMMON | TIMING | {"dpi", "chunks"},
        dtypes=frozenset({"bool", "uint8", "uint16"}),
        frames="alike",
        opacity="any",
    ),
    Format(
        name="JPEG",
        title="JPEG",
        suffixes=(".jpg", ".jpeg", ".jpe"),
        start=rb"\xff\xd8\xff",
        module="jpeg",
        metadata=_COMMON | {"dpi", "comment"},
        dtypes=frozenset({"uint8"}),
        frames="one",
        opacity="none",
        colours=(1, 3, 4),
        finest={"quality": 100, "subsampling": 0},
    ),
    Format(
        name="GIF",
        title="GIF",
        suffixes=(".gif",),
        start=rb"GIF8[79]a",
        module="gif",
        metadata=TIMING | {"comment"},
        dtypes=frozenset({"uint8"}),
        frames="alike",
        opacity="on or off",
    ),
    Format(
        name="WEBP",
        title="WebP",
        suffixes=(".webp",),
        start=rb"RIFF....WEBP",
        module="webp",
        metadata=_COMMON | TIMING,
        dtypes=frozenset({"uint8"}),
        frames="alike",
        opacity="any",
        finest={"lossless": True},
    ),
    Format(
        name="TIFF",
        title="TIFF",
        suffixes=(".tif", ".tiff"),
        start=rb"II[*+]\0|MM\0[*+]",
        module="tiff",
        metadata=_COMMON | {"dpi", "tags"},
        dtypes=frozenset(
            {"bool", "uint8", "uint16", "uint32", "int8", "int16", "int32"}
            | {"float16", "float32", "float64"}
        ),
        frames="any",
        opacity="any",
        colours=(1, 3, 4),
    ),
)
FORMATS = {each.name: each for each in _ALL}
BY_SUFFIX = {suffix: each for each in _ALL for suffix in each.suffixes}
WAY_OUT = "convert it first, as in `magick IN OUT.tif`"


def listed(words: list[str], last: str) -> str:
    """Words in a row: a, b or c."""
    *others, end = words
    return f"{', '.join(others)} {last} {end}" if others else end


LISTED = listed([each.title for each in _ALL], "or")  # for help
READ = listed([each.title for each in _ALL], "and")
SUFFIXES = listed([each.suffixes[0] for each in _ALL], "or")


def by_suffix(path: Path) -> Format | None:
    """The format that a file of this name has."""
    return BY_SUFFIX.get(path.suffix.lower())


def by_start(data: bytes) -> Format | None:
    """The format of a file that begins with these bytes."""
    matches = (f for f in _ALL if re.match(f.start, data, re.DOTALL))
    return next(matches, None)
