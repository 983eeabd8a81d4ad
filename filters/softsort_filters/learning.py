"""Filters that are learned: settings of `denoise`, by gradient descent."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from softsort_core import SoftSortError
from softsort_filters.arguments import (
    Image,
    Number,
    as_count,
    as_image,
    as_positive,
)
from softsort_filters.both_noises import Noise, denoise, estimate_noise
from softsort_filters.impulses import impulse_noise
from softsort_filters.switching import soft_switching_median
from softsort_filters.windows import window_shape

_SIDE = 96  # of the parts of images that are learned from, one in each step
# What `soft_switching_median` changes by no more than this, in units of the range, and
# than the deviation of the noise, is a pixel of the picture.
_SAME = 0.01
_AGAIN = 0.5  # of noise that all pixels have, as much is added again


class LearnedFilter(NamedTuple):
    """Settings that `denoise` takes, as in `denoise(image, size, **filter._asdict())`.

    Attributes:
        weights: of the largest window, in the shape of its size, the largest being 1.
        level: which quantile of it.
        epsilon: how soft.
        threshold: see `soft_switching_median`, as of all these.
        spread: as there.
        strength: see `denoise`.
    """

    weights: Float[Array, "rows columns"]
    level: Float[Array, ""]
    epsilon: Float[Array, ""]
    threshold: Float[Array, ""]
    spread: Float[Array, ""]
    strength: Float[Array, ""]


class Learning(NamedTuple):
    """How far learning is; with the seed and the images it decides all that follows.

    Attributes:
        free: the settings on scales without ends: logarithms, of the level the logit.
        optimiser: what Adam remembers.
        losses: after each step, the mean square of what was wrong, in units of the
            range.
    """

    free: LearnedFilter
    optimiser: Any
    losses: tuple[float, ...] = ()

    @property
    def filter(self) -> LearnedFilter:
        """What is learned so far."""
        return _settings(self.free)


class _Example(NamedTuple):
    x: Float[np.ndarray, "h w"]
    target: Float[np.ndarray, "h w"]
    counts: Bool[np.ndarray, "h w"]
    noise: Noise


def learn_filter(
    noisy: Sequence[Image],
    clean: Sequence[Image] | None = None,
    *,
    start: Learning,
    deviation: Number | None = None,
    steps: int = 100,
    seed: int = 0,
    learning_rate: Number = 0.1,
) -> Iterator[Learning]:
    """Learn settings of `denoise` from noisy images, beside clean ones or alone.

    Steps of Adam lead down the mean squared error of parts of 96 x 96 pixels. Alone, a
    noisy image stands for a clean one: in pixels that are likely no noise. Impulses
    are put into it, as many as it is told to have. Of Gaussian noise n of its deviation
    n / 2 is added, and 2 n taken from what it is compared with, so that the noise of
    both has nothing in common (Pang, Zheng, Quan and Ji, "Recorrupted-to-recorrupted",
    2021). That an estimate tells the noise is all that it rests on.

    Args:
        noisy: images, see `denoise`; channels are learned from one by one.
        clean: the same without noise, in the same shapes.
        start: from `beginning`, or to go on what was yielded for the same arguments.
        deviation: of noise that all pixels have; with 0 it is left alone. By default
            `estimate_noise` tells that of each image.
        steps: how many in all.
        seed: decides which parts are learned from, and the noise.
        learning_rate: of the first step; it falls to 0 as a cosine does.

    Yields:
        How far learning is, after each step.

    Raises:
        SoftSortError: an argument out of its range.

    Examples:
        >>> import numpy as np
        >>> from softsort_filters import beginning, learn_filter
        >>> noisy = np.where(np.eye(24) > 0, 1, np.linspace(0.2, 0.8, 24))
        >>> start = beginning(5)
        >>> *_, last = learn_filter([noisy], start=start, deviation=0, steps=2)
        >>> print(last.filter.weights.shape, len(last.losses))
        (5, 5) 2
    """
    steps = as_count(steps, "steps")
    as_positive(learning_rate, "learning_rate", jnp.float32, "0.1")
    examples = _examples(noisy, clean, deviation)
    smooths = any(each.noise.deviation > 0 for each in examples)
    shapes = [each.x.shape for each in examples]
    sides = tuple(np.min([(_SIDE, _SIDE), *shapes], axis=0).tolist())
    while (step := len(start.losses)) < steps:
        random = np.random.default_rng([seed, step])
        part = _part(examples[random.integers(len(examples))], sides, random)
        if clean is None:
            part = _spoilt(part, random)
        rate = np.float32(learning_rate * (1 + np.cos(np.pi * step / steps)) / 2)
        free, optimiser, loss = _updated(*start[:2], part, rate, smooths=smooths)
        start = Learning(free, optimiser, (*start.losses, float(loss)))
        yield start


def beginning(size: int | tuple[int, int] = 5) -> Learning:
    """Return what learning starts with: the settings that `denoise` has by default.

    Only epsilon is larger, for that is where it goes to.

    Args:
        size: of the largest window, see `soft_switching_median`.

    Raises:
        SoftSortError: an argument out of its range.

    Examples:
        >>> from softsort_filters import beginning
        >>> print(beginning(5).filter.threshold)
        1.0
    """
    import optax

    sides = window_shape(size)
    offsets = np.moveaxis(np.indices(sides), 0, -1) - np.array(sides) // 2
    near = -np.sum(offsets**2, axis=-1) / 2
    settings = near, 0, *np.log([0.1, 1, 0.7, 1])
    free = LearnedFilter(*(jnp.asarray(each, jnp.float32) for each in settings))
    return Learning(free, optax.scale_by_adam().init(free))


def _settings(free: LearnedFilter) -> LearnedFilter:
    weights, level, *others = free
    weights = jnp.exp(weights - jnp.max(weights))
    return LearnedFilter(weights, jax.nn.sigmoid(level), *map(jnp.exp, others))


def _examples(
    noisy: Sequence[Image], clean: Sequence[Image] | None, deviation: Number | None
) -> list[_Example]:
    """All channels of all images, and what is known of their noise."""
    count = len(noisy) if clean is None else len(clean)
    if not noisy or count != len(noisy):
        raise SoftSortError(
            f"noisy are {len(noisy)} images and clean {count}: give one at least, and "
            "as many of both"
        )
    examples = []
    for number, image in enumerate(noisy):
        pairs = [_channels(image, "noisy")]
        if clean is not None:
            pairs.append(_channels(clean[number], "clean"))
            if pairs[0].shape != pairs[1].shape:
                raise SoftSortError(
                    f"noisy[{number}] has shape {np.shape(image)} and clean[{number}] "
                    f"{np.shape(clean[number])}: give both the same"
                )
        examples += [_example(*pair, deviation) for pair in zip(*pairs, strict=True)]
    return examples


def _channels(image: Image, name: str) -> Float[np.ndarray, "c h w"]:
    pixels = np.asarray(as_image(image, name)[0], np.float32)
    return np.moveaxis(pixels.reshape(*pixels.shape[:2], -1), -1, 0)


def _example(x: np.ndarray, *rest: Any) -> _Example:
    """A channel, the clean one if there is one, and the deviation if it is known."""
    *clean, deviation = rest
    if deviation is None:
        noise = estimate_noise(x)
    else:
        noise = Noise(np.asarray(deviation), impulse_noise(x, deviation=deviation))
    noise = jax.tree.map(np.float32, noise)
    if clean:
        counts = np.isfinite(x) & np.isfinite(clean[0])
        return _Example(x, clean[0], counts, noise)
    kept = np.asarray(soft_switching_median(x, noise=noise.impulses))
    same = _SAME * (noise.impulses.high - noise.impulses.low) + noise.deviation
    counts = np.abs(kept - x) <= same
    return _Example(x, np.where(counts, x, kept), counts, noise)


def _part(
    example: _Example, sides: tuple[int, int], random: np.random.Generator
) -> _Example:
    """A part of an image of these sides, anywhere in it."""
    x, target, counts, noise = example
    i, j = (random.integers(n - m + 1) for n, m in zip(x.shape, sides, strict=True))
    place = slice(i, i + sides[0]), slice(j, j + sides[1])
    return _Example(x[place], target[place], counts[place], noise)


def _spoilt(part: _Example, random: np.random.Generator) -> _Example:
    """A part with noise once more, and what that is to be compared with."""
    _, target, counts, (deviation, impulses) = part
    low, high, *shares = impulses
    noise = deviation * random.normal(size=target.shape).astype(np.float32)
    x = np.clip(target + _AGAIN * noise, low, high)
    kind = random.uniform(size=x.shape)
    kinds = [kind < share for share in np.cumsum(shares)]
    anywhere = random.uniform(low, high, x.shape)
    x = np.select(kinds, [low, high, anywhere], x).astype(np.float32)
    more = Noise(np.hypot(1, _AGAIN, dtype=np.float32) * deviation, impulses)
    return _Example(x, target - noise / _AGAIN, counts, more)


@partial(jax.jit, static_argnames="smooths")
def _updated(
    free: LearnedFilter, optimiser: Any, part: _Example, rate: Array, *, smooths: bool
) -> tuple[LearnedFilter, Any, Float[Array, ""]]:
    """One step of Adam, and the loss before it."""
    import optax

    x, target, counts, (deviation, impulses) = part
    noise: Any = {"deviation": deviation if smooths else 0.0, "noise": impulses}

    def loss(free):
        settings = _settings(free)._asdict()
        result = denoise(x, free.weights.shape, **noise, **settings)
        wrong = (result - target) / (impulses.high - impulses.low)
        return jnp.mean(jnp.where(counts, wrong, 0) ** 2) / jnp.mean(counts)

    value, slopes = jax.value_and_grad(loss)(free)
    changes, optimiser = optax.scale_by_adam().update(slopes, optimiser)
    free = jax.tree.map(lambda old, change: old - rate * change, free, changes)
    return free, optimiser, value
