"""TIFF images that are filtered strip by strip: the same as filtered as a whole."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL.Image
import pytest
import pyvips
import tifffile
from softsort_cli.errors import CommandError
from softsort_cli.images import denoising, tiff_streaming
from softsort_cli.images.selection import Job
from softsort_cli.work import engine

RANDOM = np.random.default_rng(0)
KINDS = {
    "one piece": {},
    "strips": {"compression": "zlib", "rowsperstrip": 17},
    "tiles": {"compression": "lzw", "tile": (16, 48), "photometric": "rgb"},
    "big-endian": {"byteorder": ">", "bigtiff": True},
}


@pytest.fixture
def little_memory(monkeypatch):
    """Give strips 40 rows of 64 pixels."""
    monkeypatch.setattr(denoising, "LEAST", 0)
    monkeypatch.setattr(tiff_streaming, "OVERHEAD", 0)

    def option(channels: int = 1) -> tuple[str, str]:
        return "--max-memory", f"{(2**26 + 64 * 64 * channels * 40) / 2**20:.6f}MiB"

    return option


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("kind", KINDS)
def test_strips_do_not_show(on_images, monkeypatch, little_memory, kind, dtype):
    shape = (96, 64, 3) if kind == "tiles" else (96, 64)
    array = (RANDOM.uniform(size=(2, *shape)) * 250).astype(dtype)
    settings = dict(KINDS[kind])
    container = {n: settings.pop(n) for n in ("byteorder", "bigtiff") if n in settings}
    with tifffile.TiffWriter("a.tif", **container) as file:
        for page in array:
            file.write(page, contiguous=False, resolution=(9, 9), **settings)
    assert on_images("denoise", "a.tif", "-o", "whole.tif") == (0, "", "")
    monkeypatch.setattr(tiff_streaming, "fits", lambda *_: False)
    little = little_memory(3 if kind == "tiles" else 1)
    seen = []
    cut = tiff_streaming._tiles

    def counted(strips, *rest):
        return cut((seen.append(rows) or (rows, v) for rows, v in strips), *rest)

    monkeypatch.setattr(tiff_streaming, "_tiles", counted)
    assert on_images("denoise", "a.tif", *little) == (0, "", "")
    assert len(seen) == 6
    np.testing.assert_array_equal(
        tifffile.imread("a_soft.tif"), tifffile.imread("whole.tif")
    )
    with tifffile.TiffFile("a.tif") as before, tifffile.TiffFile("a_soft.tif") as after:
        assert after.byteorder == before.byteorder
        assert len(after.pages) == 2
        assert after.pages[0].compression == before.pages[0].compression
        assert after.pages[0].tags["XResolution"].value == (9, 1)


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("kind", ["grey", "RGB", "YCbCr"])
def test_strips_of_jpeg_do_not_show(on_images, monkeypatch, little_memory, kind, tiled):
    channels = 1 if kind == "grey" else 3
    smooth = np.linspace(0, 255, 96 * 64 * channels).astype(np.uint8)
    image = pyvips.Image.new_from_array(smooth.reshape(96, 64, channels))
    image = image.copy(interpretation="b-w" if kind == "grey" else "srgb")
    settings = {"tile": True, "tile_width": 16, "tile_height": 16} if tiled else {}
    # At 90 and above libvips does without YCbCr.
    settings |= {"compression": "jpeg", "Q": 75 if kind == "YCbCr" else 95}
    image.tiffsave("a.tif", **settings)
    with tifffile.TiffFile("a.tif") as file:
        assert file.pages[0].jpegtables
        expected = {"grey": "MINISBLACK", "RGB": "RGB", "YCbCr": "YCBCR"}[kind]
        assert file.pages[0].photometric.name == expected
    assert on_images("denoise", "a.tif", "-o", "whole.tif") == (0, "", "")
    monkeypatch.setattr(tiff_streaming, "fits", lambda *_: False)
    monkeypatch.setattr(denoising, "LEAST", (2**26 + 64 * 64 * channels * 40))
    assert on_images("denoise", "a.tif", *little_memory(channels)) == (0, "", "")
    np.testing.assert_array_equal(
        tifffile.imread("a_soft.tif"), tifffile.imread("whole.tif")
    )


@pytest.mark.parametrize("kind", ["grey", "RGBA", "RGB, two frames"])
def test_strips_of_other_formats_do_not_show(
    on_images, monkeypatch, little_memory, kind
):
    channels = {"grey": 1, "RGBA": 4}.get(kind, 3)
    frames = RANDOM.integers(0, 256, (2, 96, 64, channels), np.uint8).squeeze()
    first, *rest = map(PIL.Image.fromarray, frames)
    several = {"save_all": True, "append_images": rest} if "two" in kind else {}
    first.save("a.png", **several)
    assert on_images("denoise", "a.png", "-o", "whole.png")[0] == 0
    monkeypatch.setattr(tiff_streaming, "fits", lambda *_: False)
    monkeypatch.setattr(denoising, "LEAST", (2**26 + 64 * 64 * channels * 40))
    seen = []
    strips = denoising.strips_filter

    def counted(*arguments):
        operator = strips(*arguments)
        return lambda *a, **k: (seen.append(0) or each for each in operator(*a, **k))

    monkeypatch.setattr(denoising, "strips_filter", counted)
    little = little_memory(channels)
    assert on_images("denoise", "a.png", *little) == (0, "", "")
    assert len(seen) == 3 * (len(rest) * len(several) // 2 + 1)
    with PIL.Image.open("whole.png") as whole, PIL.Image.open("a_soft.png") as found:
        for number in range(getattr(whole, "n_frames", 1)):
            whole.seek(number)
            found.seek(number)
            assert whole.tobytes() == found.tobytes()


def test_strips_of_a_tiff_with_exif(on_images, monkeypatch, little_memory):
    exif = PIL.Image.Exif()
    exif[34665] = {33434: 0.008}
    pixels = RANDOM.integers(0, 256, (96, 64), np.uint8)
    PIL.Image.fromarray(pixels).save("a.png", exif=exif)
    on_images("denoise", "--hard", "--size", "1", "a.png", "-o", "a.tif")
    assert on_images("denoise", "a.tif", "-o", "whole.tif")[0] == 0
    monkeypatch.setattr(tiff_streaming, "fits", lambda *_: False)
    monkeypatch.setattr(denoising, "LEAST", (2**26 + 64 * 64 * 40))
    assert on_images("denoise", "a.tif", *little_memory()) == (0, "", "")
    assert (
        tifffile.imread("a_soft.tif").tobytes()
        == tifffile.imread("whole.tif").tobytes()
    )
    with PIL.Image.open("a_soft.tif") as image:
        assert image.getexif().get_ifd(34665) == {33434: pytest.approx(0.008)}


def test_large_is_what_needs_more_than_the_limit(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((1000, 1000), np.uint8))
    job = Job(path, tmp_path / "b.tif")
    need = 64 * 1000 * 1000 + tiff_streaming.OVERHEAD
    assert tiff_streaming.is_large(job, need - 1)
    assert not tiff_streaming.is_large(job, need)
    other = Job(path, tmp_path / "b.png")
    assert not tiff_streaming.is_large(other, need - 1)


def test_one_compressed_strip_is_decoded_once(tmp_path):
    array = RANDOM.integers(0, 256, (96, 64, 3), np.uint8)
    for name, settings in (("a.tif", {"rowsperstrip": 96}), ("b.tif", {})):
        compression = "zlib" if settings else None
        tifffile.imwrite(tmp_path / name, array, compression=compression, **settings)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        rows = tiff_streaming.PageRows(file.pages[0], "a.tif", "64")
        parts = [rows[start : start + 20] for start in (0, 8, 16)]
        first = rows._last[1]
        assert rows[30:70].shape == (40, 64, 3)
        assert rows._last[1] is first
        assert rows.held == 2 * array.nbytes
    for start, part in zip((0, 8, 16), parts, strict=True):
        np.testing.assert_array_equal(part, array[start : start + 20] / 255)
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert tiff_streaming.PageRows(file.pages[0], "b.tif", "64").held == 0


@pytest.mark.parametrize("size", ["2", "1K", "500M", "667MiB"])
def test_sizes_that_are_refused(on_images, size):
    code, _, err = on_images("denoise", "a.tif", "--max-memory", size)
    assert (code, "give at least 700M" in err) == (2, True)


def test_pages_that_lie_are_told(on_images, monkeypatch, little_memory, tmp_path):
    array = RANDOM.integers(0, 256, (96, 64), np.uint8)
    tifffile.imwrite("a.tif", array, compression="zlib", rowsperstrip=17)
    with tifffile.TiffFile("a.tif", mode="r+b") as file:
        file.pages[0].tags["PhotometricInterpretation"].overwrite(2)  # RGB
    monkeypatch.setattr(tiff_streaming, "fits", lambda *_: False)
    code, _, err = on_images("denoise", "a.tif", *little_memory())
    assert (code, err.count("\n")) == (1, 1)
    assert "a.tif is damaged" in err
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_values_that_are_no_numbers_are_told(
    on_images, monkeypatch, little_memory, tmp_path, compression
):
    array = RANDOM.uniform(size=(96, 64)).astype(np.float32)
    array[50, 3:5] = np.nan, np.inf
    array[90, 3] = np.nan
    tifffile.imwrite("a.tif", array, compression=compression)
    monkeypatch.setattr(tiff_streaming, "fits", lambda *_: False)
    code, _, err = on_images("denoise", "a.tif", *little_memory())
    assert (code, err.count("\n")) == (1, 1)
    assert "a.tif has 2 values that are NaN or infinite in rows " in err
    assert "replace them first" in err
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_a_damaged_part_leaves_no_output(
    on_images, monkeypatch, little_memory, tmp_path
):
    array = RANDOM.integers(0, 256, (96, 64), np.uint8)
    tifffile.imwrite("a.tif", array, compression="zlib", rowsperstrip=17)
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[-500] ^= 255
    (tmp_path / "a.tif").write_bytes(data)
    monkeypatch.setattr(tiff_streaming, "fits", lambda *_: False)
    code, _, err = on_images("denoise", "a.tif", *little_memory())
    assert (code, err.count("\n")) == (1, 1)
    assert "a.tif is damaged" in err
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_an_image_that_fails_lets_others_have_their_turn(
    on_images, monkeypatch, little_memory, name
):
    PIL.Image.fromarray(RANDOM.integers(0, 256, (96, 64), np.uint8)).save(name)
    monkeypatch.setattr(tiff_streaming, "fits", lambda *_: False)
    monkeypatch.setattr(denoising, "LEAST", (2**26 + 64 * 64 * 40))
    errors = []  # with all that was going on when they were raised

    def fail(*_):
        errors.append(CommandError("no"))
        raise errors[-1]

    monkeypatch.setattr(denoising, "_check_converged", fail)
    assert on_images("denoise", name, *little_memory())[0] == 1
    with ThreadPoolExecutor(1) as pool:
        turn = pool.submit(tiff_streaming.ONE_AT_A_TIME.acquire, blocking=False)
        assert turn.result()
        pool.submit(tiff_streaming.ONE_AT_A_TIME.release)
    assert len(errors) == 1


def test_an_interrupt_ends_the_images_in_work(on_images, monkeypatch, little_memory):
    for name in "ab":
        tifffile.imwrite(f"{name}.tif", np.zeros((96, 64), np.uint8))
    monkeypatch.setattr(tiff_streaming, "fits", lambda *_: False)
    seen, begun, interrupted = [], threading.Event(), threading.Event()

    def strips(*_, **__):
        for number in range(9):
            seen.append(number)
            yield slice(0, 0), np.zeros((0, 64))
            begun.set()
            interrupted.wait(60)

    def interrupt(*_):
        begun.wait(60)
        raise KeyboardInterrupt

    class Flag(threading.Event):
        def set(self):
            super().set()
            interrupted.set()

    monkeypatch.setattr(denoising, "strips_filter", lambda *_: strips)
    monkeypatch.setattr(engine, "finish", interrupt)
    monkeypatch.setattr(engine, "_abandoned", Flag())
    code, _, _ = on_images("denoise", "-r", ".", "--out-dir", "out", *little_memory())
    assert (code, seen) == (130, [0, 1])
