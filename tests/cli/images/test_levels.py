"""What black and white are, for noise and for scores."""

from pathlib import Path

import numpy as np
import pytest
import pyvips
import tifffile
from skimage.metrics import peak_signal_noise_ratio
from softsort_cli.images import comparison

RANDOM = np.random.default_rng(0)
pyvips.cache_set_max(0)  # it takes files of one name for one file


def vips(name: str) -> np.ndarray:
    return pyvips.Image.new_from_file(name).numpy()


@pytest.fixture
def only_medians(monkeypatch):
    """Compare without the filters that take longest."""
    monkeypatch.setattr(comparison, "_others", lambda _: {})


@pytest.mark.usefixtures("only_medians")
@pytest.mark.parametrize(
    ("most", "white", "tag"),
    [(1000, 1023, None), (4095, 4095, None), (200, 255, None), (1000, 1200, 1200)],
)
def test_white_is_what_the_bits_in_use_hold(on_images, most, white, tag):
    array = RANDOM.integers(0, most, (12, 16), np.uint16, endpoint=True)
    array[0, 0] = most
    extra = [(281, 3, 1, tag, True)] if tag else []
    tifffile.imwrite("a.tif", array, extratags=extra)
    code, _, err = on_images("noise", "a.tif", "--amount", "0.5", "-o", "b.tif")
    told = f"a.tif: white is taken to be {white}: --high says otherwise"
    assert (code, err.count("\n")) == (0, 1)
    assert told in err
    noisy = vips("b.tif")
    assert set(noisy[noisy != array].tolist()) <= {0, white}
    assert (noisy == white).any()
    code, out, err = on_images("compare", "a.tif", "--amount", "0.5", "-o", "c.png")
    assert told in err
    expected = peak_signal_noise_ratio(array, noisy, data_range=white)
    name, psnr, _ = out.splitlines()[1].split(",")
    assert name == "noisy"
    assert float(psnr) == pytest.approx(expected, abs=2e-3)


def test_black_and_white_can_be_told(on_images):
    array = RANDOM.integers(300, 900, (12, 16), np.uint16)
    tifffile.imwrite("a.tif", array)
    levels = "--low", "256", "--high", "1000"
    assert on_images("noise", "a.tif", *levels, "-o", "b.tif") == (0, "", "")
    noisy = vips("b.tif")
    assert set(noisy[noisy != array].tolist()) == {256, 1000}
    code, _, err = on_images(
        "noise", "a.tif", "--low", "9", "--high", "2", "-o", "c.tif"
    )
    assert code == 2
    assert "--low and --high: give a number for black and a larger one" in err
    assert not Path("c.tif").exists()


def test_the_range_of_all_bits_needs_no_word(on_images):
    array = RANDOM.integers(0, 2**16, (12, 16), np.uint16)
    tifffile.imwrite("a.tif", array)
    assert on_images("noise", "a.tif", "-o", "b.tif") == (0, "", "")
    noisy = vips("b.tif")
    assert set(noisy[noisy != array].tolist()) == {0, 2**16 - 1}


def test_pictures_smaller_than_windows_of_ssim_have_none(on_images):
    array = RANDOM.integers(0, 256, (6, 9), np.uint8)
    tifffile.imwrite("a.tif", array)
    code, out, err = on_images("compare", "a.tif", "-o", "c.png")
    assert (code, err) == (0, "")
    lines = out.splitlines()[1:]
    assert all(line.endswith(",") for line in lines)
    noisy = on_images("noise", "a.tif", "-o", "b.tif") and vips("b.tif")
    expected = peak_signal_noise_ratio(array, noisy)
    assert float(lines[0].split(",")[1]) == pytest.approx(expected, abs=2e-3)


def test_cmyk_is_not_compared_but_told_how(on_images):
    array = RANDOM.integers(0, 256, (9, 9, 4), np.uint8)
    tifffile.imwrite("a.tif", array, photometric="separated")
    code, _, err = on_images("compare", "a.tif", "-o", "c.png")
    assert code == 1
    assert "a.tif has 4 channels" in err
    assert "-colorspace sRGB" in err
