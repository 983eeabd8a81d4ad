"""`softsort compare`."""

import math
from pathlib import Path
from typing import Annotated

import typer

from softsort_cli.errors import UsageError
from softsort_cli.images.formats import LISTED
from softsort_cli.options.declare import command, option
from softsort_cli.options.images import Noise
from softsort_cli.options.output import Writing
from softsort_cli.options.softness import Device


@command
def compare(
    image: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGE",
            help=f"{LISTED}, grey or RGB; - for standard input.",
        ),
    ],
    *,
    size: Annotated[
        str,
        option("--size", metavar="N|WxH", help="The window in pixels, odd: 3, or 5x3."),
    ] = "3",
    epsilons: Annotated[
        str,
        option(
            "--epsilons",
            metavar="LIST",
            help="Of the soft medians, separated by commas.",
        ),
    ] = "0.01,0.1",
    spoiling: Noise,
    where: Device,
    writing: Writing,
) -> None:
    """Show what filters make of noise, in one picture and one table.

    Side by side: the original, the same with noise, the median, soft medians, and the
    mean. An image x.png gets a picture x_compare.png beside it, unless -o names another
    .png, .jpg, .pdf or .svg. The table on standard output has the PSNR in dB and the
    SSIM of each against the original, both of the pixels that `noise` and `denoise`
    write. Of several frames the first is taken; opacity is left out, and the SSIM of
    what is smaller than its windows of 7 x 7.

    Example:
      softsort compare photo.jpg --amount 0.2 --size 5 --epsilons 0.001,0.01,0.1
    """
    from softsort_cli.images import comparison, window

    sides, softness = window.size_of(size), _numbers(epsilons)
    if len(sides) > 2:
        raise UsageError(f"--size {size!r}: one frame is taken; leave out the pages")
    panels = comparison.compare(image, sides, softness, spoiling, where, writing)
    typer.echo("picture,psnr,ssim")
    for panel in panels:
        ssim = "" if math.isnan(panel.ssim) else f"{panel.ssim:.5f}"
        typer.echo(f"{panel.name},{panel.psnr:.3f},{ssim}")


def _numbers(text: str) -> list[float]:
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or not all(0 < number < math.inf for number in numbers):
        raise UsageError(f"--epsilons {text!r}: give positive numbers, as in 0.01,0.1")
    return numbers
