"""`denoise` and `noise`: what they do to pixels, many files, and broken ones."""

import os
import struct
import sys
import zlib
from io import BytesIO, TextIOWrapper
from pathlib import Path

import jax
import matplotlib.cbook
import numpy as np
import PIL.Image
import pytest
import softsort_filters
import tifffile
from scipy.ndimage import median_filter, percentile_filter
from softsort_cli.images import exact, size_buckets
from softsort_cli.io import files

PHOTO = Path(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (12, 10), np.uint8)
RGB = RANDOM.integers(0, 256, (12, 10, 3), np.uint8)
RGBA = RANDOM.integers(0, 256, (12, 10, 4), np.uint8)
HARD = ("denoise", "--hard")
OTHERS = "softsort: note: in: not taken are 1 .txt\n"


def save(name: str, pixels: np.ndarray, **settings) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path, **settings)
    return path


def load(name) -> np.ndarray:
    return np.asarray(PIL.Image.open(name))


def test_exact_filters_are_those_of_scipy(on_images):
    save("a.png", RGB)
    on_images(*HARD, "a.png", "--size", "5x3", "--border", "wrap")
    expected = median_filter(RGB, size=(3, 5, 1), mode="wrap")
    np.testing.assert_array_equal(load("a_soft.png"), expected)
    on_images(*HARD, "a.png", "--quantile", "0.2", "-o", "low.png")
    expected = percentile_filter(RGB, 20, size=(3, 3, 1))
    np.testing.assert_array_equal(load("low.png"), expected)
    on_images(*HARD, "a.png", "--iterations", "2", "-o", "twice.png")
    expected = median_filter(median_filter(RGB, size=(3, 3, 1)), size=(3, 3, 1))
    np.testing.assert_array_equal(load("twice.png"), expected)


@pytest.mark.parametrize("border", ["reflect", "wrap"])
def test_soft_filters_are_those_of_the_library(on_images, border):
    save("a.png", RGB)
    code, _, err = on_images(
        "denoise", "a.png", "--size", "3x5", "-e", "0.05", "--border", border
    )
    assert (code, err) == (0, "")
    unit = RGB.astype(np.float32) / 255
    soft = softsort_filters.soft_quantile_filter(
        unit, size=(5, 3), epsilon=0.05, border=border
    )
    expected = np.rint(np.asarray(soft) * 255).astype(np.uint8)
    # Compiled for another shape, the last bit of a float may round another way.
    difference = np.abs(load("a_soft.png").astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


def test_keep_changes_only_what_is_likely_noise(on_images):
    pixels = np.tile(np.arange(10, 30, dtype=np.uint8) * 5, (16, 1))
    noisy = pixels.copy()
    noisy[4, 5], noisy[9, 12] = 255, 0
    save("a.png", noisy)
    assert on_images("denoise", "a.png", "--method", "keep")[0] == 0
    difference = np.abs(load("a_soft.png").astype(int) - pixels)
    assert difference.max() <= 6
    code, _, err = on_images("denoise", "a.png", "--method", "keep", "--hard")
    assert code == 2
    assert "--method keep" in err
    code, _, err = on_images("denoise", "a.png", "--method", "keep", "--size", "1x1")
    assert (code, "give a --size above 1" in err) == (2, True)
    options = "--method", "auto", "--border", "constant"
    code, _, err = on_images("denoise", "a.png", *options, "--force")
    assert code == 2
    assert "--border" in err


def test_auto_takes_out_the_noise_of_all_pixels(on_images):
    clean = np.full((24, 28, 3), 120.0)
    clean[:, 14:] = 60, 90, 200
    rng = np.random.default_rng(0)
    noisy = clean + 10 * rng.normal(size=clean.shape)
    noisy[rng.uniform(size=clean.shape) < 0.05] = 255
    save("a.png", noisy.round().clip(0, 255).astype(np.uint8))
    assert on_images("denoise", "a.png", "--method", "auto")[0] == 0
    assert np.abs(load("a_soft.png") - clean).mean() < 3


@pytest.mark.parametrize("border", size_buckets.PAD_MODES)
@pytest.mark.parametrize("shape", [(37, 20), (16, 33, 3), (3, 2), (1, 1), (65, 128)])
def test_padding_does_not_show(border, shape):
    image = RANDOM.normal(size=shape)
    seen = set()

    def filtered(values):
        seen.add(values.shape[:2])
        window = (5, 7) + (1,) * (values.ndim - 2)
        return median_filter(values, size=window, mode=border)

    result = size_buckets.shared(filtered, (5, 7), border)(image)
    np.testing.assert_array_equal(result, filtered(image))
    padded = max(seen)
    assert all(side % 16 == 0 for side in padded)


def test_similar_sizes_share_a_program():
    seen = set()

    def filtered(values):
        seen.add(values.shape)
        return values

    shared = size_buckets.shared(filtered, (3, 3), "reflect")
    for side in range(3000, 4000, 7):
        assert shared(np.zeros((side, 5))).shape == (side, 5)
    assert len(seen) <= 6


def test_programs_of_many_sizes_make_place_for_others(monkeypatch):
    monkeypatch.setattr(size_buckets, "MOST", 2)
    kept, most = set(), 0
    monkeypatch.setattr(jax, "clear_caches", kept.clear)

    def filtered(values):
        nonlocal most
        kept.add(values.shape)
        most = max(most, len(kept))
        return values

    shared = size_buckets.shared(filtered, (3, 3), "reflect")
    for side in (100, 200, 300, 400, 100, 500):
        assert shared(np.zeros((side, 5))).shape == (side, 5)
    assert (most, len(kept)) == (2, 2)


@pytest.mark.parametrize(
    "mode", [(), ("--hard",), ("--size", "5", "--iterations", "2")]
)
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_what_cannot_be_seen_adds_no_colour(on_images, mode, name):
    pixels = np.zeros((12, 40, 4), np.uint8)
    pixels[:4] = 0, 255, 0, 0
    pixels[6] = 200, 100, 30, 255
    pixels[6, ::2] = 30, 100, 200, 255
    pixels[6, 20:] = 250, 100, 40, 200
    save("a.png", pixels)
    pixels[..., :3] = np.rint(pixels[..., :3] * (pixels[..., 3:] / 255))
    settings = {"photometric": "rgb", "extrasamples": ["assocalpha"]}
    tifffile.imwrite("a.tif", pixels, **settings)
    assert on_images("denoise", name, *mode, "-o", f"b{name[1:]}") == (0, "", "")
    png = name == "a.png"
    result = (load("b.png") if png else tifffile.imread("b.tif")).astype(int)
    np.testing.assert_array_equal(result[..., 3], pixels[..., 3])
    line = result[6, :, :3] * (1 if png else 255 / result[6, :, 3:])
    assert (np.abs(line[:, 1] - 100) <= 0.7).all()
    assert (np.abs(line[25:] - [250, 100, 40]) <= 0.7).all()
    assert (line[:, 0] >= 30).all()
    assert (line[:, 2] <= 200).all()


def test_pixels_that_did_not_converge_are_an_error(on_images, monkeypatch):
    save("a.png", GREY)

    def fail(image, **_):
        return np.where(image > 0.5, np.nan, image)

    monkeypatch.setattr(exact, "quantile_filter", fail)
    code, _, err = on_images(*HARD, "a.png")
    assert code == 1
    count = int((GREY > 127).sum())
    assert f"did not converge at epsilon 0.01 for {count} of 120 values" in err
    assert "--precision 64" in err
    assert not Path("a_soft.png").exists()


@pytest.mark.parametrize(
    "command",
    [
        HARD,
        ("noise",),
        ("noise", "--kind", "gaussian"),
        ("noise", "--kind", "speckle"),
        ("compare",),
    ],
)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_an_error(on_images, command, value):
    tifffile.imwrite("a.tif", np.array([[1, value], [value, 2]], np.float32))
    code, _, err = on_images(*command, "a.tif")
    assert (code, made()) == (1, {"a.tif"})
    assert "a.tif has 2 values that are NaN or infinite: replace them first" in err


def test_standard_input_and_output(on_images, monkeypatch, tmp_path):
    buffer = BytesIO()
    PIL.Image.fromarray(RGB).save(buffer, "WEBP", lossless=True)
    buffer.seek(0)
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(buffer))
    with Path("out").open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert on_images(*HARD, "-")[0] == 0
    np.testing.assert_array_equal(load("out"), median_filter(RGB, size=(3, 3, 1)))


def tree() -> None:
    for name in ("in/a.png", "in/deep/b.png", "in/deep/er/c.png", "in/.hidden.png"):
        save(name, GREY)
    Path("in/notes.txt").write_text("not an image")


def made(folder: str = ".") -> set[str]:
    return {str(path) for path in Path(folder).rglob("*") if path.is_file()}


def test_folders_are_mirrored(on_images):
    tree()
    code, out, err = on_images(*HARD, "-r", "in", "--out-dir", "out")
    assert (code, out, err) == (0, "", OTHERS)
    assert made("out") == {"out/a.png", "out/deep/b.png", "out/deep/er/c.png"}
    code, _, err = on_images(*HARD, "-r", "in", "--out-dir", "out")
    assert code == 1
    assert err.count("exists: name another output, or --force") == 3
    assert on_images(*HARD, "-r", "in", "--out-dir", "out", "--force")[0] == 0
    Path("out/a.png").unlink()
    kept = Path("out/deep/b.png").stat().st_mtime_ns
    again = [*HARD, "-r", "in", "--out-dir", "out", "--skip-existing"]
    assert on_images(*again)[0] == 0
    assert Path("out/a.png").exists()
    assert Path("out/deep/b.png").stat().st_mtime_ns == kept
    assert "all images are done already" in on_images(*again)[2]


def test_an_output_that_exists_can_be_skipped(on_images):
    save("a.png", GREY)
    again = (*HARD, "a.png", "-o", "b.png", "--skip-existing")
    assert on_images(*again) == (0, "", "")
    before = Path("b.png").stat().st_mtime_ns
    code, _, err = on_images(*again)
    assert code == 0
    assert "all images are done already" in err
    assert Path("b.png").stat().st_mtime_ns == before


def test_outputs_in_a_folder_are_not_inputs(on_images):
    tree()
    assert on_images(*HARD, "-r", "in")[0] == 0
    first = made()
    assert "in/deep/b_soft.png" in first
    assert on_images(*HARD, "-r", "in", "--skip-existing")[0] == 0
    assert made() == first
    assert on_images(*HARD, "-r", "in", "--out-dir", "in/out", "--dry-run")[0] == 0
    assert on_images(*HARD, "-r", ".", "--out-dir", "out")[0] == 0
    second = made()
    assert on_images(*HARD, "-r", ".", "--out-dir", "out", "--force")[0] == 0
    assert made() == second


def test_a_folder_can_be_filtered_in_place(on_images):
    tree()
    code, _, err = on_images(*HARD, "-r", "in", "--out-dir", "in")
    assert code == 1
    assert err.count("exists: name another output, or --force") == 3
    before = made()
    assert on_images(*HARD, "-r", "in", "--out-dir", "in", "--force")[0] == 0
    assert made() == before
    np.testing.assert_array_equal(load("in/deep/b.png"), median_filter(GREY, 3))
    # What lies in a folder that is searched is no output, whatever is above it.
    code, out, _ = on_images(*HARD, "-r", "in/deep", "--out-dir", "in", "--dry-run")
    assert out.splitlines()[0] == "in/deep/b.png -> in/b.png"


def test_patterns(on_images):
    tree()
    assert on_images(*HARD, "in/**/[bc].png", "--out-dir", "out")[0] == 0
    assert made("out") == {"out/deep/b.png", "out/deep/er/c.png"}
    code, _, err = on_images(*HARD, "in/*.jpg")
    assert (code, "no image matches in/*.jpg" in err) == (1, True)
    # A name that is there is no pattern.
    save("x[1].png", GREY)
    assert on_images(*HARD, "x[1].png")[0] == 0
    assert Path("x[1]_soft.png").exists()


def test_what_a_folder_holds_besides_images_is_counted(on_images):
    save("in/a.png", GREY)
    save("in/deep/b.jfif", GREY, format="JPEG")
    for name in ("in/c.bmp", "in/deep/d.bmp", "in/read me", "in/.hidden"):
        Path(name).touch()
    os.mkfifo("in/e.png")
    Path("in/f.png").symlink_to("nowhere.png")
    code, _, err = on_images(*HARD, "-r", "in", "--out-dir", "out")
    expected = (
        "softsort: note: in: not taken are 2 .bmp, 1 broken link, 1 pipe or device, "
        "1 without extension\n"
    )
    assert (code, err) == (0, expected)
    assert [p.name for p in sorted(Path("out").rglob("*.*"))] == ["a.png", "b.jfif"]


@pytest.mark.parametrize("name", ["n" * 245 + ".png", "ä" * 122 + ".png"])
def test_names_as_long_as_file_systems_allow(on_images, name):
    save("in/" + name, GREY)
    assert on_images(*HARD, "in/" + name, "-o", name) == (0, "", "")
    assert load(name).shape == GREY.shape
    # What processes that were killed have left is removed by the next.
    for each in (name, "b.png"):
        left = Path(f"{files.hidden(each)}.01234567.tmp")
        left.touch()
        assert on_images(*HARD, "in/" + name, "-o", each, "--force")[0] == 0
        assert not left.exists()


def test_dry_run_writes_nothing(on_images):
    tree()
    before = made()
    code, out, err = on_images(*HARD, "-r", "in", "--out-dir", "out", "--dry-run")
    assert (code, err) == (0, OTHERS)
    assert out.splitlines()[1] == "in/deep/b.png -> out/deep/b.png"
    assert len(out.splitlines()) == 3
    assert made() == before
    assert not Path("out").exists()


def test_one_bad_image_does_not_stop_the_others(on_images):
    save("a.png", GREY)
    save("b.png", RGBA)
    Path("c.png").write_text("nothing")
    Path("e.png").mkdir()
    names = ["a.png", "b.png", "c.png", "d.png", "e.png"]
    code, _, err = on_images(*HARD, *names, "--out-dir", "out/deep")
    assert code == 3
    assert {path.name for path in Path("out/deep").iterdir()} == {"a.png", "b.png"}
    assert "c.png is not an image" in err
    assert "cannot read d.png" in err
    assert "e.png is a folder: add -r" in err
    assert "3 of 5 images failed" in err
    assert err.count("\n") == 4
    assert on_images(*HARD, "c.png", "d.png")[0] == 1


def lying_png(name: str, width: int = 60_000, depth: int = 8) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, 60_000, depth, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 999))
    Path(name).write_bytes(b"\x89PNG\r\n\x1a\n" + parts + chunk(b"IEND", b""))


def truncated(name: str, **settings) -> None:
    pixels = RANDOM.integers(0, 256, (99, 99, 3), np.uint8)
    if name.endswith("tif"):
        tifffile.imwrite(name, np.stack([pixels] * 3), photometric="rgb", **settings)
    else:
        save(name, pixels, **settings)
    whole = Path(name).read_bytes()
    Path(name).write_bytes(whole[: len(whole) // 2])


def truncated_pages(name: str) -> None:
    """The first page is whole, the second is not there."""
    with tifffile.TiffWriter(name) as file:
        for _ in range(2):
            file.write(GREY, contiguous=False)
    with tifffile.TiffFile(name) as file:
        end = file.pages[1].offset
    Path(name).write_bytes(Path(name).read_bytes()[:end])


def lying_tiff(name: str) -> None:
    tifffile.imwrite(name, GREY, compression="zlib")
    with tifffile.TiffFile(name, mode="r+b") as file:
        for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            file.pages[0].tags[tag].overwrite(40_000)


def garbled(name: str) -> None:
    pixels = RANDOM.integers(0, 256, (99, 99, 3), np.uint8)
    tifffile.imwrite(name, pixels, photometric="rgb", compression="zlib")
    data = bytearray(Path(name).read_bytes())
    data[len(data) // 2] ^= 255
    Path(name).write_bytes(data)


def no_ratio(name: str) -> None:
    tifffile.imwrite(name, GREY, resolution=(300, 300), metadata=None)
    with tifffile.TiffFile(name) as file:
        entry = file.pages[0].tags["XResolution"].offset
    data = bytearray(Path(name).read_bytes())
    data[entry + 2 : entry + 4] = b"\x0c\0"  # a double
    Path(name).write_bytes(data)


def lying_gif(name: str) -> None:
    """A block before the second frame that is too short, which breaks Pillow."""
    save(name, GREY)
    data = Path(name).read_bytes()
    assert data.endswith(b";")
    frame = data[data.rindex(b",\0\0\0\0") :]
    Path(name).write_bytes(data[:-1] + b"!\xf9\x01\x01\0" + frame)


def unreadable(name: str) -> None:
    save(name, GREY).chmod(0)


def as_is(data: bytes):
    return lambda name: Path(name).write_bytes(data)


def cut_png_16(name: str) -> None:
    save(name, RANDOM.integers(0, 65536, (99, 99), np.uint16))
    Path(name).write_bytes(Path(name).read_bytes()[:9000])


def old_format(name: str) -> None:
    PIL.Image.fromarray(RGB).save(name, "BMP")


def complex_tiff(name: str) -> None:
    tifffile.imwrite(name, GREY.astype("complex64"))


def raw_tiff(name: str) -> None:
    """A thumbnail, and the picture inside it, as cameras write raw ones."""
    with tifffile.TiffWriter(name) as file:
        file.write(GREY[::2], subifds=1, subfiletype=1)
        file.write(GREY)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("a.png", lambda _: None, "cannot read a.png: No such file"),
        ("a.png", lambda name: Path(name).mkdir(), "a.png is a folder: add -r"),
        (".", lambda _: None, ". is a folder: add -r"),
        ("a.png", as_is(b""), "a.png is empty"),
        ("a.png", as_is(b"hello"), "is not an image"),
        ("a.png", as_is(b"\x89PNG\r\n\x1a\n"), "a.png"),
        ("a.tif", as_is(b"II*\0\x08\0\0\0"), "a.tif is damaged"),
        ("a.tif", as_is(b"II*\0" + b"\xff" * 99), "a.tif is damaged"),
        ("a.gif", as_is(b"GIF89a"), "a.gif"),
        ("a.webp", as_is(b"RIFF\x20\0\0\0WEBPVP8 "), "a.webp"),
        ("a.png", truncated, "a.png is damaged"),
        ("a.png", cut_png_16, "a.png is damaged"),
        ("a.jpg", truncated, "a.jpg is damaged"),
        ("a.gif", truncated, "a.gif is damaged"),
        ("a.webp", truncated, "a.webp is"),
        ("a.tif", truncated, "a.tif"),
        ("a.tif", truncated_pages, "a.tif is damaged"),
        ("a.tif", garbled, "a.tif is damaged"),
        ("a.tif", no_ratio, "a.tif is damaged: its resolution"),
        ("a.gif", lying_gif, "a.gif is damaged"),
        ("a.png", lying_png, "a.png claims 3600000000 pixels"),
        ("a.png", lambda name: lying_png(name, depth=16), "a.png claims"),
        ("a.png", lambda name: lying_png(name, 0), "a.png"),
        ("a.png", lambda name: lying_png(name, 2000), "a.png is damaged"),
        ("a.tif", lying_tiff, "a.tif claims 1600000000 pixels"),
        ("a.tif", raw_tiff, "page 1, has other pictures inside"),
        ("a.bmp", old_format, "a.bmp is a BMP file: PNG, JPEG"),
        ("a.tif", complex_tiff, "page 1, has"),
        pytest.param(
            "a.png",
            unreadable,
            "cannot read a.png: Permission denied",
            marks=pytest.mark.skipif(os.getuid() == 0, reason="root reads all"),
        ),
    ],
)
def test_broken_files_are_one_line(on_images, name, make, message):
    make(name)
    before = made()
    code, _, err = on_images(*HARD, name)
    assert code == 1
    assert err.startswith("softsort: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert made() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line(on_images):
    save("a.png", GREY)
    code, _, err = on_images(*HARD, "a.png", "-o", "/dev/full")
    assert code == 1
    assert err == "softsort: error: cannot write /dev/full: No space left on device\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["denoise", "a.png", "--size", "4"], 2, "--size '4': give odd numbers"),
        (["denoise", "a.png", "--size", "3x"], 2, "--size '3x'"),
        (["denoise", "a.png", "--size", "100001"], 2, "more than 10,000,000 pixels"),
        (["denoise", "a.png", "--max-memory", "2Q"], 2, "'2Q' is not a size"),
        (["denoise", "a.png", "a.png"], 2, "under one name, a_soft.png"),
        (["denoise", "a.png", "b.png", "-o", "c.png"], 2, "use --out-dir"),
        (["denoise", "a.png", "-o", "b.png", "--out-dir", "c"], 2, "not both"),
        (["denoise", "a.png", "--force", "--skip-existing"], 2, "exclude each other"),
        (["denoise", "a.png", "-o", "a.png"], 1, "a.png exists"),
        (["denoise", "a.png", "-o", "a.txt"], 1, "name it .png, .jpg, .gif, .webp"),
        (["denoise", "rgba.png", "-o", "a.jpg"], 1, "JPEG has no transparency"),
        (["denoise", "a.png", "--out-dir", "a.png"], 1, "cannot make a.png"),
        (["denoise", "a.png", "--quantile", "2"], 2, "--quantile"),
        (["denoise", "a.png", "--iterations", "0"], 2, "--iterations"),
        (["denoise", "a.png", "--border", "odd"], 2, "--border"),
        (["denoise"], 2, "Missing argument"),
        (["noise", "a.png", "--amount", "1.5"], 2, "--amount"),
        (["noise", "a.png", "--kind", "pink"], 2, "--kind"),
        (["noise", "a.png", "--seed", str(2**63)], 2, "--seed"),
    ],
)
def test_wrong_command_lines(on_images, arguments, code, message):
    save("a.png", GREY)
    save("rgba.png", RGBA)
    extra = ["--hard"] if arguments[0] == "denoise" else []
    got, _, err = on_images(*arguments, *extra)
    assert got == code
    assert message in err
    assert err.count("\n") == 1


def test_noise_and_its_removal(on_images):
    clean = load(PHOTO)[100:292, 100:292]
    save("a.png", clean)
    on_images("noise", "a.png", "--amount", "0.2", "--seed", "7")
    on_images("noise", "a.png", "--amount", "0.2", "--seed", "7", "-o", "again.png")
    noisy = load("a_noisy.png")
    np.testing.assert_array_equal(noisy, load("again.png"))
    spoilt = (noisy != clean).any(axis=2)
    assert 0.15 < spoilt.mean() < 0.201
    assert set(np.unique(noisy[spoilt])) == {0, 255}
    on_images("denoise", "a_noisy.png", "--size", "5")

    def error(pixels):
        return np.square(pixels.astype(float) - clean).mean()

    assert error(load("a_noisy_soft.png")) < error(noisy) / 20


@pytest.mark.parametrize(("kind", "low"), [("gaussian", 0.05), ("speckle", 0.02)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_other_noise(on_images, kind, low, dtype):
    # Of mean 0.4, between black and white.
    whites = {"uint8": 255, "uint16": 65535, "float32": 8.0}
    image = np.full((64, 64), 0.4)
    image[0, :2] = 0, 1
    tifffile.imwrite("a.tif", (image * whites[dtype]).astype(dtype))
    assert on_images("noise", "a.tif", "--kind", kind, "--amount", "0.05")[0] == 0
    noisy = tifffile.imread("a_noisy.tif")
    assert noisy.dtype == dtype
    values = noisy[1:] / whites[dtype]
    assert values.std() == pytest.approx(low, rel=0.05)
    assert values.mean() == pytest.approx(0.4, abs=0.005)


def test_noise_differs_between_frames_and_leaves_opacity_alone(on_images):
    first, second = (PIL.Image.fromarray(RGBA) for _ in range(2))
    second.putpixel((0, 0), (1, 2, 3, 4))
    first.save("a.png", save_all=True, append_images=[second])
    on_images("noise", "a.png", "--amount", "0.5")
    with PIL.Image.open("a_noisy.png") as image:
        frames = []
        for number in range(2):
            image.seek(number)
            frames.append(np.array(image.convert("RGBA")))
    np.testing.assert_array_equal(frames[0][..., 3], RGBA[..., 3])
    assert (frames[0] != frames[1]).mean() > 0.1


def test_noise_in_a_jpeg_is_announced(on_images):
    save("a.jpg", RGB)
    code, _, err = on_images("noise", "a.jpg")
    assert code == 0
    assert "JPEG blurs the noise" in err


def test_epsilon_and_window_that_suit_the_noise(on_images):
    wave = 0.5 + 0.4 * np.sin(np.arange(64) / 9) * np.ones((64, 1))
    clean = np.rint(wave * 255)
    mild = clean + RANDOM.normal(0, 12, clean.shape)
    save("mild.png", np.clip(np.rint(mild), 0, 255).astype(np.uint8))
    wild = np.where(RANDOM.uniform(size=clean.shape) < 0.1, 255, clean)
    save("wild.png", wild.astype(np.uint8))
    code, _, err = on_images("denoise", "mild.png", "wild.png", "-e", "auto")
    assert code == 0
    for name in ("mild", "wild"):
        best = softsort_filters.choose(load(f"{name}.png").astype(np.float32) / 255)
        assert f"{name}.png: epsilon {best.epsilon:g}, window 3x3" in err
        given = ("-e", f"{best.epsilon:g}", "-o", f"{name}_given.png")
        on_images("denoise", f"{name}.png", *given)
        np.testing.assert_array_equal(
            load(f"{name}_soft.png"), load(f"{name}_given.png")
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-e", "soon"], "'soon' is neither a number nor auto"),
        (["-e", "-1"], "not a positive number"),
        (["-e", "auto", "--hard"], "leave out --hard"),
        (["-e", "auto", "--footprint", "disk:2"], "leave out --hard"),
        (["--size", "auto"], "add --epsilon auto"),
    ],
)
def test_what_auto_refuses(on_images, arguments, message):
    code, _, err = on_images("denoise", "a.png", *arguments)
    assert (code, message in err, err.count("\n")) == (2, True, 1)
