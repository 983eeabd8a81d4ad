"""Steps of training by the soft 0/1 loss, by cross-entropy, and with ott-jax's ranks.

Images are noise, of the size of scikit-learn's digits or of MNIST's: what a step takes
does not depend on what they show. The most of it is the network's; a step by
cross-entropy, whose loss takes no time, is not a tenth of one with ott-jax's ranks
either. So the losses are measured on their own, too.
"""

import importlib
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from softsort_core.losses import soft_error_loss
from tests.benchmarks.contestants import EPSILON, SEED, Contestant, SkippedError
from tests.benchmarks.timing import Call

CLASSES = 10
LEARNING_RATE = 1e-3


def labels_of(values: np.ndarray) -> np.ndarray:
    """Return a class for each image, or row of logits, always the same ones."""
    random = np.random.default_rng(SEED)
    return random.integers(0, CLASSES, len(values), dtype=np.int32)


def ott_error_loss(logits: Array, labels: Array) -> Array:
    """Return the soft 0/1 loss by the ranks of ott-jax."""
    soft_sort = importlib.import_module("ott.tools.soft_sort")
    ranks = soft_sort.ranks(logits, epsilon=EPSILON)
    each = jnp.take_along_axis(ranks, labels[:, None], axis=-1)
    return jnp.mean(jax.nn.relu(CLASSES - 1 - each))


def step(loss: str) -> Contestant:
    """A step of AdamW, with the network's gradient, as `softsort train` takes it."""
    name = f"training step, {loss}"

    def prepare(images: np.ndarray) -> Call:
        from softsort_cli.training.loop import update

        network, state, images = _begun(images)
        given = *state, jnp.asarray(images), labels_of(images), LEARNING_RATE
        return _ready(partial(update, *given, network=network, loss=_loss(loss)))

    return Contestant(name, prepare)


def alone(loss: str) -> Contestant:
    """The loss of logits, and its gradient."""

    def prepare(logits: np.ndarray) -> Call:
        both, labels = jax.value_and_grad(_loss(loss)), labels_of(logits)
        compiled = jax.jit(lambda logits: both(logits, labels))
        return _ready(partial(compiled, jnp.asarray(logits)))

    return Contestant(f"{loss} with gradient", prepare)


SOFT, CROSS, OTT = "soft 0/1 loss", "cross-entropy", "loss by ott-jax's ranks"


def _loss(name: str) -> Callable[[Array, Array], Array]:
    if name == OTT:
        if find_spec("ott") is None:
            raise SkippedError("ott-jax is not installed.")
        return ott_error_loss
    if name == CROSS:
        from softsort_cli.training.loop import cross_entropy_loss

        return cross_entropy_loss
    return partial(soft_error_loss, epsilon=EPSILON)


def _begun(images: np.ndarray) -> tuple[Any, tuple[Any, Any], np.ndarray]:
    """Return the network, its parameters and optimiser, and images (n, h, w, c)."""
    if not (find_spec("flax") and find_spec("optax")):
        raise SkippedError("flax and optax are not installed.")
    from softsort_cli.training.loop import beginning
    from softsort_cli.training.network import Classifier

    network, images = Classifier(CLASSES), images[..., None]
    begun = beginning(network, images.shape[1:], LEARNING_RATE, SEED)
    return network, (begun.parameters, begun.optimiser), images


def _ready(call: Callable[[], object]) -> Call:
    """Return the call, compiled and warm, if its results are numbers."""
    results = jax.block_until_ready(call())
    if not all(jnp.all(jnp.isfinite(each)) for each in jax.tree.leaves(results)):
        raise SkippedError("Some results are not finite.")
    return lambda: jax.block_until_ready(call())


STEP, CROSS_STEP, OTT_STEP = step(SOFT), step(CROSS), step(OTT)
LOSS, OTT_LOSS = alone(SOFT), alone(OTT)
