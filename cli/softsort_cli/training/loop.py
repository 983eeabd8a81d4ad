"""Training that can stop after any step and go on as if it had not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Shaped

from softsort_cli.training.data import Data
from softsort_cli.training.network import Classifier
from softsort_cli.training.settings import Settings
from softsort_core import SoftSortError
from softsort_core.losses import soft_error_loss

Loss: TypeAlias = Callable[[Array, Array], Array]  # of logits and labels


class Metrics(NamedTuple):
    """What was measured after `step` steps, on a batch of training or on all tests."""

    is_test: bool
    epoch: int
    step: int
    soft_error: float
    cross_entropy: float
    accuracy: float


@dataclass
class Progress:
    """All that a training run knows at a step; the seed gives the rest."""

    parameters: Any
    optimiser: Any
    step: int = 0
    history: list[Metrics] = field(default_factory=list)

    def to_bytes(self) -> bytes:
        """Return a checkpoint."""
        content = {
            "parameters": self.parameters,
            "optimiser": self.optimiser,
            "step": self.step,
            "history": np.array(self.history, np.float64).reshape(-1, 6),
        }
        return flax.serialization.to_bytes(content)

    @classmethod
    def from_bytes(cls, content: bytes, like: Progress) -> Progress:
        """Return what a checkpoint holds, if it is one of a run that begins as `like`.

        Raises:
            SoftSortError: it is not.
        """
        # msgpack says by many kinds of exceptions that something is not msgpack.
        try:
            held = flax.serialization.msgpack_restore(content)
            parameters, optimiser = (
                _restored(getattr(like, name), held[name])
                for name in ("parameters", "optimiser")
            )
            history = [
                Metrics(bool(row[0]), int(row[1]), int(row[2]), *row[3:])
                for row in held["history"].tolist()
            ]
            return cls(parameters, optimiser, int(held["step"]), history)
        except Exception as error:
            raise SoftSortError(
                f"it is not a checkpoint of this run: {error}"
            ) from error


def _restored(like: Any, held: Any) -> Any:
    restored = flax.serialization.from_state_dict(like, held)
    if jax.tree.map(jnp.shape, restored) != jax.tree.map(jnp.shape, like):
        raise ValueError("arrays of other shapes")
    return jax.tree.map(jnp.asarray, restored)


def cross_entropy_loss(
    logits: Float[Array, "batch classes"], labels: Int[Array, " batch"]
) -> Float[Array, ""]:
    """Return the mean cross-entropy, what `soft_error_loss` is compared with."""
    each = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return jnp.mean(each)


def beginning(
    network: Classifier, shape: tuple[int, int, int], learning_rate: float, seed: int
) -> Progress:
    """Return the progress before the first step, for images of shape (h, w, c)."""
    image = jnp.zeros((1, *shape))
    parameters = _initial(jax.random.key(seed), image, network=network)
    return Progress(parameters, optax.adamw(learning_rate).init(parameters))


@partial(jax.jit, static_argnames="network")
def _initial(key: Array, image: Array, *, network: Classifier) -> Any:
    return network.init(key, image)


def train(
    settings: Settings, loss: Loss, data: Data, progress: Progress
) -> Iterator[Progress]:
    """Train by AdamW from `progress` on, and yield it after every step.

    An epoch is a permutation of the training images, which seed and epoch decide, cut
    into batches; what is left over after the last whole batch is left out. Training
    that goes on from a checkpoint is the same, bit for bit on CPU, as training that was
    never interrupted.

    Args:
        settings: the epochs from the beginning, the batch size, the learning rate, the
            epsilon of the soft error that is measured, the classes and the seed.
        loss: to be minimised; a function of its own for each epsilon.
        data: from `softsort_cli.training.data`.
        progress: from `beginning`, or a checkpoint of the same run. It is changed.

    Raises:
        SoftSortError: there is no whole batch, or the loss is not finite.
    """
    network, size = Classifier(settings.classes), settings.batch_size
    rate, epsilon = settings.learning_rate, settings.epsilon
    per_epoch = len(data.y_train) // size
    if not per_epoch:
        raise SoftSortError(
            f"batch_size is {size}, but there are {len(data.y_train)} images to train "
            "on: choose a smaller one"
        )
    while progress.step < settings.epochs * per_epoch:
        epoch, done = divmod(progress.step, per_epoch)
        random = np.random.default_rng([settings.seed, epoch])
        order = random.permutation(len(data.y_train))
        for batch in order[: per_epoch * size].reshape(per_epoch, size)[done:]:
            labels = data.y_train[batch]
            state = progress.parameters, progress.optimiser, data.x_train[batch]
            progress.parameters, progress.optimiser, logits = update(
                *state, labels, rate, network=network, loss=loss
            )
            progress.step += 1
            place = epoch + 1, progress.step
            measured = measure(logits, labels, epsilon)
            progress.history.append(_finite(Metrics(False, *place, *measured)))
            if progress.step % per_epoch == 0:
                logits = predict(network, progress.parameters, data.x_test, size)
                measured = measure(logits, data.y_test, epsilon)
                progress.history.append(_finite(Metrics(True, *place, *measured)))
            yield progress


def _finite(metrics: Metrics) -> Metrics:
    if not np.isfinite(metrics).all():
        raise SoftSortError(
            f"after step {metrics.step} the soft error is {metrics.soft_error} and "
            f"cross-entropy {metrics.cross_entropy}: choose a smaller learning rate, "
            "or a larger epsilon"
        )
    return metrics


@partial(jax.jit, static_argnames=("network", "loss"))
def update(
    parameters: Any,
    optimiser: Any,
    images: Shaped[Array, "batch h w c"],
    labels: Int[Array, " batch"],
    learning_rate: Float[Array, ""] | float,
    *,
    network: Classifier,
    loss: Loss,
) -> tuple[Any, Any, Float[Array, "batch classes"]]:
    """Take one step of AdamW; return parameters, optimiser and the logits before it."""

    def objective(parameters):
        logits = _apply(parameters, images, network=network)
        return loss(logits, labels), logits

    gradient, logits = jax.grad(objective, has_aux=True)(parameters)
    changes, optimiser = optax.adamw(learning_rate).update(
        gradient, optimiser, parameters
    )
    return optax.apply_updates(parameters, changes), optimiser, logits


def measure(
    logits: Float[Array | np.ndarray, "n classes"],
    labels: Int[np.ndarray, " n"],
    epsilon: float,
) -> Iterator[float]:
    """Return soft error, cross-entropy, and the share of right classes."""
    return map(float, _measure(logits, labels, epsilon))


@jax.jit
def _measure(
    logits: Array, labels: Array, epsilon: Array
) -> tuple[Array, Array, Array]:
    soft_error = soft_error_loss(logits, labels, epsilon=epsilon)
    is_right = jnp.argmax(logits, axis=-1) == labels
    return soft_error, cross_entropy_loss(logits, labels), jnp.mean(is_right)


def predict(
    network: Classifier,
    parameters: Any,
    images: Shaped[np.ndarray, "n h w c"],
    batch_size: int,
) -> Float[np.ndarray, "n classes"]:
    """Return the logits of all images, computed in batches of one shape."""
    parts = []
    for start in range(0, len(images), batch_size):
        part = images[start : start + batch_size]
        missing = batch_size - len(part)
        padded = np.pad(part, [(0, missing), (0, 0), (0, 0), (0, 0)])
        logits = _apply(parameters, padded, network=network)
        parts.append(np.asarray(logits)[: len(part)])
    return np.concatenate(parts)


@partial(jax.jit, static_argnames="network")
def _apply(parameters: Any, images: Array, *, network: Classifier) -> Array:
    return jnp.asarray(network.apply(parameters, images))
