"""`softsort train`."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from softsort_cli.errors import UsageError
from softsort_cli.options.declare import command, option, positive
from softsort_cli.options.softness import Place
from softsort_cli.training.settings import Choices


def setting(name: str, *names: str, **settings: Any) -> Any:
    """Declare the option of this setting."""
    long = "--" + name.replace("_", "-")
    return option(long, *names, show_default=str(getattr(Choices, name)), **settings)


@dataclass(frozen=True)
class Recipe:
    """What decides the results; None where the default or the resumed run says it."""

    theme: ClassVar = "Training"

    loss: Annotated[
        Literal["soft-error", "cross-entropy", "both"] | None,
        setting("loss", help="What to minimise."),
    ] = None
    data: Annotated[
        str | None,
        setting(
            "data",
            metavar="digits|DIR|FILE.npz",
            help="The digits of scikit-learn, a folder of the four IDX files of MNIST "
            "(.gz or not), or x_train, y_train, x_test, y_test in an .npz file.",
        ),
    ] = None
    epochs: Annotated[
        int | None,
        setting("epochs", min=1, help="How often to go through the training images."),
    ] = None
    batch_size: Annotated[
        int | None, setting("batch_size", min=1, help="Images in a step.")
    ] = None
    learning_rate: Annotated[
        float | None,
        setting("learning_rate", callback=positive, help="That of AdamW."),
    ] = None
    epsilon: Annotated[
        float | None,
        setting(
            "epsilon", "-e", callback=positive, help="Softness of the soft 0/1 loss."
        ),
    ] = None
    seed: Annotated[
        int | None,
        setting(
            "seed",
            min=0,
            max=2**32 - 1,
            help="The same seed gives the same network, bit for bit on one CPU.",
        ),
    ] = None


@command
def train(
    *,
    recipe: Recipe,
    out: Annotated[
        Path | None,
        option(
            "--out",
            metavar="DIR",
            show_default="softsort-run",
            help="The folder to write; it must be new or empty.",
        ),
    ] = None,
    force: Annotated[
        bool, option("--force", help="Replace the run that is in DIR.")
    ] = False,
    resume: Annotated[
        Path | None,
        option("--resume", metavar="DIR", help="Go on with an interrupted run."),
    ] = None,
    place: Place,
) -> None:
    """Train a small network to classify images, by the soft 0/1 loss or cross-entropy.

    The soft 0/1 loss is how many soft ranks the true class is short of the highest. The
    network has two blocks of two convolutions and a dense layer, and is trained by
    AdamW. Images may be in any unit, for each is standardised.

    DIR gets settings.json, metrics.csv (after each step for the batch it was made
    with, after each epoch for all test images), metrics.png and a checkpoint for each
    loss. The metrics of the last epoch, of training the mean over its steps, are
    written to standard output. A run that was interrupted, even by a kill, goes on
    with --resume DIR and ends as if it had not been: at most half a minute is lost.

    Examples:
      softsort train --loss both --out digits
      softsort train --data mnist --epochs 3 --out mnist-run
      softsort train --resume mnist-run
    """
    from softsort_cli.training import running

    chosen = {
        name: value for name, value in asdict(recipe).items() if value is not None
    }
    if resume is None:
        running.begin(out or Path("softsort-run"), chosen, place, force=force)
    elif out is None and not force:
        running.resume(resume, chosen, place)
    else:
        raise UsageError("--resume DIR goes on in DIR: leave out --out and --force")
