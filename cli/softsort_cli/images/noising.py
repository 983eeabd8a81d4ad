"""Noise in pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from softsort_cli import console, jax_setup
from softsort_cli.images import image_file
from softsort_cli.images.picture import (
    Picture,
    check_precision,
    extremes,
    is_wide,
    to_pixels,
    to_unit,
)
from softsort_cli.io import files
from softsort_cli.options.images import ImageWriting, Noise
from softsort_cli.options.softness import Device


def spoil(image: Path, noise: Noise, writing: ImageWriting) -> None:
    """Make an image file with noise of another."""
    output = writing.output or files.beside(image, "_noisy")
    files.check_output(output, force=writing.force)
    picture = image_file.read(image)
    form = image_file.output_format(picture, output)
    bits = "64" if any(is_wide(frame.dtype) for frame in picture.frames) else "32"
    check_precision(picture, bits)
    jax_setup.start(Device(), bits)
    if form.blurs:
        console.note(
            f"note: {form.name} blurs the noise; name the output .png to keep it exact"
        )
    picture = spoilt(picture, noise, f"float{bits}")
    settings = {"strip": writing.strip, "force": writing.force}
    image_file.write(picture, form, output, finest=True, **settings)


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
