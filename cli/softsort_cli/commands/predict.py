"""`softsort predict`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from softsort_cli.errors import CommandError, UsageError
from softsort_cli.options.declare import command, option, positive
from softsort_cli.options.softness import Device, Place
from softsort_cli.options.tables import TableWriting
from softsort_cli.training import run_folder

BATCH_SIZE = 256
BITS = "64"  # of the scores; the network computes in 32


@command
def predict(
    images: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGES.npz", help="Images (n, h, w) or (n, h, w, c), named images."
        ),
    ],
    *,
    model: Annotated[
        Path, option("--model", metavar="DIR", help="The folder of a training run.")
    ],
    loss: Annotated[
        Literal["soft-error", "cross-entropy"] | None,
        option(
            "--loss",
            show_default="the one in DIR, or soft-error",
            help="Which of the networks in DIR.",
        ),
    ] = None,
    k: Annotated[int, option("-k", min=1, help="How many classes to name.")] = 1,
    epsilon: Annotated[
        float | None,
        option(
            "--epsilon",
            "-e",
            callback=positive,
            show_default="that of the training",
            help="Softness of the scores.",
        ),
    ] = None,
    place: Place,
    writing: TableWriting,
) -> None:
    """Classify images by a network that was trained by softsort train.

    The result is a table with a row for each image, numbered from 0, and the columns
    image, class_1, score_1, ..., class_K, score_K, likeliest first. A score is how far
    the class belongs to the K likeliest, softly, from 0 to 1: near 1 where all others
    are far behind.

    Images are those of the array images, or of x_test, or of the only one in the file;
    in any unit, for each is standardised.

    Examples:
      softsort predict --model digits photos.npz
      softsort predict --model digits photos.npz -k 3 -o classes.csv
    """
    from softsort_cli import jax_setup
    from softsort_cli.io import files
    from softsort_cli.tables import numbers

    numbers.check_format(writing.float_format)
    files.check_output(writing.output, force=writing.force)
    run_folder.need_libraries("flax", "optax")
    settings = run_folder.read_settings(model)
    name = loss or settings.losses()[0]
    if not run_folder.checkpoint(model, name).is_file():
        raise CommandError(f"{model} has no network trained by {name}")
    if k > settings.classes:
        raise UsageError(f"-k {k} is more than the {settings.classes} classes")
    jax_setup.start(Device(device=place.device), BITS)
    import numpy as np
    import polars as pl

    from softsort_cli.training.data import read_images
    from softsort_cli.training.loop import predict as logits_of
    from softsort_cli.training.network import Classifier
    from softsort_core import topk_mask

    pixels = read_images(images)
    if pixels.shape[1:] != settings.shape:
        raise CommandError(
            f"{images} has images of shape {pixels.shape[1:]}: the network in {model} "
            f"takes {settings.shape}"
        )
    parameters = run_folder.read_progress(model, name, settings).parameters
    logits = logits_of(Classifier(settings.classes), parameters, pixels, BATCH_SIZE)
    softness = epsilon or settings.epsilon
    scores = np.asarray(topk_mask(logits.astype("float64"), k=k, epsilon=softness))
    if not np.isfinite(scores).all():
        raise CommandError(
            f"the solver did not converge at epsilon {softness:g}: choose a larger "
            "--epsilon"
        )
    order = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    columns = {"image": pl.Series(range(len(pixels)))}
    for place_, classes in enumerate(order.T, start=1):
        columns[f"class_{place_}"] = pl.Series(classes)
        values = np.take_along_axis(scores, classes[:, None], 1)[:, 0]
        columns[f"score_{place_}"] = numbers.as_cells(values, writing.float_format, ",")
    with files.open_output(writing.output, force=writing.force) as stream:
        stream.write(pl.DataFrame(columns).write_csv(quote_style="never").encode())
