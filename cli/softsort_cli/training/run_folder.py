"""The folder of a training run: what it holds, and what decides its results."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from softsort_cli.errors import CommandError
from softsort_cli.io import files

if TYPE_CHECKING:
    from softsort_cli.training.data import Data
    from softsort_cli.training.loop import Loss, Progress

SETTINGS, METRICS, FIGURE = "settings.json", "metrics.csv", "metrics.png"
SOFT, CROSS = "soft-error", "cross-entropy"
DIGITS = "digits"


@dataclass(frozen=True)
class Settings:
    """What decides the results of a run."""

    loss: str
    data: str
    epochs: int
    batch_size: int
    learning_rate: float
    epsilon: float
    seed: int
    # Of the data, to tell them from others, and to make the network anew.
    fingerprint: int
    classes: int
    shape: tuple[int, int, int]

    def losses(self) -> list[str]:
        """The names of the losses that are trained, one after another."""
        return [SOFT, CROSS] if self.loss == "both" else [self.loss]

    def beginning(self) -> Progress:
        """The state before the first step."""
        from softsort_cli.training.loop import beginning
        from softsort_cli.training.network import Classifier

        network = Classifier(self.classes)
        return beginning(network, self.shape, self.learning_rate, self.seed)

    def loss_function(self, name: str) -> Loss:
        """The loss of this name."""
        from softsort_cli.training.loop import cross_entropy_loss
        from softsort_core.losses import soft_error_loss

        if name == CROSS:
            return cross_entropy_loss
        return partial(soft_error_loss, epsilon=self.epsilon)


def need_libraries(*names: str) -> None:
    """Refuse to go on without the libraries of the extra `learn`."""
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise CommandError(
            f"{' and '.join(missing)} is missing: pip install 'softsort-cli[learn]'"
        )


def read_data(source: str) -> Data:
    """The digits, or the data in a file or folder."""
    from softsort_cli.training import data

    return data.digits() if source == DIGITS else data.read(Path(source))


def checkpoint(folder: Path, loss: str) -> Path:
    """Where the checkpoint of training with a loss is."""
    return folder / f"{loss}.msgpack"


def read_progress(folder: Path, loss: str, settings: Settings) -> Progress:
    """What a checkpoint holds."""
    from softsort_cli.training.loop import Progress

    path = checkpoint(folder, loss)
    try:
        return Progress.from_bytes(files.read_bytes(path), settings.beginning())
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
        held = json.loads(files.read_bytes(path))
        return Settings(**held | {"shape": tuple(held["shape"])})
    except (ValueError, TypeError, KeyError) as error:
        raise CommandError(f"{path} is not from softsort train: {error}") from error


def write_settings(folder: Path, settings: Settings) -> None:
    """Make the folder of a new run, without what an earlier run left there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (
            METRICS,
            FIGURE,
            checkpoint(folder, SOFT).name,
            checkpoint(folder, CROSS).name,
        ):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise CommandError(f"cannot use {folder}: {error.strerror}") from error
    write(folder / SETTINGS, json.dumps(asdict(settings), indent=2).encode() + b"\n")


def write(path: Path, content: bytes) -> None:
    """Write a file of a run, or replace it."""
    with files.open_output(path, force=True) as stream:
        stream.write(content)
