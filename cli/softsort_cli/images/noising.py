"""Noise in pictures."""

from dataclasses import replace

import numpy as np

from softsort_cli.errors import CommandError
from softsort_cli.images import formats
from softsort_cli.images.alpha import FrameRows
from softsort_cli.images.picture import Picture, floats_of, to_pixels
from softsort_cli.options.images import Noise

ALL = slice(None)


def spoilt(
    picture: Picture, noise: Noise, levels: tuple[float, float], *, multiplies: bool
) -> Picture:
    """A picture with noise in all frames, of other seeds, and not in the opacity.

    Noise is within these levels, black and white. The colours of the result are
    multiplied by their opacity, if that is asked for.
    """
    import jax
    import softsort_filters

    make = {
        "salt-and-pepper": softsort_filters.salt_and_pepper,
        "gaussian": softsort_filters.gaussian_noise,
        "speckle": softsort_filters.speckle_noise,
    }[noise.kind]
    (low, high), dtype = levels, floats_of(picture)
    key = jax.random.key(noise.seed)
    frames = []
    for number, frame in enumerate(picture.frames):
        rows = FrameRows(frame, picture, dtype, multiplies=multiplies)
        values = rows[ALL]
        colours = values[..., :-1] if picture.alpha else values
        seed = jax.random.fold_in(key, number) if number else key
        colours[...] = np.asarray(make(colours, noise.amount, seed, low=low, high=high))
        frames.append(to_pixels(rows.stored(values, ALL), frame.dtype))
    return replace(picture, frames=frames, premultiplied=multiplies)


def check_colours(picture: Picture) -> None:
    """Refuse colours that have no black and white."""
    if picture.lab:
        raise CommandError(f"{picture.source} has Lab colours: {formats.TO_RGB}")
