"""A linear model trained by the Spearman loss of a library, in a process of its own.

On scikit-learn's diabetes data, of which every fifth row is for the test, by Adam in
NumPy: libraries give the gradient, at their default softness. Times are those of a
processor, which hold on a busy machine.
"""

import functools
import importlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from tests.benchmarks.contestants import SEED, SkippedError
from tests.benchmarks.memory import measured_in_process
from tests.benchmarks.report import Row
from tests.benchmarks.text import seconds_text

# Of the weights, which are about 1 at the start.
_RATE, _STEPS = 0.03, 300
Gradient = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Trained:
    """One figure of training beside that of another library."""

    figure: str
    rival: str
    steps: int = _STEPS
    bar: float = 1.1

    @property
    def what(self) -> str:
        return f"losses: linear model by soft_spearman_loss, {self.figure}"

    @property
    def beside(self) -> str:
        return f"Spearman's loss by {self.rival}"

    def quick(self) -> "Trained":
        return replace(self, steps=5)

    def measure(self) -> Row:
        if find_spec(self.rival) is None:
            raise SkippedError(f"{self.rival} is not installed.")
        ours, theirs = (
            _of_library(name, self.steps)[self.figure]
            for name in ("softsort", self.rival)
        )
        text = "{:.3f}".format if self.figure == _DISTANCE else seconds_text
        figures = text(ours), text(theirs)
        return Row(self.what, self.beside, *figures, ours / theirs, self.bar)


@functools.cache
def _of_library(name: str, steps: int) -> dict[str, float]:
    return measured_in_process("tests.benchmarks.losses", name, steps)


def _softsort(x: np.ndarray, y: np.ndarray) -> Gradient:
    from softsort_core.losses import soft_spearman_loss

    return _compiled(lambda w: soft_spearman_loss(jnp.asarray(x) @ w, y))


def _softjax(x: np.ndarray, y: np.ndarray) -> Gradient:
    softjax = importlib.import_module("softjax")
    wanted = jnp.asarray(_direction(scipy.stats.rankdata(y)))
    return _compiled(
        lambda w: 1 - _direction(softjax.rank(x @ w, descending=False)) @ wanted
    )


def _torchsort(x: np.ndarray, y: np.ndarray) -> Gradient:
    torch, torchsort = map(importlib.import_module, ("torch", "torchsort"))
    inputs, wanted = map(torch.as_tensor, (x, _direction(scipy.stats.rankdata(y))))

    def gradient(weights: np.ndarray) -> np.ndarray:
        w = torch.as_tensor(weights).requires_grad_()
        ranks = torchsort.soft_rank((inputs @ w)[None])[0]
        (1 - _direction(ranks) @ wanted.to(w.dtype)).backward()
        return w.grad.numpy()

    return gradient


_LIBRARIES = {"softsort": _softsort, "softjax": _softjax, "torchsort": _torchsort}


def _compiled(loss: Callable[[jax.Array], jax.Array]) -> Gradient:
    slope = jax.jit(jax.grad(loss))
    return lambda w: np.asarray(slope(w))


def _direction(ranks: Any) -> Any:
    """Return ranks less their mean over their norm, in any library."""
    centred = ranks - ranks.mean()
    return centred / (centred**2).sum() ** 0.5


def _trained(name: str, steps: int) -> dict[str, float]:
    from sklearn.datasets import load_diabetes

    x, y = (np.asarray(each) for each in load_diabetes(return_X_y=True))
    x, y = (x / x.std(0)).astype(np.float32), y.astype(np.float32)
    is_test = np.arange(len(y)) % 5 == 0
    w = np.random.default_rng(SEED).normal(size=x.shape[1]).astype(np.float32)
    gradient = _LIBRARIES[name](x[~is_test], y[~is_test])
    start = time.process_time()
    first, squares, mean = 0.0, np.zeros_like(w), np.zeros_like(w)
    for step in range(1, steps + 1):
        slope = gradient(w)
        first = first or time.process_time() - start
        mean, squares = 0.9 * mean + 0.1 * slope, 0.99 * squares + 0.01 * slope**2
        size = np.sqrt(squares / (1 - 0.99**step)) + 1e-8
        w = (w - _RATE * mean / (1 - 0.9**step) / size).astype(np.float32)
    in_all = time.process_time() - start
    found, wanted = (
        _direction(scipy.stats.rankdata(each)) for each in (x[is_test] @ w, y[is_test])
    )
    figures = 1 - found @ wanted, first, in_all
    return dict(zip(_FIGURES, map(float, figures), strict=True))


_DISTANCE = "1 - correlation of the test"
_FIGURES = _DISTANCE, "to the first step", f"{_STEPS} steps in all"
TRAINED = tuple(
    Trained(figure, rival) for rival in list(_LIBRARIES)[1:] for figure in _FIGURES
)

if __name__ == "__main__":
    print(json.dumps(_trained(sys.argv[1], int(sys.argv[2]))))
