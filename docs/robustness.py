"""What wrong labels do to the soft 0/1 loss and to cross-entropy: `robustness.md`.

Run as `python docs/robustness.py`, with the extra `learn` installed. The table goes to
standard output; thirty runs are reported as they end.
"""

import sys
from collections.abc import Iterator
from functools import partial
from statistics import mean, stdev

import numpy as np
from softsort_cli.training.data import Data, digits
from softsort_cli.training.loop import Loss, beginning, cross_entropy_loss, train
from softsort_cli.training.network import Classifier
from softsort_cli.training.settings import Choices, Settings

from softsort_core.losses import soft_error_loss

SHARES = (0.0, 0.2, 0.4)
SEEDS = range(5)
LOSSES: dict[str, Loss] = {
    "soft 0/1": partial(soft_error_loss, epsilon=Choices.epsilon),
    "cross-entropy": cross_entropy_loss,
}


def corrupted(data: Data, share: float, seed: int) -> Data:
    """Give a share of the training images, exactly, a wrong class, any as likely."""
    rng = np.random.default_rng(seed)
    n = len(data.y_train)
    chosen = rng.choice(n, round(share * n), replace=False)
    labels = data.y_train.copy()
    labels[chosen] += rng.integers(1, data.classes, len(chosen), labels.dtype)
    return data._replace(y_train=labels % data.classes)


def accuracies(data: Data, loss: Loss, seed: int) -> list[float]:
    """Return the accuracy on the test images after each epoch."""
    settings = Settings.of(Choices(seed=seed), data)
    rate = settings.learning_rate
    start = beginning(Classifier(data.classes), settings.shape, rate, seed)
    *_, end = train(settings, loss, data, start)
    return [metrics.accuracy for metrics in end.history if metrics.is_test]


def table() -> Iterator[str]:
    """Yield the lines of the table, each when its runs are done."""
    yield "| wrong labels | loss | after the last epoch | best epoch |"
    yield "| ---: | --- | ---: | ---: |"
    clean = digits()
    for share in SHARES:
        for name, loss in LOSSES.items():
            runs = []
            for seed in SEEDS:
                runs.append(accuracies(corrupted(clean, share, seed), loss, seed))
                last = f"{share:.0%} {name}, seed {seed}: {runs[-1][-1]:.4f}"
                print(last, file=sys.stderr)
            ends = spread([run[-1] for run in runs]), spread([max(run) for run in runs])
            yield f"| {share:.0%} | {name} | {ends[0]} | {ends[1]} |"


def spread(shares: list[float]) -> str:
    """Write mean and standard deviation in percent."""
    return f"{100 * mean(shares):.1f} ± {100 * stdev(shares):.1f}"


if __name__ == "__main__":
    for line in table():
        print(line, flush=True)
