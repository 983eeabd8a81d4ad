"""Windows that reach through the pages of an image."""

import numpy as np
import PIL.Image
import pytest
import pyvips
import tifffile
from scipy.ndimage import median_filter

VOLUME = np.random.default_rng(0).integers(0, 2**16, (4, 9, 11), np.uint16)
COLOURS = np.random.default_rng(1).integers(0, 256, (3, 16, 17, 3), np.uint8)
pyvips.cache_set_max(0)  # it takes files of one name for one file


def vips(name: str) -> np.ndarray:
    return pyvips.Image.new_from_file(name, n=-1).numpy()


@pytest.mark.parametrize("options", [["--hard"], ["-e", "1e-7"]])
def test_pages_are_filtered_through_each_other(on_images, options):
    tifffile.imwrite("a.tif", VOLUME, photometric="minisblack")
    command = "denoise", "a.tif", "--size", "3x5x3", *options, "-o", "b.tif"
    assert on_images(*command) == (0, "", "")
    expected = median_filter(VOLUME, (3, 5, 3))
    np.testing.assert_array_equal(vips("b.tif"), expected.reshape(-1, 11))
    if options == ["--hard"]:
        tifffile.imwrite("c.tif", COLOURS, photometric="rgb")
        on_images("denoise", "c.tif", "--size", "3x3x3", *options, "-o", "d.tif")
        expected = median_filter(COLOURS, (3, 3, 3, 1))
        np.testing.assert_array_equal(vips("d.tif"), expected.reshape(-1, 17, 3))


def test_windows_of_pages_need_pages_that_are_alike(on_images):
    with tifffile.TiffWriter("a.tif") as file:
        for page in (VOLUME[0], VOLUME[1, 1:]):
            file.write(page)
    frames = [PIL.Image.new("LA", (5, 5), (i, 100)) for i in range(2)]
    frames[0].save("a.png", save_all=True, append_images=frames[1:])
    for name in ("a.tif", "a.png"):
        code, _, err = on_images("denoise", "--hard", "--size", "3x3x3", name)
        assert code == 1
        assert f"{name}: windows of several pages need pages of one size" in err


@pytest.mark.parametrize(
    "options",
    [["-e", "auto"], ["--nodata", "keep"], ["--method", "keep"], ["--size", "3x3x2"]],
)
def test_windows_of_pages_are_plain_ones(on_images, options):
    tifffile.imwrite("a.tif", VOLUME, photometric="minisblack")
    code, _, err = on_images("denoise", "a.tif", "--size", "3x3x3", *options)
    assert code == 2
    assert err.count("\n") == 1


@pytest.mark.parametrize("shape", [(3, 6, 7), (3, 6, 7, 3), (2, 3, 6, 7)])
def test_small_pages_are_where_readers_look_for_them(on_images, shape):
    """Some take pages for one block if their description says the shape of all."""
    array = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    kind = "rgb" if shape[-1] == 3 else "minisblack"
    tifffile.imwrite("a.tif", array, photometric=kind)
    code, _, err = on_images("denoise", "--hard", "--size", "1", "a.tif", "-o", "b.tif")
    assert code == 0
    assert "a.tif: its description, the shape of all pages, is left out" in err
    pages = array.reshape(-1, *shape[-3 if kind == "rgb" else -2 :])
    np.testing.assert_array_equal(tifffile.imread("b.tif"), pages)
