"""Vectors of every kind that soft sorting meets, as float64, from a fixed seed."""

import numpy as np

KINDS = (
    "normal",
    "uniform",
    "exponential",
    "lognormal",
    "cauchy",
    "two clusters",
    "three clusters",
    "two values",
    "ten values",
    "constant",
    "heavy tail",
)


def sample(kind: str, n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    match kind:
        case "two clusters":
            return rng.integers(0, 2, n) + 1e-3 * rng.normal(size=n)
        case "three clusters":
            centres = rng.choice([0.0, 1.0, 5.0], p=[0.6, 0.3, 0.1], size=n)
            return centres + 1e-4 * rng.normal(size=n)
        case "two values":
            return np.where(rng.uniform(size=n) < 0.3, 0.0, 1.0)
        case "ten values":
            return rng.integers(0, 10, n).astype(float)
        case "constant":
            return np.full(n, 0.1)
        case "cauchy":
            return rng.standard_cauchy(n)
        case "heavy tail":
            return rng.standard_t(1.2, size=n) ** 3
        case _:
            return getattr(rng, kind)(size=n)
