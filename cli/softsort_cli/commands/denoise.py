"""`softsort denoise`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from softsort_cli.errors import need_libraries
from softsort_cli.images.formats import LISTED
from softsort_cli.options.declare import command, option
from softsort_cli.options.images import BatchWriting, ImageSolver, Method, Report, Shape
from softsort_cli.options.sizes import memory


@command
def denoise(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGES",
            help=f"{LISTED} files, quoted patterns, and with -r "
            "folders; - for standard input.",
        ),
    ],
    *,
    method: Method,
    shape: Shape,
    quantile: Annotated[
        float,
        option("--quantile", min=0, max=1, help="Which quantile; 0.5 is the median."),
    ] = 0.5,
    iterations: Annotated[
        int, option("--iterations", min=1, help="How often to filter.")
    ] = 1,
    border: Annotated[
        Literal["reflect", "nearest", "mirror", "wrap", "constant"],
        option("--border", help="What lies beyond the border, as in scipy.ndimage."),
    ] = "reflect",
    max_memory: Annotated[
        str,
        memory(
            "Images that need more are filtered strip by strip; all but TIFF without "
            "EXIF and opacity also hold their pixels.",
        ),
    ] = "2GiB",
    nodata: Annotated[
        str | None,
        option(
            "--nodata",
            metavar="keep|ignore|VALUE",
            show_default="NaN is refused",
            help="Pixels without data, in memory: keep leaves NaN, and what a GeoTIFF "
            "says to be none, out of all windows and in their places, VALUE also this; "
            "ignore takes what a GeoTIFF says to be none for values, without a word.",
        ),
    ] = None,
    report: Report,
    solver: ImageSolver,
    writing: BatchWriting,
) -> None:
    """Take noise out of images with a soft median filter.

    Each pixel becomes the soft median of the window around it, channel by channel and
    frame by frame. Colours count by their opacity, which stays as it is. x.png becomes
    x_soft.png beside it, unless -o or --out-dir says otherwise.

    Pixels keep their type: 1 to 32 bits, integers or floats of a TIFF. A palette, or a
    transparent colour, stays if it has all colours of the result; else these become
    RGB, and opacity a channel. All frames and pages are kept, and all that a file says
    besides, byte for byte; what another format cannot say is told. A JPEG is written
    with the quantization of the original, or quality 95; a WebP without loss if the
    original was, else at quality 95; a GIF with the best 256 colours of what changes in
    a frame, and without what of a frame is beyond the picture; of a JPEG with several
    pictures, such as a preview, the first is kept. A JPEG, a GIF or a lossy WebP is as
    it was if no pixel changes. Copies of lower resolution inside a TIFF are left out.

    A TIFF without a palette that needs more than --max-memory is written in tiles.

    If some of several images fail, the others are still done, and the exit code is 3.

    Examples:
      softsort denoise photo.png --size 5 --epsilon 0.001
      softsort denoise noisy.png --method keep
      softsort denoise photo.jpg --method auto
      softsort denoise noisy.png --learn --mask noise.png --explain
      softsort denoise scan.tif --footprint disk:2
      softsort denoise noisy.png --size auto --epsilon auto
      softsort denoise -r scans --out-dir clean --skip-existing
    """
    from softsort_cli.images import batch, denoising

    if method.learn:
        need_libraries("optax")
    filtering = denoising.Filtering(
        *(shape, quantile, iterations, border, max_memory, solver, writing),
        nodata=nodata,
        how=method,
        report=report,
    )
    batch.run(images, "_soft", filtering)
