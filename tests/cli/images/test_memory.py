"""The memory of images: strips of exact filters, and what images hold together."""

from types import SimpleNamespace

import numpy as np
import PIL.Image
import pytest
from softsort_cli.errors import CommandError
from softsort_cli.images import alpha, exact, memory, picture

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("border", ["reflect", "nearest", "mirror", "constant"])
@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("missing", [False, True])
def test_strips_of_exact_quantiles(border, channels, missing):
    pixels = RANDOM.integers(0, 256, (40, 11, channels), np.uint8)
    pixels = pixels if channels > 1 else pixels[..., 0]
    held = picture.Picture("a", "PNG", [pixels], alpha=channels == 4)
    known = (lambda values: values > 30) if missing else None
    rows = alpha.FrameRows(pixels, held, "float32", known=known)
    footprint = np.ones((6, 3), bool)
    footprint[0, 0] = False
    settings = {"q": 0.3, "size": (6, 3), "footprint": footprint}
    settings |= {"border": border, "alpha": held.alpha}
    ((_, whole),) = exact.quantile_strips(rows, 40, **settings)
    strips = exact.quantile_strips(rows, 7, **settings)
    parts = [values for _, values in strips]
    assert [len(values) for values in parts] == [7] * 5 + [5]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_large_images_are_filtered_exactly_in_strips(on_images, monkeypatch):
    image = RANDOM.integers(0, 256, (300, 20, 3), np.uint8)
    PIL.Image.fromarray(image).save("a.png")
    on_images("denoise", "--hard", "a.png", "-o", "b.png")
    seen = []

    def watched(values, **settings):
        seen.append(len(values))
        return original(values, **settings)

    original = exact.quantile_filter
    monkeypatch.setattr(exact, "quantile_filter", watched)
    monkeypatch.setattr("softsort_cli.images.tiff_streaming.BYTES_A_VALUE", 2**26)
    on_images("denoise", "--hard", "a.png", "-o", "c.png")
    assert max(seen) < 100
    before, after = (np.asarray(PIL.Image.open(name)) for name in ("b.png", "c.png"))
    np.testing.assert_array_equal(after, before)


def test_an_image_waits_for_what_others_hold(monkeypatch):
    waited = []

    def wait(timeout):
        waited.append(memory._all.held)
        memory._all.held -= 100

    monkeypatch.setattr(memory._all, "held", 300)
    monkeypatch.setattr(memory._all.changed, "wait", wait)
    with memory.shared(400):
        memory.claim("a", 100 // memory.COPIES)
        assert (waited, memory._all.held) == ([], 400)
        # What it held before is free again.
        memory.claim("a", 200 // memory.COPIES)
        assert (waited, memory._all.held) == ([300], 400)
    assert memory._all.held == 200
    with memory.shared(400):  # one that needs more than there is has all of it
        memory.claim("a", 1000)
        assert waited == [300, 200, 100]


def test_pixels_that_no_memory_holds_are_refused(on_images, monkeypatch):
    PIL.Image.new("RGB", (100, 100)).save("a.png")
    PIL.Image.new("RGB", (10, 10)).save("b.png")
    monkeypatch.setattr(memory, "_there_is", lambda: 20_000)
    code, _, err = on_images("denoise", "--hard", "a.png", "b.png", "--out-dir", "c")
    assert (code, err.count("\n")) == (3, 2)
    assert "a.png has pixels of 30000 bytes, more than there is memory for" in err
    with pytest.raises(CommandError):
        memory.claim("a", 10_001)


def test_the_memory_of_a_container_is_what_there_is(tmp_path, monkeypatch):
    limits = [tmp_path / name for name in ("none", "most", "limit")]
    limits[1].write_text("max\n")
    limits[2].write_text("12345\n")
    monkeypatch.setattr(memory, "LIMITS", limits)
    assert memory._there_is() == 12345
    monkeypatch.setattr(memory, "os", SimpleNamespace())
    monkeypatch.setattr(memory, "LIMITS", limits[:2])
    assert memory._there_is() == float("inf")
