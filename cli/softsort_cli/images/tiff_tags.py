"""What a TIFF says beside its pixels: tags, and the EXIF that they point to."""

from __future__ import annotations

import struct
from collections.abc import Sequence, Set
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from softsort_cli import console
from softsort_cli.errors import CommandError
from softsort_cli.images import declared_size

if TYPE_CHECKING:
    import mmap

    import PIL.Image

ByteOrder: TypeAlias = Literal["<", ">"]
# Code, type, count, value, and whether it is for the first page only.
Tag: TypeAlias = tuple[int, int, int, Any, bool]

DESCRIPTION, COLORMAP = 270, 320
SUB_IFDS, EXIF, GPS, INTEROP = 330, 34665, 34853, 40965
# tifffile writes no pointers to EXIF, but these tags, which nobody uses, instead.
STAND_INS = {EXIF: EXIF - 1, GPS: GPS + 1}
XMP, ICC = 700, 34675
X_RESOLUTION, Y_RESOLUTION, UNIT = 282, 283, 296
UNITS = NO_UNIT, INCH, CENTIMETRE = 1, 2, 3
BYTE, UNDEFINED = 1, 7
WHOLE = SHORT, LONG = 3, 4
RATIONALS = {5: "I", 10: "i"}
# Tags about how pixels are stored, which are written anew, and those that point to
# other places in the file.
STORAGE = {
    *range(254, 260),
    *(262, 263, 264, 265, 266, 273, 277, 278, 279, 282, 283, 284, 288, 289, 292, 293),
    *(296, 317, 320, 322, 323, 324, 325, 330, 338, 339, 347, 512, 513, 514, 529, 530),
    *(531, 532, 32997, 32998, EXIF, GPS, INTEROP),
}
# Those that are about the places of pixels in a palette.
OF_PLACES = {280: "MinSampleValue", 281: "MaxSampleValue", 301: "TransferFunction"}
OF_PLACES |= {290: "GrayResponseUnit", 291: "GrayResponseCurve"}
OF_PLACES |= {340: "SMinSampleValue", 341: "SMaxSampleValue"}
# What EXIF has in common with a TIFF: description, camera, orientation, program, time,
# artist, copyright.
SHARED = (270, 271, 272, 274, 305, 306, 315, 33432)


class Tags(NamedTuple):
    """The tags of a page, as tifffile writes them."""

    others: Sequence[Tag] = ()
    resolution: Any = None
    unit: int | None = None


def of(page: Any) -> Tags:
    """The tags of a page that do not depend on its pixels, byte for byte."""
    others: list[Tag] = []
    file = page.parent.filehandle
    for tag in page.tags:
        if tag.code not in STORAGE:
            file.seek(tag.valueoffset)
            value = file.read(tag.valuebytecount)
            if len(value) < tag.valuebytecount:
                raise ValueError(f"tag {tag.code} ends beyond the file")
            if tag.dtype in RATIONALS:  # tifffile miscounts the bytes of these
                order, each = page.parent.byteorder, RATIONALS[tag.dtype]
                value = struct.unpack(f"{order}{2 * tag.count}{each}", value)
            others.append((tag.code, int(tag.dtype), tag.count, value, False))
    if X_RESOLUTION not in page.tags or Y_RESOLUTION not in page.tags:
        return Tags(others)
    resolution = tuple(page.tags[code].value for code in (X_RESOLUTION, Y_RESOLUTION))
    unit = int(page.tags[UNIT].value) if UNIT in page.tags else INCH
    if not all(len(pair) == 2 for pair in resolution) or unit not in UNITS:
        raise ValueError("its resolution is no ratio, or of no known unit")
    return Tags(others, resolution, unit)


def without_shape(tags: Tags) -> Tags:
    """Tags of a page but for the shape of all pages, as tifffile describes it."""
    return tags._replace(
        others=[
            tag
            for tag in tags.others
            if not (tag[0] == DESCRIPTION and tag[3].startswith(b'{"shape"'))
        ]
    )


def with_colormap(tags: Tags, colormap: Any) -> Tags:
    """Tags of a page and its palette: as such, tifffile takes 8 and 16 bits only."""
    table = (COLORMAP, SHORT, colormap.size, tuple(colormap.flat), False)
    return tags._replace(others=[*tags.others, table])


def without_palette(tags: Tags, source: str) -> Tags:
    """Tags of a page whose palette becomes RGB; tell those that say nothing of it."""
    lost = [OF_PLACES[code] for code, *_ in tags.others if code in OF_PLACES]
    if lost:
        console.note(
            f"note: {source}: without its palette, its {', '.join(lost)} is left out"
        )
    others = [tag for tag in tags.others if tag[0] not in OF_PLACES]
    return tags._replace(others=others)


def check_shared(data: bytes | mmap.mmap) -> None:
    """Refuse a TIFF, or EXIF, whose tags would take far more memory than it has."""
    if declared_size.has_shared_tags(data):
        raise ValueError("its tags overlap")


def _with_pointers(page: Any) -> Tags:
    """The tags of a page, and some in the place of those that `with_exif` makes."""
    tags = of(page)
    codes = [STAND_INS[code] for code in (EXIF, GPS) if code in page.tags]
    pointers = [(code, LONG, 1, 0, False) for code in codes]
    return tags._replace(others=[*tags.others, *pointers])


def metadata(pages: list[Any], data: bytes) -> dict[str, Any]:
    """What other formats have a place for too, and all tags of all pages."""
    first, *rest = pages
    tags = [_with_pointers(first), *map(of, rest)]
    values = {code: value for code, _, _, value, _ in tags[0].others}
    told: dict[str, Any] = {"tags": tags}
    for name, code in (("icc_profile", ICC), ("xmp", XMP)):
        if code in values:
            told[name] = values[code]
    sides = tags[0].resolution
    if sides and tags[0].unit in (INCH, CENTIMETRE) and all(low for _, low in sides):
        scale = 1 if tags[0].unit == INCH else 2.54
        told["dpi"] = tuple(scale * high / low for high, low in sides)
    if exif := _exif(first, data):
        told["exif"] = exif
    return told


def own(pages: list[Any]) -> list[str]:
    """The names of tags that have no place in other formats."""
    names = set()
    for number, page in enumerate(pages):
        carried = STORAGE | (set() if number else {*SHARED, XMP, ICC})
        names |= {tag.name for tag in page.tags if tag.code not in carried}
    return sorted(names)


def _exif(page: Any, data: bytes) -> bytes:
    import PIL.Image

    linked = {code for code in (EXIF, GPS) if code in page.tags}
    if page.parent.is_bigtiff:
        if linked:
            raise CommandError(
                "EXIF in a BigTIFF is not handled: take it out first, as in "
                "`exiftool -EXIF= IN`"
            )
        return b""
    source, target = PIL.Image.Exif(), PIL.Image.Exif()
    source.load(data)
    for code in SHARED:
        if code in page.tags and code in source:
            target[code] = _usual(code, source[code])
    _copy_linked(source, target, linked)
    target.endian = source.endian  # maker notes may count on it
    return target.tobytes().removeprefix(b"Exif\0\0") if len(target) else b""


def _copy_linked(
    source: PIL.Image.Exif, target: PIL.Image.Exif, codes: Set[int]
) -> None:
    for code in codes:
        entries = source.get_ifd(code).items()
        target[code] = {each: _usual(each, value, code) for each, value in entries}
    if EXIF in codes and INTEROP in target[EXIF]:
        target[EXIF][INTEROP] = dict(source.get_ifd(INTEROP))


def _usual(code: int, value: Any, directory: int | None = None) -> Any:
    """Bytes as the numbers that a tag is to hold: Pillow writes no others."""
    from PIL.TiffTags import lookup

    if not isinstance(value, bytes) or lookup(code, directory).type not in WHOLE:
        return value
    return value[0] if len(value) == 1 else tuple(value)


def from_metadata(metadata: dict[str, Any]) -> tuple[ByteOrder | None, Tags]:
    """The byte order and the tags of a TIFF for the metadata of another format."""
    import tifffile

    others: list[Tag] = []
    order: ByteOrder | None = None
    if "exif" in metadata:
        check_shared(metadata["exif"])
        with tifffile.TiffFile(BytesIO(metadata["exif"])) as file:
            order = file.byteorder
            others += _with_pointers(file.pages[0]).others
    for name, code, dtype in (("icc_profile", ICC, UNDEFINED), ("xmp", XMP, BYTE)):
        if name in metadata:
            others.append((code, dtype, 0, metadata[name], False))
    return order, Tags(others, metadata.get("dpi"), INCH if "dpi" in metadata else None)


def with_exif(data: bytes, exif: bytes) -> bytes:
    """A TIFF with EXIF and GPS tags behind it, and its first page pointing there."""
    import PIL.Image

    order = "<" if data[:1] == b"I" else ">"
    (page,) = struct.unpack_from(order + "L", data, 4)
    entries = _entries(data, page, order)
    linked = {code for code, stand_in in STAND_INS.items() if stand_in in entries}
    if not linked:
        return data
    source, target = PIL.Image.Exif(), PIL.Image.Exif()
    source.load(exif)
    target.endian = order
    _copy_linked(source, target, linked)
    start = len(data) + len(data) % 2
    # Pillow writes two headers, of 6 and 8 bytes, before the tags.
    behind = data.ljust(start, b"\0") + target.tobytes(start)[14:]
    result = bytearray(behind)
    for code, entry in _entries(behind, start, order).items():
        place = entries[STAND_INS[code]]
        result[place : place + 12] = behind[entry : entry + 12]
    return bytes(result)


def _entries(data: bytes, start: int, order: str) -> dict[int, int]:
    """Where the entry of each tag of a directory is."""
    (count,) = struct.unpack_from(order + "H", data, start)
    places = range(start + 2, start + 2 + 12 * count, 12)
    return {struct.unpack_from(order + "H", data, at)[0]: at for at in places}
