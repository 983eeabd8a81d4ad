"""Images and labels to learn from: digits that ship with scikit-learn, IDX, .npz."""

import gzip
import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from softsort_cli.work import manifest
from softsort_core import SoftSortError

LEAST_SIDE = 4  # pixels; the network halves an image twice
_TEST_SHARE = 0.2  # of the digits
_CLASSES = 10  # of digits
_MAGIC = {1: 0x0801, 3: 0x0803}  # unsigned bytes along so many axes
_IDX_FILES = {
    "x_train": ("train-images", 3),
    "y_train": ("train-labels", 1),
    "x_test": ("t10k-images", 3),
    "y_test": ("t10k-labels", 1),
}


class Data(NamedTuple):
    """Images in any unit, their labels from 0, and the number of classes."""

    x_train: Shaped[np.ndarray, "train h w c"]
    y_train: Int[np.ndarray, " train"]
    x_test: Shaped[np.ndarray, "test h w c"]
    y_test: Int[np.ndarray, " test"]
    classes: int

    def fingerprint(self) -> int:
        """Return a number that tells these data from others."""
        return manifest.fingerprint(self[:4])


def digits() -> Data:
    """Return 1,797 handwritten digits of 8x8 pixels, a fifth of them to test on."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    # Neighbours are of one hand, so the split is drawn. It is always the same.
    order = np.random.default_rng(0).permutation(len(labels))
    images = images.reshape(-1, 8, 8, 1)[order].astype(np.float32)
    labels = labels[order].astype(np.int32)
    tested = round(_TEST_SHARE * len(labels))
    train, test = slice(tested, None), slice(tested)
    return Data(images[train], labels[train], images[test], labels[test], _CLASSES)


def read(path: Path) -> Data:
    """Read a folder of the four IDX files of MNIST, or an .npz file.

    The arrays of an .npz file are x_train, y_train, x_test and y_test: images of shape
    (n, h, w) or (n, h, w, c), and labels from 0. Files of a folder may be compressed by
    gzip, and have ten classes.

    Raises:
        SoftSortError: the data cannot be read or used.
    """
    if path.is_dir():
        arrays = {
            name: read_idx(_idx_path(path, stem, axes), axes)
            for name, (stem, axes) in _IDX_FILES.items()
        }
        return _checked(str(path), arrays, _CLASSES)
    arrays = _read_npz(path)
    if missing := [name for name in _IDX_FILES if name not in arrays]:
        raise SoftSortError(
            f"{path} has no array {', '.join(missing)}: it needs "
            f"{', '.join(_IDX_FILES)}, and has {', '.join(arrays) or 'none'}"
        )
    return _checked(str(path), arrays)


def read_images(path: Path) -> Shaped[np.ndarray, "n h w c"]:
    """Read images alone: the array `images`, or x_test, or the only one of an .npz.

    Raises:
        SoftSortError: they cannot be read or used.
    """
    arrays = _read_npz(path)
    known = [name for name in ("images", "x_test") if name in arrays]
    names = known or list(arrays)
    if not known and len(names) != 1:
        raise SoftSortError(
            f"{path} has the arrays {', '.join(arrays) or 'none'}: name one of them "
            "images"
        )
    return _as_images(arrays[names[0]], f"{path}, {names[0]}")


def read_idx(path: Path, axes: int) -> Shaped[np.ndarray, "..."]:
    """Read an array of bytes in MNIST's file format, compressed by gzip or not.

    The format: a magic number, the sizes, both big-endian in 32 bits, and the values.

    Raises:
        SoftSortError: it is not such a file, or has too few or too many bytes.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SoftSortError(f"cannot read {path}: {error.strerror}") from error
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise SoftSortError(
                f"{path} is not whole gzip data ({error}): fetch it again"
            ) from error
    start = 4 + 4 * axes
    if len(content) < start:
        raise SoftSortError(
            f"{path} ends after {len(content)} bytes, within its header: fetch it again"
        )
    magic, *shape = struct.unpack(f">{1 + axes}I", content[:start])
    if magic != _MAGIC[axes]:
        raise SoftSortError(
            f"{path} begins with {magic:#010x} instead of the magic number "
            f"{_MAGIC[axes]:#010x}: it is not an IDX file of bytes on {axes} axes"
        )
    size = math.prod(shape)
    if len(content) != start + size:
        sides = " x ".join(map(str, shape))
        raise SoftSortError(
            f"{path} has {len(content) - start} bytes behind its header, which "
            f"promises {sides} = {size}: fetch it again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _idx_path(folder: Path, stem: str, axes: int) -> Path:
    names = [f"{stem}{dot}idx{axes}-ubyte{gz}" for dot in "-." for gz in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise SoftSortError(f"{folder} has no file {names[0]} or {names[1]}")


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                raise ValueError("it holds a single array without a name")
            return {name: loaded[name] for name in loaded.files}
    except OSError as error:
        reason = error.strerror or str(error)
        raise SoftSortError(f"cannot read {path}: {reason}") from error
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise SoftSortError(
            f"{path} is not an .npz file of numbers, as numpy.savez writes: {error}"
        ) from error


def _checked(
    source: str, arrays: dict[str, np.ndarray], classes: int | None = None
) -> Data:
    """The data, once they can be used. By default the labels tell how many classes."""
    x_train, x_test = (
        _as_images(arrays[name], f"{source}, {name}") for name in ("x_train", "x_test")
    )
    if x_train.shape[1:] != x_test.shape[1:]:
        raise SoftSortError(
            f"{source}: x_train has images of shape {x_train.shape[1:]}, x_test of "
            f"{x_test.shape[1:]}: give them one shape"
        )
    if classes is None and np.size(arrays["y_train"]):
        classes = _class_count(arrays["y_train"], f"{source}, y_train")
    y_train, y_test = (
        _as_labels(arrays[name], len(images), classes or 0, f"{source}, {name}")
        for name, images in (("y_train", x_train), ("y_test", x_test))
    )
    return Data(x_train, y_train, x_test, y_test, classes or 0)


def _as_images(array: np.ndarray, name: str) -> Shaped[np.ndarray, "n h w c"]:
    images = array[..., None] if array.ndim == 3 else array
    if images.ndim != 4 or 0 in images.shape:
        raise SoftSortError(
            f"{name} has shape {array.shape}: give (n, h, w) or (n, h, w, c)"
        )
    if min(images.shape[1:3]) < LEAST_SIDE:
        raise SoftSortError(
            f"{name} has images of {images.shape[1]} x {images.shape[2]} pixels: give "
            f"{LEAST_SIDE} x {LEAST_SIDE} at least"
        )
    if images.dtype.kind not in "biuf":
        raise SoftSortError(f"{name} has dtype {images.dtype}: give real numbers")
    if images.dtype.itemsize > 2:
        with np.errstate(over="ignore"):
            images = images.astype(np.float32)
    if not np.isfinite(images).all():
        raise SoftSortError(f"{name} has pixels that are not finite as float32")
    return images


def _class_count(labels: np.ndarray, name: str) -> int:
    """As many classes as the labels name, if that is a plausible number."""
    classes = int(labels.max()) + 1 if labels.dtype.kind in "iu" else 0
    if classes > labels.size:
        raise SoftSortError(
            f"{name} has label {classes - 1} among {labels.size} images: number the "
            "classes 0, 1, 2, ..."
        )
    return max(classes, 2)


def _as_labels(
    labels: np.ndarray, count: int, classes: int, name: str
) -> Int[np.ndarray, " n"]:
    if labels.shape != (count,):
        raise SoftSortError(
            f"{name} has shape {labels.shape}: give one label for each of the {count} "
            "images"
        )
    if labels.dtype.kind not in "iu":
        raise SoftSortError(f"{name} has dtype {labels.dtype}: give whole numbers")
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if wrong.size:
        raise SoftSortError(
            f"{name}[{wrong[0]}] is {labels[wrong[0]]}: labels go from 0 to "
            f"{classes - 1}"
        )
    return labels.astype(np.int32)
