"""The tutorial notebook of `ott.tools.soft_sort`, with the import swapped.

Its cells in their order, on data that need no network; `level=` is written `q=`. What
it prints is here to 2e-2: its numbers are those of an iteration that stops early.
"""

import collections
import functools
import io

import flax.linen as nn
import jax
import jax.numpy as jnp
import matplotlib.cbook
import numpy as np
import optax
import PIL.Image
from flax import struct
from matplotlib.figure import Figure
from scipy import ndimage
from sklearn.datasets import load_digits

import softsort_core as soft_sort

X = jnp.array([1.0, 5.0, 4.0, 8.0, 12.0])


def close(result, printed):
    np.testing.assert_allclose(result, printed, atol=2e-2)


def drawn(figure: Figure) -> np.ndarray:
    """What a figure looks like, in grey."""
    file = io.BytesIO()
    figure.savefig(file, dpi=30)
    return np.asarray(PIL.Image.open(file).convert("L"))


def test_operators():
    softsort_jitted = jax.jit(soft_sort.sort)
    close(softsort_jitted(X), [1.0504104, 4.1228743, 4.8620267, 8.006994, 11.957704])
    near = softsort_jitted(X, epsilon=1e-4)
    close(near, [0.9983629, 3.994969, 5.006686, 8.010008, 11.989864])
    far = softsort_jitted(X, epsilon=1e-1)
    close(far, [2.5705485, 3.733634, 5.462019, 8.000692, 10.233107])
    top5 = jax.jit(functools.partial(soft_sort.sort, topk=5))
    big_x = jax.random.uniform(jax.random.PRNGKey(0), (1000,))
    largest = [0.9506124, 0.97415835, 0.9832732, 0.98791456, 0.9905736]
    close(top5(big_x), largest)
    softranks = jax.jit(soft_sort.ranks)
    close(softranks(X), [0.01550213, 1.8387042, 1.148726, 2.9977007, 3.9927652])
    median = jax.jit(soft_sort.quantile)(X, q=0.5)
    assert median.shape == (1,)
    close(median, [4.995721])


def test_regularization():
    softsort_jitted, softranks = jax.jit(soft_sort.sort), jax.jit(soft_sort.ranks)
    epsilons = np.logspace(-3, 1, 100)
    sorted_values = [softsort_jitted(X, epsilon=e) for e in epsilons]
    ranks = [softranks(X, epsilon=e) for e in epsilons]
    figure = Figure(figsize=(14, 5))
    axes = figure.subplots(1, 2)
    for values, ax in zip((sorted_values, ranks), axes, strict=True):
        assert np.array(values).shape == (100, 5)
        ax.plot(epsilons, np.array(values), color="k", lw=11)
        ax.plot(epsilons, np.array(values), lw=7)
        ax.set_xscale("log")
    # No lines cross.
    assert (np.diff(sorted_values, axis=1) > 0).all()
    assert (np.diff(np.array(ranks)[:, np.argsort(X)], axis=1) > 0).all()
    close(ranks[-1], [1.97, 1.99, 1.99, 2.01, 2.03])
    assert drawn(figure).min() == 0


def test_denoising():
    path = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    image = np.asarray(PIL.Image.open(path).convert("L"), np.float32) / 255
    image = image[150:174, 200:224]
    rng = np.random.default_rng(0)
    noisy = image.copy().reshape(-1)
    indices = rng.integers(0, image.size, int(np.ceil(0.1 * image.size)))
    noisy[indices] = rng.uniform(size=len(indices)) > 0.5
    noisy = noisy.reshape(image.shape)
    softmedian = functools.partial(soft_sort.quantile, q=0.5)
    fns = {"original": None, "median": np.median}
    for e in [0.01, 1.0]:
        soft = jax.jit(functools.partial(softmedian, epsilon=e))
        fns[f"soft {e}"] = lambda window, soft=soft: soft(window)[0]
    fns.update(mean=np.mean)
    figure = Figure(figsize=(len(fns) * 6, 4))
    results = {}
    for (key, fn), ax in zip(fns.items(), figure.subplots(1, len(fns)), strict=True):
        results[key] = (
            ndimage.generic_filter(noisy, fn, footprint=np.ones((3, 3)))
            if fn is not None
            else noisy
        )
        assert results[key].shape == image.shape
        ax.imshow(results[key])
        ax.set_title(key, fontsize=22)
    far = {key: np.abs(each - image).mean() for key, each in results.items()}
    assert far["soft 0.01"] < 1.1 * far["median"] < far["soft 1.0"] < far["original"]
    close(results["soft 1.0"], results["mean"].clip(*np.percentile(noisy, [0, 100])))
    assert drawn(figure).std() > 20


class ConvBlock(nn.Module):
    features: int = 32

    @nn.compact
    def __call__(self, x):
        for _ in range(2):
            x = nn.relu(nn.Conv(features=self.features, kernel_size=(3, 3))(x))
        return nn.max_pool(x, window_shape=(2, 2), strides=(2, 2))


class CNN(nn.Module):
    num_classes: int = 10

    @nn.compact
    def __call__(self, x):
        x = ConvBlock(features=32)(x)
        x = ConvBlock(features=64)(x)
        x = x.reshape((x.shape[0], -1))
        x = nn.relu(nn.Dense(features=512)(x))
        return nn.Dense(features=self.num_classes)(x)


@struct.dataclass
class TrainState:
    opt_state: optax.OptState
    params: dict


def cross_entropy_loss(logits, labels):
    return -jnp.sum(labels * nn.log_softmax(logits)) / labels.shape[0]


def soft_error_loss(logits, labels):
    ranks_fn = jax.jit(functools.partial(soft_sort.ranks, axis=-1))
    soft_ranks = ranks_fn(logits)
    return jnp.mean(
        nn.relu(labels.shape[-1] - 1 - jnp.sum(labels * soft_ranks, axis=1))
    )


def train(loss_fn, images, labels, batch_size):
    """Train for one epoch: the metrics of each step."""
    model, optimizer = CNN(), optax.adamw(0.0005, weight_decay=0.0001)
    params = model.init(jax.random.PRNGKey(0), images[:1])["params"]
    results = collections.defaultdict(list)

    def metrics(params, image, label):
        logits = model.apply({"params": params}, image)
        right = jnp.argmax(logits, -1) == jnp.argmax(label, -1)
        entropy = cross_entropy_loss(logits, label)
        return loss_fn(logits, label), (entropy, jnp.mean(right))

    @jax.jit
    def step(state, image, label):
        values, slope = jax.value_and_grad(metrics, has_aux=True)(
            state.params, image, label
        )
        updates, opt_state = optimizer.update(slope, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(opt_state=opt_state, params=params), values

    state = TrainState(opt_state=optimizer.init(params), params=params)
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        state, (loss, (entropy, accuracy)) = step(state, images[batch], labels[batch])
        results["loss"].append(float(loss))
        results["cross_entropy"].append(float(entropy))
        results["accuracy"].append(float(accuracy))
    return results


def test_learning():
    digits = load_digits()
    images = jnp.asarray(digits.images[:800, ..., None] / 16, jnp.float32)
    labels = jax.nn.one_hot(digits.target[:800], 10)
    results = train(soft_error_loss, images, labels, batch_size=50)
    results_ce = train(cross_entropy_loss, images, labels, batch_size=50)
    figure = Figure(figsize=(20, 6))
    for ax, metric in zip(figure.subplots(1, 3), results, strict=True):
        ax.plot(results[metric], label="soft ranking", linewidth=2.0)
        if metric != "loss":
            ax.plot(results_ce[metric], label="cross entropy", linewidth=2.0)
        ax.set_title(metric)
        ax.legend()
    loss = results["loss"]
    assert len(loss) == 16
    assert 2 < loss[0] < 7
    assert np.mean(loss[-3:]) < 0.4 * loss[0]
    for accuracy in (results["accuracy"], results_ce["accuracy"]):
        assert np.mean(accuracy[:2]) < 0.3 < 0.6 < np.mean(accuracy[-3:])
    assert drawn(figure).min() < 100
