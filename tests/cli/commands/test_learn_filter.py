"""`learn-filter`, and `denoise` with what it wrote; what `denoise` tells."""

import io
import re

import numpy as np
import PIL.Image
import polars as pl
import pytest
from softsort_cli.images import learned

SHAPE = 24, 24
FAST = ("--method", "keep", "--steps", "6", "--learning-rate", "0.2", "--quiet")


def save(name, seed=0, columns=None):
    """A picture whose pixels are as those above and below, and the same with noise."""
    rng = np.random.default_rng(seed)
    columns = rng.integers(50, 200, SHAPE[1]) if columns is None else columns
    clean = np.tile(columns, (SHAPE[0], 1)).astype(np.uint8)
    noisy = rng.integers(2, size=SHAPE).astype(np.uint8) * 255
    noisy = np.where(rng.uniform(size=SHAPE) < 0.2, noisy, clean)
    PIL.Image.fromarray(clean).save(f"{name}-clean.png")
    PIL.Image.fromarray(noisy).save(f"{name}.png")
    return clean.astype(float)


def wrong(name, clean):
    return np.mean((np.asarray(PIL.Image.open(name)) - clean) ** 2)


def test_what_is_learned_filters_better(on_images):
    save("a")
    clean = save("b", 1)
    code, out, err = on_images(
        *("learn-filter", "a.png", "--clean", "a-clean.png", "--plot", "f.png", *FAST),
    )
    assert (code, err) == (0, "")
    table = pl.read_csv(io.StringIO(out))
    assert table["setting"].to_list() == list(learned.NAMES[1:])
    assert PIL.Image.open("f.png").width > 1000
    on_images("denoise", "b.png", "--filter", "filter.npz", "-o", "learned.png")
    on_images("denoise", "b.png", "--method", "keep", "-o", "keep.png")
    assert wrong("learned.png", clean) < 0.9 * wrong("keep.png", clean)


def test_an_image_can_teach_its_own_filter(on_images, monkeypatch):
    clean = save("a")
    monkeypatch.setattr(learned, "STEPS", 12)
    arguments = "denoise", "a.png", "--learn", "--method", "keep"
    assert on_images(*arguments)[0] == 0
    on_images("denoise", "a.png", "--method", "keep", "-o", "keep.png")
    assert wrong("a_soft.png", clean) < 0.9 * wrong("keep.png", clean)


def test_it_goes_on_where_it_was_interrupted(on_images, monkeypatch):
    save("a")
    on_images("learn-filter", "a.png", "-o", "whole.npz", *FAST)
    write, count = learned._write, []

    def interrupted(*arguments):
        write(*arguments)
        count.append(1)
        if len(count) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(learned, "SECONDS_BETWEEN", 0)
    monkeypatch.setattr(learned, "_write", interrupted)
    code, out, _ = on_images("learn-filter", "a.png", *FAST)
    assert (code, out) == (130, "")
    monkeypatch.setattr(learned, "_write", write)
    code, _, err = on_images("learn-filter", "a.png", "--resume", *FAST, "--seed", "1")
    assert (code, "seed is not as filter.npz was begun with" in err) == (2, True)
    assert on_images("learn-filter", "a.png", "--resume", *FAST)[0] == 0
    with np.load("whole.npz") as whole, np.load("filter.npz") as resumed:
        assert whole.files == resumed.files
        for name in whole.files:
            np.testing.assert_array_equal(whole[name], resumed[name])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["learn-filter", "a.png", "--clean", "b.png"], 2, "of their sizes"),
        (["learn-filter", "a.png", "--size", "1"], 2, "--size '1'"),
        (["learn-filter", "a.png", "--plot", "a.gif"], 2, ".png, .svg or .pdf"),
        (["learn-filter", "a.png", "-o", "b.png"], 1, "b.png exists"),
        (["learn-filter", "a.png", "--resume"], 1, "cannot read filter.npz"),
        (["denoise", "a.png", "--filter", "b.png"], 1, "b.png is no filter"),
        (["denoise", "a.png", "--filter", "x.npz"], 1, "x.npz is no filter"),
        (["denoise", "a.png", "--filter", "x.npz", "--learn"], 2, "leave out"),
        (["denoise", "a.png", "--learn", "--method", "median"], 2, "keep or auto"),
        (["denoise", "a.png", "b.png", "--mask", "m.png"], 2, "--mask names one"),
        (["denoise", "a.png", "--mask", "b.png"], 1, "b.png exists"),
    ],
)
def test_what_is_refused(on_images, arguments, code, message):
    save("a")
    PIL.Image.fromarray(np.zeros((9, 9), np.uint8)).save("b.png")
    np.savez("x.npz", weights=np.ones((5, 5)))
    got, _, err = on_images(*arguments)
    assert (got, message in err, err.count("\n")) == (code, True, 1)


def test_what_was_changed_is_shown_and_told(on_images):
    clean = save("a", columns=np.arange(60, 180, 5))
    arguments = "denoise", "a.png", "--method", "keep", "--mask", "m.png", "--explain"
    code, _, err = on_images(*arguments)
    assert (code, err.count("\n")) == (0, 1)
    before, after = err.split("; after: ")
    assert "a.png: before: noise of deviation" in before
    dark, bright = re.findall(r"([\d.]+) %", before)[:2]
    assert 15 < float(dark) + float(bright) < 25
    assert sum(map(float, re.findall(r"([\d.]+) %", after))) < 2
    noisy, soft, mask = (
        np.asarray(PIL.Image.open(name)).astype(int)
        for name in ("a.png", "a_soft.png", "m.png")
    )
    np.testing.assert_array_equal(mask, abs(noisy - soft))
    assert ((mask > 20) == (noisy != clean)).mean() > 0.98
