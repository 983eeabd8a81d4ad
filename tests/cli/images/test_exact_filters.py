"""The exact filters: against what weights mean."""

import numpy as np
import pytest
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
