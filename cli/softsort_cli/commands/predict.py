"""`softsort predict`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from softsort_cli.options.declare import command, option, positive
from softsort_cli.options.softness import Place
from softsort_cli.options.tables import TableWriting


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
    from softsort_cli.io import files
    from softsort_cli.tables import numbers
    from softsort_cli.training import running

    numbers.check_format(writing.float_format)
    files.check_output(writing.output, force=writing.force)
    classes, scores = running.predict(images, model, loss, k, epsilon, place)
    import polars as pl

    columns = {"image": pl.Series(range(len(classes)))}
    for rank in range(k):
        cells = numbers.as_cells(scores[:, rank], writing.float_format, ",")
        columns[f"class_{rank + 1}"] = pl.Series(classes[:, rank])
        columns[f"score_{rank + 1}"] = cells
    with files.open_output(writing.output, force=writing.force) as stream:
        stream.write(pl.DataFrame(columns).write_csv(quote_style="never").encode())
