"""The exact filters: against what weights mean."""

import numpy as np
import pytest
from scipy.ndimage import median_filter, percentile_filter
from softsort_cli.images import exact
from softsort_cli.images.exact import quantile_filter


@pytest.mark.parametrize(
    "footprint", [None, np.array([[1, 0, 1], [1, 1, 0], [0, 0, 1]])]
)
@pytest.mark.parametrize("q", [0, 0.3, 0.5, 1])
@pytest.mark.parametrize("border", ["reflect", "constant"])
def test_quantiles_by_opacity_are_those_of_repeated_values(q, footprint, border):
    rng = np.random.default_rng(0)
    image = rng.uniform(size=(12, 9, 3))
    image[..., 2] = rng.integers(0, 4, (12, 9)) * (rng.uniform(size=(12, 9)) < 0.6)
    image[:4, :4, 2] = 0
    image[8:, :, 2] = 3
    used = np.ones((3, 3), bool) if footprint is None else footprint.astype(bool)
    settings = {"q": q, "size": (3, 3), "border": border, "alpha": True}
    mask = None if footprint is None else used
    found = quantile_filter(image, footprint=mask, **settings)
    mode = {"reflect": "symmetric"}.get(border, border)
    padded = np.pad(image, [(1, 1), (1, 1), (0, 0)], mode)
    for row, column in np.ndindex(12, 9):
        window = padded[row : row + 3, column : column + 3][used]
        counts = window[:, 2].astype(int)
        for channel in range(2):
            seen = np.sort(np.repeat(window[:, channel], counts))
            own = image[row, column, channel]
            place = min(int(q * len(seen)), len(seen) - 1)
            assert found[row, column, channel] == (seen[place] if len(seen) else own)
    np.testing.assert_array_equal(found[..., 2], image[..., 2])


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("border", ["reflect", "nearest", "mirror", "wrap", "constant"])
def test_large_windows_are_those_of_scipy(monkeypatch, border, channels):
    monkeypatch.setattr(exact, "LARGE", 0)
    rng = np.random.default_rng(0)
    image, sides = rng.normal(size=(7, 9, *channels)), (5, 15)
    window = (*sides, 1)[: image.ndim]
    used = rng.random(sides) < 0.5
    settings = {"size": sides, "border": border}
    np.testing.assert_array_equal(
        quantile_filter(image, q=0.5, **settings),
        median_filter(image, window, mode=border),
    )
    for q in (0, 0.29, 1):
        np.testing.assert_array_equal(
            quantile_filter(image, q=q, footprint=used, **settings),
            percentile_filter(
                image, 100 * q, footprint=used.reshape(window), mode=border
            ),
        )
