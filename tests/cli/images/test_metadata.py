"""What files say beside their pixels: kept byte for byte, or told to be lost."""

import struct
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest
import pyvips
import tifffile
from scipy.ndimage import median_filter

RANDOM = np.random.default_rng(0)
pyvips.cache_set_max(0)  # it takes files of one name for one file
RGB = RANDOM.integers(0, 256, (20, 30, 3), np.uint8)
SAME = "denoise", "--hard", "--size", "1"
IPTC = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0e\x1c\x02\x05\0\x09A caption\0"
EXTENSION = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + bytes(8) + b"<x/>"
SEGMENTS = [(0xEB, b"JP\0\1" + bytes(9)), (0xED, IPTC), (0xE1, EXTENSION)]
SEGMENTS += [(0xFE, b"one"), (0xFE, b"two"), (0xE5, b"own")]


def with_segments(name: str, density: tuple[int, int, int] | None = None) -> None:
    """Add to a JPEG what Pillow does not write."""
    data = Path(name).read_bytes()
    head = 4 + int.from_bytes(data[4:6])
    start = bytearray(data[:head])
    if density and data[6:10] == b"JFIF":
        start[13:18] = struct.pack(">B2H", *density)
    added = b"".join(
        bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2) + body
        for marker, body in SEGMENTS
    )
    Path(name).write_bytes(start + added + data[head:])


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_segments_of_jpeg_are_kept(on_images, mode, size):
    exif = PIL.Image.Exif()
    exif[271] = "camera"
    image = PIL.Image.fromarray(RGB).convert(mode)
    image.save("a.jpg", exif=exif, xmp=b"<x:xmpmeta/>", icc_profile=b"profile")
    with_segments("a.jpg", (2, 100, 50))  # pixels a centimetre
    filtered = ("denoise", "--hard", "--size", size, "a.jpg")
    assert on_images(*filtered, "-o", "b.jpg") == (0, "", "")
    with PIL.Image.open("a.jpg") as before, PIL.Image.open("b.jpg") as after:
        after.load()
        names = "jfif_unit", "jfif_density", "exif", "icc_profile", "comment", "dpi"
        for name in names[2 * (mode == "CMYK") :]:
            assert after.info.get(name) == before.info.get(name)
        kept = [each for each in before.applist if each[0] != "APP14"]
        assert [each for each in after.applist if each[0] != "APP14"] == kept
        assert after.mode == mode
    before, after = (pyvips.Image.new_from_file(name) for name in ("a.jpg", "b.jpg"))
    for field in ("iptc-data", "exif-data", "xmp-data", "icc-profile-data", "xres"):
        assert after.get(field) == before.get(field)
    on_images(*filtered, "--strip", "-o", "c.jpg")
    assert b"caption" not in Path("c.jpg").read_bytes()


def test_a_profile_that_is_there_twice(on_images):
    PIL.Image.fromarray(RGB).save("a.jpg", icc_profile=b"profile")
    data = Path("a.jpg").read_bytes()
    start = data.index(b"\xff\xe2")
    segment = data[start : start + 4 + len(b"ICC_PROFILE\0__profile")]
    tables = data.index(b"\xff\xc4")
    Path("a.jpg").write_bytes(data[:tables] + segment + data[tables:])
    on_images("denoise", "--hard", "a.jpg", "-o", "b.jpg")
    assert PIL.Image.open("b.jpg").info["icc_profile"] == b"profile"


def test_what_another_format_cannot_say_is_told(on_images):
    PIL.Image.fromarray(RGB).save("a.jpg")
    with_segments("a.jpg")
    code, _, err = on_images(*SAME, "a.jpg", "-o", "b.png")
    assert code == 0
    assert err.endswith("no place for its comment, APP11, APP5, IPTC, extended XMP\n")
    info = PIL.PngImagePlugin.PngInfo()
    info.add_text("comment", "some")
    info.add_text("Title", "a title")
    PIL.Image.fromarray(RGB).save("a.png", pnginfo=info)
    assert on_images(*SAME, "a.png", "-o", "c.png") == (0, "", "")
    assert PIL.Image.open("c.png").text == {"comment": "some", "Title": "a title"}
    _, _, err = on_images(*SAME, "a.png", "-o", "d.tif")
    assert err.endswith("TIFF has no place for its comment, tEXt\n")
    extra = [(33550, 12, 3, (1.0, 1.0, 0.0), True), (269, 2, 0, "name", True)]
    tifffile.imwrite("a.tif", RGB, extratags=extra, software=False, metadata=None)
    _, _, err = on_images(*SAME, "a.tif", "-o", "e.png")
    assert err.endswith("no place for its DocumentName, ModelPixelScaleTag\n")


def test_tags_about_colours_are_kept(on_images):
    white, curve = (3127, 10000, 3290, 10000), tuple(range(0, 768))
    extra = [(318, 5, 2, white, True), (301, 3, 768, curve, True)]
    extra += [(319, 5, 6, (64, 100, 33, 100) * 3, True), (281, 3, 3, (200,) * 3, True)]
    tifffile.imwrite("a.tif", RGB, photometric="rgb", extratags=extra)
    assert on_images(*SAME, "a.tif", "-o", "b.tif") == (0, "", "")
    before, after = (PIL.Image.open(name).tag_v2 for name in ("a.tif", "b.tif"))
    for code in (281, 301, 318, 319):
        assert after[code] == before[code]


def test_application_data_of_gif_is_kept(on_images):
    frames = [PIL.Image.fromarray(RGB[..., 0] // 85 * 85 + step) for step in range(3)]
    settings = {"save_all": True, "append_images": frames[1:], "loop": 2}
    frames[0].save("a.gif", duration=[50, 60, 70], comment=b"some", **settings)
    data = Path("a.gif").read_bytes()
    start = 13 + (6 << (data[10] & 7)) * (data[10] >> 7)
    block = b"!\xff\x0bICCRGBG1012\x07profile\0"
    Path("a.gif").write_bytes(data[:start] + block + data[start:])
    assert on_images("denoise", "--hard", "a.gif", "-o", "b.gif") == (0, "", "")
    assert block in Path("b.gif").read_bytes()
    assert PIL.Image.open("b.gif").info["comment"] == b"some"
    before = pyvips.Image.new_from_file("a.gif", n=-1)
    after = pyvips.Image.new_from_file("b.gif", n=-1)
    planes = before.numpy()[..., :3].reshape(3, 20, 30, 3)
    expected = median_filter(planes, (1, 3, 3, 1)).reshape(60, 30, 3)
    np.testing.assert_array_equal(after.numpy()[..., :3], expected)
    for field in ("delay", "loop"):
        assert after.get(field) == before.get(field)
    _, _, err = on_images(*SAME, "a.gif", "-o", "b.webp")
    assert err.endswith("WEBP has no place for its comment, application data\n")


@pytest.mark.parametrize("turn", range(1, 9))
def test_pictures_are_turned_where_a_format_cannot_tell(on_images, turn):
    exif = PIL.Image.Exif()
    exif[274] = turn
    array = RGB[..., 0] // 85 * 85
    PIL.Image.fromarray(array).save("a.png", exif=exif)
    on_images(*SAME, "a.png", "-o", "b.gif")
    on_images(*SAME, "a.png", "-o", "b.webp")
    expected = pyvips.Image.new_from_file("a.png").autorot().numpy()
    result = np.asarray(PIL.Image.open("b.gif").convert("L"))
    np.testing.assert_array_equal(result, expected)
    assert PIL.Image.open("b.webp").getexif().get(274) == turn


def write_set(names: list[str]) -> np.ndarray:
    """Files of OME-XML, each with a plane of one picture."""
    planes = RANDOM.integers(0, 256, (len(names), 12, 10), np.uint8)
    places = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="{name}">'
        f"urn:uuid:{z:032}</UUID></TiffData>"
        for z, name in enumerate(names)
    )
    for number, (name, plane) in enumerate(zip(names, planes, strict=True)):
        text = (
            '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy'
            f'.org/Schemas/OME/2016-06" UUID="urn:uuid:{number:032}"><Image ID="Image:0'
            '"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="10" '
            f'SizeY="12" SizeZ="{len(names)}" SizeC="1" SizeT="1"><Channel ID="Channel:'
            f'0:0" SamplesPerPixel="1"/>{places}</Pixels></Image></OME>'
        )
        tifffile.imwrite(name, plane, description=text, metadata=None)
    return planes


def test_a_set_of_microscopes_is_read_from_its_own_files(on_images):
    names = ["cells_Z0.ome.tif", "cells_Z1.ome.tif"]
    planes = write_set(names)
    code, _, err = on_images("denoise", "--hard", *names)
    assert code == 1
    assert "cells_Z0.ome.tif, cells_Z1.ome.tif; keep the names, with --out-dir" in err
    assert not list(Path().glob("*soft*"))
    assert on_images("noise", names[0])[0] == 1
    options = "denoise", "--hard", "--quantile", "0"
    assert on_images(*options, *names, "--out-dir", "out") == (0, "", "")
    result = tifffile.imread(f"out/{names[1]}")
    assert result.shape == (2, 12, 10)
    assert (result <= planes).all()
    assert (result < planes).any()
    assert on_images(*options, names[0], "--strip", "-o", "alone.tif")[0] == 0


@pytest.mark.parametrize("memory", [(), ("--max-memory", "700M")])
def test_a_file_of_microscopes_names_itself(on_images, monkeypatch, memory):
    from softsort_cli.images import tiff_streaming

    if memory:
        monkeypatch.setattr(tiff_streaming, "fits", lambda *_: False)
        monkeypatch.setattr("softsort_filters.strips._BYTES_A_TILE", 0)
    planes = write_set(["a.ome.tif"])
    options = "denoise", *memory, "--size", "1", "a.ome.tif", "-o"
    assert on_images(*options, 'b "&".ome.tif') == (0, "", "")
    Path("a.ome.tif").unlink()
    with tifffile.TiffFile('b "&".ome.tif') as file:
        assert "a.ome.tif" not in file.ome_metadata
        np.testing.assert_array_equal(file.series[0].asarray(), planes[0])
