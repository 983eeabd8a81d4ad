"""Files that claim more than they hold: one line each, and the others are done."""

import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import PIL.Image
import pytest
import tifffile
from softsort_cli.errors import CommandError
from softsort_cli.images import declared_size, tiff_streaming

RANDOM = np.random.default_rng(0)
SAME = ("denoise", "--hard", "--size", "1")
FAR = 65_535
COLOURS = np.repeat(np.arange(0, 256, 2, dtype=np.uint8), 3).reshape(128, 3)


def gif(screen: tuple[int, int], *frames: bytes) -> bytes:
    header = b"GIF89a" + struct.pack("<2H3B", *screen, 0x86, 0, 0)
    return header + COLOURS.tobytes() + b"".join(frames) + b";"


def frame(pixels: np.ndarray, left: int = 0, top: int = 0) -> bytes:
    """A frame of a GIF whose codes are its pixels: the table never grows."""
    flat = pixels.ravel()
    parts = (b"\x80" + flat[at : at + 100].tobytes() for at in range(0, flat.size, 100))
    codes = b"".join(parts) + b"\x81"
    blocks = (codes[at : at + 255] for at in range(0, len(codes), 255))
    height, width = pixels.shape
    return (
        struct.pack("<c4HBB", b",", left, top, width, height, 0, 7)
        + b"".join(bytes([len(block)]) + block for block in blocks)
        + b"\0"
    )


def empty_frame(left: int, top: int, width: int, height: int, disposal: int) -> bytes:
    control = b"!\xf9\x04" + bytes([disposal << 2]) + b"\x05\0\0\0"
    sides = struct.pack("<c4HB", b",", left, top, width, height, 0)
    return control + sides + b"\x02\x02\x44\x01\0"


def shades(height: int, width: int) -> np.ndarray:
    return RANDOM.integers(0, 128, (height, width), np.uint8)


FIRST = frame(shades(100, 100))


def test_frames_of_a_gif_are_cut_off_at_the_picture(on_images):
    first, second, third = shades(80, 100), shades(80, 100), shades(9, 9)
    data = gif((100, 80), frame(first), frame(second, 30, 40), frame(third, 95, 76))
    Path("a.gif").write_bytes(data)
    code, _, err = on_images(*SAME, "a.gif", "-o", "b.tif")
    assert code == 0
    assert "a.gif: what is beyond the picture is not filtered" in err
    assert on_images("denoise", "--hard", "a.gif", "-o", "b.gif", "-q")[0] == 0
    with PIL.Image.open("b.gif") as image:
        for place in range(3):
            image.seek(place)
            assert image.size == (100, 80)
    expected = np.stack([first, first, first])
    expected[1:, 40:, 30:] = second[:40, :70]
    expected[2, 76:, 95:] = third[:4, :5]
    np.testing.assert_array_equal(tifffile.imread("b.tif"), COLOURS[expected])


def test_the_first_frame_of_a_gif_widens_its_screen(on_images):
    first, second = shades(20, 30), shades(20, 30)
    Path("a.gif").write_bytes(gif((0, 0), frame(first), frame(second, 10, 5)))
    assert on_images(*SAME, "a.gif", "-o", "b.tif", "-q")[::2] == (0, "")
    expected = np.stack([first, first])
    expected[1, 5:, 10:] = second[:15, :20]
    np.testing.assert_array_equal(tifffile.imread("b.tif"), COLOURS[expected])


def webp(width: int, height: int) -> bytes:
    buffer = BytesIO()
    PIL.Image.new("RGB", (20, 20)).save(buffer, "WEBP", lossless=True)
    data = bytearray(buffer.getvalue())
    sides = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    data[12:12] = b"VP8X" + struct.pack("<II", 10, 0) + sides
    data[4:8] = struct.pack("<I", len(data) - 8)
    return bytes(data)


def png(side: int, *, depth: int = 8, rows: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", side, side, depth, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunks + chunk(b"IEND", b"")


def icon() -> bytes:
    """An old format that Pillow decodes as it opens it."""
    image = png(30_000)
    return struct.pack("<3H4B2H2I", 0, 1, 1, 0, 0, 0, 0, 1, 32, len(image), 22) + image


def overlapping(count: int = 20_000) -> bytes:
    """A TIFF with many tags that each hold nearly the whole of it."""
    sides = ((256, 4), (257, 4), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1))
    tags = [(code, 4, 1, value) for code, value in (*sides, (278, 4), (279, 16))]
    tags += [(40_000 + n, 7, 12 * count, 8) for n in range(count)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0" * 400


def jpeg_with(exif: bytes) -> bytes:
    """A JPEG with EXIF in several segments."""
    data = imagecodecs.jpeg8_encode(np.zeros((8, 8), np.uint8))
    parts = (b"Exif\0\0" + exif[at : at + 60_000] for at in range(0, len(exif), 60_000))
    segments = (b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in parts)
    return b"\xff\xd8" + b"".join(segments) + data[2:]


def tiff(**tags: int) -> bytes:
    """A TIFF in tiles that says something else of its sides, or so."""
    buffer = BytesIO()
    pixels = np.zeros((100, 100), np.uint8)
    tifffile.imwrite(buffer, pixels, compression="zlib", tile=(112, 112))
    with tifffile.TiffFile(BytesIO(buffer.getvalue())) as file:
        entries = {tag.name: tag.offset for tag in file.pages[0].tags}
    data = bytearray(buffer.getvalue())
    for name, value in tags.items():
        data[entries[name] + 2 : entries[name] + 4] = b"\x04\0"
        data[entries[name] + 8 : entries[name] + 12] = struct.pack("<I", value)
    return bytes(data)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (
            "a.gif",
            gif((100, 100), FIRST, empty_frame(100, 100, FAR, FAR, 0)),
            "frame 2",
        ),
        ("a.gif", gif((100, 100), FIRST, empty_frame(FAR, FAR, 1, 1, 0)), "frame 2"),
        (
            "a.gif",
            gif((9, 9), frame(shades(9, 9)), empty_frame(0, 0, FAR, 1, 3)),
            ", f",
        ),
        ("a.gif", gif((100, 100), empty_frame(0, 0, FAR, FAR, 2)), "claims 4294836225"),
        ("a.gif", gif((FAR, FAR), FIRST), "a.gif claims 4294836225 pixels"),
        # Pillow would take what follows for something else.
        ("a.gif", gif((100, 100), FIRST, b"!\x01\0", FIRST), "has no content"),
        ("a.gif", gif((9, 9), b"!\xff\x0bNETSCAPE2.0\0", FIRST), "has no content"),
        ("a.webp", webp(2**16, 2**15), "a.webp claims 2147483648 pixels"),
        ("a.webp", webp(2**24, 2**7), "a.webp claims 2147483648 pixels"),
        ("a.png", png(2**31 - 1), "a.png claims 4611686014132420609 pixels"),
        ("a.png", png(2**31 - 1, depth=16), "a.png claims 46116860141324206"),
        ("a.png", icon(), "a.png is a ICO file"),
        ("a.jpg", jpeg_with(overlapping()), "the tags of its EXIF overlap"),
        ("a.tif", overlapping(), "its tags overlap"),
        ("a.tif", tiff(ImageWidth=4 * 10**9), "it does not list 35714286 strips"),
        ("a.tif", tiff(TileWidth=2**31, TileLength=2**31), "a.tif claims 46116860184"),
        ("a.tif", tiff(TileWidth=0), "page 1, is damaged: it has no pixels"),
        ("a.tif", tiff(TileOffsets=0), "page 1, is damaged: it has a hole"),
        ("a.tif", tiff(TileByteCounts=0), "page 1, is damaged: it has a hole"),
    ],
)
def test_claims_are_refused_and_others_are_done(on_images, name, data, message):
    Path(name).write_bytes(data)
    Path("b.png").write_bytes(png(5, rows=bytes(30)))
    code, _, err = on_images(*SAME, name, "b.png", "--out-dir", "out")
    assert code == 3
    assert err.count("\n") == 2
    assert message in err
    assert err.startswith(f"softsort: error: {name}")
    assert [path.name for path in Path("out").iterdir()] == ["b.png"]


PICTURES = {
    "jpeg": imagecodecs.jpeg8_encode,
    "jpeg2000": imagecodecs.jpeg2k_encode,
    "png": imagecodecs.png_encode,
    "webp": lambda pixels: imagecodecs.webp_encode(pixels, lossless=True),
    "jpegxl": imagecodecs.jpegxl_encode,
    "jpegxr": imagecodecs.jpegxr_encode,
    "lerc": imagecodecs.lerc_encode,
}


@pytest.mark.parametrize("place", [{"tile": (64, 64)}, {"rowsperstrip": 32}])
@pytest.mark.parametrize(
    ("kind", "planes"),
    # WebP has colours only.
    [(k, p) for k in PICTURES for p in (False, True) if (k, p) != ("webp", True)],
)
def test_pictures_inside_a_tiff(on_images, kind, planes, place):
    array = RANDOM.integers(0, 256, (90, 70, 3), np.uint8)
    settings = {"photometric": "rgb", "compression": kind, **place}
    if planes:
        array, settings = np.moveaxis(array, -1, 0), settings | {"planarconfig": 2}
    tifffile.imwrite("a.tif", array, **settings)
    assert on_images(*SAME, "a.tif", "-o", "b.tif") == (0, "", "")
    np.testing.assert_array_equal(tifffile.imread("b.tif"), tifffile.imread("a.tif"))


def with_part(kind: str, pixels: np.ndarray) -> None:
    """A TIFF of 16 x 16 pixels with a strip that is another picture."""
    settings = {"photometric": "rgb" if pixels.ndim == 3 else "minisblack"}
    small = np.zeros((16, 16, *pixels.shape[2:]), np.uint8)
    tifffile.imwrite("a.tif", small, compression=kind, metadata=None, **settings)
    coded = PICTURES[kind](pixels)
    with tifffile.TiffFile("a.tif", mode="r+b") as file:
        tags, end = file.pages[0].tags, file.filehandle.size
        tags["StripOffsets"].overwrite(end)
        tags["StripByteCounts"].overwrite(len(coded))
    with Path("a.tif").open("ab") as stream:
        stream.write(coded)


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("shape", [(16, 400), (400, 16)])
def test_pictures_larger_than_their_place_in_a_tiff(on_images, kind, shape):
    with_part(kind, np.zeros((*shape, 3) if kind == "webp" else shape, np.uint8))
    code, _, err = on_images(*SAME, "a.tif", "-o", "b.tif")
    assert (code, err.count("\n")) == (1, 1)
    assert "a.tif, page 1, strip or tile 1, is damaged" in err
    # Strip by strip, as large ones are.
    with tifffile.TiffFile("a.tif") as file:
        rows = tiff_streaming.PageRows(file.pages[0], "a.tif", None)
        with pytest.raises(CommandError, match=r"a.tif strip or tile 1, is damaged"):
            _ = rows[:8]


def test_tags_of_other_files_do_not_overlap(tmp_path):
    extra = [(65000, 7, 10_000, bytes(10_000), False)]
    with tifffile.TiffWriter(tmp_path / "a.tif", bigtiff=True) as file:
        pages = np.zeros((2, 12, 10), np.uint8)
        file.write(pages, subifds=2, resolution=(300, 300), extratags=extra)
        file.write(pages[:, ::2], subfiletype=1)
        file.write(pages[:, ::4], subfiletype=1)
    assert not declared_size.has_shared_tags((tmp_path / "a.tif").read_bytes())
    exif = PIL.Image.Exif()
    exif[271], exif[34665] = "camera", {36867: "2020:01:02 03:04:05"}
    assert not declared_size.has_shared_tags(exif.tobytes()[6:])
    assert not declared_size.has_shared_tags(b"garbage")
    assert not declared_size.has_shared_tags(b"")


def test_what_a_library_logs_is_not_shown(tmp_path):
    """More data than pixels, which libpng warns of."""
    (tmp_path / "a.png").write_bytes(png(5, depth=16, rows=bytes(1000)))
    arguments = [*SAME, "a.png", "-o", "b.png"]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from softsort_cli.__main__ import main; main()",
            *arguments,
        ],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert not np.asarray(PIL.Image.open(tmp_path / "b.png")).any()
