"""What decides the results of a training run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softsort_cli.training.data import Data

SOFT, CROSS = "soft-error", "cross-entropy"
DIGITS = "digits"
DEFAULTS: Mapping[str, Any] = {
    "loss": SOFT,
    "data": DIGITS,
    "epochs": 20,
    "batch_size": 64,
    "learning_rate": 0.001,
    "epsilon": 0.01,
    "seed": 0,
}


@dataclass(frozen=True)
class Settings:
    """What decides the results of a run."""

    loss: str  # SOFT, CROSS or both
    data: str  # DIGITS or a path
    epochs: int
    batch_size: int
    learning_rate: float
    epsilon: float
    seed: int
    # Of the data, to tell them from others, and to make the network anew.
    fingerprint: int
    classes: int
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, choices: Mapping[str, Any], data: Data) -> Settings:
        """What was chosen, with what tells the data from others."""
        shape = data.x_train.shape[1:]
        return cls(
            **choices, fingerprint=data.fingerprint(), classes=data.classes, shape=shape
        )

    def losses(self) -> list[str]:
        """The names of the losses that are trained, one after another."""
        return [SOFT, CROSS] if self.loss == "both" else [self.loss]
