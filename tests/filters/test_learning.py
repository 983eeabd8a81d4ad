"""Learned filters: what they gain, that they can go on, and what is refused."""

import jax
import numpy as np
import pytest
from softsort_filters import beginning, denoise, learn_filter

from softsort_core import SoftSortError

SHAPE = 24, 24
STEPS = 12


def stripes(seed):
    """A picture whose pixels are as those above and below, and salt and pepper."""
    rng = np.random.default_rng(seed)
    clean = np.tile(rng.uniform(0.2, 0.8, SHAPE[1]), (SHAPE[0], 1)).astype("float32")
    noisy = np.where(rng.uniform(size=SHAPE) < 0.2, rng.integers(2, size=SHAPE), clean)
    return clean, noisy.astype("float32")


CLEAN, NOISY = stripes(0)


def learned(noisy, clean=None, start=None, **settings):
    settings = {"steps": STEPS, "deviation": 0, "learning_rate": 0.2} | settings
    return list(learn_filter(noisy, clean, start=start or beginning(5), **settings))


def error(settings):
    """Of what a filter makes of pixels that nothing was learned from."""
    clean, noisy = stripes(1)
    return np.mean((denoise(noisy, deviation=0, **settings) - clean) ** 2)


@pytest.mark.parametrize("clean", [None, [CLEAN]], ids=["alone", "beside clean"])
def test_what_is_learned_beats_the_settings_that_it_began_with(clean):
    found = learned([NOISY], clean)[-1].filter
    before = error(beginning(5).filter._asdict())
    assert error(found._asdict()) < 0.8 * before
    # What is above and below tells more than what is beside.
    weights = np.asarray(found.weights)
    assert weights[[1, 3], 2].min() > 1.2 * weights[2, [1, 3]].max()


def test_it_goes_on_as_if_it_had_not_been_interrupted():
    whole = learned([NOISY, CLEAN])
    resumed = learned([NOISY, CLEAN], start=whole[4])
    assert len(resumed) == STEPS - 5
    jax.tree.map(np.testing.assert_array_equal, resumed[-1], whole[-1])
    other = learned([NOISY, CLEAN], seed=1, steps=2)
    assert other[-1].losses != whole[1].losses


def test_channels_are_learned_from_and_pixels_that_there_are():
    rng = np.random.default_rng(3)
    holes = np.where(rng.uniform(size=SHAPE) < 0.1, np.nan, NOISY)
    last = learned([np.stack([holes, NOISY], axis=-1)], steps=6)[-1]
    assert np.isfinite(last.losses).all()
    assert all(np.isfinite(each).all() for each in last.filter)


def test_how_much_is_taken_out_of_noise_in_all_pixels_is_learned():
    """Beside a clean image that is the noisy one, nothing should be."""
    noisy = CLEAN + 0.05 * np.random.default_rng(2).normal(size=SHAPE)
    noisy = noisy.astype("float32")
    settings = {"deviation": 0.05, "steps": 4}
    assert learned([noisy], [noisy], **settings)[-1].filter.strength < 0.8


@pytest.mark.parametrize(
    ("noisy", "clean", "settings", "words"),
    [
        ([], None, {}, ["0 images", "one at least"]),
        ([NOISY], [CLEAN] * 2, {}, ["1 images", "clean 2"]),
        ([NOISY], [CLEAN[1:]], {}, ["noisy[0]", "(24, 24)", "clean[0]", "(23, 24)"]),
        ([NOISY], None, {"steps": 0}, ["steps", "0", "positive"]),
        ([NOISY], None, {"learning_rate": -1}, ["learning_rate", "-1", "0.1"]),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_errors_name_the_argument_and_the_remedy(noisy, clean, settings, words):
    with pytest.raises(SoftSortError) as caught:
        learned(noisy, clean, **settings)
    for word in words:
        assert word in str(caught.value)
