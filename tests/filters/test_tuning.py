"""Epsilon and window chosen without a clean image, against those chosen with it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import softsort_filters
from skimage import data

from softsort_core import SoftSortError

EPSILONS = (0.01, 0.1, 0.3, 1.0)
SMOOTH = np.float32(0.5 + 0.4 * np.sin(np.arange(120) / 40) * np.ones((120, 1)))
CAMERA = (data.camera()[100:220, 180:300] / 255).astype("float32")
KEY = jax.random.key(0)
NOISES = {
    "salt": lambda image: softsort_filters.salt_and_pepper(image, 0.1, KEY),
    "gauss": lambda image: softsort_filters.gaussian_noise(image, 0.1, KEY),
    "mixed": lambda image: softsort_filters.salt_and_pepper(
        softsort_filters.gaussian_noise(image, 0.1, KEY), 0.2, KEY
    ),
}


# Not salt and pepper on what is perfectly smooth: the few pixels that a small window
# misses do not show beside the many that no window predicts.
@pytest.mark.parametrize(
    ("noise", "image"),
    [(noise, CAMERA) for noise in NOISES] + [("gauss", SMOOTH), ("mixed", SMOOTH)],
    ids=[*NOISES, "gauss smooth", "mixed smooth"],
)
def test_the_choice_is_nearly_the_best(noise, image):
    noisy = NOISES[noise](image)

    def quality(size, epsilon):
        return softsort_filters.psnr(
            softsort_filters.soft_median(noisy, size, epsilon=epsilon), image, 1.0
        )

    best = {
        size: max(float(quality(size, epsilon)) for epsilon in EPSILONS)
        for size in (3, 5)
    }
    choice = softsort_filters.choose(noisy, EPSILONS)
    assert choice.size == (3, 3)
    assert quality(3, choice.epsilon) > best[3] - 0.5
    choice = softsort_filters.choose(noisy, EPSILONS, (5, 3))
    assert quality(choice.size, choice.epsilon) > max(best.values()) - 0.5


def test_smooth_images_get_large_windows():
    noisy = softsort_filters.gaussian_noise(SMOOTH, 0.1, KEY)
    error = [
        float(
            jnp.mean(
                (softsort_filters.soft_median(noisy, n, epsilon=1.0) - SMOOTH) ** 2
            )
        )
        for n in (5, 7)
    ]
    assert error[1] < 0.7 * error[0]
    assert softsort_filters.choose(noisy, (1.0,), (5, 7)).size == (7, 7)


def test_the_choice_does_not_depend_on_units():
    noisy = NOISES["gauss"](CAMERA)
    choice, scaled = (softsort_filters.choose(s * noisy, EPSILONS) for s in (1, 1024))
    assert scaled == choice._replace(loss=1024 * choice.loss)


def test_pixels_that_are_not_finite_do_not_count():
    noisy = np.array(NOISES["gauss"](CAMERA))
    noisy[5, 7] = np.nan
    assert softsort_filters.choose(noisy, EPSILONS).epsilon == 0.3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"epsilons": ()}, ["epsilons", "()", "at least one"]),
        ({"epsilons": (0,)}, ["epsilon", "0", "positive"]),
        ({"sizes": ()}, ["sizes", "()", "at least one"]),
        ({"sizes": (1,)}, ["sizes", "(1,)", "at least 3"]),
        ({"sizes": (4,)}, ["size", "4", "odd"]),
        ({"image": np.full_like(CAMERA, np.nan)}, ["image", "finite"]),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_errors_name_the_argument_the_value_and_the_remedy(arguments, words):
    with pytest.raises(SoftSortError) as caught:
        softsort_filters.choose(**{"image": CAMERA, **arguments})
    for word in words:
        assert word in str(caught.value)
