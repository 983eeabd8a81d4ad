"""Training runs from their settings to their files, and predictions of what is trained.

The libraries of the extra `learn` are imported once it is known that they are there.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from softsort_cli import console, interrupts, jax_setup
from softsort_cli.errors import CommandError, UsageError, need_libraries
from softsort_cli.options.softness import Device, Place
from softsort_cli.training import run_folder
from softsort_cli.training.settings import CROSS, DIGITS, Choices, Settings

if TYPE_CHECKING:
    from softsort_cli.training.data import Data
    from softsort_cli.training.loop import Metrics

SECONDS_BETWEEN = 30  # checkpoints, besides those at the end of each epoch
BATCH_SIZE = 256  # of predictions
SCORE_BITS = "64"  # the network computes in 32


def begin(
    folder: Path, chosen: Mapping[str, Any], place: Place, *, force: bool
) -> None:
    """Train in a new folder, with the default settings where none is chosen."""
    run_folder.check_new(folder, force=force)
    choices = Choices(**chosen)
    data = _load(choices, place)
    settings = Settings.of(replace(choices, data=_absolute(choices.data)), data)
    run_folder.write_settings(folder, settings)
    _run(folder, settings, data)


def resume(folder: Path, chosen: Mapping[str, Any], place: Place) -> None:
    """Go on with the run in a folder, if it was begun with the settings chosen now."""
    begun = run_folder.read_settings(folder)
    for name, value in chosen.items():
        now = _absolute(value) if name == "data" else value
        before = getattr(begun, name)
        if now != before:
            option = "--" + name.replace("_", "-")
            raise UsageError(
                f"{option} is {now}, but the run in {folder} was begun with {before}: "
                "leave it out, or begin another with --out"
            )
    data = _load(begun, place)
    if Settings.of(begun, data) != begun:
        raise CommandError(
            f"the data in {begun.data} are not those that the run in {folder} was "
            "begun with: begin another with --out"
        )
    _run(folder, begun, data)


def _load(choices: Choices, place: Place) -> Data:
    """The digits, or the data in a file or folder; and jax started at a place."""
    source, size = choices.data, choices.batch_size
    need_libraries("flax", "optax", *(["sklearn"] if source == DIGITS else []))
    jax_setup.start(Device(device=place.device), "32")
    from softsort_cli.training import data

    loaded = data.digits() if source == DIGITS else data.read(Path(source))
    if size > len(loaded.y_train):
        raise UsageError(
            f"--batch-size is {size}, but there are only {len(loaded.y_train)} images "
            "to train on"
        )
    return loaded


def _absolute(source: str) -> str:
    """Where the data are, whatever the current folder."""
    return source if source == DIGITS else str(Path(source).resolve())


def _run(folder: Path, settings: Settings, data: Data) -> None:
    """Train to the end, and write the metrics; the last also on standard output."""
    remedy = f"interrupted: softsort train --resume {folder} goes on"
    tell = partial(console.note, remedy)
    try:
        with interrupts.on_forced_exit(tell):
            history = {
                loss: _train(folder, loss, settings, data) for loss in settings.losses()
            }
    except (KeyboardInterrupt, SystemExit):
        tell()
        raise
    from softsort_cli.training import curves

    run_folder.write(folder / run_folder.METRICS, curves.table(history))
    run_folder.write(folder / run_folder.FIGURE, curves.figure(history))
    sys.stdout.write(curves.summary(history))


def _train(folder: Path, name: str, settings: Settings, data: Data) -> list[Metrics]:
    """Train with one loss from where its checkpoint is to the end."""
    from softsort_cli.training import loop
    from softsort_core.losses import soft_error_loss

    soft = partial(soft_error_loss, epsilon=settings.epsilon)
    loss = loop.cross_entropy_loss if name == CROSS else soft
    progress = run_folder.read_progress(folder, name, settings)
    total = settings.epochs * (len(data.y_train) // settings.batch_size)
    saved = time.monotonic()
    with console.progress(name, total - progress.step) as step:
        for now in loop.train(settings, loss, data, progress):
            last = now.history[-1]
            if last.is_test or time.monotonic() - saved >= SECONDS_BETWEEN:
                run_folder.write(run_folder.checkpoint(folder, name), now.to_bytes())
                saved = time.monotonic()
            kind = "test" if last.is_test else "batch"
            step(f"{name}, epoch {last.epoch}: {kind} accuracy {last.accuracy:.3f}")
    return progress.history


def predict(
    images: Path,
    model: Path,
    loss: str | None,
    k: int,
    epsilon: float | None,
    place: Place,
) -> tuple[np.ndarray, np.ndarray]:
    """The k likeliest classes of each image, and the score of each, from 0 to 1.

    By the network that a run left in the folder `model`, trained by a loss if one is
    named, softly by an epsilon or by that of the training.
    """
    need_libraries("flax", "optax")
    settings = run_folder.read_settings(model)
    name = loss or settings.losses()[0]
    if not run_folder.checkpoint(model, name).is_file():
        raise CommandError(f"{model} has no network trained by {name}")
    if k > settings.classes:
        raise UsageError(f"-k {k} is more than the {settings.classes} classes")
    jax_setup.start(Device(device=place.device), SCORE_BITS)
    from softsort_cli.training import data, loop
    from softsort_cli.training.network import Classifier
    from softsort_core import topk_mask

    pixels = data.read_images(images)
    if pixels.shape[1:] != settings.shape:
        raise CommandError(
            f"{images} has images of shape {pixels.shape[1:]}: the network in {model} "
            f"takes {settings.shape}"
        )
    parameters = run_folder.read_progress(model, name, settings).parameters
    network = Classifier(settings.classes)
    logits = loop.predict(network, parameters, pixels, BATCH_SIZE)
    softness = epsilon or settings.epsilon
    scores = np.asarray(topk_mask(logits.astype("float64"), k=k, epsilon=softness))
    if not np.isfinite(scores).all():
        raise CommandError(
            f"the solver did not converge at epsilon {softness:g}: choose a larger "
            "--epsilon"
        )
    classes = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    return classes, np.take_along_axis(scores, classes, 1)
