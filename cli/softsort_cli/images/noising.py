"""Noise in pictures."""

from __future__ import annotations

from dataclasses import replace

from softsort_cli.images.picture import Picture, extremes, to_pixels, to_unit
from softsort_cli.options.images import Noise


def spoilt(picture: Picture, noise: Noise, dtype: str) -> Picture:
    """A picture with noise in all frames, of other seeds, and not in the opacity."""
    import jax
    import numpy as np
    import softsort_filters

    make = {
        "salt-and-pepper": softsort_filters.salt_and_pepper,
        "gaussian": softsort_filters.gaussian_noise,
        "speckle": softsort_filters.speckle_noise,
    }[noise.kind]
    key = jax.random.key(noise.seed)
    frames = []
    for number, frame in enumerate(picture.frames):
        pixels = frame.copy()
        colours = pixels[..., :-1] if picture.alpha else pixels
        values = to_unit(colours, dtype)
        low, high = extremes(values, frame.dtype)
        seed = jax.random.fold_in(key, number) if number else key
        noisy = make(values, noise.amount, seed, low=low, high=high)
        colours[...] = to_pixels(np.asarray(noisy), frame.dtype)
        frames.append(pixels)
    return replace(picture, frames=frames)
