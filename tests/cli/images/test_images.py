"""Image files: what is written holds what was read, as other libraries see it.

A window of one pixel changes nothing, so that pixels can be compared.
"""

import xml.etree.ElementTree
from pathlib import Path

import imagecodecs
import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.ImageOps
import PIL.PngImagePlugin
import pytest
import pyvips
import skimage.data
import tifffile
from scipy.ndimage import median_filter
from softsort_cli.images import picture, png

RANDOM = np.random.default_rng(0)
pyvips.cache_set_max(0)  # it takes files of one name for one file
HARD = ("denoise", "--hard", "--size")
SAME, MEDIAN = (*HARD, "1"), (*HARD, "3")
PROFILE = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()


def pixels(*shape: int, dtype="uint8") -> np.ndarray:
    if np.dtype(dtype).kind == "f":
        return RANDOM.normal(size=shape).astype(dtype)
    if dtype is bool:
        return RANDOM.integers(0, 2, shape).astype(bool)
    limits = np.iinfo(dtype)
    return RANDOM.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def vips(name: str) -> np.ndarray:
    """All pixels of a file, frames one below the other."""
    image = pyvips.Image.new_from_file(name)
    if image.get_typeof("n-pages"):
        image = pyvips.Image.new_from_file(name, n=-1)
    return image.numpy()


def median(name: str, size: int = 3) -> np.ndarray:
    """The median of the windows of a file."""
    array = vips(name)
    return median_filter(array, (size, size, 1)[: array.ndim])


def save(name: str, array: np.ndarray, mode: str | None = None, **settings) -> Path:
    image = PIL.Image.fromarray(array)
    (image.convert(mode) if mode else image).save(name, **settings)
    return Path(name)


@pytest.mark.parametrize(
    "array",
    [
        pixels(12, 10),
        pixels(12, 10, 2),
        pixels(12, 10, 3),
        pixels(12, 10, 4),
        pixels(12, 10, dtype="uint16"),
        pixels(12, 10, 2, dtype="uint16"),
        pixels(12, 10, 3, dtype="uint16"),
        pixels(12, 10, 4, dtype="uint16"),
    ],
    ids=lambda array: f"{array.dtype}{array.shape[2:]}",
)
def test_png_of_each_depth_and_mode(on_images, array):
    colours = array.ndim == 3 and array.shape[2] > 2
    kind = ("rgb16" if colours else "grey16", "srgb" if colours else "b-w")
    space = kind[array.dtype == np.uint8]
    pyvips.Image.new_from_array(array).copy(interpretation=space).pngsave("a.png")
    assert on_images(*SAME, "a.png", "-o", "b.png") == (0, "", "")
    assert vips("b.png").dtype == array.dtype
    np.testing.assert_array_equal(vips("b.png"), vips("a.png"))
    np.testing.assert_array_equal(vips("b.png").squeeze(), array)


def test_png_of_photographs_is_no_larger_than_others_make_it(on_images):
    photo = np.asarray(PIL.Image.open(skimage.data.data_dir + "/astronaut.png"))
    save("a.png", photo, compress_level=6)
    on_images(*SAME, "a.png", "-o", "b.png")
    np.testing.assert_array_equal(vips("b.png"), photo)
    assert Path("b.png").stat().st_size < 1.02 * Path("a.png").stat().st_size


def test_png_with_a_side_longer_than_libpng_allows(on_images):
    save("a.png", pixels(1, 10**6 + 1))
    assert on_images(*SAME, "a.png", "-o", "b.png") == (0, "", "")
    before, after = (PIL.Image.open(name).tobytes() for name in ("a.png", "b.png"))
    assert after == before


def test_png_of_one_bit(on_images):
    save("a.png", pixels(12, 13, dtype=bool))
    on_images(*SAME, "a.png", "-o", "b.png")
    assert Path("b.png").read_bytes()[24] == 1
    np.testing.assert_array_equal(vips("b.png"), vips("a.png"))


@pytest.mark.parametrize(
    ("mode", "subsampling"), [("L", 0), ("RGB", 0), ("RGB", 1), ("RGB", 2), ("CMYK", 0)]
)
def test_jpeg_keeps_its_quantization(on_images, mode, subsampling):
    smooth = np.linspace(0, 255, 48 * 64 * 3).reshape(48, 64, 3).astype(np.uint8)
    settings = {"quality": 83, "subsampling": subsampling, "progressive": True}
    save("a.jpg", smooth, mode, **settings)
    on_images(*MEDIAN, "a.jpg", "-o", "b.jpg")
    with PIL.Image.open("a.jpg") as before, PIL.Image.open("b.jpg") as after:
        assert after.mode == mode
        assert after.quantization == before.quantization
    fields = "jpeg-chroma-subsample", "interlaced"
    before, after = (pyvips.Image.new_from_file(name) for name in ("a.jpg", "b.jpg"))
    for field in fields:
        assert before.get_typeof(field) == after.get_typeof(field)
        if before.get_typeof(field):
            assert after.get(field) == before.get(field)
    # Coded twice by the same tables, little changes.
    assert np.abs(vips("b.jpg").astype(int) - median("a.jpg")).max() <= 3


def test_jpeg_of_coarse_steps_says_nothing_of_them(on_images, capfd):
    save("a.jpg", pixels(48, 64), qtables=[[300] * 64])
    assert "too coarse" in capfd.readouterr().err
    assert on_images(*MEDIAN, "a.jpg", "-o", "b.jpg") == (0, "", "")
    with PIL.Image.open("b.jpg") as image:
        assert image.quantization == {0: [300] * 64}


@pytest.mark.parametrize("subsampling", ["440", "411"])
def test_jpeg_of_other_samplings_keeps_all_colours(on_images, subsampling):
    array = np.full((64, 64, 3), 40, np.uint8)
    # Along one axis the colours are all there: of columns in 4:4:0, of rows in 4:1:1.
    along = array.swapaxes(0, 1) if subsampling == "440" else array
    along[::2] = [200, 40, 40]
    coded = imagecodecs.jpeg8_encode(array, level=95, subsampling=subsampling)
    Path("a.jpg").write_bytes(coded)
    assert on_images(*MEDIAN, "a.jpg", "-o", "b.jpg") == (0, "", "")
    with PIL.Image.open("a.jpg") as before, PIL.Image.open("b.jpg") as after:
        assert after.quantization == before.quantization
    assert np.abs(vips("b.jpg").astype(int) - median("a.jpg")).max() <= 12


@pytest.mark.parametrize("gain_map", [False, True])
def test_the_first_picture_of_a_camera_that_writes_several(on_images, gain_map):
    exif = PIL.Image.Exif()
    exif[271] = "camera"
    smooth = np.linspace(0, 255, 48 * 64 * 3).reshape(48, 64, 3).astype(np.uint8)
    first, preview = (PIL.Image.fromarray(each) for each in (smooth, smooth[::2]))
    settings = {"save_all": True, "append_images": [preview], "exif": exif}
    first.save("a.jpg", "MPO", quality=83, **settings)
    if gain_map:
        # Pillow opens it as a plain JPEG.
        data, mark = Path("a.jpg").read_bytes(), b'x hdrgm:Version="1.0"'
        segment = b"\xff\xe1" + (len(mark) + 2).to_bytes(2) + mark
        Path("a.jpg").write_bytes(data[:2] + segment + data[2:])
    assert PIL.Image.open("a.jpg").format == ("JPEG" if gain_map else "MPO")
    assert on_images(*SAME, "a.jpg", "-o", "c.jpg") == (0, "", "")
    assert Path("c.jpg").read_bytes() == Path("a.jpg").read_bytes()
    assert "other pictures\n" in on_images(*SAME, "a.jpg", "-o", "c.png")[2]
    code, _, err = on_images(*MEDIAN, "a.jpg", "-o", "b.jpg")
    assert (code, err.count("\n")) == (0, 1)
    assert "a.jpg holds several pictures: only the first is kept" in err
    with PIL.Image.open("a.jpg") as before, PIL.Image.open("b.jpg") as after:
        assert after.format == "JPEG"
        assert after.quantization == before.quantization
        assert after.getexif()[271] == "camera"
        assert "mp" not in after.info
    assert Path("b.jpg").read_bytes().count(b"\xff\xd8\xff") == 1
    assert np.abs(vips("b.jpg").astype(int) - median("a.jpg")).max() <= 3


@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize("channels", [3, 4])
def test_webp_is_lossless_if_it_was(on_images, lossless, channels):
    save("a.webp", pixels(40, 50, channels), lossless=lossless, exact=True)
    on_images(*MEDIAN, "a.webp", "-o", "b.webp")
    assert (b"VP8L" in Path("b.webp").read_bytes()) == lossless
    if lossless and channels == 3:
        np.testing.assert_array_equal(vips("b.webp"), median("a.webp"))
    assert vips("b.webp").shape == (40, 50, channels)


LOSSY = {
    "grey": ("a.jpg", pixels(40, 50), {"comment": "spoken"}),
    "progressive": ("a.jpg", pixels(40, 50, 3), {"progressive": True}),
    "4:2:0": ("a.jpg", pixels(40, 50, 3), {"subsampling": 2}),
    "restarts": ("a.jpg", pixels(40, 50, 3), {"restart_marker_rows": 1}),
    "CMYK": ("a.jpg", pixels(40, 50, 3), {"mode": "CMYK"}),
    "WebP": ("a.webp", pixels(40, 50, 3), {}),
    "WebP with opacity": ("a.webp", pixels(40, 50, 4), {}),
}


@pytest.mark.parametrize("kind", LOSSY)
def test_what_does_not_change_is_not_coded_again(on_images, kind):
    name, array, settings = LOSSY[kind]
    exif = PIL.Image.Exif()
    exif[271] = "camera"
    save(name, array, exif=exif, icc_profile=PROFILE, **settings)
    data = Path(name).read_bytes()
    assert on_images(*SAME, "--strip", name, "-o", "b" + name[1:]) == (0, "", "")
    assert on_images(*SAME, name, "-o", "c" + name[1:]) == (0, "", "")
    kept = Path("c" + name[1:]).read_bytes()
    assert (len(kept), kept[-1000:]) == (len(data), data[-1000:])
    for other in ("b", "c"):
        np.testing.assert_array_equal(vips(other + name[1:]), vips(name))
    stripped = Path("b" + name[1:]).read_bytes()
    assert len(stripped) < len(data) - len(PROFILE)
    assert b"camera" not in stripped
    assert b"spoken" not in stripped
    assert not {"exif", "icc_profile"} & PIL.Image.open("b" + name[1:]).info.keys()


def test_a_lossy_animation_that_does_not_change(on_images):
    animate("a.webp", [pixels(30, 20, 4) for _ in range(3)], quality=50)
    assert on_images(*SAME, "a.webp", "-o", "b.webp") == (0, "", "")
    before, after = (
        pyvips.Image.new_from_file(name, n=-1) for name in ("a.webp", "b.webp")
    )
    assert after.get("delay") == [50, 80, 120]
    np.testing.assert_array_equal(after.numpy(), before.numpy())


def test_what_is_lost_in_a_jpeg_is_no_part_of_it(on_images):
    save("a.jpg", pixels(40, 50, 3))
    data = Path("a.jpg").read_bytes()
    Path("b.jpg").write_bytes(data[:20] + b"junk" + data[20:] + b"more")
    assert on_images(*SAME, "b.jpg", "--strip", "-o", "c.jpg") == (0, "", "")
    assert b"junk" not in Path("c.jpg").read_bytes()
    assert Path("c.jpg").read_bytes().endswith(data[-100:])
    np.testing.assert_array_equal(vips("c.jpg"), vips("a.jpg"))


def animate(name: str, frames: list[np.ndarray], **settings) -> None:
    first, *rest = map(PIL.Image.fromarray, frames)
    settings = {"duration": [50, 80, 120], "loop": 2, **settings}
    first.save(name, save_all=True, append_images=rest, **settings)


def through_png(name: str, result: str, on_images) -> None:
    """Code a picture anew, although it does not change."""
    assert on_images(*SAME, name, "-o", "between.png") == (0, "", "")
    assert on_images(*SAME, "between.png", "-o", result) == (0, "", "")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_frames_of_gif(on_images, channels):
    # Few colours, so that the palette has them all.
    frames = [pixels(30, 20, channels).squeeze() // 85 * 85 for _ in range(3)]
    for frame in frames if channels == 4 else []:
        frame[..., 3] = np.where(frame[..., 3] > 85, 255, 0)
        frame[frame[..., 3] == 0] = 0
    animate("a.gif", frames, **({"disposal": 2} if channels == 4 else {}))
    through_png("a.gif", "b.gif", on_images)
    before = pyvips.Image.new_from_file("a.gif", n=-1)
    after = pyvips.Image.new_from_file("b.gif", n=-1)
    assert after.get("n-pages") == 3
    assert after.get("delay") == before.get("delay") == [50, 80, 120]
    assert after.get("loop") == before.get("loop")
    np.testing.assert_array_equal(after.numpy(), before.numpy())
    shown = np.concatenate(frames)
    colours = after.numpy()[..., :channels].squeeze()
    np.testing.assert_array_equal(colours, shown)


@pytest.mark.parametrize("disposal", [0, 2])
def test_a_gif_that_does_not_change(on_images, disposal):
    """Of such frames Pillow and others show different pixels."""
    frames = [pixels(30, 20), pixels(40, 20)]
    settings = {"disposal": disposal, "comment": b"spoken"}
    animate("a.gif", [frame // 85 * 85 for frame in frames], **settings)
    data = Path("a.gif").read_bytes()
    # A second frame that is somewhere else, in part beyond the picture.
    place = data.rindex(b"," + bytes(4))
    Path("a.gif").write_bytes(data[: place + 1] + b"\7\0\5\0" + data[place + 5 :])
    code, _, err = on_images(*SAME, "a.gif", "-o", "b.gif")
    assert code == 0
    assert "beyond the picture is not filtered" in err
    assert ("its background colour is filtered" in err) == (disposal == 2)
    assert Path("b.gif").read_bytes() == Path("a.gif").read_bytes()
    assert on_images(*SAME, "a.gif", "-q", "--strip", "-o", "c.gif") == (0, "", "")
    assert b"spoken" not in Path("c.gif").read_bytes()
    before, after = (
        pyvips.Image.new_from_file(name, n=-1) for name in ("a.gif", "c.gif")
    )
    np.testing.assert_array_equal(after.numpy(), before.numpy())
    for field in ("delay", "loop"):
        assert after.get(field) == before.get(field)


def test_what_opaque_frames_of_gif_leave_behind_is_nothing(on_images):
    frames = np.zeros((3, 4, 6, 4), np.uint8)
    frames[0, :2], frames[1], frames[2, 2:] = (255, 0, 0, 255), (0, 255, 0, 255), 255
    animate("a.png", list(frames))
    assert on_images(*SAME, "a.png", "-o", "b.gif") == (0, "", "")
    with PIL.Image.open("b.gif") as image:
        for place in range(3):
            image.seek(place)
            np.testing.assert_array_equal(image.convert("RGBA"), frames[place])


@pytest.mark.parametrize("loop", [None, 0, 1, 5])
def test_loops_of_gif(on_images, loop):
    save("a.gif", pixels(9, 9))
    frames = [PIL.Image.fromarray(pixels(9, 9)) for _ in range(2)]
    settings = {} if loop is None else {"loop": loop}
    frames[0].save("a.gif", save_all=True, append_images=frames[1:], **settings)
    through_png("a.gif", "b.gif", on_images)
    on_images(*SAME, "a.gif", "-o", "b.webp")
    before, after, other = (
        pyvips.Image.new_from_file(name) for name in ("a.gif", "b.gif", "b.webp")
    )
    assert after.get("loop") == before.get("loop") == other.get("loop")


@pytest.mark.parametrize("default_image", [False, True])
def test_frames_of_apng(on_images, default_image):
    frames = [pixels(30, 20, 4) for _ in range(4 if default_image else 3)]
    animate("a.png", frames, default_image=default_image)
    assert on_images(*SAME, "a.png", "-o", "b.png") == (0, "", "")

    def controls(name: str) -> list[bytes]:
        data = Path(name).read_bytes()
        parts = [part[:30] for part in data.split(b"fcTL")[1:]]
        assert data.count(b"acTL") == 1
        # Width and height, delay.
        return [part[4:12] + part[20:24] for part in parts]

    assert len(controls("a.png")) == 3
    assert controls("b.png") == controls("a.png")
    before, after = (
        imagecodecs.apng_decode(Path(name).read_bytes()) for name in ("a.png", "b.png")
    )
    np.testing.assert_array_equal(after, before)
    assert vips("b.png").shape == (30, 20, 4)


def test_frames_of_apng_of_16_bits(on_images):
    frames = RANDOM.integers(0, 2**16, (3, 30, 20), np.uint16)
    told = {"duration": [50, 80.5, 120_000], "loop": 2}
    Path("a.png").write_bytes(
        png.encode(picture.Picture("a", "PNG", list(frames), metadata=told))
    )
    assert on_images(*SAME, "a.png", "-o", "b.png") == (0, "", "")
    with PIL.Image.open("b.png") as image:
        assert (image.n_frames, image.info["loop"]) == (3, 2)
        for number, duration in enumerate(told["duration"]):
            image.seek(number)
            np.testing.assert_array_equal(np.asarray(image), frames[number])
            assert image.info["duration"] == pytest.approx(duration)
    images = [PIL.Image.fromarray(frame) for frame in frames]
    settings = {"save_all": True, "append_images": images[1:], "default_image": True}
    images[0].save("a.png", **settings)
    code, _, err = on_images(*SAME, "a.png", "-o", "c.png")
    assert (code, err.count("\n")) == (1, 1)
    assert "its first picture is not shown" in err


@pytest.mark.parametrize("channels", [3, 4])
def test_frames_of_webp(on_images, channels):
    frames = [pixels(30, 20, channels) for _ in range(3)]
    animate("a.webp", frames, lossless=True)
    assert on_images(*SAME, "a.webp", "-o", "b.webp") == (0, "", "")
    before = pyvips.Image.new_from_file("a.webp", n=-1)
    after = pyvips.Image.new_from_file("b.webp", n=-1)
    assert after.get("delay") == [50, 80, 120]
    assert after.get("loop") == before.get("loop") == 2
    shown = np.ones((90, 20), bool) if channels == 3 else before.numpy()[..., 3] > 0
    np.testing.assert_array_equal(after.numpy()[shown], before.numpy()[shown])


def test_a_tiff_has_the_frames_without_their_durations(on_images):
    frames = [pixels(30, 20, 3) for _ in range(3)]
    animate("a.webp", frames, lossless=True)
    code, _, err = on_images(*SAME, "a.webp", "-o", "b.tif")
    assert (code, err.count("\n")) == (0, 1)
    assert "a.webp: TIFF has no place for its duration, loop" in err
    np.testing.assert_array_equal(tifffile.imread("b.tif"), frames)


TIFFS = {
    "8 bits": (pixels(40, 50), {}),
    "1 bit": (pixels(40, 50, dtype=bool), {}),
    "RGB in tiles, LZW": (
        pixels(40, 50, 3),
        {"compression": "lzw", "tile": (16, 16), "predictor": True},
    ),
    "16 bits RGB, big-endian": (
        pixels(40, 50, 3, dtype="uint16"),
        {"byteorder": ">", "photometric": "rgb"},
    ),
    "16 bits RGBA": (
        pixels(40, 50, 4, dtype="uint16"),
        {"photometric": "rgb", "extrasamples": ["unassalpha"]},
    ),
    "stack of 16 bits": (pixels(5, 40, 50, dtype="uint16"), {"compression": "zlib"}),
    "BigTIFF": (pixels(2, 40, 50, dtype="uint16"), {"bigtiff": True}),
    "floats": (
        pixels(40, 50, dtype="float32"),
        {"compression": "zlib", "predictor": 3},
    ),
    "signed": (pixels(40, 50, dtype="int16"), {}),
    "planes": (
        pixels(3, 40, 50),
        {"photometric": "rgb", "planarconfig": "separate"},
    ),
    "CMYK": (pixels(40, 50, 4), {"photometric": "separated"}),
    "five channels": (pixels(40, 50, 5), {"planarconfig": "contig"}),
}


@pytest.mark.parametrize("kind", TIFFS)
def test_tiff(on_images, kind):
    array, settings = TIFFS[kind]
    tifffile.imwrite("a.tif", array, metadata=None, **settings)
    assert on_images(*SAME, "a.tif", "-o", "b.tif") == (0, "", "")
    np.testing.assert_array_equal(tifffile.imread("b.tif"), array)
    np.testing.assert_array_equal(vips("b.tif"), vips("a.tif"))
    assert vips("b.tif").dtype == vips("a.tif").dtype
    with tifffile.TiffFile("a.tif") as before, tifffile.TiffFile("b.tif") as after:
        assert (after.byteorder, after.is_bigtiff) == (
            before.byteorder,
            before.is_bigtiff,
        )
        assert len(after.pages) == len(before.pages)
        for old, new in zip(before.pages, after.pages, strict=True):
            for name in ("compression", "photometric", "planarconfig", "is_tiled"):
                assert getattr(new, name) == getattr(old, name)
            assert new.extrasamples == old.extrasamples
            assert new.bitspersample == old.bitspersample


@pytest.mark.parametrize("dtype", ["uint32", "int32", "float64"])
def test_tiff_of_many_bits_is_computed_with_64(on_images, dtype):
    array = pixels(20, 30, dtype=dtype)
    tifffile.imwrite("a.tif", array)
    code, _, err = on_images(*SAME, "--precision", "32", "a.tif", "-o", "b.tif")
    assert code == 1
    assert f"{dtype} pixels, which need 64 bits: leave out --precision 32" in err
    for hard in (["--hard"], []):
        arguments = "denoise", *hard, "--size", "1", "a.tif", "-o", "b.tif", "--force"
        assert on_images(*arguments) == (0, "", "")
        np.testing.assert_array_equal(tifffile.imread("b.tif"), array)
        if dtype != "float64":  # libvips refuses it
            np.testing.assert_array_equal(vips("b.tif"), array)


def test_tiff_where_white_is_zero(on_images):
    array = pixels(40, 50)
    tifffile.imwrite("a.tif", array, photometric="miniswhite")
    on_images(*SAME, "a.tif", "-o", "b.tif")
    on_images(*SAME, "a.tif", "-o", "b.png")
    np.testing.assert_array_equal(tifffile.imread("b.tif"), array)
    np.testing.assert_array_equal(vips("b.png"), 255 - array)
    # The brightest pixel of a window is the one with the smallest number.
    on_images("denoise", "--hard", "--quantile", "1", "a.tif", "-o", "c.tif")
    assert tifffile.imread("c.tif").mean() < array.mean() / 2


def test_jpeg_inside_a_tiff_becomes_lossless(on_images):
    tifffile.imwrite("a.tif", pixels(48, 64, 3), compression="jpeg", photometric="rgb")
    on_images(*SAME, "a.tif", "-o", "b.tif")
    np.testing.assert_array_equal(vips("b.tif"), vips("a.tif"))


def test_premultiplied_colours_stay_below_their_opacity(on_images):
    array = pixels(40, 50, 4)
    array[..., :3] = array[..., :3].astype(int) * array[..., 3:] // 255
    tifffile.imwrite("a.tif", array, photometric="rgb", extrasamples=["assocalpha"])
    on_images(*SAME, "a.tif", "-o", "b.tif")
    np.testing.assert_array_equal(tifffile.imread("b.tif"), array)
    on_images("denoise", "--hard", "a.tif", "-o", "c.tif")
    result = tifffile.imread("c.tif")
    assert (result[..., :3] <= result[..., 3:]).all()


def test_stacks_of_microscopes_keep_their_description(on_images):
    stack = pixels(2, 3, 20, 30, dtype="uint16")
    tifffile.imwrite("a.tif", stack, imagej=True, metadata={"axes": "TZYX", "fps": 7})
    tifffile.imwrite("a.ome.tif", stack, metadata={"axes": "CZYX"})
    for name in ("a.tif", "a.ome.tif"):
        assert on_images(*SAME, name, "-o", "b" + name[1:])[0] == 0
    with tifffile.TiffFile("b.tif") as file:
        assert file.imagej_metadata["fps"] == 7
        np.testing.assert_array_equal(file.series[0].asarray(), stack)
    with tifffile.TiffFile("b.ome.tif") as file:
        assert file.series[0].axes == "CZYX"
        np.testing.assert_array_equal(file.asarray(), stack)
        assert xml.etree.ElementTree.fromstring(file.ome_metadata).tag.endswith("OME")


def test_smaller_copies_in_a_tiff_are_left_out(on_images):
    stack = pixels(3, 64, 48, dtype="uint16")
    with tifffile.TiffWriter("a.ome.tif", ome=True) as file:
        file.write(stack, subifds=1, metadata={"axes": "ZYX"})
        file.write(stack[:, ::2, ::2], subfiletype=1)
    code, _, err = on_images(*SAME, "a.ome.tif", "-o", "b.ome.tif")
    assert (code, err.count("\n")) == (0, 1)
    assert "a.ome.tif: its smaller copies of pages are left out" in err
    with tifffile.TiffFile("b.ome.tif") as file:
        assert len(file.series[0].levels) == 1
        assert file.series[0].axes == "ZYX"
        np.testing.assert_array_equal(file.asarray(), stack)


def described(name: str, **settings) -> None:
    """A file with every kind of metadata."""
    exif = PIL.Image.Exif()
    exif[274], exif[271] = 6, "camera"  # orientation, maker
    exif[34665] = {36867: "2020:01:02 03:04:05", 33434: 0.008}
    exif[34853] = {1: "N", 2: (1.0, 2.0, 3.0)}
    image = PIL.Image.fromarray(pixels(12, 10, 3))
    image.save(name, exif=exif, icc_profile=PROFILE, dpi=(300, 300), **settings)


FORMATS = ["png", "jpg", "webp", "tif"]


@pytest.mark.parametrize("after", FORMATS)
@pytest.mark.parametrize("before", FORMATS)
def test_metadata_is_kept(on_images, before, after):
    # Pillow writes no EXIF into a TIFF: the first step makes one.
    described("a.png")
    assert on_images(*SAME, "a.png", "-o", f"b.{before}")[0] == 0
    code, _, err = on_images(*SAME, f"b.{before}", "-o", f"c.{after}")
    assert code == 0
    assert ("no place for its dpi" in err) == (after == "webp" != before)
    image = pyvips.Image.new_from_file(f"c.{after}")
    assert image.get("icc-profile-data") == PROFILE
    assert image.get("orientation") == 6
    # The orientation is a tag: pixels stay as they are stored.
    assert (image.width, image.height) == (10, 12)
    if "webp" not in (before, after):
        assert image.xres == pytest.approx(300 / 25.4, rel=1e-3)
    with PIL.Image.open(f"c.{after}") as image:
        exif = image.getexif()
        assert exif[271] == "camera"
        assert dict(exif.get_ifd(34665)) == {
            36867: "2020:01:02 03:04:05",
            33434: pytest.approx(0.008),
        }
        assert dict(exif.get_ifd(34853)) == {1: "N", 2: (1.0, 2.0, 3.0)}
    if before == after != "tif":
        assert image.info["exif"] == PIL.Image.open(f"b.{before}").info["exif"]


@pytest.mark.parametrize("exif", [b"garbage", b"II*\0\x08\0\0\0\xff\xff" + b"\1" * 50])
def test_metadata_that_is_damaged(on_images, exif):
    save("a.jpg", pixels(12, 10, 3), exif=b"Exif\0\0" + exif)
    assert on_images(*SAME, "a.jpg", "-o", "b.jpg")[0] == 0
    assert PIL.Image.open("b.jpg").info["exif"] == b"Exif\0\0" + exif
    code, _, err = on_images(*SAME, "a.jpg", "-o", "b.tif")
    assert (code, err.count("\n")) == (1, 1)
    assert "a.jpg cannot be kept as TIFF" in err
    assert "--strip leaves its metadata out" in err
    assert on_images(*SAME, "a.jpg", "-o", "b.tif", "--strip")[0] == 0


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_strip_drops_it(on_images, name, size):
    described("a.jpg")
    if name != "a.jpg":
        on_images(*SAME, "a.jpg", "-o", name)
    strip = (*HARD, size, "--strip", name, "-o", "b" + name[1:])
    assert on_images(*strip) == (0, "", "")
    with PIL.Image.open("b" + name[1:]) as image, PIL.Image.open(name) as original:
        assert not {"exif", "icc_profile", "dpi"} & image.info.keys()
        assert not {271, 274, 34665, 34853} & image.getexif().keys()
        # Nothing tells any more how the picture was held.
        assert image.size == (12, 10)
        if size == 1 and name == "a.png":
            upright = PIL.ImageOps.exif_transpose(original)
            np.testing.assert_array_equal(image, upright)


def test_chunks_of_png_are_kept(on_images):
    text = PIL.PngImagePlugin.PngInfo()
    text.add_text("Title", "a title")
    text.add(b"gAMA", (45455).to_bytes(4))
    save("a.png", pixels(12, 10), pnginfo=text, dpi=(72, 72))
    on_images(*SAME, "a.png", "-o", "b.png")
    with PIL.Image.open("b.png") as image:
        assert image.text == {"Title": "a title"}
        assert image.info["gamma"] == 0.45455


def test_chunks_that_say_so_are_copied(on_images):
    save("a.png", pixels(12, 10), pnginfo=chunked(b"vpAg", b"size", b"orNT", b"\1"))
    on_images(*SAME, "a.png", "-o", "b.png")
    kinds = [kind for kind, _ in png.chunks(Path("b.png").read_bytes())]
    assert kinds == [b"IHDR", b"vpAg", b"IDAT", b"IEND"]


def chunked(*words: bytes) -> PIL.PngImagePlugin.PngInfo:
    """Chunks of these kinds, each before what it says."""
    info = PIL.PngImagePlugin.PngInfo()
    for kind, said in zip(words[::2], words[1::2], strict=True):
        info.add(kind, said, after_idat=False)
    return info


BACKGROUNDS = {  # what is said of it before, and in a picture of more colours
    "palette": ("P", b"\2", [0, 200, 0, 100, 0, 3]),
    "grey": ("L", b"\0\7", [0, 7]),
    "RGB": ("RGB", bytes(range(6)), [0, 1, 2, 3, 4, 5]),
    "opacity": ("RGBA", bytes(range(6)), [0, 1, 2, 3, 4, 5]),
    "no colour of it": ("RGB", b"\1", None),
}


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_a_colour_behind_a_png_is_kept(on_images, kind):
    mode, said, plain = BACKGROUNDS[kind]
    image = PIL.Image.fromarray(pixels(12, 10) % 4).convert(mode)
    if mode == "P":
        image = PIL.Image.fromarray(pixels(12, 10) % 4, "P")
        image.putpalette([0, 0, 0, 90, 90, 90, 200, 100, 3, 255, 255, 255])
    image.save("a.png", bits=8, pnginfo=chunked(b"bKGD", said))
    data = bytearray(Path("a.png").read_bytes())
    if mode == "P":  # where it has to be
        at, end = data.index(b"bKGD") - 4, data.index(b"bKGD") + 9
        moved = bytes(data[at:end])
        del data[at:end]
        place = data.index(b"IDAT") - 4
        data[place:place] = moved
        Path("a.png").write_bytes(data)
    assert on_images(*SAME, "a.png", "-o", "b.png") == (0, "", "")
    assert on_images("denoise", "a.png", "-o", "c.png", "--size", 3)[0] == 0
    same, soft = (
        dict(png.chunks(Path(name).read_bytes())).get(b"bKGD")
        for name in ("b.png", "c.png")
    )
    assert (same and same[8:-4]) == (None if plain is None else said)
    assert (soft and list(soft[8:-4])) == plain


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_chunks_behind_the_pixels_are_read(on_images, dtype):
    save("a.png", pixels(12, 10, dtype=dtype))
    exif = PIL.Image.Exif()
    exif[274], exif[271] = 6, "camera"
    text = PIL.PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>")
    save("b.png", pixels(1, 1), pnginfo=text, exif=exif)
    data = Path("a.png").read_bytes()
    end = data.index(b"IEND") - 4
    late = png.describing_chunks(Path("b.png").read_bytes())
    Path("a.png").write_bytes(data[:end] + late + data[end:])
    assert on_images(*SAME, "a.png", "-o", "b.tif") == (0, "", "")
    with PIL.Image.open("b.tif") as image:
        assert image.getexif()[271] == "camera"
        assert image.getexif()[274] == 6
        assert image.info["xmp"] == b"<x:xmpmeta/>"
    assert tifffile.imread("b.tif").dtype == dtype


def test_exif_of_a_png_as_text(on_images):
    exif = PIL.Image.Exif()
    exif[271] = "camera"
    told = exif.tobytes()
    text = PIL.PngImagePlugin.PngInfo()
    profile = f"\nexif\n{len(told):8}\n{told[:30].hex()}\n{told[30:].hex()}\n"
    text.add_text("Raw profile type exif", profile, zip=True)
    save("a.png", pixels(12, 10), pnginfo=text)
    assert on_images(*SAME, "a.png", "-o", "b.webp") == (0, "", "")
    with PIL.Image.open("b.webp") as image:
        assert image.info["exif"].removeprefix(b"Exif\0\0") == told[6:]


def test_tags_of_tiff_are_kept(on_images):
    extra = [(65000, "s", None, "private", False), (33550, "d", 3, (1.0, 2.0, 0.0), 0)]
    tifffile.imwrite(
        "a.tif",
        pixels(2, 12, 10, dtype="uint16"),
        description="what it shows",
        software="a program",
        resolution=(120, 130),
        resolutionunit="centimeter",
        extratags=extra,
        metadata=None,
    )
    on_images(*SAME, "a.tif", "-o", "b.tif")
    with PIL.Image.open("b.tif") as image:
        assert image.tag_v2[65000] == "private"
        assert image.tag_v2[33550] == (1.0, 2.0, 0.0)
        assert image.tag_v2[270] == "what it shows"
        assert image.tag_v2[305] == "a program"
        assert image.tag_v2[282] == 120
        assert image.tag_v2[296] == 3


@pytest.mark.parametrize(
    ("array", "name", "words"),
    [
        (pixels(9, 9, dtype="uint16"), "b.jpg", "uint16 pixels; name it .png or .tif"),
        (pixels(9, 9, 3, dtype="uint16"), "b.webp", "uint16 pixels; name it .png"),
        (pixels(9, 9, dtype="float32"), "b.png", "float32 pixels; name it .tif"),
        (pixels(9, 9, dtype="int16"), "b.png", "int16 pixels; name it .tif"),
        (pixels(9, 9, 5), "b.png", "5 channels; name it .tif"),
        (pixels(2, 9, 9), "b.jpg", "there are 2 pages; name it .tif"),
        (pixels(2, 9, 9), "b.png", "there are 2 pages; name it .tif"),
        (pixels(2, 9, 9), "b.gif", "there are 2 pages; name it .tif"),
        (pixels(2, 9, 9), "b.webp", "there are 2 pages; name it .tif"),
        (pixels(2, 70_000), "b.gif", "at most 65535 pixels; name it .png or .tif"),
        (pixels(70_000, 2), "b.webp", "at most 16383 pixels; name it .png or .tif"),
        (pixels(70_000, 2), "b.jpg", "at most 65500 pixels; name it .png or .tif"),
    ],
)
def test_formats_that_cannot_hold_pixels_are_refused(on_images, array, name, words):
    settings = {"planarconfig": "contig"} if array.shape[-1] == 5 else {}
    tifffile.imwrite("a.tif", array, photometric="minisblack", **settings)
    code, _, err = on_images(*SAME, "a.tif", "-o", name)
    assert code == 1
    assert words in err
    assert not Path(name).exists()


def test_opacity_needs_a_format_that_has_it(on_images):
    save("a.png", pixels(9, 9, 4))
    assert (
        "no transparency; name it .png" in on_images(*SAME, "a.png", "-o", "b.jpg")[2]
    )
    assert "opaque or not" in on_images(*SAME, "a.png", "-o", "b.gif")[2]
    tifffile.imwrite("c.tif", pixels(9, 9, 4), photometric="separated")
    assert on_images(*SAME, "c.tif", "-o", "c.jpg")[0] == 0
    assert PIL.Image.open("c.jpg").mode == "CMYK"


def test_pixels_are_rounded_half_to_even_and_clipped():
    values = np.array([-1, 0.5, 1.5, 2.5, 254.5, 300]) / 255
    found = picture.to_pixels(values, np.dtype("uint8"))
    assert found.tolist() == [0, 0, 2, 2, 254, 255]


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "uint16", "int16"])
def test_every_value_survives_the_way_through_floats(dtype):
    kind = np.dtype(dtype)
    count = 2 if dtype == "bool" else 2 ** (8 * kind.itemsize)
    every = np.arange(count).astype(f"u{kind.itemsize}").view(kind)
    unit = picture.to_unit(every, "float32")
    assert unit.dtype == "float32"
    assert (unit.min(), unit.max()) == (0, 1)
    np.testing.assert_array_equal(picture.to_pixels(unit, kind), every)
