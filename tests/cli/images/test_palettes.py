"""Palettes, few bits and transparent colours stay, where all colours are in them."""

from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import PIL.Image
import pytest
import pyvips
import tifffile
from softsort_cli.images import picture, png, png_pixels

pyvips.cache_set_max(0)  # it takes files of one name for one file
RANDOM = np.random.default_rng(0)
SAME = ("denoise", "--hard", "--size", "1")


def colours(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, np.uint8)


def shown(name: str) -> np.ndarray:
    with PIL.Image.open(name) as image:
        return np.array(image.convert("RGBA"))


def vips(name: str) -> np.ndarray:
    return pyvips.Image.new_from_file(name, n=-1).numpy()


def save_with_palette(name: str, count: int, **settings) -> np.ndarray:
    """Save places in a palette of random colours."""
    image = PIL.Image.fromarray(RANDOM.integers(0, count, (20, 30), np.uint8), "P")
    image.putpalette(colours(count, 3).tobytes())
    image.save(name, **settings)
    return np.array(image)


def stored(name: str) -> tuple[int, int]:
    """The bits a channel, and the kind, of a PNG."""
    data = Path(name).read_bytes()
    return data[24], data[25]


@pytest.mark.parametrize("count", [2, 4, 16, 256])
@pytest.mark.parametrize("transparency", [None, 1, b"\0\x80"])
def test_palettes_of_png(on_images, count, transparency):
    settings = {} if transparency is None else {"transparency": transparency}
    save_with_palette("a.png", count, **settings)
    assert on_images(*SAME, "a.png", "-o", "b.png") == (0, "", "")
    assert stored("b.png") == stored("a.png") == (count.bit_length() - 1, 3)
    np.testing.assert_array_equal(shown("b.png"), shown("a.png"))
    with PIL.Image.open("a.png") as before, PIL.Image.open("b.png") as after:
        assert after.getpalette() == before.getpalette()
        assert after.info.get("transparency") == transparency
    assert Path("b.png").stat().st_size <= Path("a.png").stat().st_size
    if count == 2 and transparency is not None:
        return  # there is one colour to be seen
    # Means of colours are not in the palette.
    on_images("denoise", "--size", "3", "--epsilon", "1", "a.png", "-o", "c.png")
    assert stored("c.png") == (8, 2 if transparency is None else 6)


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("key", [False, True])
def test_greys_of_few_bits_and_transparent_ones(on_images, bits, key):
    rows = RANDOM.integers(0, 256, (20, -(-30 * bits // 8)), np.uint8)
    told = b"tRNS" + rows[3, 0].item().to_bytes(2) if bits == 8 else b"tRNS\0\1"
    if bits == 16:
        rows[3, :2] = 0, 1
    write_png("a.png", rows, 30, bits, told if key else b"")
    assert on_images(*SAME, "a.png", "-o", "b.png") == (0, "", "")
    assert stored("b.png") == stored("a.png") == (bits, 0)
    before, after = (
        imagecodecs.png_decode(Path(name).read_bytes()) for name in ("a.png", "b.png")
    )
    assert before.shape[2:] == ((2,) if key else ())
    assert not key or (before[..., 1] == 0).any()
    np.testing.assert_array_equal(after, before)


def write_png(name: str, rows: np.ndarray, width: int, bits: int, told: bytes) -> None:
    """A grey PNG of packed rows, and a chunk, as another library codes them."""
    lines = np.pad(rows, ((0, 0), (1, 0))).tobytes()
    header = np.array([width, len(rows)], ">u4").tobytes() + bytes([bits, 0, 0, 0, 0])
    pixels = imagecodecs.zlib_encode(lines)
    parts = [b"IHDR" + header, told, b"IDAT" + pixels, b"IEND"]
    data = b"\x89PNG\r\n\x1a\n"
    for part in filter(None, parts):
        check = imagecodecs.deflate_crc32(part).to_bytes(4)
        data += (len(part) - 4).to_bytes(4) + part + check
    Path(name).write_bytes(data)


def test_a_transparent_colour_of_png_stays_until_it_is_also_seen(on_images):
    array = colours(20, 30, 3)
    array[:8] = 1, 2, 3
    image = PIL.Image.fromarray(array)
    image.save("a.png", transparency=(1, 2, 3))
    assert on_images(*SAME, "a.png", "-o", "b.png") == (0, "", "")
    assert stored("b.png") == (8, 2)
    assert PIL.Image.open("b.png").info["transparency"] == (1, 2, 3)
    np.testing.assert_array_equal(shown("b.png"), shown("a.png"))
    # Where a pixel that is seen is of this colour, opacity has to tell.
    before = picture.Picture("a.png", "PNG", [shown("a.png")], alpha=True)
    before.frames[0][-1, -1] = 1, 2, 3, 255
    layout = png_pixels.layout(Path("a.png").read_bytes())
    data = png.encode(replace(before, encoding={"layout": layout}))
    Path("c.png").write_bytes(data)
    np.testing.assert_array_equal(shown("c.png"), before.frames[0])


def test_exact_medians_stay_in_a_palette(on_images):
    save_with_palette("a.png", 2)
    with PIL.Image.open("a.png") as image:
        # One colour is brighter in all channels: each median is one of the two.
        image.putpalette([10, 20, 30, 40, 50, 60])
        image.save("a.png")
    on_images("denoise", "--hard", "a.png", "-o", "b.png")
    assert stored("b.png") == (1, 3)
    with PIL.Image.open("b.png") as image:
        assert {colour for _, colour in image.convert("RGB").getcolors()} == {
            (10, 20, 30),
            (40, 50, 60),
        }


def test_frames_of_a_palette(on_images):
    places = [RANDOM.integers(0, 4, (20, 30), np.uint8) for _ in range(3)]
    frames = [PIL.Image.fromarray(each, "P") for each in places]
    for frame in frames:
        frame.putpalette(bytes(range(12)))
    settings = {"save_all": True, "append_images": frames[1:], "duration": 50}
    frames[0].save("a.png", **settings)
    assert on_images(*SAME, "a.png", "-o", "b.png") == (0, "", "")
    assert stored("b.png") == stored("a.png") == (2, 3)
    before, after = (
        imagecodecs.apng_decode(Path(name).read_bytes()) for name in ("a.png", "b.png")
    )
    np.testing.assert_array_equal(after, before)
    assert Path("b.png").stat().st_size <= Path("a.png").stat().st_size


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_palettes_of_tiff(on_images, bits, byteorder):
    colormap = RANDOM.integers(0, 2**16, (3, 2**bits), np.uint16)
    if bits == 4:
        colormap = colormap // 257 * 257
    dtype = "uint16" if bits == 16 else "uint8"
    places = RANDOM.integers(0, 2**bits, (2, 20, 30)).astype(dtype)
    table = (320, 3, colormap.size, tuple(colormap.ravel()), False)
    curve = 3 * tuple(range(2**bits))
    packed = {"bitspersample": bits} if bits < 8 else {"compression": "zlib"}
    with tifffile.TiffWriter("a.tif", byteorder=byteorder) as file:
        for page in places:
            extra = [table, (301, 3, len(curve), curve, False)]
            settings = {"extratags": extra, "metadata": None, **packed}
            file.write(page, photometric="palette", **settings)
    assert on_images(*SAME, "a.tif", "-o", "b.tif") == (0, "", "")
    with tifffile.TiffFile("b.tif") as file:
        assert [page.bitspersample for page in file.pages] == [bits] * 2
        for page, before in zip(file.pages, places, strict=True):
            assert page.photometric == tifffile.PHOTOMETRIC.PALETTE
            np.testing.assert_array_equal(page.colormap, colormap)
            table = colormap.T
            np.testing.assert_array_equal(
                table[page.asarray().astype(int)], table[before.astype(int)]
            )
    np.testing.assert_array_equal(*map(vips, ("b.tif", "a.tif")))
    if bits <= 8:
        image = PIL.Image.open("b.tif")
        assert (image.mode, image.tag_v2[301]) == ("P", curve)
        np.testing.assert_array_equal(shown("b.tif"), shown("a.tif"))
    assert Path("b.tif").stat().st_size <= 1.1 * Path("a.tif").stat().st_size
    _, _, err = on_images("denoise", "--epsilon", "1", "a.tif", "-o", "c.tif")
    assert "a.tif: without its palette, its TransferFunction is left out\n" in err
    with tifffile.TiffFile("c.tif") as file:
        assert file.pages[0].photometric == tifffile.PHOTOMETRIC.RGB
