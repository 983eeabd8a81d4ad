"""Animations: every frame comes back, also one that is like the frame before it."""

import io
import itertools
from pathlib import Path

import imagecodecs
import numpy as np
import PIL.Image
import pytest
import pyvips
from softsort_cli.images import gif, picture, png, webp

RANDOM = np.random.default_rng(0)
SAME = ("denoise", "--hard", "--size", "1")
MODULES = {"a.gif": gif, "a.png": png, "a.webp": webp}


def random(*shape: int, step: int = 1) -> np.ndarray:
    return (RANDOM.integers(0, 256, shape) // step * step).astype(np.uint8)


def encoded(name: str, frames: list[np.ndarray], durations: list[int]) -> bytes:
    """A file of frames, which are of one shape."""
    alpha = frames[0].shape[2:] in ((2,), (4,))
    told = {"duration": durations, "loop": 3}
    form = name.split(".")[1].upper()
    return MODULES[name].encode(
        picture.Picture("a", form, frames, alpha, metadata=told)
    )


def shown(data: bytes) -> tuple[list[np.ndarray], list[int]]:
    """The frames of a file, and their durations, as Pillow sees them."""
    frames, durations = [], []
    with PIL.Image.open(io.BytesIO(data)) as image:
        for place in range(image.n_frames):
            image.seek(place)
            frames.append(np.array(image.convert("RGBA")))
            durations.append(round(image.info["duration"]))
    return frames, durations


def expected(frame: np.ndarray) -> np.ndarray:
    """A frame as RGBA, black where nothing is seen."""
    image = PIL.Image.fromarray(frame)
    result = np.array(image.convert("RGBA"))
    result[result[..., 3] == 0] = 0
    return result


def alike(channels: int) -> list[np.ndarray]:
    """Frames of which some are like the one before, or in part."""
    shape = (9, 12, channels) if channels > 1 else (9, 12)
    first, second, last = (random(*shape, step=51) for _ in range(3))
    part = second.copy()
    part[2:5, 3:7] = last[2:5, 3:7]
    frames = [first, first.copy(), second, part, part.copy(), part.copy(), last]
    if channels in (2, 4):
        for frame in frames:
            frame[..., -1] = np.where(frame[..., 0] > 51, 255, 0)
            frame[frame[..., -1] == 0] = 0
        frames[2][..., -1] = 255
    return frames


@pytest.mark.parametrize(
    ("name", "channels"),
    # Pictures of WebP that have opacity have colours.
    sorted(set(itertools.product(MODULES, [1, 2, 3, 4])) - {("a.webp", 2)}),
)
def test_frames_that_are_alike_stay_apart(name, channels):
    frames, durations = alike(channels), [0, 70, 30, 20, 60, 10, 50]
    data = encoded(name, frames, durations)
    found, told = shown(data)
    assert told == durations
    for frame, before in zip(found, frames, strict=True):
        frame[frame[..., 3] == 0] = 0
        np.testing.assert_array_equal(frame, expected(before))
    if name == "a.png":
        np.testing.assert_array_equal(imagecodecs.apng_decode(data), frames)
        return
    image = pyvips.Image.new_from_buffer(data, "", n=-1)
    assert image.get("delay") == durations
    other = image.colourspace("srgb").numpy().reshape(len(frames), 9, 12, -1)
    for frame, before in zip(other, frames, strict=True):
        visible = expected(before)[..., 3] > 0
        np.testing.assert_array_equal(frame[visible, :3], expected(before)[visible, :3])
        if channels in (2, 4):
            np.testing.assert_array_equal(frame[..., 3] > 0, visible)


@pytest.mark.parametrize("name", MODULES)
def test_an_animation_of_one_picture(on_images, name):
    Path(name).write_bytes(encoded(name, [random(9, 12, 3)] * 3, [50, 80, 120]))
    assert on_images(*SAME, name, "-o", "b" + name[1:]) == (0, "", "")
    before, after = (shown(Path(each).read_bytes()) for each in (name, "b" + name[1:]))
    assert before[1] == after[1] == [50, 80, 120]
    np.testing.assert_array_equal(after[0], before[0])


def test_frames_of_gif_that_only_together_have_too_many_colours():
    # Each draws 200 other colours into a part of the picture.
    frames = [random(20, 30, 3, step=64)]
    for place in range(3):
        frames.append(frames[-1].copy())
        frames[-1][5 * place : 5 * place + 10, :20] = random(10, 20, 3)
    found, _ = shown(encoded("a.gif", frames, [50] * 4))
    for frame, before in zip(found, frames, strict=True):
        np.testing.assert_array_equal(frame[..., :3], before)


@pytest.mark.parametrize("several", [False, True])
def test_frames_of_gif_of_all_256_colours(several):
    frames = [random(16, 16, 3) for _ in range(3 if several else 1)]
    told = {"duration": [50] * 3, "loop": 0} if several else {}
    data = gif.encode(picture.Picture("a", "GIF", frames, metadata=told))
    found = pyvips.Image.new_from_buffer(data, "", n=-1).numpy()
    np.testing.assert_array_equal(found.reshape(-1, 16, 16, 3), frames)


def test_greys_of_gif_stay_greys(on_images):
    Path("a.gif").write_bytes(encoded("a.gif", alike(1), [50] * 7))
    assert on_images(*SAME, "a.gif", "-o", "b.gif") == (0, "", "")
    with PIL.Image.open("b.gif") as image:
        for place in range(7):
            image.seek(place)
            assert image.mode == "L"


def test_a_duration_without_an_animation(on_images):
    data = encoded("a.png", [random(9, 12, 3)], [70])
    start = data.index(b"acTL") - 4
    Path("a.png").write_bytes(data[:start] + data[start + 20 :])
    assert on_images(*SAME, "a.png", "-o", "b.png") == (0, "", "")
    with PIL.Image.open("b.png") as image:
        image.load()
        assert (image.info["duration"], image.n_frames) == (70, 1)


def test_an_apng_of_one_frame_keeps_its_duration(on_images):
    data = encoded("a.png", [random(9, 12, 3)], [70])
    Path("a.png").write_bytes(data)
    for name in ("b.png", "b.gif", "b.webp"):
        assert on_images(*SAME, "a.png", "-o", name) == (0, "", "")
    with PIL.Image.open("b.png") as image:
        assert (image.info["duration"], image.info["loop"]) == (70, 3)
