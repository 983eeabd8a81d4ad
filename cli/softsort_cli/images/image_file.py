"""Image files <-> pictures: whatever the format, what would not survive is refused."""

import struct
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from softsort_cli import console
from softsort_cli.errors import CommandError, damage_told
from softsort_cli.images import formats, ome, orientation
from softsort_cli.images.picture import Picture
from softsort_cli.io import files
from softsort_cli.options.images import ImageWriting


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
        with damage_told(f"{source} is damaged", PIL.UnidentifiedImageError):
            return _codec(form).read(data, source)
    except PIL.UnidentifiedImageError:
        raise CommandError(_unknown(data, source)) from None


def output_format(
    picture: Picture, path: Path | None, *, strip: bool = False
) -> formats.Format:
    """The format of an output: by its extension, else that of the picture."""
    if path is None or files.is_stream(path) or files.is_device(path):
        form = formats.FORMATS[picture.format]
    else:
        form = formats.by_suffix(path)
    if form is None:
        raise CommandError(f"cannot write {path}: name it {formats.SUFFIXES}")
    if form.name != picture.format and (reason := _obstacle(picture, form)):
        raise CommandError(f"cannot write {path}: {form.name} {reason}")
    if form.name == picture.format and not strip:
        _kept(picture, path)  # or refused
    return form


def _kept(picture: Picture, path: Path | None) -> dict[str, Any]:
    """What a picture says beside its pixels, for a file of the same format."""
    told = picture.metadata
    if "tags" not in told:
        return told
    output = None if path is None or files.is_stream(path) else path
    return told | {"tags": ome.renamed(told["tags"], Path(picture.source), output)}


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
    is_same = picture.format == form.name
    encoding, told = picture.encoding if is_same else {}, picture.metadata
    if finest and form.finest is not None:
        encoding = form.finest
    places = formats.TIMING if writing.strip else form.metadata
    if is_same and not writing.strip:
        told = _kept(picture, path)
    else:
        if not writing.strip:
            _note_lost(picture, form)
        if "exif" not in places:
            picture = _upright(picture)
    metadata = {name: m for name, m in told.items() if name in places}
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


def _note_lost(picture: Picture, form: formats.Format) -> None:
    """Tell what another format cannot say."""
    lost = sorted(picture.metadata.keys() - form.metadata - formats.VERBATIM)
    lost += picture.own
    if lost:
        console.note(
            f"note: {picture.source}: {form.name} has no place for its "
            f"{', '.join(lost)}"
        )


def _upright(picture: Picture) -> Picture:
    """A picture as it is to be seen, for a file that does not tell how it was held."""
    held = orientation.of(picture)
    frames = [orientation.upright(frame, held) for frame in picture.frames]
    return replace(picture, frames=frames)


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
    if picture.lab:
        return f"cannot hold Lab colours; {formats.TO_RGB}"
    # Opacity goes with grey and RGB only.
    if colours not in form.colours or (picture.alpha and colours > 3):
        return f"cannot hold {channels} channels; name it .tif"
    if first.dtype.name not in form.dtypes:
        holding = [f for f in formats.FORMATS.values() if first.dtype.name in f.dtypes]
        remedy = formats.listed([each.suffixes[0] for each in holding])
        return f"cannot hold {first.dtype} pixels; name it {remedy}"
    if several and "duration" not in picture.metadata:
        return f"shows one picture at a time, and there are {count} pages; name it .tif"
    if max(first.shape[:2]) > form.longest:
        return f"has sides of at most {form.longest} pixels; name it .png or .tif"
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
