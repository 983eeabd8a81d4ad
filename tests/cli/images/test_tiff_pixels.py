"""TIFF pixels of any kind: as they are, or refused."""

import struct
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import pyvips
import tifffile
from scipy.ndimage import median_filter
from softsort_cli.images import comparison

RANDOM = np.random.default_rng(0)
pyvips.cache_set_max(0)  # it takes files of one name for one file
SAME = "denoise", "--hard", "--size", "1"


def write_bits(name: str, values: np.ndarray, bits: int) -> None:
    """A TIFF of one strip, made by hand, of so many bits a pixel."""
    rows = ("".join(f"{value:0{bits}b}" for value in row) for row in values)
    padded = "".join(row + "0" * (-len(row) % 8) for row in rows)
    data = int(padded, 2).to_bytes(len(padded) // 8).ljust(len(padded) // 8 + 1, b"\0")
    height, width = values.shape
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1}
    tags |= {278: height, 279: len(padded) // 8}
    data += bytes(len(data) % 2)
    entries = b"".join(struct.pack("<HHII", code, 4, 1, tags[code]) for code in tags)
    head = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    Path(name).write_bytes(head + data + struct.pack("<H", 9) + entries + bytes(4))


@pytest.mark.parametrize("bits", [2, 4, 6, 10, 12, 14, 24])
def test_any_number_of_bits(on_images, bits):
    values = RANDOM.integers(0, 2**bits, (9, 11))
    write_bits("a.tif", values, bits)
    assert on_images("denoise", "--hard", "a.tif", "-o", "b.tif") == (0, "", "")
    with tifffile.TiffFile("b.tif") as file:
        assert file.pages[0].bitspersample == bits
        result = file.pages[0].asarray()
        (start,), (size,) = file.pages[0].dataoffsets, file.pages[0].databytecounts
    expected = median_filter(values, 3)
    np.testing.assert_array_equal(result, expected)
    coded = np.frombuffer(Path("b.tif").read_bytes()[start : start + size], np.uint8)
    rows = np.unpackbits(coded).reshape(9, -1)[:, : 11 * bits].reshape(9, 11, bits)
    np.testing.assert_array_equal(rows @ (1 << np.arange(bits)[::-1]), expected)
    if bits <= 14:
        on_images(*SAME, "a.tif", "-o", "b.png")
        result = pyvips.Image.new_from_file("b.png").numpy()
        white = 2 ** (8 * result.itemsize) - 1
        exact = values * (white / (2**bits - 1))
        assert np.abs(result - exact).max() <= 0.5


def test_palettes_of_few_bits(on_images):
    colours = RANDOM.integers(0, 256, (16, 3), np.uint8)
    image = PIL.Image.fromarray(RANDOM.integers(0, 16, (9, 12), np.uint8), "P")
    image.putpalette(colours.tobytes())
    image.save("a.png", bits=4)
    pyvips.Image.new_from_file("a.png").tiffsave("a.tif", bitdepth=4)
    values = RANDOM.integers(0, 16, (9, 12))
    write_bits("b.tif", values, 4)
    data = bytearray(Path("b.tif").read_bytes())
    (start,) = struct.unpack_from("<I", data, 4)
    data[start : start + 2] = struct.pack("<H", 10)
    data[start + 2 + 4 * 12 + 8] = 3  # a palette
    palette = (colours.T.astype("<u2") * 257).tobytes()
    place = start + 2 + 10 * 12 + 4
    data[-4:] = struct.pack("<HHII", 320, 3, 48, place) + bytes(4) + palette
    Path("b.tif").write_bytes(data)
    assert on_images(*SAME, "b.tif", "-o", "c.tif") == (0, "", "")
    for name in ("b.tif", "c.tif"):
        with PIL.Image.open(name) as image:
            assert (image.mode, image.tag_v2[258]) == ("P", (4,))
            np.testing.assert_array_equal(image.convert("RGB"), colours[values])


def test_a_palette_with_other_values_is_refused(on_images):
    array = RANDOM.integers(0, 9, (8, 9, 2), np.uint8)
    tifffile.imwrite("a.tif", array, planarconfig="contig", photometric="minisblack")
    data = bytearray(Path("a.tif").read_bytes())
    with tifffile.TiffFile("a.tif") as file:
        tags = file.pages[0].tags
        data[tags["PhotometricInterpretation"].valueoffset] = 3
        # In the place of a tag that says nothing.
        place = tags["Software"].offset
    data[place : place + 12] = struct.pack("<HHII", 320, 3, 768, len(data))
    Path("a.tif").write_bytes(data + bytes(2 * 768))
    code, out, err = on_images(*SAME, "a.tif", "-o", "b.tif")
    assert (code, out) == (1, "")
    assert "a.tif, page 1, has a palette, and 2 values a pixel" in err
    assert not Path("b.tif").exists()


def test_jpeg_of_the_old_style_is_refused(on_images):
    tifffile.imwrite("a.tif", np.zeros((16, 16), np.uint8), compression="jpeg")
    with tifffile.TiffFile("a.tif", mode="r+b") as file:
        file.pages[0].tags["Compression"].overwrite(6)
    for command in SAME, ("noise",), ("compare",):
        code, out, err = on_images(*command, "a.tif", "-o", "b.png")
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert "a.tif, page 1, holds JPEG of the old style" in err
    assert not Path("b.png").exists()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_with_differences_of_numbers(on_images, dtype):
    array = RANDOM.normal(size=(9, 12)).astype(dtype)
    tifffile.imwrite("a.tif", array)
    if dtype == "float32":
        image = pyvips.Image.new_from_array(array)
        image.tiffsave("a.tif", compression="deflate", predictor="horizontal")
    assert on_images(*SAME, "a.tif", "-o", "b.tif") == (0, "", "")
    np.testing.assert_array_equal(tifffile.imread("b.tif"), array)
    if dtype == "float32":
        np.testing.assert_array_equal(
            pyvips.Image.new_from_file("b.tif").numpy(), array
        )


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_lab_is_filtered_as_signed_colours(on_images, dtype):
    signed = RANDOM.integers(-9, 9, (8, 9, 3))
    signed[..., 0] += 100
    array = signed.astype(dtype)
    tifffile.imwrite("a.tif", array, photometric="cielab")
    assert on_images("denoise", "--hard", "a.tif", "-o", "b.tif") == (0, "", "")
    expected = median_filter(signed, (3, 3, 1)).astype(dtype)
    np.testing.assert_array_equal(tifffile.imread("b.tif"), expected)
    with tifffile.TiffFile("b.tif") as file:
        assert file.pages[0].photometric == tifffile.PHOTOMETRIC.CIELAB
    if dtype == "uint8":
        np.testing.assert_array_equal(PIL.Image.open("b.tif"), expected)
    for command in (("denoise",), ("noise",), ("compare",)):
        code, _, err = on_images(*command, "a.tif", "-o", "c.png")
        assert (code, err.count("\n")) == (1, 1)
        assert "Lab colours; convert" in err or "Lab colours: convert" in err


@pytest.mark.parametrize("kind", [1, 4])
def test_an_orientation_of_another_type(on_images, kind):
    extra = [(274, kind, 1, 6, True)]
    tifffile.imwrite("a.tif", np.zeros((4, 6), np.uint8), extratags=extra)
    assert on_images(*SAME, "a.tif", "-o", "b.tif") == (0, "", "")
    assert on_images(*SAME, "a.tif", "-o", "b.png")[0] == 0
    for name in ("b.tif", "b.png"):
        assert pyvips.Image.new_from_file(name).get("orientation") == 6


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("name", ["b.png", "b.webp", "b.tif"])
def test_multiplied_colours_in_other_formats(on_images, dtype, name):
    if dtype == "uint16" and name == "b.webp":
        return
    whole = np.iinfo(dtype).max
    opacity = np.array([0, whole // 5, whole // 2, whole], dtype)
    array = np.stack([np.broadcast_to(opacity, (3, 4))] * 4, axis=-1)
    array[..., 1] //= 3
    settings = {"photometric": "rgb", "extrasamples": ["assocalpha"]}
    tifffile.imwrite("a.tif", array, **settings)
    assert on_images(*SAME, "a.tif", "-o", name)[0] == 0
    assert on_images("noise", "--amount", "0", "a.tif", "-o", f"n{name}")[0] == 0
    for each in (name, f"n{name}"):
        # Which divides by the opacity itself.
        result = pyvips.Image.new_from_file(each).numpy()
        expected = pyvips.Image.new_from_file("a.tif").numpy()
        assert np.abs(result[:, 1:] - expected[:, 1:].astype(float)).max() <= 1
        np.testing.assert_array_equal(result[..., 3], array[..., 3])
    if name == "b.tif":
        np.testing.assert_array_equal(tifffile.imread(name), array)
    on_images("noise", "--amount", "1", "a.tif", "-o", f"m{name}")
    colours = pyvips.Image.new_from_file(f"m{name}").numpy()[:, 1:, :3]
    assert ((colours == 0) | (colours == whole)).all()


def test_compare_shows_multiplied_colours_as_they_are_seen(on_images, monkeypatch):
    monkeypatch.setattr(comparison, "_others", lambda _: {})
    straight = RANDOM.integers(0, 256, (9, 12, 3), np.uint8)
    opacity = np.full((9, 12, 1), 51, np.uint8)
    tables = []
    for kind, colours in (("assocalpha", straight / 5), ("unassalpha", straight)):
        array = np.concatenate([np.rint(colours), opacity], -1).astype(np.uint8)
        if kind == "unassalpha":  # rounded likewise
            array[..., :3] = np.rint(np.rint(straight / 5) * 5).clip(0, 255)
        settings = {"photometric": "rgb", "extrasamples": [kind]}
        tifffile.imwrite("a.tif", array, **settings)
        tables.append(on_images("compare", "a.tif", "-o", "c.png", "--force")[1])
    assert tables[0] == tables[1]
    assert "inf" not in tables[0]


def test_a_fourth_channel_of_rgb_is_opacity_if_nothing_is_said(on_images):
    array = RANDOM.integers(0, 256, (9, 11, 4), np.uint8)
    tifffile.imwrite("a.tif", array, photometric="rgb", extrasamples=["unassalpha"])
    data, tag = Path("a.tif").read_bytes(), struct.pack("<HHI", 338, 3, 1)
    Path("b.tif").write_bytes(data.replace(tag, struct.pack("<HHI", 65000, 3, 1)))
    with tifffile.TiffFile("b.tif") as file, PIL.Image.open("b.tif") as image:
        assert (file.pages[0].extrasamples, image.mode) == ((), "RGBA")
    for name in "ab":
        saved = on_images("denoise", "--hard", f"{name}.tif", "-o", f"{name}2.tif")
        assert saved == (0, "", "")
    result = np.asarray(PIL.Image.open("b2.tif"))
    np.testing.assert_array_equal(result, tifffile.imread("a2.tif"))
    np.testing.assert_array_equal(result[..., 3], array[..., 3])
