"""`softsort compare`."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Annotated, get_args

import typer

from softsort_cli.errors import UsageError
from softsort_cli.images.formats import LISTED
from softsort_cli.options.declare import command, number_of, option
from softsort_cli.options.images import Kind, Noise
from softsort_cli.options.output import Writing
from softsort_cli.options.softness import Device

KINDS = get_args(Kind)


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
    noises: Annotated[
        str | None,
        option(
            "--noises",
            metavar="LIST",
            show_default="that of --kind and --amount",
            help="A row for each, such as salt-and-pepper:0.1,gaussian:0.05.",
        ),
    ] = None,
    spoiling: Noise,
    where: Device,
    writing: Writing,
) -> None:
    """Show what filters make of noise, in one picture and one table.

    Side by side: the original, the same with noise, the median, soft medians, the
    mean, and what denoise makes of it by --method keep and auto; and where scikit-image
    is installed, its total variation, of weight 0.1, and non-local means. An image
    x.png gets a picture x_compare.png beside it, unless -o names another .png, .jpg,
    .pdf or .svg. The table on standard output has the PSNR in dB and the SSIM of each
    against the original, both of the pixels that `noise` and `denoise` write; with
    --noises, also which it was. Of several frames the first is taken; opacity is left
    out, and the SSIM of what is smaller than its windows of 7 x 7.

    Examples:
      softsort compare photo.jpg --noises salt-and-pepper:0.1,gaussian:0.05
      softsort compare photo.jpg --amount 0.2 --size 5 --epsilons 0.001,0.01,0.1
    """
    from softsort_cli.images import comparison, window

    sides, softness = window.size_of(size), _numbers(epsilons)
    if len(sides) > 2:
        raise UsageError(f"--size {size!r}: one frame is taken; leave out the pages")
    several = _noises(noises, spoiling)
    panels = comparison.compare(image, sides, softness, several, where, writing)
    typer.echo("noise," * bool(noises) + "picture,psnr,ssim")
    for panel in panels:
        ssim = "" if math.isnan(panel.ssim) else f"{panel.ssim:.5f}"
        noise = f"{panel.noise}," * bool(noises)
        typer.echo(f"{noise}{panel.name},{panel.psnr:.3f},{ssim}")


def _noises(text: str | None, noise: Noise) -> list[Noise]:
    """The noises of a list, with levels and seed as those of one."""
    noises = [noise] if text is None else []
    for word in text.split(",") if text else ():
        kind, _, amount = word.strip().partition(":")
        share = number_of(amount)
        if kind not in KINDS or not 0 <= share <= 1:
            raise UsageError(
                f"--noises {text!r}: give kinds ({', '.join(KINDS)}) and amounts from "
                "0 to 1, as in salt-and-pepper:0.1,gaussian:0.05"
            )
        noises.append(replace(noise, kind=kind, amount=share))
    return noises


def _numbers(text: str) -> list[float]:
    numbers = [number_of(word) for word in text.split(",")]
    if not all(0 < number < math.inf for number in numbers):
        raise UsageError(f"--epsilons {text!r}: give positive numbers, as in 0.01,0.1")
    return numbers
