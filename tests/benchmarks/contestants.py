"""Who is timed: each is given values and returns a call that is compiled and warm."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from types import ModuleType
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from jax import Array

import softsort_core
from tests.benchmarks.timing import Call

EPSILON = 0.01
SEED = 0

# A call that softsort and ott-jax spell alike: given the module and values.
Operator: TypeAlias = Callable[[ModuleType, Array], Array]
ArrayCall: TypeAlias = Callable[[], Array]


class SkippedError(Exception):
    """Why something cannot be measured here, as a sentence."""


@dataclass(frozen=True)
class Contestant:
    name: str
    prepare: Callable[[np.ndarray], Call]


def normal(shape: tuple[int, ...]) -> np.ndarray:
    """Return standard normal values, always the same ones."""
    return np.random.default_rng(SEED).standard_normal(shape, dtype=np.float32)


def ours(name: str, operator: Operator) -> Contestant:
    """Softsort as its users call it: plainly, on a JAX array."""

    def prepare(values: np.ndarray) -> Call:
        x = jnp.asarray(values)
        return _checked(lambda: jax.block_until_ready(operator(softsort_core, x)), name)

    return Contestant(name, prepare)


def otts(name: str, operator: Operator) -> Contestant:
    """ott-jax under `jax.jit`, compiled without a run, which can take long."""

    def prepare(values: np.ndarray) -> Call:
        if find_spec("ott") is None:
            raise SkippedError("ott-jax is not installed.")
        soft_sort = importlib.import_module("ott.tools.soft_sort")
        return _compiled(lambda x: operator(soft_sort, x), values)

    return Contestant(name, prepare)


def on_host(name: str, function: Callable[[np.ndarray], np.ndarray]) -> Contestant:
    """A function of numpy arrays, which runs on the CPU wherever JAX runs."""

    def prepare(values: np.ndarray) -> Call:
        function(values)
        return lambda: function(values)

    return Contestant(name, prepare)


def gradient(name: str, function: Callable[[Array], Array]) -> Contestant:
    """The gradient of a scalar function of softsort's results, under `jax.jit`."""

    def prepare(values: np.ndarray) -> Call:
        return _checked(_compiled(jax.grad(function), values), name)

    return Contestant(name, prepare)


def _compiled(function: Callable[[Array], Array], values: np.ndarray) -> ArrayCall:
    x = jnp.asarray(values)
    compiled = jax.jit(function).lower(x).compile()
    return lambda: jax.block_until_ready(compiled(x))


def _checked(call: ArrayCall, name: str) -> Call:
    """Return the call, if its results are numbers: failing fast is no merit."""
    if not jnp.all(jnp.isfinite(call())):
        raise SkippedError(f"Some results of {name} are not finite.")
    return call


def _ranks(soft: ModuleType, x: Array) -> Array:
    return soft.ranks(x, epsilon=EPSILON)


def _sort(soft: ModuleType, x: Array) -> Array:
    return soft.sort(x, epsilon=EPSILON)


def _top(soft: ModuleType, x: Array) -> Array:
    return soft.sort(x, topk=5, epsilon=EPSILON)


def _median(soft: ModuleType, x: Array) -> Array:
    return soft.quantile(x, q=0.5, epsilon=EPSILON)


def _sum_of_squares(x: Array) -> Array:
    return jnp.sum(_ranks(softsort_core, x) ** 2)


RANKS = ours("ranks", _ranks)
SORT = ours("sort", _sort)
TOP = ours("sort(topk=5)", _top)
MEDIAN = ours("quantile(q=0.5)", _median)
GRADIENT = gradient("gradient of sum(ranks²)", _sum_of_squares)

OTT_RANKS = otts("ott-jax ranks", _ranks)
OTT_TOP = otts("ott-jax sort(topk=5)", _top)
OTT_MEDIAN = otts("ott-jax quantile(q=0.5)", _median)

ARGSORT = on_host("numpy.argsort", np.argsort)
RANKDATA = on_host("scipy.stats.rankdata", scipy.stats.rankdata)
