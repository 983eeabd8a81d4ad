"""JPEG files <-> pictures."""

from dataclasses import replace
from typing import Any

import numpy as np
import PIL.Image
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from softsort_cli import console
from softsort_cli.errors import CommandError
from softsort_cli.images import declared_size, pillow
from softsort_cli.images.picture import Picture

APP0, ADOBE, COMMENT = 0xE0, 0xEE, 0xFE  # markers
DESCRIBING = {*range(APP0, APP0 + 16), COMMENT} - {ADOBE}
PICTURES = b"MPF\0"  # the places of the others
JFIF = b"JFIF\0"
# What has a place in other formats too, and what is told by itself.
ELSEWHERE = (
    PICTURES,
    JFIF,
    b"Exif\0\0",
    b"http://ns.adobe.com/xap/1.0/\0",
    b"ICC_PROFILE\0",
)
NAMES = {
    b"Photoshop 3.0\0": "IPTC",
    b"http://ns.adobe.com/xmp/extension/\0": "extended XMP",
    b"JFXX\0": "JFXX",
}


def read(data: bytes, source: str) -> Picture:
    """Read the first picture of a file."""
    if declared_size.has_shared_tags(declared_size.jpeg_exif(data)):
        raise CommandError(f"{source} is damaged: the tags of its EXIF overlap")
    with pillow.opened(data, "JPEG") as image:
        # A preview, a map of brightness or depth, or another view, each a JPEG.
        several = image.format == "MPO" or "mp" in image.info
        picture = pillow.picture(image, data, source, "JPEG")
        metadata = picture.metadata | {"segments": segments(data)}
        encoding = _encoding(image) | {"coded": (data, picture.frames)}
        own = _own(data) + ["other pictures"] * several
    return replace(picture, metadata=metadata, own=own, encoding=encoding)


def encode(picture: Picture) -> bytes:
    """A file of a frame, in quality 95 if its encoding does not say otherwise."""
    told = picture.metadata
    carried = told.get("segments")
    coded = pillow.unchanged(picture)
    if coded is not None and carried is not None:
        return coded
    if "other pictures" in picture.own:
        console.note(
            f"note: {picture.source} holds several pictures: only the first is kept"
        )
    if coded is not None:
        return _bare(coded)
    encoding = {name: e for name, e in picture.encoding.items() if name != "coded"}
    encoding = encoding or {"quality": 95, "subsampling": 0}
    settings = encoding if carried is not None else told | encoding
    if "exif" in settings:
        settings["exif"] = pillow.EXIF_START + settings["exif"]
    frame = np.ascontiguousarray(picture.frames[0])
    image = PIL.Image.fromarray(frame)
    if frame.shape[2:] == (4,):
        image = PIL.Image.frombuffer("CMYK", image.size, frame)
    data = pillow.saved([image], "JPEG", settings)
    return data if carried is None else _with_segments(data, carried)


def _bare(data: bytes) -> bytes:
    """A JPEG without what it says beside its pixels, and without other pictures."""
    kept, place, scans = [data[:2]], 2, False
    for marker, start, end in declared_size.jpeg_markers(data):
        if scans:  # pixels, and not only what nobody reads
            kept.append(data[place:start])
        if marker not in DESCRIBING:
            kept.append(data[start:end])
        if marker == declared_size.END:
            return b"".join(kept)
        place, scans = end, scans or marker == declared_size.START_OF_SCAN
    return b"".join([*kept, data[place:]])  # its end is missing


def segments(data: bytes) -> bytes:
    """What a JPEG says beside its pixels, byte for byte.

    Left out is what says how it is coded, and where its other pictures are. Its density
    comes first.
    """
    kept = [
        (marker, body)
        for marker, body in declared_size.jpeg_segments(data)
        if marker in DESCRIBING and not body.startswith(PICTURES)
    ]
    kept.sort(key=lambda segment: not segment[1].startswith(JFIF))
    return b"".join(
        bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2) + body
        for marker, body in dict.fromkeys(kept)  # some profiles are there twice
    )


def _with_segments(data: bytes, carried: bytes) -> bytes:
    """A JPEG that says what another did, and its density."""
    start = 2
    if data[3] == APP0:  # in the place of what the encoder says
        length = int.from_bytes(data[4:6])
        if carried[1:2] != bytes([APP0]) or carried[4:9] != JFIF:
            carried = data[2 : 4 + length] + carried
        start += 2 + length
    return data[:2] + carried + data[start:]


def _own(data: bytes) -> list[str]:
    """What no other format can say."""
    own = []
    for marker, body in declared_size.jpeg_segments(data):
        # Comments are told like those of other formats.
        if marker not in DESCRIBING - {COMMENT} or body.startswith(ELSEWHERE):
            continue
        names = (name for start, name in NAMES.items() if body.startswith(start))
        own.append(next(names, f"APP{marker - APP0}"))
    return sorted(set(own))


def _encoding(image: PIL.Image.Image) -> dict[str, Any]:
    """How a file was encoded, in Pillow's words for `save`."""
    assert isinstance(image, JpegImageFile)
    most = max(max(table) for table in image.quantization.values())
    encoding = {
        "qtables": image.quantization,
        # Others cannot have steps that need 16 bits: libjpeg would say so on stderr.
        "progressive": "progressive" in image.info or most > 255,
        "keep_rgb": image.info.get("adobe_transform") == 0 and image.mode == "RGB",
    }
    if image.layers == 3:
        # Pillow writes 4:4:4, 4:2:2 and 4:2:0: of others, such as 4:4:0, all is kept.
        encoding["subsampling"] = max(get_sampling(image), 0)
    return encoding
