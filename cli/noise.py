"""`softsort noise`."""

from pathlib import Path
from typing import Annotated

import typer

from cli import console, files
from cli.options import Device, Writing, command, option


@command
def noise(
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="PNG or JPEG; - for standard input.")
    ],
    *,
    amount: Annotated[
        float, option("--amount", min=0, max=1, help="The share of pixels to spoil.")
    ] = 0.1,
    seed: Annotated[
        int, option("--seed", min=0, help="The same seed gives the same noise.")
    ] = 0,
    writing: Writing,
) -> None:
    """Spoil an image with salt and pepper, to try denoise on.

    An image x.png becomes x_noisy.png beside it, unless -o says otherwise. JPEG blurs
    single pixels even at its best quality, which is used here: name the output .png to
    keep the noise exact.

    Example:
      softsort noise photo.jpg --amount 0.2 -o noisy.png
    """
    from cli import images, runtime

    output = writing.output or files.beside(image, "_noisy", None)
    files.check_output(output, force=writing.force)
    picture = images.read(image)
    form = images.format_for(picture, output)
    runtime.start(Device(), "32")
    import jax
    import numpy as np

    from filters import salt_and_pepper

    pixels = picture.pixels.copy()
    shown = pixels[..., :-1] if picture.has_alpha else pixels
    values = images.to_unit(shown, "float32")
    spoilt = np.asarray(salt_and_pepper(values, amount, jax.random.key(seed)))
    shown[...] = images.to_pixels(spoilt)
    if form == "JPEG":
        console.note(
            "note: JPEG blurs the noise; name the output .png to keep it exact"
        )
    data = images.encode(picture, pixels, form, finest=True)
    with files.open_output(output, force=writing.force) as stream:
        stream.write(data)
