"""The folder of a training run, and its files."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from softsort_cli.errors import CommandError, reported
from softsort_cli.io import files
from softsort_cli.training.settings import CROSS, SOFT, Settings

if TYPE_CHECKING:
    from softsort_cli.training.loop import Progress

SETTINGS, METRICS, FIGURE = "settings.json", "metrics.csv", "metrics.png"


def checkpoint(folder: Path, loss: str) -> Path:
    """Where the checkpoint of training with a loss is."""
    return folder / f"{loss}.msgpack"


def read_progress(folder: Path, loss: str, settings: Settings) -> Progress:
    """How far training with a loss is: at its beginning if there is no checkpoint."""
    from softsort_cli.training.loop import Progress, beginning
    from softsort_cli.training.network import Classifier

    path, network = checkpoint(folder, loss), Classifier(settings.classes)
    start = beginning(network, settings.shape, settings.learning_rate, settings.seed)
    if not path.exists():
        return start
    try:
        return Progress.from_bytes(files.read_bytes(path), start)
    except ValueError as error:
        raise CommandError(f"{path}: {error}; train again with --force") from error


def read_settings(folder: Path) -> Settings:
    """The settings of the run in a folder."""
    path = folder / SETTINGS
    if not path.is_file():
        raise CommandError(
            f"{folder} is not the folder of a training run: it has no {SETTINGS}"
        )
    try:
        content = json.loads(files.read_bytes(path))
        return Settings(**content | {"shape": tuple(content["shape"])})
    except (ValueError, TypeError, KeyError) as error:
        raise CommandError(f"{path} is not from softsort train: {error}") from error


def check_new(folder: Path, *, force: bool) -> None:
    """Refuse a folder that a new run must not write to."""
    if folder.exists() and not folder.is_dir():
        raise CommandError(f"cannot write {folder}: it is a file; name another --out")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise CommandError(
            f"{folder} is not empty: name another --out, --resume it, or --force to "
            "replace the run in it"
        )


def write_settings(folder: Path, settings: Settings) -> None:
    """Make the folder of a new run, without what an earlier run left there."""
    checkpoints = [checkpoint(folder, loss) for loss in (SOFT, CROSS)]
    with reported(f"cannot use {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        for path in (folder / METRICS, folder / FIGURE, *checkpoints):
            path.unlink(missing_ok=True)
    write(folder / SETTINGS, json.dumps(asdict(settings), indent=2).encode() + b"\n")


def write(path: Path, content: bytes) -> None:
    """Write a file of a run, or replace it."""
    with files.open_output(path, force=True) as stream:
        stream.write(content)
