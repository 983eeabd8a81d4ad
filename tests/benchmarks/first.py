"""What a first call under `jax.jit` costs: to trace, lower and compile it.

In seconds of a processor, which hold on a busy machine, in a process of its own without
a cache.
"""

import importlib
import json
import sys
import time
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp

from tests.benchmarks.contestants import normal
from tests.benchmarks.memory import measured_in_process
from tests.benchmarks.report import Row
from tests.benchmarks.text import seconds_text, shape_text

_OURS, _THEIRS = "softsort_core", "ott.tools.soft_sort"
# ott-jax's program is about the same for any number of values.
_THEIR_NUMBER = 1_000
_OPERATORS = {
    "ranks": lambda soft, x: soft.ranks(x),
    "sort": lambda soft, x: soft.sort(x),
    "sort(topk)": lambda soft, x: soft.sort(x, topk=max(1, len(x) // 20)),
    "topk_mask": lambda soft, x: soft.topk_mask(x, k=len(x) // 20),
    "quantile": lambda soft, x: soft.quantile(x, q=0.5),
    "quantize": lambda soft, x: soft.quantize(x),
    "quantile_normalization": lambda soft, x: soft.quantile_normalization(
        x, jnp.linspace(0, 1, len(x))
    ),
    "sort_with": lambda soft, x: soft.sort_with(jnp.stack([x, x], 1), x),
}


@dataclass(frozen=True)
class First:
    """The time of a first call, beside that of ott-jax's ranks.

    Attributes:
        operator: one of those above.
        n: number of values.
        gradient: whether it is that of the sum of squares.
    """

    operator: str
    n: int
    bar: float = 2.5
    gradient: bool = False

    @property
    def what(self) -> str:
        kind = "gradient of " if self.gradient else ""
        return f"first call, {kind}{self.operator}, {shape_text((self.n,))}"

    @property
    def beside(self) -> str:
        return f"ott-jax ranks, {shape_text((_THEIR_NUMBER,))}"

    def quick(self) -> "First":
        return replace(self, n=min(self.n, 20))

    def measure(self) -> Row:
        ours, theirs = (
            measured_in_process("tests.benchmarks.first", *case)
            for case in (
                (_OURS, self.operator, self.n, int(self.gradient)),
                (_THEIRS, "ranks", _THEIR_NUMBER, 0),
            )
        )
        texts = seconds_text(ours), seconds_text(theirs)
        return Row(self.what, self.beside, *texts, ours / theirs, self.bar)


FIRST = (
    *(First(name, n) for name in ("ranks", "sort") for n in (10, 100, 1_000, 100_000)),
    *(
        First(name, n, bar=3.5, gradient=True)
        for name in ("ranks", "sort")
        for n in (1_000, 100_000)
    ),
    *(First(name, 1_000) for name in list(_OPERATORS)[2:]),
)


def _measure(package: str, name: str, n: str, gradient: str) -> float:
    soft, operator = importlib.import_module(package), _OPERATORS[name]
    x = jnp.asarray(normal((int(n),)))

    def total(x: jax.Array) -> jax.Array:
        return jnp.sum(operator(soft, x) ** 2)

    call = jax.grad(total) if int(gradient) else lambda x: operator(soft, x)
    start = time.process_time()
    jax.jit(call).lower(x).compile()
    return time.process_time() - start


if __name__ == "__main__":
    print(json.dumps(_measure(*sys.argv[1:])))
