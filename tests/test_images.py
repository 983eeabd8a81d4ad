"""Images: what is read, what is refused, and that nothing is lost on the way."""

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
from scipy.ndimage import median_filter, percentile_filter

import filters
from cli import app, console, denoise, hard, images
from cli.errors import CommandError

PHOTO = Path(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
CONFIGURED = ("jax_compilation_cache_dir", "jax_default_device", "jax_enable_x64")
RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (12, 10), np.uint8)
RGB = RANDOM.integers(0, 256, (12, 10, 3), np.uint8)
RGBA = RANDOM.integers(0, 256, (12, 10, 4), np.uint8)
LA = RANDOM.integers(0, 256, (12, 10, 2), np.uint8)


@pytest.fixture(autouse=True)
def _own_state(tmp_path, tmp_path_factory, monkeypatch):
    before = {name: getattr(jax.config, name) for name in CONFIGURED}
    cache = tmp_path_factory.getbasetemp() / "images-cache"
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(cache))
    monkeypatch.setattr(console, "quiet", False)
    monkeypatch.chdir(tmp_path)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def softsort(capfd):
    def run(*arguments) -> tuple[int, str]:
        code = app.run([str(argument) for argument in arguments])
        return code, capfd.readouterr().err

    return run


def save(name: str, pixels: np.ndarray, **settings) -> Path:
    PIL.Image.fromarray(pixels).save(name, **settings)
    return Path(name)


def load(name) -> np.ndarray:
    return np.asarray(PIL.Image.open(name))


@pytest.mark.parametrize("pixels", [GREY, RGB, RGBA, LA])
def test_pixels_survive_reading_and_writing(pixels):
    picture = images.read(save("a.png", pixels))
    np.testing.assert_array_equal(picture.pixels, pixels)
    unit = images.to_unit(picture.pixels, "float32")
    assert 0 <= unit.min() < unit.max() <= 1
    data = images.encode(picture, images.to_pixels(unit), "PNG", finest=False)
    np.testing.assert_array_equal(load(BytesIO(data)), pixels)


def test_pixels_are_rounded_half_to_even_and_clipped():
    values = np.array([-1, 0.5, 1.5, 2.5, 254.5, 300]) / 255
    assert images.to_pixels(values).tolist() == [0, 0, 2, 2, 254, 255]


@pytest.mark.parametrize("extension", ["png", "jpg"])
def test_metadata_is_kept(softsort, extension):
    exif = PIL.Image.Exif()
    exif[274], exif[271] = 6, "camera"  # orientation, maker
    # Any bytes do for a profile that is only carried along.
    profile = b"\0" * 36 + b"acsp" + b"\0" * 88
    save(f"a.{extension}", RGB, exif=exif, icc_profile=profile, dpi=(300, 300))
    assert softsort("denoise", "--hard", f"a.{extension}", "-o", "b.png")[0] == 0
    assert softsort("denoise", "--hard", f"a.{extension}", "-o", "b.jpg")[0] == 0
    for name in ("b.png", "b.jpg"):
        with PIL.Image.open(name) as image:
            assert dict(image.getexif()) == dict(exif)
            assert image.info["icc_profile"] == profile
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
            # The orientation is a tag: pixels stay as they are stored.
            assert image.size == (10, 12)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_a_jpeg_keeps_its_quantization(softsort, subsampling):
    save("a.jpg", RGB, quality=83, subsampling=subsampling, progressive=True)
    softsort("denoise", "--hard", "a.jpg")
    with PIL.Image.open("a.jpg") as before, PIL.Image.open("a_soft.jpg") as after:
        assert after.quantization == before.quantization
        assert images._compression(after) == images._compression(before)


def animated(name: str) -> None:
    frames = [PIL.Image.fromarray(RGB), PIL.Image.fromarray(RGB[::-1])]
    frames[0].save(name, save_all=True, append_images=frames[1:])


def bomb(name: str) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 999))
    Path(name).write_bytes(b"\x89PNG\r\n\x1a\n" + parts + chunk(b"IEND", b""))


def truncated(name: str) -> None:
    whole = save(name, RANDOM.integers(0, 256, (99, 99, 3), np.uint8)).read_bytes()
    Path(name).write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("a.png", lambda _: None, "cannot read a.png: No such file"),
        ("a.png", lambda name: Path(name).mkdir(), "cannot read a.png: Is a directory"),
        ("a.png", lambda name: Path(name).touch(), "a.png is empty"),
        ("a.png", lambda name: Path(name).write_text("hello"), "is not an image"),
        ("a.png", truncated, "a.png is damaged"),
        ("a.jpg", truncated, "a.jpg is damaged"),
        ("a.png", bomb, "a.png claims more pixels"),
        ("a.png", animated, "a.png is animated"),
        ("a.gif", animated, "a.gif is a GIF file: only PNG and JPEG"),
        ("a.mpo", animated, "a.mpo holds several pictures"),
        ("a.png", lambda name: save(name, GREY.astype(np.uint16)), "of 16 bits"),
        (
            "a.png",
            lambda name: PIL.Image.fromarray(RGB).convert("P").save(name),
            "a PNG with a palette",
        ),
        (
            "a.png",
            lambda name: PIL.Image.fromarray(GREY).convert("1").save(name),
            "a PNG of 1 bits",
        ),
        (
            "a.png",
            lambda name: save(name, RGB, transparency=(1, 2, 3)),
            "one transparent colour",
        ),
        (
            "a.jpg",
            lambda name: PIL.Image.fromarray(RGB).convert("CMYK").save(name),
            "a CMYK JPEG",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused(softsort, name, make, message):
    make(name)
    code, err = softsort("denoise", "--hard", name)
    assert code == 1
    assert err.startswith("softsort: error: ")
    assert err.count("\n") == 1
    assert message in err
    assert not list(Path().glob("*_soft*"))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["denoise", "a.png", "--size", "4"], 2, "--size '4': give odd numbers"),
        (["denoise", "a.png", "--size", "3x"], 2, "--size '3x'"),
        (["denoise", "a.png", "a.png"], 2, "under one name"),
        (["denoise", "a.png", "b.png", "-o", "c.png"], 2, "use --out-dir"),
        (["denoise", "a.png", "-o", "a.png"], 1, "a.png exists"),
        (["denoise", "a.png", "-o", "a.txt"], 1, "name it .png or .jpg"),
        (["denoise", "rgba.png", "-o", "a.jpg"], 1, "JPEG has no transparency"),
        (["denoise", "a.png", "--out-dir", "a.png"], 1, "cannot make a.png"),
        (["denoise", "a.png", "--quantile", "2"], 2, "--quantile"),
        (["denoise", "a.png", "--border", "odd"], 2, "--border"),
        (["denoise"], 2, "Missing argument"),
        (["noise", "a.png", "--amount", "1.5"], 2, "--amount"),
    ],
)
def test_wrong_command_lines(softsort, arguments, code, message):
    save("a.png", GREY)
    save("rgba.png", RGBA)
    extra = ["--hard"] if arguments[0] == "denoise" else []
    got, err = softsort(*arguments, *extra)
    assert got == code
    assert message in err
    assert err.count("\n") == 1


def test_exact_filters_are_those_of_scipy(softsort):
    save("a.png", RGB)
    softsort("denoise", "--hard", "a.png", "--size", "5x3", "--border", "wrap")
    expected = median_filter(RGB, size=(3, 5, 1), mode="wrap")
    np.testing.assert_array_equal(load("a_soft.png"), expected)
    softsort("denoise", "--hard", "a.png", "--quantile", "0.2", "-o", "low.png")
    expected = percentile_filter(RGB, 20, size=(3, 3, 1))
    np.testing.assert_array_equal(load("low.png"), expected)


def test_soft_filters_are_those_of_the_library(softsort):
    save("a.png", RGB)
    code, err = softsort("denoise", "a.png", "--size", "3x5", "-e", "0.05")
    assert (code, err) == (0, "")
    unit = RGB.astype(np.float32) / 255
    soft = filters.soft_quantile_filter(unit, size=(5, 3), epsilon=0.05)
    expected = np.rint(np.asarray(soft) * 255).astype(np.uint8)
    # Compiled as a whole, it may round the last bit of a float another way.
    difference = np.abs(load("a_soft.png").astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


def test_what_cannot_be_seen_adds_no_colour():
    values = np.zeros((9, 9, 4))
    values[:, :5] = [0.8, 0.4, 0.2, 1]
    values[:, 5:] = [0, 1, 0, 0]

    def apply(image):
        return median_filter(image, size=(3, 3, 1))

    result = denoise._filtered(values, apply, alpha=True)
    np.testing.assert_array_equal(result[..., 3], values[..., 3])
    np.testing.assert_allclose(result, values, atol=1e-12)
    same = denoise._filtered(RGBA / 255, lambda image: image, alpha=True)
    np.testing.assert_array_equal(images.to_pixels(same), RGBA)


def test_one_bad_image_does_not_stop_the_others(softsort):
    save("a.png", GREY)
    save("b.png", RGBA)
    Path("c.png").write_text("nothing")
    names = ["a.png", "b.png", "c.png", "d.png"]
    code, err = softsort("denoise", "--hard", *names, "--out-dir", "out/deep")
    assert code == 3
    assert {path.name for path in Path("out/deep").iterdir()} == {"a.png", "b.png"}
    assert "c.png is not an image" in err
    assert "cannot read d.png" in err
    assert "2 of 4 images failed" in err
    assert softsort("denoise", "--hard", "c.png", "d.png")[0] == 1


def test_pixels_that_did_not_converge_are_an_error(softsort, monkeypatch):
    save("a.png", GREY)

    def fail(image, **_):
        return np.where(image > 0.5, np.nan, image)

    monkeypatch.setattr(hard, "quantile_filter", fail)
    code, err = softsort("denoise", "--hard", "a.png")
    assert code == 1
    count = int((GREY > 127).sum())
    assert f"did not converge at epsilon 0.01 for {count} of 120 values" in err
    assert "--precision 64" in err
    assert not Path("a_soft.png").exists()


def test_standard_input_and_output(capfdbinary, monkeypatch):
    buffer = BytesIO()
    PIL.Image.fromarray(RGB).save(buffer, "PNG")
    buffer.seek(0)
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(buffer))
    assert app.run(["denoise", "--hard", "-"]) == 0
    out = capfdbinary.readouterr().out
    np.testing.assert_array_equal(
        load(BytesIO(out)), median_filter(RGB, size=(3, 3, 1))
    )


def test_noise_and_its_removal(softsort):
    clean = load(PHOTO)[100:300, 100:300]
    save("a.png", clean)
    softsort("noise", "a.png", "--amount", "0.2", "--seed", "7")
    softsort("noise", "a.png", "--amount", "0.2", "--seed", "7", "-o", "again.png")
    noisy = load("a_noisy.png")
    np.testing.assert_array_equal(noisy, load("again.png"))
    spoilt = (noisy != clean).any(axis=2)
    assert 0.15 < spoilt.mean() <= 0.2
    assert set(np.unique(noisy[spoilt])) == {0, 255}
    softsort("denoise", "a_noisy.png", "--size", "5")

    def error(pixels):
        return np.square(pixels.astype(float) - clean).mean()

    assert error(load("a_noisy_soft.png")) < error(noisy) / 20


def test_noise_leaves_opacity_alone(softsort):
    save("a.png", RGBA)
    softsort("noise", "a.png", "--amount", "1")
    noisy = load("a_noisy.png")
    np.testing.assert_array_equal(noisy[..., 3], RGBA[..., 3])
    assert set(np.unique(noisy[..., :3])) == {0, 255}


def test_noise_in_a_jpeg_is_announced(softsort):
    save("a.jpg", RGB)
    code, err = softsort("noise", "a.jpg")
    assert code == 0
    assert "JPEG blurs the noise" in err


def test_only_known_formats_are_read():
    Path("a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(CommandError, match=r"a\.png"):
        images.read(Path("a.png"))
