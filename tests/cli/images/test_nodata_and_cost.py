"""Pixels without data, and what filters take."""

from contextlib import contextmanager
from pathlib import Path

import matplotlib.cbook
import numpy as np
import PIL.Image
import pytest
import pyvips
import tifffile
from scipy.ndimage import generic_filter, median_filter
from softsort_cli import console
from softsort_cli.images import cost, denoising, size_buckets

RANDOM = np.random.default_rng(0)
VALUES = RANDOM.permutation(12 * 16).reshape(12, 16)
MISSING = RANDOM.random(VALUES.shape) < 0.2
HOLES = np.where(MISSING, np.nan, VALUES)
MEDIANS = generic_filter(HOLES, np.nanmedian, size=3)
pyvips.cache_set_max(0)  # it takes files of one name for one file


def vips(name: str) -> np.ndarray:
    return pyvips.Image.new_from_file(name).numpy()


@pytest.mark.parametrize("strips", [False, True])
def test_pixels_without_data_are_in_no_window_and_stay(on_images, monkeypatch, strips):
    if strips:
        monkeypatch.setattr("softsort_cli.images.tiff_streaming.fits", lambda *_: False)
    tifffile.imwrite("a.tif", HOLES.astype("float32"))
    code, _, err = on_images("denoise", "a.tif", "-o", "b.tif")
    assert code == 1
    assert "NaN or infinite" in err
    assert "--nodata keep" in err
    options = "denoise", "a.tif", "-e", "1e-6", "--nodata", "keep", "-o", "b.tif"
    assert on_images(*options) == (0, "", "")
    np.testing.assert_allclose(
        vips("b.tif"), np.where(MISSING, np.nan, MEDIANS), rtol=1e-5
    )


def test_values_that_stand_for_no_data(on_images):
    array = np.where(MISSING, -9999, VALUES).astype("int16")
    tag = (42113, 2, 0, "-9999", True)
    tifffile.imwrite("a.tif", array, extratags=[tag])
    tifffile.imwrite("plain.tif", array)
    hard = "denoise", "--hard"
    _, _, err = on_images(*hard, "a.tif", "-o", "0.tif")
    assert "says that -9999 is no data, which counts like the rest" in err
    assert on_images(*hard, "a.tif", "--nodata", "ignore", "-o", "1.tif")[2] == ""
    expected = median_filter(array, 3)
    for name in ("0.tif", "1.tif"):
        np.testing.assert_array_equal(vips(name), expected)
    assert on_images(*hard, "a.tif", "--nodata", "keep", "-o", "2.tif")[2] == ""
    assert on_images(*hard, "plain.tif", "--nodata", "-9999", "-o", "3.tif")[2] == ""
    soft = "denoise", "-e", "1e-6", "a.tif", "--nodata", "keep", "-o", "4.tif"
    assert on_images(*soft) == (0, "", "")
    for name in ("2.tif", "3.tif", "4.tif"):
        result = vips(name)
        assert (result[MISSING] == -9999).all()
        # Of an even number of values, the upper median, or what is between.
        assert np.abs(result - MEDIANS)[~MISSING].max() < np.ptp(VALUES) / 2
        odd = generic_filter(HOLES, lambda v: np.isfinite(v).sum() % 2, size=3) == 1
        np.testing.assert_array_equal(
            result[odd & ~MISSING], MEDIANS[odd & ~MISSING].astype(int)
        )
    assert on_images(*hard, "a.tif", "--nodata", "none", "-o", "5.tif")[0] == 2


@pytest.mark.parametrize("command", ["denoise", "compare"])
def test_hours_are_refused_before_they_begin(on_images, command):
    PIL.Image.fromarray(np.zeros((700, 700, 3), np.uint8)).save("a.png")
    code, out, err = on_images(command, "a.png", "--size", "999", "-o", "b.png")
    assert (code, out) == (1, "")
    assert "998,001 values around each of 1,470,000 take some" in err
    assert "hours; choose a smaller window" in err
    assert not Path("b.png").exists()


def test_minutes_are_told(on_images, monkeypatch):
    PIL.Image.fromarray(np.zeros((9, 9), np.uint8)).save("a.png")
    monkeypatch.setattr("softsort_cli.images.cost.VALUES_A_SECOND", 5)
    _, _, err = on_images("denoise", "--hard", "a.png", "-o", "b.png")
    assert (
        err == "softsort: note: a.png: 9 values around each of 81 take some 3 minutes\n"
    )


def test_small_images_of_all_sizes_share_few_programs():
    seen = set()

    def filtered(values):
        seen.add(values.shape)
        return values

    shared = size_buckets.shared(filtered, (7, 7), "reflect")
    for side in range(20, 200, 6):
        image = RANDOM.random((side, side + 5))
        np.testing.assert_array_equal(shared(image), image)
    assert len(seen) <= 3


@pytest.mark.parametrize(("side", "least"), [(64, 44), (128, 40), (400, 40)])
def test_colours_of_a_gif_are_near_to_those_of_the_picture(on_images, side, least):
    photo = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    image = PIL.Image.open(photo).convert("RGB").resize((side, side))
    image.quantize(256).save("a.gif")
    on_images("denoise", "--hard", "a.gif", "-o", "b.gif")
    on_images("denoise", "--hard", "a.gif", "-o", "b.png")
    written, exact = (
        np.asarray(PIL.Image.open(name).convert("RGB"), float)
        for name in ("b.gif", "b.png")
    )
    assert 10 * np.log10(255**2 / np.mean((written - exact) ** 2)) >= least


def test_long_work_is_told_strip_by_strip(on_images, monkeypatch):
    """A photograph is filtered in some strips, which show how far the work is."""
    pixels = np.random.default_rng(1).integers(0, 256, (120, 40), np.uint8)
    PIL.Image.fromarray(pixels).save("a.png")
    command = "denoise", "a.png", "--size", "3", "-o"
    assert on_images(*command, "whole.png") == (0, "", "")
    steps = []

    @contextmanager
    def progress(_label, total):
        yield lambda count: steps.append((count, total))

    monkeypatch.setattr(console, "progress", progress)
    monkeypatch.setattr(denoising, "STEP", 120 * 40 * 9 / cost.VALUES_A_SECOND / 4)
    assert on_images(*command, "strips.png") == (0, "", "")
    assert steps == 4 * [(30, 120)]
    with PIL.Image.open("whole.png") as whole, PIL.Image.open("strips.png") as strips:
        assert whole.tobytes() == strips.tobytes()
