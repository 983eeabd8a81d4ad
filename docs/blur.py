"""How near soft ranks are to expected ranks under noise: table and figure of `blur.md`.

Run as `python docs/blur.py`, with matplotlib installed. The table goes to standard
output, the figure to `docs/blur.png`.
"""

from collections.abc import Iterator
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np

import softsort_core as soft

BLUR = 0.2  # standard deviations of the values
COPIES = 2000
FACTORS = 0.1, 1.0, 10.0
SIZES = {100: 10, 1000: 1}  # and how many samples of each
RNG = np.random.default_rng(0)
KINDS = {
    "normal": lambda n: RNG.normal(size=n),
    "exponential": lambda n: RNG.exponential(size=n),
    "uniform": lambda n: RNG.uniform(size=n),
    "Student's t, 3 degrees": lambda n: RNG.standard_t(3, size=n),
    "two clusters": lambda n: RNG.choice([-3.0, 3.0], n) + 0.6 * RNG.normal(size=n),
}


def expected_ranks(x: np.ndarray, blur: float) -> np.ndarray:
    """Return the mean ranks of copies, in each of which every value has noise."""
    total = np.zeros(len(x))
    for _ in range(COPIES):
        copy = x + blur * RNG.normal(size=len(x))
        total += copy.argsort().argsort()
    return total / COPIES


@jax.jit
def ranks_of_few(x: jax.Array, epsilon: jax.Array) -> jax.Array:
    """Return soft ranks by one program for all epsilons."""
    return soft.ranks(x, epsilon=epsilon)


def soft_ranks(x: np.ndarray, epsilon: float) -> np.ndarray:
    """Return soft ranks."""
    few = len(x) < 150
    return np.asarray((ranks_of_few if few else soft.ranks)(x, epsilon=epsilon))


def distance(ranks: np.ndarray, expected: np.ndarray) -> float:
    """Return the root of the mean squared distance."""
    return float(np.sqrt(np.mean((ranks - expected) ** 2)))


def distances(name: str, n: int) -> tuple[float, ...]:
    """Return epsilon, and how far ranks are at its multiples, and exact ones."""
    rows = []
    for _ in range(SIZES[n]):
        x = KINDS[name](n)
        blur = BLUR * x.std()
        epsilon = float(soft.epsilon_for_blur(x, blur))
        expected = expected_ranks(x, blur)
        ranks = [soft_ranks(x, epsilon * factor) for factor in FACTORS]
        ranks.append(x.argsort().argsort())
        rows.append([epsilon, *(distance(each, expected) for each in ranks)])
    return tuple(np.mean(rows, axis=0))


def table() -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| values | n | epsilon | soft | a tenth | ten times | exact |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name in KINDS:
        for n in SIZES:
            epsilon, tenth, one, ten, exact = distances(name, n)
            cells = [name, f"{n:,}", f"{epsilon:.4f}", f"**{one:.2f}**"]
            cells += [f"{each:.2f}" for each in (tenth, ten, exact)]
            yield f"| {' | '.join(cells)} |"


def draw(path: Path) -> None:
    """Draw distances over epsilon, and the ranks of one sample."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    factors = np.geomspace(0.05, 20, 25)
    for name in KINDS:
        x = KINDS[name](100)
        blur = BLUR * x.std()
        expected = expected_ranks(x, blur)
        epsilon = float(soft.epsilon_for_blur(x, blur))
        far = [distance(soft_ranks(x, epsilon * each), expected) for each in factors]
        left.loglog(factors, far, label=name)
    left.axvline(1, color="grey", linewidth=0.8)
    left.set(
        xlabel="epsilon / epsilon_for_blur",
        ylabel="distance to expected ranks (rms, of 100)",
    )
    left.legend()
    x = np.sort(KINDS["exponential"](100))
    blur = BLUR * x.std()
    epsilon = float(soft.epsilon_for_blur(x, blur))
    right.plot(x, np.arange(100), ".", color="silver", label="exact")
    right.plot(x, expected_ranks(x, blur), "k", label="expected under noise")
    right.plot(x, soft_ranks(x, epsilon), "--", label="soft, at epsilon_for_blur")
    right.set(xlabel="exponential values", ylabel="rank")
    right.legend()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    for line in table():
        print(line, flush=True)
    draw(Path(__file__).with_suffix(".png"))
