"""What is drawn for each frame of a GIF: the pixels that change, in palettes."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import PIL.Image
from PIL.Image import Quantize

from softsort_cli.images import palette

MOST = 256  # colours of a palette
SETTLED = 1000  # k-means ends when fewer than one of so many pixels change
Palette: TypeAlias = list[tuple[int, ...]]
# In place 0 of a palette, for pixels that stay as they are, or are not there.
NOTHING = (0, 0, 0)


class Coloured(NamedTuple):
    """Pixels in a palette."""

    places: np.ndarray  # of shape (h, w)
    own: Palette | None = None  # if it is not the shared one
    nothing: int | None = 0  # the place of pixels that are not drawn


class Drawn(NamedTuple):
    """What is drawn for a frame."""

    left: int
    top: int
    pixels: Coloured
    clears: bool  # where it is drawn, nothing is left behind


def drawn(frames: Sequence[np.ndarray], *, alpha: bool) -> tuple[list[Drawn], Palette]:
    """What is drawn for each frame, and the palette that most of them share."""
    is_grey, unused = _greys(frames, alpha=alpha)
    shared: Palette = [(n, n, n) for n in range(MOST)] if is_grey else [NOTHING]
    parts, before = [], None
    for number, frame in enumerate(frames, 1):
        colours, visible = _split(frame, alpha=alpha)
        changed = visible
        if before is not None:
            changed = visible & ((colours != before[0]).any(axis=2) | ~before[1])
        # That a pixel is no longer there cannot be drawn. The last frame comes before
        # the first.
        _, remaining = _split(frames[number % len(frames)], alpha=alpha)
        clears = bool((visible & ~remaining).any())
        down, across = palette.box(visible if clears else changed)
        inside = changed[down, across]
        if is_grey:
            pixels = _grey(colours[down, across, 0], inside, unused, alpha=alpha)
        else:
            pixels = _coloured(colours[down, across], inside, shared, alpha=alpha)
        parts.append(Drawn(across.start, down.start, pixels, clears))
        before = None if clears else (colours, visible)
    return parts, shared


def _split(frame: np.ndarray, *, alpha: bool) -> tuple[np.ndarray, np.ndarray]:
    """The colours of a frame, RGB, and which pixels of it are there."""
    if frame.dtype == bool:
        frame = frame * np.uint8(255)
    frame = frame.reshape(*frame.shape[:2], -1)
    shape = *frame.shape[:2], 3
    if not alpha:
        return np.broadcast_to(frame, shape), np.ones(shape[:2], bool)
    visible = frame[..., -1:] > 0
    colours = np.where(visible, frame[..., :-1], np.uint8(0))
    return np.broadcast_to(colours, shape), visible[..., 0]


def _greys(frames: Sequence[np.ndarray], *, alpha: bool) -> tuple[bool, int | None]:
    """Whether a palette of all greys does, and which of these no frame has.

    That one is for pixels that are not drawn, and has to be the same for all frames:
    Pillow takes it for nothing wherever it is.
    """
    if frames[0].dtype != np.uint8 or frames[0].shape[2:] not in ((), (2,)):
        return False, None
    counts = np.zeros(MOST, np.intp)
    for frame in frames:
        colours, visible = _split(frame, alpha=alpha)
        counts += np.bincount(colours[visible, 0], minlength=MOST)
    unused = int(counts.argmin())
    return (not alpha, None) if counts[unused] else (True, unused)


def _grey(
    values: np.ndarray, inside: np.ndarray, unused: int | None, *, alpha: bool
) -> Coloured:
    """The pixels that are `inside` in a palette of all greys; the others if need be."""
    if unused is None or (inside.all() and not alpha):
        return Coloured(values, nothing=None)
    return Coloured(np.where(inside, values, np.uint8(unused)), nothing=unused)


def _coloured(
    colours: np.ndarray, inside: np.ndarray, shared: Palette, *, alpha: bool
) -> Coloured:
    """The pixels that are `inside` in a palette, and the others if that is as good.

    They are in the shared palette if it has space for their colours, else in one of
    their own: of their colours or, if there are too many, of those that suit them best.
    """
    wanted = colours[inside][:, None]
    is_whole = not alpha and bool(inside.all())
    few = _few(wanted, MOST - 1)
    if few is not None:
        fresh = [colour for colour in few if colour not in shared[1:]]
        own = None
        if len(shared) + len(fresh) <= MOST:
            shared += fresh
        else:
            own = [NOTHING, *few]
        places = _placed(wanted, (own or shared)[1:]) + np.uint8(1)
    elif not alpha and (own := _few(colours, MOST)):
        return Coloured(_placed(colours, own), own, nothing=None)
    else:
        places, own = _quantized(wanted, MOST if is_whole else MOST - 1)
        if not is_whole:
            places, own = places + np.uint8(1), [NOTHING, *own]
    if is_whole:
        return Coloured(places.reshape(inside.shape), own, nothing=None)
    among = np.zeros(inside.shape, np.uint8)
    among[inside] = places[:, 0]
    return Coloured(among, own)


def _few(colours: np.ndarray, most: int) -> Palette | None:
    """All colours there are, from dark to bright; None if they are too many."""
    if not colours.size:
        return []
    counted = PIL.Image.fromarray(colours).getcolors(most)
    if counted is None:
        return None
    return sorted(colour for _, colour in counted if isinstance(colour, tuple))


def _placed(colours: np.ndarray, table: Palette) -> np.ndarray:
    """The places of colours in a palette that has them all."""
    if not colours.size:
        return np.zeros(colours.shape[:2], np.uint8)
    places = palette.places(colours, np.array(table, np.uint8))
    assert places is not None
    return places


def _quantized(colours: np.ndarray, most: int) -> tuple[np.ndarray, Palette]:
    """The places of colours in a palette that suits them; dithering would be noise.

    From either start k-means may end in a palette that is some decibels worse.
    """
    exact = PIL.Image.fromarray(colours)
    settings: Any = {"kmeans": 1 + colours[..., 0].size // SETTLED, "dither": 0}
    starts = Quantize.MEDIANCUT, Quantize.MAXCOVERAGE
    images = [exact.quantize(most, start, **settings) for start in starts]
    nearest = min(images, key=lambda image: _distance(image, colours))
    table = np.reshape(nearest.getpalette() or [], (-1, 3))
    return np.array(nearest), [tuple(colour) for colour in table.tolist()]


def _distance(image: PIL.Image.Image, colours: np.ndarray) -> float:
    """How far colours are from those of an image, in squares."""
    return float(np.mean((np.asarray(image.convert("RGB"), "f4") - colours) ** 2))
