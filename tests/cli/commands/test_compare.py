"""`compare`: the table against scikit-image, and the picture; windows of any kind."""

import io
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import polars as pl
import pytest
import tifffile
from scipy.ndimage import gaussian_filter, median_filter, percentile_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from softsort_cli.images import comparison, image_file, orientation, window
from softsort_cli.images.picture import Picture
from softsort_cli.options.images import Shape

RANDOM = np.random.default_rng(0)
NOISE = ("--amount", "0.2", "--seed", "3")
# As large as a small tile of every filter leaves it, with what is around it.
SHAPE = 24, 28


def smooth(*shape: int) -> np.ndarray:
    values = gaussian_filter(RANDOM.normal(size=shape), (3, 3, 0)[: len(shape)])
    return (values - values.min()) / np.ptp(values)


@pytest.fixture
def only_medians(monkeypatch):
    """Leave out the filters that tell noise from the picture, and take longest."""
    monkeypatch.setattr(comparison, "_others", lambda _: {})


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_the_table_is_that_of_scikit_image(on_images, dtype, request):
    is_whole = dtype == "uint8"
    if not is_whole:
        request.getfixturevalue("only_medians")
    white = {"uint8": 255, "uint16": 65535, "float32": 1}[dtype]
    original = (smooth(*SHAPE, 3) * white).astype(dtype)
    tifffile.imwrite("a.tif", original, photometric="rgb")
    code, out, err = on_images("compare", "a.tif", "--epsilons", "0.02,0.3", *NOISE)
    assert (code, err) == (0, "")
    table = pl.read_csv(io.StringIO(out))
    assert table.columns == ["picture", "psnr", "ssim"]
    names = ["noisy", "median", "soft median (epsilon 0.02)"]
    names += ["soft median (epsilon 0.3)", "mean"]
    if is_whole:
        names += ["keep", "auto", "total variation", "non-local means"]
    assert table["picture"].to_list() == names
    on_images("noise", "a.tif", *NOISE, "-o", "noisy.tif")
    on_images("denoise", "--hard", "noisy.tif", "-o", "median.tif")
    on_images("denoise", "-e", "0.3", "noisy.tif", "-o", "soft.tif")
    rows = [(0, "noisy"), (1, "median"), (3, "soft")]
    if is_whole:
        on_images("denoise", "--method", "keep", "noisy.tif", "-o", "keep.tif")
        rows.append((5, "keep"))
    for row, name in rows:
        image = tifffile.imread(f"{name}.tif")
        _, psnr, ssim = table.row(row)
        settings = {"data_range": np.ptp(original) if white == 1 else white}
        expected = peak_signal_noise_ratio(original, image, **settings)
        assert psnr == pytest.approx(expected, abs=2e-3)
        expected = structural_similarity(original, image, channel_axis=2, **settings)
        assert ssim == pytest.approx(expected, abs=1e-4)


@pytest.mark.usefixtures("only_medians")
@pytest.mark.parametrize("extension", ["png", "jpg", "pdf", "svg"])
def test_the_picture(on_images, extension):
    PIL.Image.fromarray((smooth(48, 64) * 255).astype(np.uint8)).save("a.png")
    output = f"b.{extension}"
    assert on_images("compare", "a.png", "--epsilons", "0.1", "-o", output)[0] == 0
    if extension == "png":
        shown = np.asarray(PIL.Image.open(output).convert("L"))
        assert shown.shape[1] > 1800
        # Grey on white, in three columns of which the last lacks its lower panel.
        assert (shown[:, -200:] < 250).sum() < (shown[:, 200:400] < 250).sum()
    assert Path(output).stat().st_size > 5000


def test_several_noises_have_a_row_each(on_images):
    PIL.Image.fromarray((smooth(*SHAPE) * 255).astype(np.uint8)).save("a.png")
    noises = "salt-and-pepper:0.2,gaussian:0.1"
    code, out, _ = on_images(
        "compare", "a.png", "--epsilons", "0.1", "--noises", noises
    )
    table = pl.read_csv(io.StringIO(out))
    assert (code, table.columns) == (0, ["noise", "picture", "psnr", "ssim"])
    kinds = ["salt-and-pepper 0.2", "gaussian 0.1"]
    assert table["noise"].unique(maintain_order=True).to_list() == kinds
    psnr = {(noise, name): value for noise, name, value, _ in table.rows()}
    for kind, method in zip(kinds, ("keep", "auto"), strict=True):
        assert psnr[kind, method] > psnr[kind, "noisy"] + 5
    shown = np.asarray(PIL.Image.open("a_compare.png"))
    assert shown.shape[1] > 3 * shown.shape[0]


@pytest.mark.parametrize("turn", [None, 0, *range(1, 9), 99])
def test_pictures_are_upright(on_images, turn):
    exif = PIL.Image.Exif()
    exif[271] = "camera"
    if turn is not None:
        exif[274] = turn
    PIL.Image.fromarray(RANDOM.integers(0, 256, (4, 3, 3), np.uint8)).save(
        "a.png", exif=exif
    )
    with PIL.Image.open("a.png") as image:
        expected = np.asarray(PIL.ImageOps.exif_transpose(image))
    picture = image_file.read(Path("a.png"))
    found = orientation.upright(picture.frames[0], orientation.of(picture))
    np.testing.assert_array_equal(found, expected)


def test_broken_exif_does_not_matter(tmp_path):
    picture = Picture("a.png", "PNG", [], metadata={"exif": b"broken"})
    assert orientation.of(picture) == 1


@pytest.mark.parametrize("shape", [(400, 2), (2, 400)])
def test_pictures_of_long_images_are_not_huge(shape):
    panel = comparison.Panel("original", np.zeros(shape, np.uint8))
    picture = PIL.Image.open(io.BytesIO(comparison.drawn([panel] * 4, (0, 1), ".png")))
    assert picture.width / 8 < picture.height < 2 * picture.width


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["flat.tif"], 1, "flat.tif has one value everywhere"),
        (["a.png", "-o", "a.gif"], 2, "name it .png, .jpg, .pdf, .svg"),
        (["a.png", "-o", "-"], 2, "name the picture with -o"),
        (["a.png", "--epsilons", "0.1,x"], 2, "give positive numbers"),
        (["a.png", "--epsilons", "0"], 2, "give positive numbers"),
        (["a.png", "--noises", "rain:0.1"], 2, "salt-and-pepper, gaussian, speckle"),
        (["a.png", "--noises", "gaussian"], 2, "--noises 'gaussian'"),
        (["a.png", "--size", "2"], 2, "--size '2'"),
        (["cmyk.tif"], 1, "4 channels"),
        (["a.png", "-o", "a.png"], 1, "a.png exists"),
        (["b.png"], 1, "cannot read b.png"),
    ],
)
def test_what_compare_refuses(on_images, arguments, code, message):
    PIL.Image.fromarray(np.zeros((9, 9), np.uint8)).save("a.png")
    tifffile.imwrite("cmyk.tif", np.zeros((9, 9, 4), np.uint8), photometric="separated")
    tifffile.imwrite("flat.tif", np.full((9, 9), 7, np.float32))
    got, _, err = on_images("compare", *arguments)
    assert (got, message in err, err.count("\n")) == (code, True, 1)


DISK = np.array(
    [
        [0, 0, 1, 0, 0],
        [0, 1, 1, 1, 0],
        [1, 1, 1, 1, 1],
        [0, 1, 1, 1, 0],
        [0, 0, 1, 0, 0],
    ],
    bool,
)


def test_windows_of_any_kind(tmp_path):
    found = window.read(Shape(footprint="disk:2"))
    np.testing.assert_array_equal(found.footprint, DISK)
    text, image = tmp_path / "disk.csv", tmp_path / "disk.png"
    np.savetxt(text, DISK, fmt="%d", delimiter=",")
    PIL.Image.fromarray(DISK.astype(np.uint8) * 255).save(image)
    for path in (text, image):
        found = window.read(Shape(footprint=str(path)))
        np.testing.assert_array_equal(found.footprint, DISK)
        assert found.size == (5, 5)
        assert window.read(Shape(weights=str(path))).size == (5, 5)
    found = window.read(Shape(size="5x3", weights="gaussian:1.5"))
    impulse = np.zeros((31, 31))
    impulse[15, 15] = 1
    expected = gaussian_filter(impulse, 1.5, truncate=9)[14:17, 13:18]
    np.testing.assert_allclose(
        found.weights / found.weights[1, 2], expected / expected[1, 2], atol=1e-6
    )
    assert window.read(Shape(weights="gaussian:1")).size == (5, 5)
    assert window.read(Shape()) == window.Window((3, 3))


def test_footprints_reach_the_filters(on_images):
    array = RANDOM.integers(0, 256, (48, 64, 3), np.uint8)
    PIL.Image.fromarray(array).save("a.png")
    disk = ("--footprint", "disk:2")
    mask = DISK[..., None]
    on_images("denoise", "--hard", "a.png", *disk)
    expected = median_filter(array, footprint=mask)
    np.testing.assert_array_equal(np.asarray(PIL.Image.open("a_soft.png")), expected)
    on_images("denoise", "--hard", "a.png", *disk, "--quantile", "0.3", "-o", "b.png")
    expected = percentile_filter(array, 30, footprint=mask)
    np.testing.assert_array_equal(np.asarray(PIL.Image.open("b.png")), expected)
    on_images("denoise", "a.png", *disk, "-e", "1e-4", "-o", "c.png")
    soft = np.asarray(PIL.Image.open("c.png")).astype(int)
    assert np.abs(soft - median_filter(array, footprint=mask)).mean() < 0.1
    # Nearly all weight on the centre: nothing changes.
    on_images("denoise", "a.png", "--weights", "gaussian:0.2", "-o", "d.png")
    soft = np.asarray(PIL.Image.open("d.png")).astype(int)
    assert np.abs(soft - array).max() <= 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--footprint", "disk:0"], 2, "no positive number"),
        (["--footprint", "disk:1000000"], 2, "more than 10,000,000 pixels"),
        (["--weights", "gaussian:x"], 2, "no positive number"),
        (["--weights", "gaussian:1e6"], 2, "more than 10,000,000 pixels"),
        (["--weights", "gaussian:1e308"], 2, "more than 10,000,000 pixels"),
        (["--footprint", "disk:2", "--size", "3"], 2, "5x5 pixels, not 3x3"),
        (["--footprint", "none.txt"], 1, "cannot read none.txt"),
        (["--footprint", "even.txt"], 1, "even.txt has 2x1 values: give odd sides"),
        (["--weights", "text.txt"], 1, "no table of numbers"),
        (["--weights", "negative.txt"], 1, "needs numbers from 0"),
        (["--weights", "gaussian:1", "--hard"], 2, "the exact filter has none"),
    ],
)
def test_windows_that_are_refused(on_images, arguments, code, message):
    PIL.Image.fromarray(np.zeros((9, 9), np.uint8)).save("a.png")
    Path("even.txt").write_text("1 2")
    Path("text.txt").write_text("a b c")
    Path("negative.txt").write_text("1 -2 1")
    got, _, err = on_images("denoise", "a.png", *arguments)
    assert (got, message in err, err.count("\n")) == (code, True, 1)
