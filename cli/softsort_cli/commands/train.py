"""`softsort train`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from softsort_cli import console, interrupts
from softsort_cli.errors import CommandError, UsageError
from softsort_cli.options.declare import command, option, positive
from softsort_cli.options.softness import Device, Place
from softsort_cli.training import run_folder

if TYPE_CHECKING:
    from softsort_cli.training.data import Data
    from softsort_cli.training.loop import Metrics

DEFAULTS: Mapping[str, Any] = {
    "loss": run_folder.SOFT,
    "data": run_folder.DIGITS,
    "epochs": 20,
    "batch_size": 64,
    "learning_rate": 0.001,
    "epsilon": 0.01,
    "seed": 0,
}
SECONDS_BETWEEN = 30  # checkpoints, besides those at the end of each epoch


@dataclass(frozen=True)
class Recipe:
    """What decides the results; None where DEFAULTS or the resumed run says it."""

    loss: Annotated[
        Literal["soft-error", "cross-entropy", "both"] | None,
        option("--loss", show_default=DEFAULTS["loss"], help="What to minimise."),
    ] = None
    data: Annotated[
        str | None,
        option(
            "--data",
            metavar="digits|DIR|FILE.npz",
            show_default=DEFAULTS["data"],
            help="The digits of scikit-learn, a folder of the four IDX files of MNIST "
            "(.gz or not), or x_train, y_train, x_test, y_test in an .npz file.",
        ),
    ] = None
    epochs: Annotated[
        int | None,
        option(
            "--epochs",
            min=1,
            show_default=str(DEFAULTS["epochs"]),
            help="How often to go through the training images.",
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        option(
            "--batch-size",
            min=1,
            show_default=str(DEFAULTS["batch_size"]),
            help="Images in a step.",
        ),
    ] = None
    learning_rate: Annotated[
        float | None,
        option(
            "--learning-rate",
            callback=positive,
            show_default=str(DEFAULTS["learning_rate"]),
            help="That of AdamW.",
        ),
    ] = None
    epsilon: Annotated[
        float | None,
        option(
            "--epsilon",
            "-e",
            callback=positive,
            show_default=str(DEFAULTS["epsilon"]),
            help="Softness of the soft 0/1 loss.",
        ),
    ] = None
    seed: Annotated[
        int | None,
        option(
            "--seed",
            min=0,
            max=2**32 - 1,
            show_default=str(DEFAULTS["seed"]),
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
    from softsort_cli import jax_setup

    given = {name: value for name, value in asdict(recipe).items() if value is not None}
    if resume is None:
        folder = out or Path("softsort-run")
        _check_new(folder, force=force)
        choices = {**DEFAULTS, **given}
    else:
        if out is not None or force:
            raise UsageError("--resume DIR goes on in DIR: leave out --out and --force")
        folder = resume
        choices = _agreed(folder, given)
    libraries = ["sklearn"] if choices["data"] == run_folder.DIGITS else []
    run_folder.need_libraries("flax", "optax", *libraries)
    jax_setup.start(Device(device=place.device), "32")
    data = run_folder.read_data(choices["data"])
    settings = _settings(choices, data, folder, resumed=resume is not None)
    remedy = f"interrupted: softsort train --resume {folder} goes on"
    tell = partial(console.note, remedy)
    try:
        with interrupts.at_abort(tell):
            history = {
                loss: _train(folder, loss, settings, data) for loss in settings.losses()
            }
    except (KeyboardInterrupt, SystemExit):
        tell()
        raise
    _report(folder, history)


def _check_new(folder: Path, *, force: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise CommandError(f"cannot write {folder}: it is a file; name another --out")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise CommandError(
            f"{folder} is not empty: name another --out, --resume it, or --force to "
            "replace the run in it"
        )


def _agreed(folder: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """The choices of an earlier run, which cannot be changed."""
    settings = asdict(run_folder.read_settings(folder))
    if "data" in given:
        given = {**given, "data": _whole(given["data"])}
    for name, value in given.items():
        if value != settings[name]:
            option = "--" + name.replace("_", "-")
            raise UsageError(
                f"{option} is {value}, but the run in {folder} was begun with "
                f"{settings[name]}: leave it out, or begin another with --out"
            )
    return {name: settings[name] for name in DEFAULTS}


def _whole(data: str) -> str:
    """Where the data are, whatever the current folder."""
    return data if data == run_folder.DIGITS else str(Path(data).resolve())


def _settings(
    choices: Mapping[str, Any], data: Data, folder: Path, *, resumed: bool
) -> run_folder.Settings:
    """The settings of this run, and its folder made if it is new."""
    if choices["batch_size"] > len(data.y_train):
        raise UsageError(
            f"--batch-size is {choices['batch_size']}, but there are only "
            f"{len(data.y_train)} images to train on"
        )
    settings = run_folder.Settings(
        **{**choices, "data": _whole(choices["data"])},
        fingerprint=data.fingerprint(),
        classes=data.classes,
        shape=data.x_train.shape[1:],
    )
    if not resumed:
        run_folder.write_settings(folder, settings)
    elif settings != run_folder.read_settings(folder):
        raise CommandError(
            f"the data in {settings.data} are not those that the run in {folder} was "
            "begun with: begin another with --out"
        )
    return settings


def _train(
    folder: Path, loss: str, settings: run_folder.Settings, data: Data
) -> list[Metrics]:
    """Train with one loss from where its checkpoint is to the end."""
    from softsort_cli.training import loop
    from softsort_cli.training.network import Classifier

    begun = run_folder.checkpoint(folder, loss).exists()
    progress = (
        run_folder.read_progress(folder, loss, settings)
        if begun
        else settings.beginning()
    )
    total = settings.epochs * (len(data.y_train) // settings.batch_size)
    saved = time.monotonic()
    with console.progress(loss, total - progress.step) as step:
        for now in loop.train(
            Classifier(settings.classes),
            settings.loss_function(loss),
            data,
            progress,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            epsilon=settings.epsilon,
            seed=settings.seed,
        ):
            last = now.history[-1]
            if last.is_test or time.monotonic() - saved >= SECONDS_BETWEEN:
                run_folder.write(run_folder.checkpoint(folder, loss), now.to_bytes())
                saved = time.monotonic()
            kind = "test" if last.is_test else "batch"
            step(f"{loss}, epoch {last.epoch}: {kind} accuracy {last.accuracy:.3f}")
    return progress.history


def _report(folder: Path, history: Mapping[str, list[Metrics]]) -> None:
    """Write the metrics, their figure, and the last of them on standard output."""
    import sys

    from softsort_cli.training import curves

    run_folder.write(folder / run_folder.METRICS, curves.table(history))
    run_folder.write(folder / run_folder.FIGURE, curves.figure(history))
    sys.stdout.write(curves.summary(history))
