"""What `libraries.md` says of other libraries: its examples and its tables.

Run as `python docs/libraries.py`, with ott-jax, pandas, SciPy, softjax, PyTorch and
torchsort installed. Examples that do not give what the page shows are told on standard
error; the tables go to standard output.
"""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import ott.tools.soft_sort as ott
import softjax
import torch
import torchsort

import softsort_core as soft

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests import pages

Ranks = Callable[[Any, float], Any]  # of values, at a softness
FIVE = np.array([1.0, 5.0, 4.0, 8.0, 12.0], np.float32)
SIZES = 100, 1_000, 10_000, 1_000_000
SOFTJAX = "neuralsort", "softsort", "ot", "fast_soft_sort"


def by_softjax(method: str) -> Ranks:
    """Return ranks by a method of softjax, from 0."""

    def ranks(x: jax.Array, softness: float) -> jax.Array:
        settings: dict[str, Any] = {"method": method, "softness": softness}
        return softjax.rank(x, axis=-1, descending=False, **settings) - 1

    return ranks


def by_torchsort(x: torch.Tensor, softness: float) -> torch.Tensor:
    """Return ranks by torchsort, from 0."""
    return torchsort.soft_rank(x[None], regularization_strength=softness)[0] - 1


IN_JAX: dict[str, tuple[Ranks, float]] = {
    "softsort": (lambda x, softness: soft.ranks(x, epsilon=softness), 0.01),
    "ott-jax": (lambda x, softness: ott.ranks(x, epsilon=softness), 0.01),
    **{f"softjax, {name}": (by_softjax(name), 0.1) for name in SOFTJAX},
}


def evaluated(ranks: Ranks, softness: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return what ranks values by a library of JAX, or by torchsort."""
    if ranks is by_torchsort:
        return lambda x: ranks(torch.as_tensor(x), softness).numpy()
    compiled = jax.jit(lambda x: ranks(x, softness))
    return lambda x: np.asarray(compiled(jnp.asarray(x)))


def stepping(ranks: Ranks, softness: float, x: np.ndarray) -> Callable[[], Any]:
    """Return what computes the gradient of the sum of the squared ranks."""
    if ranks is by_torchsort:
        tensor = torch.as_tensor(x).requires_grad_()

        def step() -> Any:
            (ranks(tensor, softness) ** 2).sum().backward()

        return step
    slope = jax.jit(jax.grad(lambda x: jnp.sum(ranks(x, softness) ** 2)))
    array = jnp.asarray(x)
    return lambda: jax.block_until_ready(slope(array))


def seconds(call: Callable[[], Any]) -> float:
    """Return the least time of some calls after the first, which compiles."""
    call()
    times: list[float] = []
    while len(times) < 5 and sum(times) < 3:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def all_libraries() -> dict[str, tuple[Ranks, float]]:
    """Return what ranks, with the softness that is its default."""
    return {**IN_JAX, "torchsort": (by_torchsort, 1.0)}


def five() -> Iterator[str]:
    """Yield the lines of a table of the ranks of five values, in two units."""
    yield "| ranks of 1, 5, 4, 8, 12 | at its default | of 1,000 times the values |"
    yield "| --- | --- | --- |"
    for name, (ranks, softness) in all_libraries().items():
        of = evaluated(ranks, softness)
        one, other = (
            ", ".join(f"{each:.2f}" for each in of(FIVE * k)) for k in (1, 1000)
        )
        yield f"| {name} | {one} | {'the same' if one == other else other} |"


def times() -> Iterator[str]:
    """Yield the lines of a table of times."""
    yield "| gradient of ranks | " + " | ".join(f"n = {n:,}" for n in SIZES) + " |"
    yield "| --- |" + " ---: |" * len(SIZES)
    for name, (ranks, softness) in all_libraries().items():
        cells: list[str] = []
        spent = 0.0
        for n in SIZES:
            x = np.random.default_rng(0).normal(size=n).astype(np.float32)
            is_square = n > 10_000 and not name.startswith(("softsort", "torch"))
            if is_square or spent > 0.5:
                cells.append("-")  # for most a matrix of n x n numbers
                continue
            try:
                spent = seconds(stepping(ranks, softness, x))
            except RuntimeError:  # a linear solver has returned what is not finite
                cells.append("error")
                continue
            cells.append(f"{1000 * spent:,.1f} ms" if spent < 1 else f"{spent:.1f} s")
        yield f"| {name} | {' | '.join(cells)} |"
        print(name, cells, file=sys.stderr)


def nearness() -> Iterator[str]:
    """Yield the lines of a table of distances to expected ranks under noise."""
    rng = np.random.default_rng(0)
    x = rng.exponential(size=100).astype(np.float32)
    noise = 0.2 * x.std() * rng.normal(size=(2000, 100))
    expected = (x + noise).argsort().argsort().mean(0)

    def distance(ranks: Any) -> float:
        return float(np.sqrt(np.mean((np.asarray(ranks) - expected) ** 2)))

    yield "| nearest to expected ranks | softness | distance, of 100 |"
    yield "| --- | ---: | ---: |"
    for name, (ranks, _) in all_libraries().items():
        tried = np.geomspace(1e-4, 10, 21)
        far = [distance(evaluated(ranks, float(each))(x)) for each in tried]
        best = int(np.nanargmin(far))
        yield f"| {name} | {tried[best]:.2g} | {far[best]:.2f} |"
    chosen = float(soft.epsilon_for_blur(x, 0.2 * x.std()))
    far = distance(soft.ranks(x, epsilon=chosen))
    yield f"| softsort, epsilon_for_blur | {chosen:.2g} | {far:.2f} |"
    yield f"| exact ranks | | {distance(x.argsort().argsort()):.2f} |"


if __name__ == "__main__":
    page = Path(__file__).with_suffix(".md")
    names: dict[str, Any] = {}
    for block in pages.blocks(page):
        if block.kind == "pycon":
            sys.stderr.write(pages.python_failures(block, names, page.name))
    for table in (five, nearness, times):
        for line in table():
            print(line, flush=True)
        print()
