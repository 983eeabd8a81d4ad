"""`softsort noise`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from softsort_cli import console
from softsort_cli.io import files
from softsort_cli.options.declare import command
from softsort_cli.options.images import ImageWriting, Noise
from softsort_cli.options.softness import Device

if TYPE_CHECKING:
    import numpy as np

    from softsort_cli.images.picture import Picture


@command
def noise(
    image: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGE",
            help="PNG, JPEG, GIF, WebP or TIFF; - for standard input.",
        ),
    ],
    *,
    spoiling: Noise,
    writing: ImageWriting,
) -> None:
    """Spoil an image with noise, to try denoise on.

    An image x.png becomes x_noisy.png beside it, unless -o says otherwise. All its
    frames are spoilt; opacity stays as it is. White is the largest value that the file
    can hold, or in a float image the largest that it holds. JPEG blurs single pixels
    even at its best quality, which is used here: name the output .png to keep the noise
    exact.

    Examples:
      softsort noise photo.jpg --amount 0.2 -o noisy.png
      softsort noise scan.tif --kind gaussian --amount 0.05
    """
    from softsort_cli import jax_setup
    from softsort_cli.images import picture as images

    output = writing.output or files.beside(image, "_noisy")
    files.check_output(output, force=writing.force)
    picture = images.read(image)
    form = images.format_for(picture, output)
    bits = "64" if images.needs_64_bits(picture) else "32"
    images.check_precision(picture, bits)
    jax_setup.start(Device(), bits)
    if form == "JPEG":
        console.note(
            "note: JPEG blurs the noise; name the output .png to keep it exact"
        )
    frames = spoilt(picture, spoiling, f"float{bits}")
    data = images.encode(picture, frames, form, finest=True, strip=writing.strip)
    with files.open_output(output, force=writing.force) as stream:
        stream.write(data)


def spoilt(picture: Picture, spoiling: Noise, dtype: str) -> list[np.ndarray]:
    """The frames of a picture with noise."""
    import jax
    import numpy as np
    import softsort_filters

    from softsort_cli.images import picture as images

    make = {
        "salt-and-pepper": softsort_filters.salt_and_pepper,
        "gaussian": softsort_filters.gaussian_noise,
        "speckle": softsort_filters.speckle_noise,
    }[spoiling.kind]
    key = jax.random.key(spoiling.seed)
    frames = []
    for number, frame in enumerate(picture.frames):
        pixels = frame.copy()
        shown = pixels[..., :-1] if picture.alpha else pixels
        values = images.to_unit(shown, dtype)
        low, high = images.extremes(values, frame.dtype)
        seed = jax.random.fold_in(key, number) if number else key
        noisy = make(values, spoiling.amount, seed, low=low, high=high)
        shown[...] = images.to_pixels(np.asarray(noisy), frame.dtype)
        frames.append(pixels)
    return frames
