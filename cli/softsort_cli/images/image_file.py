"""Image files <-> pictures: whatever the format, what would not survive is refused."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softsort_cli import console
from softsort_cli.errors import CommandError
from softsort_cli.images import formats
from softsort_cli.io import files
from softsort_cli.options.images import ImageWriting

if TYPE_CHECKING:
    from softsort_cli.images.picture import Picture


def read(path: Path | None) -> Picture:
    """Read an image file; what would be lost is refused."""
    import PIL

    console.silence_libraries()
    source = files.label(path)
    if path is not None and path.is_dir():
        raise CommandError(f"{path} is a folder: add -r for the images in it")
    data = files.read_bytes(path)
    if not data:
        raise CommandError(f"{source} is empty: expected an image")
    form = formats.by_start(data)
    if form is None:
        raise CommandError(_unknown(data, source))
    try:
        return _codec(form).read(data, source)
    except PIL.UnidentifiedImageError:
        raise CommandError(_unknown(data, source)) from None
    except (CommandError, MemoryError):
        raise
    except Exception as error:  # a broken file can break the reader anywhere
        raise CommandError(f"{source} is damaged: {error}") from error


def output_format(picture: Picture, path: Path | None) -> formats.Format:
    """The format of an output: by its extension, else that of the picture."""
    if path is None or files.is_stream(path) or files.is_device(path):
        return formats.FORMATS[picture.format]
    form = formats.by_suffix(path)
    if form is None:
        raise CommandError(f"cannot write {path}: name it {formats.SUFFIXES}")
    if form.name != picture.format and (reason := _obstacle(picture, form)):
        raise CommandError(f"cannot write {path}: {form.name} {reason}")
    return form


def write(
    picture: Picture,
    form: formats.Format,
    path: Path | None,
    writing: ImageWriting,
    *,
    finest: bool = False,
) -> None:
    """Write a picture, which may have come from another format, to a file.

    It is encoded as the file was that it came from, or as near to its pixels as the
    format can come if `finest`. --strip leaves out all but the timing of frames.
    """
    encoding = picture.encoding if picture.format == form.name else {}
    if finest and form.finest is not None:
        encoding = form.finest
    places = formats.TIMING if writing.strip else form.metadata
    metadata = {name: m for name, m in picture.metadata.items() if name in places}
    lost = sorted(picture.metadata.keys() - places - {"chunks", "tags"})
    if lost and not writing.strip:
        names = ", ".join(lost)
        console.note(
            f"note: {picture.source}: {form.name} has no place for its {names}"
        )
    picture = replace(picture, metadata=metadata, encoding=encoding)
    try:
        data = _codec(form).encode(picture)
    except (CommandError, MemoryError):
        raise
    except Exception as error:  # so can broken metadata the writer
        message = f"{picture.source} cannot be kept as {form.name}: {error}"
        if metadata.keys() - formats.TIMING:
            message += "; --strip leaves its metadata out"
        raise CommandError(message) from error
    with files.open_output(path, force=writing.force) as stream:
        stream.write(data)


def _codec(form: formats.Format) -> Any:
    return import_module(f"softsort_cli.images.{form.name.lower()}")


def _unknown(data: bytes, source: str) -> str:
    """What there is to say of a file that is none of those that are read."""
    import PIL.Image

    PIL.Image.init()
    for name, (_, accepts) in PIL.Image.OPEN.items():
        with suppress(IndexError, struct.error):
            if accepts and name not in formats.FORMATS and accepts(data[:16]) is True:
                return (
                    f"{source} is a {name} file: {formats.READ} are read; "
                    f"{formats.WAY_OUT}"
                )
    return f"{source} is not an image: expected {formats.LISTED}"


def _obstacle(picture: Picture, form: formats.Format) -> str | None:
    """Why a format cannot hold the pixels of a picture, and which can."""
    first, count = picture.frames[0], len(picture.frames)
    channels = first.shape[2] if first.ndim == 3 else 1
    colours = channels - picture.alpha
    several = count > 1 and form.frames != "any"
    # Opacity goes with grey and RGB only.
    if colours not in form.colours or (picture.alpha and colours > 3):
        return f"cannot hold {channels} channels; name it .tif"
    if first.dtype.name not in form.dtypes:
        holding = [f for f in formats.FORMATS.values() if first.dtype.name in f.dtypes]
        remedy = formats.listed([each.suffixes[0] for each in holding])
        return f"cannot hold {first.dtype} pixels; name it {remedy}"
    shapes = {frame.shape for frame in picture.frames}
    if several and (first.dtype == "uint16" or len(shapes) > 1):
        return f"cannot hold {count} such frames; name it .tif"
    if several and form.frames == "one":
        return "holds a single frame; name it .png, .webp or .tif"
    if picture.alpha and form.opacity == "none":
        return "has no transparency; name it .png"
    opacities = (frame[..., -1] for frame in picture.frames if picture.alpha)
    translucent = any(((a > 0) & (a < 255)).any() for a in opacities)
    if translucent and form.opacity == "on or off":
        return "pixels are either opaque or not there; name it .png"
    return None
