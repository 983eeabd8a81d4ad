"""The image formats: how their files are told, and what they hold.

A new format is an entry here, and a module of this folder that has its name and

    read(data, source) -> Picture
    encode(picture) -> bytes

Both may raise anything of a broken file, or of broken metadata: `image_file` tells.
Here are only names, so that options and help can use them.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

TIMING = frozenset({"duration", "loop"})
WAY_OUT = "convert it first, as in `magick IN OUT.tif`"
TO_RGB = "convert it first, as in `magick IN -colorspace sRGB OUT.tif`"
_WHOLE = {"bool", "uint8", "uint16", "uint32", "int8", "int16", "int32"}


@dataclass(frozen=True)
class Format:
    """One format of image files."""

    title: str  # in lists; in other messages, and to Pillow, in capitals
    suffixes: tuple[str, ...]  # the usual one first
    start: bytes  # a pattern that the first bytes match
    metadata: frozenset[str]  # what has a place beside pixels
    dtypes: frozenset[str] = frozenset({"uint8"})
    colours: tuple[int, ...] = (1, 3)  # channels beside opacity
    opacity: Literal["none", "on or off", "any"] = "any"
    frames: Literal["one", "alike", "any"] = "alike"
    finest: dict[str, Any] | None = None  # encoding that is nearest to the pixels
    blurs: bool = False  # single pixels, even then
    longest: int = 2**31 - 1  # pixels of a side

    @property
    def name(self) -> str:
        """A key of FORMATS, and in small letters the module."""
        return self.title.upper()


# The chunks of a PNG, the segments of a JPEG, the extensions of a GIF and the tags of a
# TIFF say what the rest says, and what no other format can say, in full.
VERBATIM = frozenset({"chunks", "segments", "extensions", "tags"})
_ALL = (
    Format(
        "PNG",
        (".png", ".apng"),
        start=rb"\x89PNG\r\n\x1a\n",
        metadata=TIMING | {"exif", "icc_profile", "dpi", "xmp", "chunks"},
        dtypes=frozenset({"bool", "uint8", "uint16"}),
    ),
    Format(
        "JPEG",
        (".jpg", ".jpeg", ".jpe", ".jfif"),
        start=rb"\xff\xd8\xff",
        metadata=frozenset(
            {"exif", "icc_profile", "dpi", "xmp", "comment", "segments"}
        ),
        colours=(1, 3, 4),
        opacity="none",
        frames="one",
        finest={"quality": 100, "subsampling": 0},
        blurs=True,
        longest=65500,
    ),
    Format(
        "GIF",
        (".gif",),
        start=rb"GIF8[79]a",
        metadata=TIMING | {"comment", "extensions"},
        opacity="on or off",
        longest=2**16 - 1,
    ),
    Format(
        "WebP",
        (".webp",),
        start=rb"RIFF....WEBP",
        metadata=TIMING | {"exif", "icc_profile", "xmp"},
        finest={"lossless": True},
        longest=2**14 - 1,
    ),
    Format(
        "TIFF",
        (".tif", ".tiff"),
        start=rb"II[*+]\0|MM\0[*+]",
        metadata=frozenset({"exif", "icc_profile", "dpi", "xmp", "tags"}),
        dtypes=frozenset(_WHOLE | {"float16", "float32", "float64"}),
        colours=(1, 3, 4),
        frames="any",
    ),
)
FORMATS = {each.name: each for each in _ALL}
BY_SUFFIX = {suffix: each for each in _ALL for suffix in each.suffixes}


def listed(words: list[str], last: str = "or") -> str:
    """Words in a row: a, b or c."""
    *others, end = words
    return f"{', '.join(others)} {last} {end}" if others else end


LISTED = listed([each.title for each in _ALL])  # for help
READ = listed([each.title for each in _ALL], "and")
SUFFIXES = listed([each.suffixes[0] for each in _ALL])


def by_suffix(path: Path) -> Format | None:
    """The format that a file of this name has."""
    return BY_SUFFIX.get(path.suffix.lower())


def by_start(data: bytes) -> Format | None:
    """The format of a file that begins with these bytes."""
    return next((f for f in _ALL if re.match(f.start, data, re.DOTALL)), None)
