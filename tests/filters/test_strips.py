"""Images filtered strip by strip."""

import numpy as np
import pytest
from softsort_filters import soft_quantile_filter, soft_quantile_strips
from softsort_filters.strips import _BYTES_A_TILE, _BYTES_A_VALUE

from softsort_core import SoftSortError

IMAGE = np.random.default_rng(0).uniform(size=(41, 19)).astype("float32")
DISK = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)


class Reader:
    """Remembers the most rows it gave at once."""

    def __init__(self, image):
        self.image, self.shape, self.most = image, image.shape, 0

    def __getitem__(self, rows):
        part = self.image[rows]
        self.most = max(self.most, len(part))
        return part


def memory_for(image, rows):
    return _BYTES_A_TILE + rows * int(np.prod(image.shape[1:])) * _BYTES_A_VALUE


@pytest.mark.parametrize(
    ("border", "options"),
    [
        ("reflect", {"size": 3}),
        ("wrap", {"size": (5, 3), "iterations": 2, "q": 0.3}),
        ("nearest", {"size": (5, 3), "iterations": 2, "q": 0.3}),
        ("constant", {"footprint": DISK}),
        ("mirror", {"size": 7, "epsilon": 0.1}),
    ],
)
def test_strips_are_bit_by_bit_the_whole(border, options):
    expected = soft_quantile_filter(IMAGE, border=border, cval=0.5, **options)
    reader = Reader(IMAGE)
    found, stops = [], [0]
    for rows, values in soft_quantile_strips(
        reader, border=border, cval=0.5, memory=memory_for(IMAGE, 16), **options
    ):
        assert rows.start == stops[-1]
        stops.append(rows.stop)
        found.append(values)
    assert len(found) > 2
    assert reader.most <= 16
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_colours_and_memory_maps(tmp_path):
    image = np.random.default_rng(1).integers(0, 256, (41, 12, 3)).astype("uint8")
    np.save(tmp_path / "image.npy", image)
    mapped = np.load(tmp_path / "image.npy", mmap_mode="r")
    strips = soft_quantile_strips(mapped, memory=memory_for(image, 16))
    found = np.concatenate([values for _, values in strips])
    np.testing.assert_array_equal(found, soft_quantile_filter(image))


def test_an_image_that_fits_is_one_strip():
    ((rows, values),) = soft_quantile_strips(IMAGE)
    assert (rows, values.shape) == (slice(0, 41), IMAGE.shape)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"memory": 1000}, ["memory", "1000", str(memory_for(IMAGE, 3))]),
        ({"size": 2}, ["size", "odd"]),
        ({"border": "none"}, ["border", "none", "mirror"]),
        ({"image": np.zeros(3)}, ["image", "(3,)", "height"]),
        ({"iterations": 0}, ["iterations", "0", "positive"]),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_errors_name_the_argument_the_value_and_the_remedy(arguments, words):
    with pytest.raises(SoftSortError) as caught:
        soft_quantile_strips(**{"image": IMAGE, **arguments})
    for word in words:
        assert word in str(caught.value)
