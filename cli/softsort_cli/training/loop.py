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

    def _content(self) -> dict[str, Any]:
        return {
            "parameters": self.parameters,
            "optimiser": self.optimiser,
            "step": self.step,
            "history": np.array(self.history, np.float64).reshape(-1, 6),
        }

    def to_bytes(self) -> bytes:
        """Return a checkpoint."""
        return flax.serialization.to_bytes(self._content())

    @classmethod
    def from_bytes(cls, checkpoint: bytes, like: Progress) -> Progress:
        """Return what a checkpoint holds, if it is one of a run that begins as `like`.

        Raises:
            SoftSortError: it is not.
        """
        # msgpack says by many kinds of exceptions that something is not msgpack.
        try:
            content = flax.serialization.from_bytes(like._content(), checkpoint)
            state = content["parameters"], content["optimiser"]
            expected = like.parameters, like.optimiser
            if jax.tree.map(jnp.shape, state) != jax.tree.map(jnp.shape, expected):
                raise ValueError("arrays of other shapes")
            history = [
                Metrics(bool(is_test), int(epoch), int(step), *measured)
                for is_test, epoch, step, *measured in content["history"].tolist()
            ]
            parameters, optimiser = jax.tree.map(jnp.asarray, state)
            return cls(parameters, optimiser, int(content["step"]), history)
        except Exception as error:
            raise SoftSortError(
                f"it is not a checkpoint of this run: {error}"
            ) from error


# Compiled once for equal networks.
_initial = jax.jit(Classifier.init, static_argnums=0)
_apply = jax.jit(Classifier.apply, static_argnums=0)


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
    parameters = _initial(network, jax.random.key(seed), jnp.zeros((1, *shape)))
    return Progress(parameters, optax.adamw(learning_rate).init(parameters))


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
                *state, labels, settings.learning_rate, network=network, loss=loss
            )
            progress.step += 1
            place = epoch + 1, progress.step
            measured = measure(logits, labels, settings.epsilon)
            progress.history.append(_finite(False, *place, *measured))
            if progress.step % per_epoch == 0:
                logits = predict(network, progress.parameters, data.x_test, size)
                measured = measure(logits, data.y_test, settings.epsilon)
                progress.history.append(_finite(True, *place, *measured))
            yield progress


def _finite(is_test: bool, epoch: int, step: int, *measured: Any) -> Metrics:
    metrics = Metrics(is_test, epoch, step, *map(float, measured))
    if not np.isfinite(metrics).all():
        raise SoftSortError(
            f"after step {step} the soft error is {metrics.soft_error} and "
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
        logits = _apply(network, parameters, images)
        return loss(logits, labels), logits

    gradient, logits = jax.grad(objective, has_aux=True)(parameters)
    changes, optimiser = optax.adamw(learning_rate).update(
        gradient, optimiser, parameters
    )
    return optax.apply_updates(parameters, changes), optimiser, logits


@jax.jit
def measure(
    logits: Float[Array, "n classes"], labels: Int[Array, " n"], epsilon: Array | float
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """Return soft error, cross-entropy, and the share of right classes."""
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
        logits = _apply(network, parameters, padded)
        parts.append(np.asarray(logits)[: len(part)])
    return np.concatenate(parts)
