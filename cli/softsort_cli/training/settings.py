"""What decides the results of a training run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from softsort_cli.training.data import Data

SOFT, CROSS = "soft-error", "cross-entropy"
DIGITS = "digits"


@dataclass(frozen=True)
class Choices:
    """What of a run is chosen."""

    loss: str = SOFT  # or CROSS, or both
    data: str = DIGITS  # or a path
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 0.001
    epsilon: float = 0.01
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Settings(Choices):
    """What decides the results of a run."""

    # Of the data, to tell them from others, and to make the network anew.
    fingerprint: int
    classes: int
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, choices: Choices, data: Data) -> Settings:
        """What was chosen, with what tells the data from others."""
        return cls(
            **{each.name: getattr(choices, each.name) for each in fields(Choices)},
            fingerprint=data.fingerprint(),
            classes=data.classes,
            shape=data.x_train.shape[1:],
        )

    def losses(self) -> list[str]:
        """The names of the losses that are trained, one after another."""
        return [SOFT, CROSS] if self.loss == "both" else [self.loss]
