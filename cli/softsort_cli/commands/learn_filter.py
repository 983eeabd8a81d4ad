"""`softsort learn-filter`."""

from pathlib import Path
from typing import Annotated

import typer

from softsort_cli.errors import UsageError, need_libraries
from softsort_cli.images.formats import LISTED
from softsort_cli.io import files
from softsort_cli.options.declare import command, option
from softsort_cli.options.images import Recipe
from softsort_cli.options.output import to_file
from softsort_cli.options.softness import Device, Place


@command
def learn_filter(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGES",
            help=f"Noisy {LISTED} files, quoted patterns, and with -r folders.",
        ),
    ],
    *,
    clean: Annotated[
        list[Path] | None,
        option(
            "--clean",
            metavar="IMAGE",
            help="The same without noise, in the same order; repeat it, or quote a "
            "pattern. By default noise is added again to the noisy ones.",
        ),
    ] = None,
    recipe: Recipe,
    recursive: Annotated[
        bool, option("--recursive", "-r", help="Take all images in folders.")
    ] = False,
    resume: Annotated[
        bool, option("--resume", help="Go on with what an interrupted run left in -o.")
    ] = False,
    plot: Annotated[
        Path | None,
        option(
            "--plot", metavar="FILE", help="Draw what was learned: .png, .svg or .pdf."
        ),
    ] = None,
    place: Place,
    output: Annotated[Path | None, to_file(show_default="filter.npz")] = None,
    force: Annotated[bool, option("--force", help="Replace existing files.")] = False,
) -> None:
    """Learn a filter from noisy images, for denoise --filter.

    Learned are the settings of denoise --method auto, or keep: how much each pixel of
    the window counts, which quantile stands for it, epsilon, what is taken for noise,
    and how much of the noise in all pixels is taken out. Each step of Adam looks at
    parts of 96 x 96 pixels. Without --clean, what is likely no noise stands for the
    clean image, and noise as the image is told to have is added to it. The settings
    before and after go to standard output. The filter is written every quarter of a
    minute, so that an interrupted run goes on with --resume, and ends as if it had not
    been. It needs the extra `learn`.

    Examples:
      softsort learn-filter scans/*.png -o scans.npz --plot scans.svg
      softsort learn-filter noisy.png --clean clean.png --method keep
      softsort denoise scan.png --filter scans.npz
    """
    need_libraries("optax")
    from softsort_cli import jax_setup
    from softsort_cli.images import learned, window

    *pages, rows, columns = window.size_of(recipe.size)
    if pages or rows == columns == 1:
        raise UsageError(f"--size {recipe.size!r}: give two sides, not both 1")
    if plot is not None and plot.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise UsageError(f"--plot {plot}: name a .png, .svg or .pdf file")
    output = output or Path("filter.npz")
    for path in (output, plot):
        files.check_output(path, force=force or resume)
    noisy = learned.pixels_of(images, recursive=recursive)
    pairs = None if clean is None else learned.pixels_of(clean, recursive=recursive)
    if pairs is not None and [x.shape for x in noisy] != [x.shape for x in pairs]:
        raise UsageError("--clean: give as many images as noisy ones, of their sizes")
    jax_setup.start(Device(device=place.device), "32")
    from softsort_filters import beginning

    start = beginning((rows, columns))
    result = learned.learn(noisy, pairs, start, output, recipe, resume=resume)
    if plot is not None:
        with files.open_output(plot, force=True) as stream:
            stream.write(learned.figure(result, plot.suffix.lower()))
    typer.echo(learned.table(start, result))
