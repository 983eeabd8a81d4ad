"""`softsort noise`."""

from pathlib import Path
from typing import Annotated

import typer

from softsort_cli import console
from softsort_cli.images.formats import LISTED
from softsort_cli.io import files
from softsort_cli.options.declare import command
from softsort_cli.options.images import ImageWriting, Noise
from softsort_cli.options.softness import Device


@command
def noise(
    image: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGE",
            help=f"{LISTED}; - for standard input.",
        ),
    ],
    *,
    spoiling: Noise,
    writing: ImageWriting,
) -> None:
    """Spoil an image with noise, to try denoise on.

    An image x.png becomes x_noisy.png beside it, unless -o says otherwise. All its
    frames are spoilt; opacity stays as it is. White is the largest value that the file
    can hold, or the 8, 10, 12 or 14 bits of it that are in use, or in a float image the
    largest that it holds. JPEG blurs single pixels
    even at its best quality, which is used here: name the output .png to keep the noise
    exact.

    Examples:
      softsort noise photo.jpg --amount 0.2 -o noisy.png
      softsort noise scan.tif --kind gaussian --amount 0.05
    """
    from softsort_cli import jax_setup
    from softsort_cli.images import image_file, levels, noising, picture

    output = writing.output or files.beside(image, "_noisy")
    files.check_output(output, force=writing.force)
    original = image_file.read(image)
    form = image_file.output_format(original, output, strip=writing.strip)
    noising.check_colours(original)
    black_and_white = levels.levels(original, spoiling)
    jax_setup.start(Device(), picture.floats_of(original).removeprefix("float"))
    if form.blurs:
        console.note(
            f"note: {form.name} blurs the noise; name the output .png to keep it exact"
        )
    multiplies = original.premultiplied and form.name == original.format
    noisy = noising.spoilt(original, spoiling, black_and_white, multiplies=multiplies)
    image_file.write(noisy, form, output, writing, finest=True)
