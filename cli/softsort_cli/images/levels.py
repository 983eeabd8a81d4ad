"""What black and white are among the values of a picture."""

from softsort_cli import console
from softsort_cli.errors import UsageError
from softsort_cli.images import alpha
from softsort_cli.images.picture import Picture, pixel_range
from softsort_cli.options.images import Noise

# The bits that cameras and scanners put into larger numbers.
USUAL = 8, 10, 12, 14


def levels(picture: Picture, noise: Noise) -> tuple[float, float]:
    """Black and white as numbers from 0 to 1, or of floats as they are.

    They are those asked for; else the largest value is what the file says, or what so
    many bits hold as there are in use, and all floats are between theirs.
    """
    first = picture.frames[0]
    if first.dtype.kind == "f":
        frames = alpha.colours(picture)
        low = min(float(values.min()) for values in frames)
        high = max(float(values.max()) for values in frames)
    else:
        low, high = 0.0, 1.0
        if noise.high is None and (most := _most_in_use(picture)):
            high = _unit(most, picture)
            console.note(
                f"note: {picture.source}: white is taken to be {most}: --high says "
                "otherwise"
            )
    low = low if noise.low is None else _unit(noise.low, picture)
    high = high if noise.high is None else _unit(noise.high, picture)
    if high < low or (high == low and first.dtype.kind != "f"):
        raise UsageError("--low and --high: give a number for black and a larger one")
    return low, high


def _unit(value: float, picture: Picture) -> float:
    """A value of a pixel, as its file has it, as `to_unit` makes it."""
    dtype = picture.frames[0].dtype
    if dtype.kind == "f":
        return value
    low, high = pixel_range(dtype)
    pages = picture.encoding.get("pages", [{}])
    bits = pages[0].get("bitspersample")
    if bits:  # these have been scaled
        low, high = 0, 2**bits - 1
    return (value - low) / (high - low)


def _most_in_use(picture: Picture) -> int | None:
    """What white is, if that is less than the type of the pixels holds."""
    dtype = picture.frames[0].dtype
    if dtype.kind != "u" or dtype.itemsize < 2:
        return None
    whole = pixel_range(dtype)[1]
    largest = max(int(frame.max()) for frame in picture.frames)
    said = picture.encoding.get("white") or 0
    if largest <= said < whole:
        return said
    return next((2**bits - 1 for bits in USUAL if largest < 2**bits), None)
