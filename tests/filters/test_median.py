"""The soft median and quantile filters, window by window against oracles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage as ndimage
import scipy.optimize as optimize
import scipy.special as special
import softsort_filters.median
import softsort_filters.small_windows
import softsort_filters.three_targets
import softsort_filters.windows
from softsort_filters import soft_median, soft_quantile_filter

from softsort_core import SoftSortError, quantile

EPSILONS = [1.0, 0.1, 0.01, 1e-3, 1e-4]
PAD = {
    "reflect": "symmetric",
    "nearest": "edge",
    "mirror": "reflect",
    "wrap": "wrap",
    "constant": "constant",
}


def photo(height=12, width=17, seed=0):
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.uniform(size=(height, width)), 2)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    salted = rng.uniform(size=smooth.shape) < 0.2
    return np.where(salted, rng.integers(0, 2, size=smooth.shape), smooth)


def hard_cases(height=14, width=15):
    """Images whose windows are flat, two-valued, tied, far apart or close together."""
    rng = np.random.default_rng(1)
    shape = (height, width)
    blocks = np.kron(rng.integers(0, 2, size=(3, 3)), np.ones((5, 5)))[:height, :width]
    return {
        "photo": photo(height, width),
        "normal": rng.normal(size=shape),
        "two values": (rng.uniform(size=shape) < 0.4) * 1.0,
        "flat and salted": np.where(
            rng.uniform(size=shape) < 0.1, rng.integers(0, 2, size=shape), 0.5
        ),
        "constant": np.full(shape, 0.3),
        "tied": rng.integers(0, 4, size=shape) / 3,
        "nearly constant": 0.5 + 1e-6 * rng.normal(size=shape),
        "high dynamic range": np.exp(6 * rng.normal(size=shape)),
        "heavy tail": rng.standard_cauchy(size=shape),
        "edges": blocks + 0.01 * rng.normal(size=shape),
        "outliers": np.where(rng.uniform(size=shape) < 0.2, 1e10, photo(*shape)),
    }


def every_case(dtype="float64"):
    return np.stack(list(hard_cases().values()), axis=-1).astype(dtype)


def windows_of(image, size, border="reflect"):
    """The values of every window in float64, one window a row."""
    sides = (size, size) if isinstance(size, int) else size
    padded = np.pad(
        np.asarray(image, np.float64), [(s // 2, s // 2) for s in sides], PAD[border]
    )
    view = np.lib.stride_tricks.sliding_window_view(padded, sides)
    return view.reshape(-1, sides[0] * sides[1])


def semidual_quantile(x, q, epsilon, squash=None):
    """The definition, maximised as a semi-dual by scipy."""
    deviation = x.std() if x.std() > 0 else 1.0
    s = squash(x) if squash else special.expit((x - x.mean()) / deviation)
    y = np.array([0, 0.5, 1])
    w = min(0.5 * q, 0.5 * (1 - q), 0.02, 1.5 / x.size)
    b = np.array([q - w / 2, w, 1 - q - w / 2])

    def plan(v, epsilon):
        kernel = -((s[:, None] - y) ** 2) / epsilon + np.log(b)
        return special.softmax(kernel + np.array([v[0], 0, v[1]]) / epsilon, axis=1)

    def residual(v, epsilon):
        return (plan(v, epsilon).mean(0) - b)[[0, 2]]

    v = np.zeros(2)
    for larger in np.geomspace(1, epsilon, 12):
        v = optimize.root(residual, v, args=(larger,), tol=1e-15).x
    assert np.abs(residual(v, epsilon)).max() < 1e-12
    shares = plan(v, epsilon)[:, 1]
    return shares @ x / shares.sum()


@pytest.fixture(scope="module")
def dense():
    """The soft quantiles of rows, by the general solver in float64."""

    @jax.jit
    def rows(values, q, epsilon):
        return jax.vmap(lambda row: quantile(row, q, epsilon=epsilon))(values)

    return lambda values, q, epsilon: np.asarray(rows(values, q, epsilon)).reshape(-1)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("dtype", "within"), [("float32", 1e-5), ("float64", 2e-10)])
@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("q", [0.5, 0.1, 0.8])
def test_every_pixel_is_the_soft_quantile_of_its_window(
    dense, q, epsilon, dtype, within
):
    image = photo().astype(dtype)
    result = soft_quantile_filter(image, q, epsilon=epsilon)
    assert result.dtype == dtype
    expected = dense(windows_of(image, 3), q, epsilon)
    np.testing.assert_allclose(np.ravel(result), expected, rtol=0, atol=within)


@pytest.mark.parametrize("size", [31, (1, 25)])
def test_windows_of_many_values(size):
    image = photo(33, 34).astype("float32")
    result = np.ravel(soft_median(image, size, epsilon=0.05))
    windows = windows_of(image, size)
    for i in range(0, result.size, 101):
        expected = semidual_quantile(windows[i], 0.5, 0.05)
        assert abs(result[i] - expected) <= 1e-5


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("q", [0.5, 0.25, 0.8])
@pytest.mark.parametrize("epsilon", [1.0, 0.1, 0.05])
def test_against_an_independent_solver(q, epsilon):
    image = photo()
    result = np.ravel(soft_quantile_filter(image, q, epsilon=epsilon))[::5]
    expected = [semidual_quantile(x, q, epsilon) for x in windows_of(image, 3)[::5]]
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-10)


def rank_distance_bound(windows, q, epsilon):
    """The value of the rank that holds level q, and the documented distance to it."""
    n = windows.shape[1]
    w = min(0.02, q / 2, (1 - q) / 2, 1.5 / n)
    k = int(np.ceil(n * q))
    f, g = n * (q - w / 2) - (k - 1), k - n * (q + w / 2)
    assert f > 0
    assert g > 0
    deviation = windows.std(1, keepdims=True)
    deviation[deviation == 0] = 1
    s = special.expit((windows - windows.mean(1, keepdims=True)) / deviation)
    x_k, s_k = (np.sort(values, 1)[:, k - 1 : k] for values in (windows, s))
    terms = np.abs(windows - x_k) * np.exp(-np.abs(s - s_k) / epsilon)
    return x_k[:, 0], max(k / g, (n - k + 1) / f) * terms.sum(1)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("epsilon", [0.1, 0.01, 1e-3])
def test_the_median_is_within_the_stated_distance_of_the_hard_one(size, epsilon):
    result = soft_median(every_case(), size, epsilon=epsilon, channel_axis=-1)
    for i, (name, image) in enumerate(hard_cases().items()):
        hard, bound = rank_distance_bound(windows_of(image, size), 0.5, epsilon)
        np.testing.assert_array_equal(
            hard, np.ravel(ndimage.median_filter(image, size)), name
        )
        distance = np.abs(np.ravel(result[..., i]) - hard)
        assert np.all(distance <= bound + 1e-9 * np.ptp(image)), name


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("q", [0.25, 0.8, 0.03])
def test_quantiles_are_within_the_stated_distance_of_a_rank(q):
    image = photo()
    value, bound = rank_distance_bound(windows_of(image, 3), q, 1e-3)
    result = np.ravel(soft_quantile_filter(image, q, 3, epsilon=1e-3))
    assert np.all(np.abs(result - value) <= bound + 1e-9)
    assert np.median(bound) < 0.1


@pytest.mark.usefixtures("x64")
def test_the_limit_of_large_windows_is_the_stated_mean_about_the_median():
    image, size = photo(16, 16), (7, 9)
    ordered = np.sort(windows_of(image, size), axis=1)
    n = ordered.shape[1]
    middle = n // 2
    mass = n * min(0.02, 1.5 / n)
    a = (mass - 1) / 2
    limit = (ordered[:, middle - 1 : middle + 2] @ [a, 1, a]) / mass
    result = np.ravel(soft_median(image, size, epsilon=1e-7))
    np.testing.assert_allclose(result, limit, atol=1e-9)
    gaps = np.diff(ordered[:, middle - 1 : middle + 2], axis=1)
    assert np.all(
        np.abs(limit - ordered[:, middle]) <= np.ptp(gaps, axis=1) / 6 + 1e-12
    )


@pytest.mark.parametrize("border", PAD)
@pytest.mark.parametrize(
    ("shape", "window"),
    [((5, 6), (3, 3)), ((5, 6), (5, 1)), ((3, 2), (7, 9)), ((1, 4), (5, 9))],
)
@pytest.mark.parametrize("xp", [np, jnp])
def test_images_continue_as_in_scipy(border, shape, window, xp):
    image = np.random.default_rng(4).permutation(shape[0] * shape[1]).reshape(shape)
    margins = window[0] // 2, window[1] // 2
    channel = xp.asarray(image)[..., None]
    extended = softsort_filters.windows.extended(channel, margins, border, -1, xp)
    extended = np.asarray(extended)[..., 0]
    view = np.lib.stride_tricks.sliding_window_view(extended, window)
    expected = ndimage.median_filter(image, window, mode=border, cval=-1)
    np.testing.assert_array_equal(np.median(view, axis=(2, 3)), expected)


@pytest.mark.parametrize("border", ["mirror", "constant"])
def test_borders_of_the_filter_are_scipys(border):
    # Integers a hundred epsilons apart: the soft median is the hard one.
    image = np.random.default_rng(4).permutation(12).reshape(3, 4)
    result = soft_median(image, (7, 3), squashing_fun=itself, border=border, cval=-1)
    expected = ndimage.median_filter(image, (7, 3), mode=border, cval=-1)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def itself(values):
    return values


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("size", "dtype"),
    [
        *((size, "float32") for size in (3, (5, 3), 5, 7, 11)),
        *((size, "float64") for size in (3, 5, 7)),
    ],
)
def test_no_pixel_is_left_without_a_certificate(size, dtype):
    image = every_case(dtype)
    low = ndimage.minimum_filter(image, (*windows_shape(size), 1))
    high = ndimage.maximum_filter(image, (*windows_shape(size), 1))
    uncertified = outside = 0
    for epsilon in EPSILONS:
        for q in (0, 0.05, 0.1, 0.25, 1 / 3, 0.5, 0.8, 1):
            result = soft_quantile_filter(
                image, q, size, epsilon=epsilon, channel_axis=-1
            )
            uncertified += np.count_nonzero(np.isnan(result))
            outside += np.count_nonzero((result < low) | (result > high))
    assert (uncertified, outside) == (0, 0)


def windows_shape(size):
    return (size, size) if isinstance(size, int) else size


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("epsilon", [1.0, 0.01])
def test_levels_zero_and_one_are_soft_minimum_and_maximum(epsilon):
    image = photo()
    values = windows_of(image, 3)
    z = (values - values.mean(1, keepdims=True)) / values.std(1, keepdims=True)
    for q, sign in ((0, -1), (1, 1)):
        weights = special.softmax(sign * special.expit(z) / epsilon, axis=1)
        result = np.ravel(soft_quantile_filter(image, q, 3, epsilon=epsilon))
        np.testing.assert_allclose(result, (weights * values).sum(1), atol=1e-10)


@pytest.mark.parametrize("q", [0, 0.5, 1])
@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e6, 1e30])
def test_scaling_the_image_scales_the_result(scale, q):
    image = photo().astype("float32")
    expected = soft_quantile_filter(image, q)
    scaled = soft_quantile_filter(image * np.float32(scale), q)
    np.testing.assert_allclose(scaled / np.float32(scale), expected, atol=2e-6)


def test_shifting_the_image_shifts_the_result():
    # Multiples of 1/16, which float32 holds up to a million.
    image = np.round(photo() * 160) / 16
    result = soft_median((image + 1e6).astype("float32"))
    np.testing.assert_allclose(result - 1e6, soft_median(image), atol=1 / 16)
    hard = ndimage.median_filter((image + 1e6).astype("float32"), 3)
    soft = soft_median((image + 1e6).astype("float32"), epsilon=1e-4)
    np.testing.assert_allclose(soft, hard, atol=1 / 16)


@pytest.mark.parametrize("outlier", [1e10, -1e30, 3e38])
def test_an_outlier_costs_no_digits(outlier):
    # Next to it all other values are equal: the soft median is their mean.
    image = photo().astype("float32")
    image[6, 6] = outlier
    result = soft_median(image, epsilon=1e-3)
    for i, j in np.ndindex(3, 3):
        window = image[4 + i : 7 + i, 4 + j : 7 + j]
        expected = np.mean(window[window != outlier])
        assert abs(result[5 + i, 5 + j] - expected) < 1e-6


def test_a_pixel_that_is_not_solved_is_nan(monkeypatch):
    monkeypatch.setattr(softsort_filters.small_windows, "_STEPS", 1)
    monkeypatch.setattr(softsort_filters.three_targets, "_MAX_STEPS", 1)
    softsort_filters.median._compiled_filter.clear_cache()
    result = soft_median(photo(), epsilon=0.1)
    softsort_filters.median._compiled_filter.clear_cache()
    assert np.isnan(result).mean() > 0.9


@pytest.mark.parametrize("value", [0.0, 0.3, -7e6, 1e30])
def test_a_constant_image_keeps_its_value_and_has_the_derivative_of_the_mean(value):
    image = np.full((12, 17), value, "float32")
    np.testing.assert_array_equal(soft_median(image), image)
    gradient = slopes_at_centre(image)
    expected = np.zeros((12, 17))
    expected[5:8, 5:8] = 1 / 9
    np.testing.assert_allclose(gradient, expected, atol=1e-6)


slopes_at_centre = jax.jit(jax.grad(lambda image: soft_median(image)[6, 6]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("squashing_fun", [None, jax.nn.sigmoid])
def test_exactly_the_windows_of_a_bad_pixel_are_nan(bad, squashing_fun):
    image = photo()
    image[4, 7] = bad
    expected = np.zeros(image.shape, bool)
    expected[3:6, 6:9] = True
    result = soft_median(image, squashing_fun=squashing_fun)
    np.testing.assert_array_equal(np.isnan(result), expected)


def test_channels_are_filtered_apart():
    image = np.stack([photo(seed=seed) for seed in range(3)], axis=-1)
    result = soft_median(image)
    for channel in range(3):
        expected = soft_median(image[..., channel])
        np.testing.assert_allclose(result[..., channel], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "returned"),
    [
        ("float16", "float16"),
        ("bfloat16", "bfloat16"),
        ("float32", "float32"),
        (">f4", "float32"),
        ("longdouble", "float32"),
        ("uint8", "float32"),
        ("int32", "float32"),
        ("bool", "float32"),
    ],
)
def test_dtypes(given, returned):
    image = (np.round(photo() * 100) if "int" in given else photo() > 0.5).astype(
        jnp.dtype(given)
    )
    result = soft_median(image)
    assert result.dtype == returned
    expected = soft_median(image.astype("float32")).astype(returned)
    np.testing.assert_array_equal(result, expected)


def test_lists_are_images():
    image = photo()
    np.testing.assert_array_equal(soft_median(image.tolist()), soft_median(image))


@pytest.mark.usefixtures("x64")
def test_a_squashing_replaces_the_default():
    image = photo()
    result = np.ravel(soft_median(image, squashing_fun=jnp.tanh, epsilon=0.1))
    windows = windows_of(image, 3)
    expected = [semidual_quantile(x, 0.5, 0.1, np.tanh) for x in windows[::5]]
    np.testing.assert_allclose(result[::5], expected, rtol=0, atol=1e-9)


def test_tiles_do_not_show(monkeypatch):
    image = photo()
    whole = soft_median(image)
    monkeypatch.setattr(softsort_filters.windows, "_VALUES_IN_A_TILE", 500)
    softsort_filters.median._compiled_filter.clear_cache()
    tiled = soft_median(image)
    softsort_filters.median._compiled_filter.clear_cache()
    # Equal but for the last bit, where compilers vectorise different shapes.
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=2e-7)


def test_under_jit_and_vmap_with_traced_numbers():
    images = np.stack([photo(seed=seed) for seed in range(2)])
    epsilons, levels = jnp.array([0.1, 0.01]), jnp.array([0.5, 0.2])

    @jax.jit
    @jax.vmap
    def batch(image, epsilon, q):
        return soft_quantile_filter(image, q, epsilon=epsilon)

    result = batch(images, epsilons, levels)
    for i in range(2):
        alone = soft_quantile_filter(images[i], levels[i], epsilon=epsilons[i])
        np.testing.assert_allclose(result[i], alone, atol=1e-5)


@pytest.mark.parametrize(
    ("q", "epsilon"),
    [(-0.1, 0.1), (1.1, 0.1), (np.nan, 1.0), (0.5, 0.0), (0.5, -1.0), (0.5, np.nan)],
)
def test_traced_numbers_out_of_range_give_nan(q, epsilon):
    assert np.isnan(traced(photo(), q, epsilon)).all()


@jax.jit
def traced(image, q, epsilon):
    channel_axis = -1 if image.ndim == 3 else None
    return soft_quantile_filter(image, q, epsilon=epsilon, channel_axis=channel_axis)


def central(function, point, step=1e-6):
    return (function(point + step) - function(point - step)) / (2 * step)


WEIGHTS, DIRECTION = np.random.default_rng(5).normal(size=(2, 5, 6))


@pytest.fixture
def _small_tiles(monkeypatch):
    """Compile the derivatives with several tiles."""
    monkeypatch.setattr(softsort_filters.windows, "_VALUES_IN_A_TILE", 100)


@jax.jit
def weighted_sum(image, epsilon, q):
    return (soft_quantile_filter(image, q, epsilon=epsilon) * WEIGHTS).sum()


slopes = jax.jit(jax.grad(weighted_sum, argnums=(0, 1, 2)))


@pytest.mark.usefixtures("x64", "_small_tiles")
@pytest.mark.parametrize("epsilon", [1.0, 0.1, 0.01])
@pytest.mark.parametrize("q", [0.5, 0.21])
def test_derivatives_are_those_of_finite_differences(epsilon, q):
    image = photo(5, 6)
    by_image, *others = slopes(image, epsilon, q)
    expected = (
        central(lambda t: weighted_sum(image + t * DIRECTION, epsilon, q), 0.0),
        central(lambda e: weighted_sum(image, e, q), epsilon, 1e-6 * epsilon),
        central(lambda q: weighted_sum(image, epsilon, q), q),
    )
    found = (by_image * DIRECTION).sum(), *others
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@jax.jit
def slope_change(tangent):
    """Forward through reverse: the change of the image's slopes along a tangent."""
    point = (photo(5, 6), 0.1, 0.4)
    tangent = (tangent[0] * DIRECTION, *tangent[1:])
    forward = jax.jvp(weighted_sum, point, tangent)[1]
    return forward, jax.jvp(lambda *p: slopes(*p)[0], point, tangent)[1]


@pytest.mark.usefixtures("x64", "_small_tiles")
@pytest.mark.parametrize("tangent", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)])
def test_second_derivatives_are_those_of_finite_differences(tangent):
    image = photo(5, 6)

    def moved(t):
        return (
            image + t * tangent[0] * DIRECTION,
            0.1 + t * tangent[1],
            0.4 + t * tangent[2],
        )

    forward, second = slope_change(tangent)
    np.testing.assert_allclose(
        forward, central(lambda t: weighted_sum(*moved(t)), 0.0), atol=1e-5
    )
    expected = central(lambda t: slopes(*moved(t))[0], 0.0)
    np.testing.assert_allclose(second, expected, rtol=1e-5, atol=1e-5)


@jax.jit
def slopes_at_centres(image, q, epsilon):
    """Of windows that share no pixel, by the image and by the level."""

    def total(image, q):
        return soft_quantile_filter(image, q, 5, epsilon=epsilon)[2::5, 2::5].sum()

    return jax.grad(total, argnums=(0, 1))(image, q)


def separate_windows(slopes):
    return np.asarray(slopes, float).reshape(12, 5, 12, 5).swapaxes(1, 2)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("epsilon", [0.01, 0.005, 0.001])
@pytest.mark.parametrize("q", [0.5, 0.0, 1.0])
def test_derivatives_in_float32_are_those_in_float64(epsilon, q):
    """Also where values are so many epsilons apart that squares would overflow."""
    point = np.random.default_rng(3).uniform(size=(60, 60)), q, epsilon
    single, by_level = slopes_at_centres(*map(np.float32, point))
    rounded = [np.float64(np.float32(each)) for each in point]
    double, level = slopes_at_centres(*rounded)
    single, double = separate_windows(single), separate_windows(double)
    off = np.linalg.norm(single - double, axis=(2, 3))
    assert np.all(off <= 1e-4 * np.linalg.norm(double, axis=(2, 3)))
    np.testing.assert_allclose(by_level, level, rtol=1e-4)


def test_known_derivatives_of_a_median():
    values = jnp.array([[0.94, 0.16, 0.78], [0.77, 0.19, 0.08], [0.73, 0.07, 0.04]])
    centre = jax.jit(jax.grad(lambda v: soft_median(v, 3, border="nearest")[1, 1]))
    slopes = centre(values)
    expected = [[-0.005, -0.032, -0.004], [-0.004, 1.061, -0.009], [-0.003, -0.005, 0]]
    np.testing.assert_allclose(slopes, expected, atol=6e-4)


@pytest.mark.usefixtures("x64")
def test_derivatives_at_a_small_epsilon_are_those_of_finite_differences():
    image = photo(5, 6)
    by_image, *_ = slopes(image, 1e-3, 0.5)
    expected = central(
        lambda t: weighted_sum(image + t * DIRECTION, 1e-3, 0.5), 0.0, 1e-8
    )
    np.testing.assert_allclose((by_image * DIRECTION).sum(), expected, rtol=1e-5)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("q", "inwards"), [(0.0, 1), (1.0, -1)])
def test_derivatives_by_the_end_levels_are_those_of_one_sided_differences(q, inwards):
    image = photo(5, 6)
    # Of first and second order.
    near, far = (
        (weighted_sum(image, 0.1, q + inwards * h) - weighted_sum(image, 0.1, q))
        / (inwards * h)
        for h in (1e-5, 2e-5)
    )
    found = slopes(image, 0.1, q)[2]
    np.testing.assert_allclose(found, 2 * near - far, rtol=1e-4)


@pytest.mark.parametrize("q", [0, 0.2, 0.5, 1])
@pytest.mark.parametrize("epsilon", EPSILONS)
def test_derivatives_in_float32_are_finite(epsilon, q):
    gradient = slopes_of_sum(every_case("float32"), float(q), epsilon)
    for part in gradient:
        assert np.isfinite(part).all()
    # The result moves with the image, so each pixel's derivatives sum to 1.
    np.testing.assert_allclose(gradient[0].sum((0, 1)), 14 * 15, rtol=1e-3)


slopes_of_sum = jax.jit(
    jax.grad(lambda *arguments: traced(*arguments).sum(), argnums=(0, 1, 2))
)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": 4}, ["size", "4", "odd"]),
        ({"size": 0}, ["size", "0", "odd"]),
        ({"size": -3}, ["size", "-3", "odd"]),
        ({"size": 3.0}, ["size", "3.0", "odd"]),
        ({"size": (3, 3, 3)}, ["size", "(3, 3, 3)", "rows, columns"]),
        ({"size": (3, 2)}, ["size", "(3, 2)", "odd"]),
        ({"epsilon": 0}, ["epsilon", "0", "positive"]),
        ({"epsilon": -0.1}, ["epsilon", "-0.1", "positive"]),
        ({"epsilon": np.nan}, ["epsilon", "nan", "positive"]),
        ({"epsilon": 1e-60}, ["epsilon", "1e-60", "positive"]),
        ({"epsilon": [0.1, 0.2]}, ["epsilon", "[0.1, 0.2]", "one"]),
        ({"epsilon": "small"}, ["epsilon", "small", "number"]),
        ({"q": 1.5}, ["q", "1.5", "[0, 1]"]),
        ({"q": -0.5}, ["q", "-0.5", "[0, 1]"]),
        ({"q": np.nan}, ["q", "nan", "[0, 1]"]),
        ({"q": [0.2, 0.8]}, ["q", "[0.2, 0.8]", "one level"]),
        ({"border": "symmetric"}, ["border", "symmetric", "mirror"]),
        ({"cval": None}, ["cval", "None", "number"]),
        ({"alpha": True}, ["alpha", "channels"]),
        ({"image": np.zeros((3, 4, 5))}, ["(3, 4, 5)", "channel_axis=-1", "None"]),
        ({"channel_axis": 2}, ["channel_axis", "2", "None"]),
        ({"channel_axis": 0}, ["channel_axis", "0", "axes"]),
        ({"where": np.ones((3, 4), bool)}, ["where", "(3, 4)", "booleans"]),
        ({"where": np.ones((14, 15))}, ["where", "float64", "booleans"]),
        ({"footprint": np.full((3, 3), 2)}, ["footprint", "2", "booleans"]),
        ({"squashing_fun": 3}, ["squashing_fun", "3", "function"]),
        ({"squashing_fun": jnp.sum}, ["squashing_fun", "()", "elementwise"]),
        ({"image": []}, ["image", "(0,)", "height"]),
        ({"image": np.zeros((0, 3))}, ["image", "(0, 3)", "none of them 0"]),
        ({"image": np.zeros(3)}, ["image", "(3,)", "height"]),
        ({"image": np.zeros((1, 2, 3, 4))}, ["image", "(1, 2, 3, 4)", "channels"]),
        ({"image": [["a"]]}, ["image", "<U1", "real"]),
        ({"image": [[1j]]}, ["image", "complex", "real"]),
        ({"image": [[1, 2], [3]]}, ["image", "numbers"]),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_errors_name_the_argument_the_value_and_the_remedy(arguments, words):
    with pytest.raises(SoftSortError) as caught:
        soft_quantile_filter(**{"image": photo(), **arguments})
    for word in words:
        assert word in str(caught.value)
