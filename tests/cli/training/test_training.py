"""Data as they are read, and training that stops and goes on."""

import gzip
import struct
from dataclasses import replace
from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits
from softsort_cli.training import data, loop
from softsort_cli.training.network import Classifier, standardised
from softsort_cli.training.settings import Choices, Settings

from softsort_core import SoftSortError

RNG = np.random.default_rng(0)
NETWORK = Classifier(3)
TINY = data.Data(
    RNG.integers(0, 256, (13, 4, 5, 1), dtype=np.uint8),
    RNG.integers(0, 3, 13, dtype=np.int32),
    RNG.integers(0, 256, (4, 4, 5, 1), dtype=np.uint8),
    RNG.integers(0, 3, 4, dtype=np.int32),
    3,
)
SETTINGS = Settings.of(Choices(epochs=2, batch_size=4, seed=5), TINY)
MNIST = {
    "train-images-idx3-ubyte": RNG.integers(0, 256, (11, 28, 28), dtype=np.uint8),
    "train-labels-idx1-ubyte": RNG.integers(0, 10, 11, dtype=np.uint8),
    "t10k-images-idx3-ubyte": RNG.integers(0, 256, (5, 28, 28), dtype=np.uint8),
    "t10k-labels-idx1-ubyte": RNG.integers(0, 10, 5, dtype=np.uint8),
}
IMAGES, LABELS = list(MNIST)[:2]
NPZ = {name: getattr(TINY, name) for name in TINY._fields[:4]}


@pytest.fixture(autouse=True)
def _quickly_compiled():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def idx(array: np.ndarray) -> bytes:
    """As MNIST is written: unsigned bytes behind a big-endian header."""
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.tobytes()


def write_mnist(folder, compress=lambda content: content, ending=""):
    for name, array in MNIST.items():
        (folder / (name + ending)).write_bytes(compress(idx(array)))


@pytest.mark.parametrize(
    ("compress", "ending"),
    [(bytes, ""), (gzip.compress, ".gz"), (bytes, ".gz"), (gzip.compress, "")],
)
def test_mnist_is_read_back_exactly(tmp_path, compress, ending):
    write_mnist(tmp_path, compress, ending)
    found = data.read(tmp_path)
    for array, expected in zip(found, MNIST.values(), strict=False):
        np.testing.assert_array_equal(array.reshape(expected.shape), expected)
    assert found.x_train.dtype == np.uint8
    assert found.x_train.shape == (11, 28, 28, 1)
    assert found.classes == 10


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (IMAGES, lambda c: b"\0\0\x08\x01" + c[4:], ["0x00000801", "0x00000803"]),
        (LABELS, lambda c: b"\0\0\x0d\x01" + c[4:], ["0x00000d01", "magic"]),
        (IMAGES, lambda c: c[:-1], ["8623 bytes", "11 x 28 x 28 = 8624"]),
        (LABELS, lambda c: c + b"\0", ["12 bytes", "11 = 11"]),
        (IMAGES, lambda c: c[:7], ["7 bytes", "header"]),
        (IMAGES, lambda c: gzip.compress(c)[:-9], ["gzip"]),
        (IMAGES, lambda c: c[:4] + b"\xff" * 12 + c[16:], ["4294967295 x"]),
        (LABELS, lambda c: c[:9] + b"\x0a" + c[10:], ["y_train[1] is 10", "0 to 9"]),
        (LABELS, lambda _: idx(np.zeros(10, np.uint8)), ["(10,)", "11"]),
        (LABELS, lambda _: b"", ["0 bytes"]),
    ],
)
def test_broken_idx_files_are_refused(tmp_path, name, change, words):
    write_mnist(tmp_path)
    path = tmp_path / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(SoftSortError) as caught:
        data.read(tmp_path)
    for word in [str(tmp_path), *words]:
        assert word in str(caught.value)


def test_a_missing_idx_file_is_named(tmp_path):
    write_mnist(tmp_path)
    (tmp_path / LABELS).unlink()
    with pytest.raises(SoftSortError, match=f"{LABELS} or {LABELS}.gz"):
        data.read(tmp_path)


def test_npz_is_read_back_exactly(tmp_path):
    path = tmp_path / "x.npz"
    colour = {name: NPZ[name].repeat(3, -1) for name in ("x_train", "x_test")}
    np.savez(path, **NPZ | colour)
    found = data.read(path)
    np.testing.assert_array_equal(found.x_train, colour["x_train"])
    np.testing.assert_array_equal(found.y_test, TINY.y_test)
    assert found.classes == 3
    np.testing.assert_array_equal(data.read_images(path), colour["x_test"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y_test": None}, ["no array y_test"]),
        ({"y_train": TINY.y_train - 1}, ["y_train[", "is -1", "0 to"]),
        ({"y_test": TINY.y_test + 3}, ["y_test[0]", "0 to 2"]),
        ({"y_train": TINY.y_train + 99}, ["y_train", "101 among 13"]),
        ({"y_train": TINY.y_train[1:]}, ["(12,)", "13"]),
        ({"y_train": TINY.y_train / 2}, ["float64", "whole"]),
        ({"x_test": TINY.x_test[:, :, :4]}, ["(4, 5, 1)", "(4, 4, 1)"]),
        ({"x_train": TINY.x_train[:, :3]}, ["3 x 5", "4 x 4"]),
        ({"x_train": TINY.x_train[0, 0]}, ["(5, 1)"]),
        ({"x_train": TINY.x_train[:0]}, ["(0, 4, 5, 1)"]),
        ({"x_train": TINY.x_train * np.nan}, ["x_train", "not finite"]),
        ({"x_train": TINY.x_train.astype("U3")}, ["<U3"]),
        ({"x_train": TINY.x_train.astype(object)}, ["npz"]),
    ],
)
def test_broken_npz_files_are_refused(tmp_path, changes, words):
    arrays = {
        name: value for name, value in (NPZ | changes).items() if value is not None
    }
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(SoftSortError) as caught:
        data.read(tmp_path / "x.npz")
    for word in ["x.npz", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no", b"PK\x03\x04 broken", None])
def test_files_that_are_no_npz_are_refused(tmp_path, content):
    path = tmp_path / "x.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SoftSortError, match=r"x\.npz"):
        data.read(path)


def test_the_digits_are_all_there():
    found = data.digits()
    images = np.concatenate([found.x_train, found.x_test]).reshape(-1, 64)
    labels = np.concatenate([found.y_train, found.y_test])
    expected, classes = load_digits(return_X_y=True)
    assert len(found.y_test) == 359
    both = np.column_stack([images, labels])
    known = np.column_stack([expected, classes])
    np.testing.assert_array_equal(both[np.lexsort(both.T)], known[np.lexsort(known.T)])
    assert set(found.y_test) == set(range(10))


def test_other_data_have_another_fingerprint():
    assert TINY.fingerprint() == TINY._replace(classes=3).fingerprint()
    images = TINY.x_train.copy()
    images[0, 0, 0] += 1
    assert TINY._replace(x_train=images).fingerprint() != TINY.fingerprint()


def test_the_unit_of_pixels_is_of_no_account():
    images = jnp.float32(TINY.x_train)
    expected = standardised(images)
    np.testing.assert_allclose(expected.mean((1, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(expected.std((1, 2, 3)), 1, rtol=1e-5)
    np.testing.assert_allclose(standardised(images / 255 + 1), expected, atol=1e-4)
    assert (standardised(jnp.full((1, 4, 4, 1), 7.0)) == 0).all()


def test_the_network_is_as_described():
    image = jnp.zeros((1, 28, 28, 1))
    found = jax.eval_shape(Classifier(10).init, jax.random.key(0), image)
    shapes = [leaf.shape for leaf in jax.tree.leaves(found) if leaf.ndim > 1]
    assert sorted(shapes, key=np.prod) == [
        (3, 3, 1, 32),
        (512, 10),
        (3, 3, 32, 32),
        (3, 3, 32, 64),
        (3, 3, 64, 64),
        (7 * 7 * 64, 512),
    ]


def begin() -> loop.Progress:
    return loop.beginning(NETWORK, (4, 5, 1), 1e-3, 5)


def train(progress, **changes):
    settings = replace(SETTINGS, **changes)
    return loop.train(settings, loop.cross_entropy_loss, TINY, progress)


def assert_same(found, expected):
    assert found.history == expected.history
    assert found.step == expected.step
    jax.tree.map(
        np.testing.assert_array_equal,
        (found.parameters, found.optimiser),
        (expected.parameters, expected.optimiser),
    )


def test_training_goes_on_from_any_step_bit_for_bit():
    *_, whole = train(begin())
    assert whole.step == 6  # two epochs of three batches
    for stop in (1, 2, 3, 5):
        *_, part = islice(train(begin()), stop)
        checkpoint = part.to_bytes()
        restored = loop.Progress.from_bytes(checkpoint, begin())
        assert_same(restored, part)
        *_, end = train(restored)
        assert_same(end, whole)


def test_metrics_are_of_every_step_and_every_epoch():
    *_, end = train(begin())
    found = [(each.is_test, each.epoch, each.step) for each in end.history]
    steps = [(False, 1 + step // 4, step) for step in (1, 2, 3)]
    later = [(False, 2, step) for step in (4, 5, 6)]
    assert found == [*steps, (True, 1, 3), *later, (True, 2, 6)]
    # The first are those of the network before its first step.
    batch = np.random.default_rng([5, 0]).permutation(13)[:4]
    logits = loop.predict(NETWORK, begin().parameters, TINY.x_train[batch], 4)
    odds = np.exp(logits - logits.max(1, keepdims=True))
    chances = (odds / odds.sum(1, keepdims=True))[range(4), TINY.y_train[batch]]
    np.testing.assert_allclose(
        end.history[0].cross_entropy, -np.log(chances).mean(), rtol=1e-5
    )
    right = np.mean(logits.argmax(1) == TINY.y_train[batch])
    assert end.history[0].accuracy == right


def test_every_epoch_has_its_own_order_of_all_images(monkeypatch):
    seen = []

    def update(parameters, optimiser, images, *rest, **settings):
        seen.append(
            [int(np.flatnonzero((TINY.x_train == x).all((1, 2, 3)))[0]) for x in images]
        )
        return parameters, optimiser, np.zeros((4, 3), "float32")

    monkeypatch.setattr(loop, "update", update)
    list(train(begin()))
    first, second = np.array(seen).reshape(2, 12)
    assert len(set(first)) == len(set(second)) == 12
    assert (first != second).any()


def test_predictions_do_not_depend_on_the_batches():
    logits = loop.predict(NETWORK, begin().parameters, TINY.x_train, 4)
    assert logits.shape == (13, 3)
    each = [
        loop.predict(NETWORK, begin().parameters, TINY.x_train[i : i + 1], 4)[0]
        for i in range(13)
    ]
    np.testing.assert_allclose(logits, each, atol=1e-6)


def test_a_broken_checkpoint_is_refused():
    content = begin().to_bytes()
    for broken in (b"", content[:-1000], content + b"\0", b"nonsense"):
        with pytest.raises(SoftSortError, match="not a checkpoint"):
            loop.Progress.from_bytes(broken, begin())
    other = begin()
    other.parameters = jax.tree.map(lambda leaf: leaf[..., None], other.parameters)
    with pytest.raises(SoftSortError, match="other shapes"):
        loop.Progress.from_bytes(content, other)


def test_training_that_diverges_says_so():
    with pytest.raises(SoftSortError, match=r"after step [23].*smaller learning rate"):
        list(train(begin(), learning_rate=1e30))


def test_a_batch_must_be_whole():
    with pytest.raises(SoftSortError, match=r"batch_size is 14.* 13 images"):
        list(train(begin(), batch_size=14))
