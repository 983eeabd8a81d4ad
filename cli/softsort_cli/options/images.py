"""Options of the commands on images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import typer

from softsort_cli.options.declare import option, positive
from softsort_cli.options.output import Writing, to_folder
from softsort_cli.options.softness import EPSILON, EPSILON_HELP, Computing

Kind = Literal["salt-and-pepper", "gaussian", "speckle"]
AUTO = 0.0  # the epsilon that stands for the choice of one


def _epsilon_or_auto(text: Any) -> float:
    if text == "auto":
        return AUTO
    try:
        value = float(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither a number nor auto.") from None
    positive(value)
    return value


@dataclass(frozen=True)
class ImageSolver(Computing):
    """How soft, which the noise of an image can tell, and where it is computed."""

    epsilon: Annotated[
        float,
        option(
            "--epsilon",
            "-e",
            metavar="NUMBER|auto",
            parser=_epsilon_or_auto,
            help=f"{EPSILON_HELP}; auto chooses for each image, and says what.",
        ),
    ] = EPSILON


@dataclass(frozen=True)
class ImageWriting(Writing):
    """Where an image goes, and with how much of what its file said."""

    strip: Annotated[
        bool,
        option(
            "--strip",
            help="Leave out EXIF, ICC profile, resolution and other metadata, and turn "
            "pictures upright.",
        ),
    ] = False


@dataclass(frozen=True)
class BatchWriting(ImageWriting):
    """Where many images go."""

    out_dir: Annotated[
        Path | None,
        to_folder("Write here, under the same names and in the same folders."),
    ] = None
    recursive: Annotated[
        bool, option("--recursive", "-r", help="Take all images in folders.")
    ] = False
    skip_existing: Annotated[
        bool, option("--skip-existing", help="Leave out images that are done already.")
    ] = False
    dry_run: Annotated[
        bool, option("--dry-run", help="Only say what would be written.")
    ] = False


@dataclass(frozen=True)
class Method:
    """How noise is taken out."""

    theme: ClassVar = "Method"

    method: Annotated[
        Literal["median", "keep", "auto"] | None,
        option(
            "--method",
            show_default="median; auto to --learn",
            help="median: every pixel becomes that of its window; keep: only what is "
            "likely noise changes, to the median of what around it is not; auto: so it "
            "does, and noise that all pixels have is taken out by means of alike ones.",
        ),
    ] = None
    filter: Annotated[
        Path | None,
        option(
            "--filter",
            metavar="FILE",
            help="What softsort learn-filter wrote: its method, window and epsilon.",
        ),
    ] = None
    learn: Annotated[
        bool,
        option(
            "--learn",
            help="Learn how to keep, or auto, from each image first: seconds more.",
        ),
    ] = False


@dataclass(frozen=True)
class Report:
    """What is told besides."""

    theme: ClassVar = "Report"

    mask: Annotated[
        Path | None,
        option(
            "--mask",
            metavar="FILE",
            help="Write also how far each pixel was moved, as a grey image: black for "
            "not at all, white for the whole range.",
        ),
    ] = None
    explain: Annotated[
        bool,
        option(
            "--explain",
            help="Tell kind and share of the noise that the image seems to have, and "
            "what is left of it.",
        ),
    ] = False


@dataclass(frozen=True)
class Recipe:
    """What decides what is learned, besides the images."""

    theme: ClassVar = "Learning"

    method: Annotated[
        Literal["keep", "auto"],
        option("--method", help="Of denoise, that the filter is for."),
    ] = "auto"
    size: Annotated[
        str,
        option("--size", metavar="N|WxH", help="The largest window in pixels, odd."),
    ] = "5"
    steps: Annotated[
        int, option("--steps", min=1, max=100_000, help="Of learning, in all.")
    ] = 200
    learning_rate: Annotated[
        float,
        option(
            "--learning-rate", callback=positive, help="That of Adam; it falls to 0."
        ),
    ] = 0.1
    seed: Annotated[
        int,
        option("--seed", min=0, max=2**32 - 1, help="Of the noise that is added."),
    ] = 0


@dataclass(frozen=True)
class Shape:
    """Which pixels around each one count, and how much."""

    theme: ClassVar = "Window"

    size: Annotated[
        str | None,
        option(
            "--size",
            metavar="N|WxH|WxHxPAGES|auto",
            show_default="3",
            help="The sides of the window in pixels, odd: 3, or 5x3; 3x3x3 reaches "
            "through the pages of a volume; with --epsilon auto also auto, for 3, 5 "
            "or 7.",
        ),
    ] = None
    footprint: Annotated[
        str | None,
        option(
            "--footprint",
            metavar="disk:R|FILE",
            help="Which pixels of the window count: those within R pixels, or those "
            "above 0 in a grey image or a table (.txt, .csv).",
        ),
    ] = None
    weights: Annotated[
        str | None,
        option(
            "--weights",
            metavar="gaussian:S|FILE",
            help="How much they count: by their distance, S pixels being the standard "
            "deviation, or as in a grey image or a table.",
        ),
    ] = None


@dataclass(frozen=True)
class Noise:
    """How an image is spoilt."""

    theme: ClassVar = "Noise"

    kind: Annotated[
        Kind,
        option("--kind", help="Of which kind the noise is."),
    ] = "salt-and-pepper"
    amount: Annotated[
        float,
        option(
            "--amount",
            min=0,
            max=1,
            help="The share of pixels that turn black or white; the standard deviation "
            "of Gaussian noise, white being 1; of speckle, each value being 1.",
        ),
    ] = 0.1
    low: Annotated[
        float | None,
        option(
            "--low",
            show_default="0, or the least of floats",
            help="Black, in units of the pixels.",
        ),
    ] = None
    high: Annotated[
        float | None,
        option(
            "--high",
            show_default="the most that their type holds, or the bits in use, or the "
            "largest of floats",
            help="White, in units of the pixels.",
        ),
    ] = None
    seed: Annotated[
        int,
        option(
            "--seed", min=0, max=2**63 - 1, help="The same seed gives the same noise."
        ),
    ] = 0
