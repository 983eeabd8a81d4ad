import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from samples import KINDS, sample

import softsort_core as soft
from softsort_core import SoftSortError

X = [1.0, 5.0, 4.0, 8.0, 12.0]
# Independently converged: log-domain Sinkhorn in float64 to a marginal error of 1e-15.
CONVERGED = {
    "sort 0.01": (
        lambda x: soft.sort(x),
        [1.0480062563, 4.1177705015, 4.8540705924, 8.0055557286, 11.9745969212],
    ),
    "sort 0.1": (
        lambda x: soft.sort(x, epsilon=0.1),
        [2.5694645939, 3.7323474325, 5.4608515833, 8.0010731237, 10.2362632666],
    ),
    "ranks 0.01": (
        lambda x: soft.ranks(x),
        [0.0159598215, 1.840641706, 1.1499966238, 2.9997526185, 3.9936492302],
    ),
    "ranks 0.1": (
        lambda x: soft.ranks(x, epsilon=0.1),
        [0.6068124451, 1.6919450859, 1.3106766917, 2.848427733, 3.5421380443],
    ),
}
OPERATORS = {
    "sort": soft.sort,
    "topk": functools.partial(soft.sort, topk=1),
    "ranks": soft.ranks,
    "topk_mask": soft.topk_mask,
    "quantile": functools.partial(soft.quantile, q=[0.1, 0.5]),
    "quantile_normalization": lambda x, **options: soft.quantile_normalization(
        x, jnp.arange(4.0), **options
    ),
    "quantize": functools.partial(soft.quantize, num_levels=3),
    "sort_with": lambda x, **options: soft.sort_with(
        jnp.asarray(x)[:, None], x, **options
    ),
}
any_operator = pytest.mark.parametrize("operator", OPERATORS.values(), ids=OPERATORS)


@pytest.mark.parametrize("name", CONVERGED)
def test_converged_values(x64, name):
    operator, expected = CONVERGED[name]
    np.testing.assert_allclose(operator(np.array(X)), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", CONVERGED)
def test_converged_values_in_single_precision(name):
    operator, expected = CONVERGED[name]
    result = operator(X)
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result, expected, rtol=1e-4)


def test_converged_median(x64):
    np.testing.assert_allclose(soft.quantile(X, 0.5), [4.996368107], atol=1e-6)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_meaning_is_that_of_ott(x64):
    ott = importlib.import_module("ott.tools.soft_sort")
    rng = np.random.default_rng(0)
    # What batches add is compared with loops elsewhere.
    x, z = jnp.asarray(rng.normal(size=11)), jnp.asarray(rng.normal(size=(4, 3, 5)))
    t, w = jnp.sort(rng.normal(size=4)), jnp.array([0.2, 0.3, 0.1, 0.4])
    rows = jnp.asarray(rng.normal(size=(11, 2)))
    calls = [
        ("sort", (x, -1, 3), {}),
        ("ranks", (x,), {}),
        ("ranks", (x, -1, None, w), {}),
        ("topk_mask", (x, -1, 3), {}),
        ("quantile", (x, jnp.array([0.01, 0.35, 0.9])), {}),
        ("quantile", (z, None, (0, 2)), {}),
        ("quantile_normalization", (x, t, w), {}),
        ("quantize", (x, 4), {}),
        ("sort_with", (rows, x[:, None], 3), {}),
        ("sort", (x,), {"squashing_fun": lambda v: 0.5 + v / 8}),
    ]
    exact = {"threshold": 1e-12, "max_iterations": 100_000}
    for name, arguments, options in calls:
        options = {"epsilon": 0.03, **options}
        ours = getattr(soft, name)(*arguments, **options)
        theirs = jax.jit(
            functools.partial(getattr(ott, name), *arguments, **options, **exact)
        )()
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, atol=1e-8, err_msg=name)


# Limits


def test_hard_operators_as_epsilon_vanishes(x64):
    x = np.random.default_rng(0).permutation(30) / 7.0
    tiny = {"epsilon": 1e-5}
    np.testing.assert_allclose(soft.sort(x, **tiny), np.sort(x), atol=1e-6)
    np.testing.assert_allclose(soft.sort(x, topk=4, **tiny), np.sort(x)[-4:], atol=1e-6)
    ranks = scipy.stats.rankdata(x) - 1
    np.testing.assert_allclose(soft.ranks(x, **tiny), ranks, atol=1e-4)
    mask = x >= np.sort(x)[-4]
    np.testing.assert_allclose(soft.topk_mask(x, k=4, **tiny), mask, atol=1e-6)
    extremes = soft.quantile(x, [1.0, 0.0, 0.5], **tiny)
    np.testing.assert_allclose(
        extremes, [x.max(), x.min(), np.median(x)], rtol=0, atol=1e-6
    )
    groups = np.repeat(np.sort(x).reshape(3, 10).mean(axis=1), 10)
    quantized = np.sort(soft.quantize(x, 3, **tiny))
    np.testing.assert_allclose(quantized, groups, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ties_share_their_average_rank(x64, dtype):
    x = np.resize([3, 1, 1, 2, 3, 3, 1], 30).astype(dtype)
    expected = scipy.stats.rankdata(x) - 1
    np.testing.assert_allclose(soft.ranks(x, epsilon=1e-4), expected, atol=1e-4)


def test_the_mean_as_epsilon_grows(x64):
    x = sample("exponential", 30)
    huge = {"epsilon": 1e7}
    np.testing.assert_allclose(soft.sort(x, **huge), np.full(30, x.mean()), rtol=1e-5)
    np.testing.assert_allclose(soft.ranks(x, **huge), np.full(30, 14.5), rtol=1e-5)
    np.testing.assert_allclose(soft.quantile(x, 0.9, **huge), [x.mean()], rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_sums_are_kept_without_weights(x64, kind):
    x = sample(kind, 30)
    np.testing.assert_allclose(soft.sort(x).sum(), x.sum(), rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(soft.ranks(x).sum(), 30 * 29 / 2, rtol=1e-10)
    np.testing.assert_allclose(soft.topk_mask(x, k=7).sum(), 7, rtol=1e-10)


# Weights


def test_weights_repeat_values(x64):
    x, counts = sample("normal", 6), np.array([1, 3, 2, 1, 0, 1])
    repeated = np.repeat(x, counts)
    for name, operator in {
        "sort": functools.partial(soft.sort, num_targets=5),
        "quantile": functools.partial(soft.quantile, q=[0.2, 0.6], weight=0.05),
    }.items():
        weighted = operator(x, input_weights=counts)
        np.testing.assert_allclose(
            weighted, operator(repeated), rtol=1e-9, err_msg=name
        )
    weighted = soft.ranks(x, num_targets=5, input_weights=counts) / 5
    expected = soft.ranks(repeated, num_targets=5) / 7
    np.testing.assert_allclose(np.repeat(weighted, counts), expected, atol=1e-9)


@pytest.mark.parametrize(
    "weights", [[1, 1], [1, -1, 1, 1, 1], [0] * 5, [1, np.nan, 1, 1, 1]]
)
def test_bad_weights_are_named(weights):
    with pytest.raises(SoftSortError, match="input_weights"):
        soft.sort(X, input_weights=weights)


# Far out, where squares overflow, and not numbers at all.
@pytest.mark.parametrize("scale", [1e-320, 1e-39, 1e38, 1e300])
def test_weights_are_relative(scale):
    """In single precision, too, which does not have all of them."""
    weights = np.array([1.0, 0.5, 2.0, 0.25, 1.0])
    expected = soft.ranks(X, input_weights=weights)
    found = soft.ranks(X, input_weights=scale * weights)
    np.testing.assert_allclose(found, expected, rtol=1e-3 if scale < 1e-310 else 1e-5)
    if scale == 1e38:
        traced = jax.jit(lambda weights: soft.ranks(X, input_weights=weights))
        found = traced(np.asarray(scale * weights, np.float32))
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "far", [-2e19, np.finfo(np.float32).min, -np.inf, np.inf, np.nan]
)
@pytest.mark.parametrize("squashing_fun", [None, lambda x: 0.5 + x / 8])
def test_a_value_without_weight_takes_no_part(far, squashing_fun):
    x = sample("normal", 12).astype(np.float32)
    weights = np.insert(np.random.default_rng(0).integers(1, 4, 12), 4, 0)
    options = {"squashing_fun": squashing_fun, "input_weights": weights}
    for name, operator in OPERATORS.items():
        found, expected = (
            np.asarray(operator(np.insert(x, 4, np.float32(each)), **options))
            for each in (far, x[0])
        )
        if name in ("ranks", "topk_mask", "quantile_normalization", "quantize"):
            # It has its own place among the others, unless it is no number.
            assert np.isfinite(found[4]) == np.isfinite(far)
            assert not found[4] > expected.min() + 1e-6
            found, expected = np.delete(found, 4), np.delete(expected, 4)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5, err_msg=name)


def test_the_rank_of_a_far_value_without_weight_is_the_limit_of_a_light_one(x64):
    x, light = np.append(sample("normal", 8), -50.0), np.append(np.ones(8), 1e-12)
    none = soft.ranks(x, epsilon=0.1, input_weights=light > 1e-6)
    # Were it the largest by far, squaring would lose what the others have.
    expected = soft.ranks(x, epsilon=0.1, input_weights=light)
    np.testing.assert_allclose(none, expected, atol=1e-6)


X5 = jnp.array(X)


@pytest.mark.parametrize(
    ("call", "right", "wrong"),
    [
        (lambda e: soft.ranks(X5, epsilon=e), 0.01, -0.01),
        (lambda e: soft.sort(X5, epsilon=e), 0.01, np.inf),
        (lambda w: soft.sort(X5, input_weights=w), np.ones(5), 1 - 2 * np.eye(5)[1]),
        (lambda w: soft.sort(X5, input_weights=w), np.ones(5), np.eye(5)[1] - 1),
        (lambda w: soft.ranks(X5, target_weights=w), np.ones(3), np.array([2, -1, 1])),
        (
            lambda w: soft.quantile_normalization(X5, jnp.arange(3.0), w),
            np.ones(3),
            np.array([2, -1, 1]),
        ),
        (
            lambda t: soft.quantile_normalization(X5, t),
            np.arange(5),
            np.arange(5)[::-1],
        ),
        (lambda q: soft.quantile(X5, q), np.array([0.1, 0.5]), np.array([0.5, 1.1])),
        (lambda w: soft.quantile(X5, 0.5, weight=w), 0.01, -0.01),
    ],
)
def test_wrong_values_that_are_traced_give_nan(call, right, wrong):
    jitted = jax.jit(call)
    assert np.isfinite(jitted(jnp.asarray(right, jnp.float32))).all()
    assert np.isnan(jitted(jnp.asarray(wrong, jnp.float32))).all()
    with pytest.raises(SoftSortError):
        call(wrong)


@pytest.mark.parametrize("name", ["inputs", "input_weights", "targets", "weights", "q"])
def test_masked_arrays_are_refused(name):
    masked = np.ma.masked_array([0.1, 0.2, 0.3], [False, True, False])
    whole = np.array([0.1, 0.2, 0.3])
    given = {"inputs": whole, "targets": whole, "weights": whole, "q": whole}

    def results(**changed):
        every = {**given, **changed}
        weights = changed.get("input_weights")
        soft.quantile(every["inputs"], every["q"], input_weights=weights)
        del every["q"]
        return soft.quantile_normalization(**every)

    for each in masked, [masked] * 3:
        with pytest.raises(SoftSortError, match=f"{name} has masked values"):
            results(**{name: each})
    # Nothing is masked.
    results(**{name: np.ma.masked_array(whole, False)})


# Quantiles


def test_quantile_levels_come_back_in_their_order(x64):
    ordered = soft.quantile(X, [0.1, 0.4, 0.8])
    shuffled = soft.quantile(X, [0.8, 0.1, 0.4])
    np.testing.assert_array_equal(shuffled, ordered[jnp.array([2, 0, 1])])
    traced = jax.jit(soft.quantile)
    found = traced(jnp.array(X), jnp.array([0.8, 0.1, 0.4]))
    np.testing.assert_allclose(found, shuffled, rtol=1e-12)
    # Equal ones share a target, however many they are.
    for q in ([0.3, 0.3, 0.3], [0.7, 0.1, 0.7], [1.0, 0.0, 1.0], [0.0, 0.0, 0.2]):
        found = traced(jnp.array(X), jnp.array(q))
        np.testing.assert_allclose(found, soft.quantile(X, q), rtol=1e-9)


def test_equal_quantile_levels_have_equal_values():
    result = soft.quantile(X, [0.5, 0.2, 0.5])
    assert result[0] == result[2]


def test_extreme_quantiles_are_soft_extremes(x64):
    for epsilon in (1.0, 0.1, 0.01, 1e-4):
        low, high = soft.quantile(X, [0, 1], epsilon=epsilon)
        assert 1 <= low < high <= 12
    np.testing.assert_allclose([low, high], [1, 12], atol=1e-6)


@pytest.mark.parametrize("q", [-0.1, 1.1, np.nan, [0.5, 2.0], "half", [[0.5]], []])
def test_bad_quantile_levels(q):
    with pytest.raises(SoftSortError, match="q "):
        soft.quantile(X, q)


# Unusual inputs


@any_operator
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_makes_its_slice_nan(operator, bad):
    assert np.isnan(operator(jnp.array([1.0, bad, 2.0, 3.0]))).all()


def test_a_bad_slice_leaves_the_others_alone():
    x = np.array([[1.0, 2, 3], [1, np.nan, 3], [3, 2, 1]], np.float32)
    result = np.asarray(soft.ranks(x))
    assert np.isnan(result[1]).all()
    np.testing.assert_allclose(result[[0, 2]], soft.ranks(x[[0, 2]]), atol=1e-5)


def test_empty_inputs():
    for operator in (soft.sort, soft.ranks, soft.quantize):
        assert operator([]).shape == (0,)
        assert operator(jnp.zeros((3, 0))).shape == (3, 0)
        assert operator(jnp.zeros((0, 3))).shape == (0, 3)
    assert soft.topk_mask([], k=0).shape == (0,)
    assert soft.quantile_normalization([], [1.0, 2.0]).shape == (0,)
    assert soft.sort_with(jnp.zeros((0, 2)), []).shape == (0, 2)
    assert soft.quantile(jnp.zeros((0, 3)), [0.1, 0.2]).shape == (0, 2)
    with pytest.raises(SoftSortError, match="empty"):
        soft.quantile([], 0.5)
    with pytest.raises(SoftSortError, match="empty"):
        soft.sort([], num_targets=3)


def test_one_value():
    np.testing.assert_array_equal(soft.sort([7.0]), [7])
    np.testing.assert_array_equal(soft.ranks([7.0]), [0])
    np.testing.assert_array_equal(soft.topk_mask([7.0], k=1), [1])
    np.testing.assert_array_equal(soft.topk_mask([7.0], k=0), [0])
    np.testing.assert_array_equal(soft.quantile([7.0], [0, 0.3, 1]), [7, 7, 7])
    np.testing.assert_array_equal(soft.sort([7.0], num_targets=3), [7, 7, 7])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e6, 1e30])
def test_scale_does_not_matter_in_single_precision(kind, scale):
    x = np.clip(sample(kind, 20), -1e6, 1e6).astype(np.float32)
    scaled = x * np.float32(scale)
    np.testing.assert_allclose(soft.ranks(scaled), soft.ranks(x), atol=2e-3)
    values = soft.sort(scaled)
    np.testing.assert_allclose(
        values / np.float32(scale), soft.sort(x), rtol=1e-3, atol=1e-5 * np.ptp(x)
    )


def test_a_large_offset_in_single_precision():
    x = np.arange(20, dtype=np.float32)
    np.testing.assert_allclose(soft.ranks(x + 1e6), soft.ranks(x), atol=1e-5)
    np.testing.assert_allclose(soft.sort(x + 1e6), soft.sort(x) + 1e6, atol=0.1)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_comes_back_as_it_was(dtype):
    x = jnp.asarray(X, dtype)
    result = soft.sort(x)
    assert result.dtype == x.dtype
    np.testing.assert_array_equal(result, soft.sort(X).astype(dtype))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_ranks_of_half_precision_are_of_single(dtype):
    # Half precision cannot tell the ranks of many values apart.
    x = jnp.asarray(np.random.default_rng(0).permutation(1000) / 1000, dtype)
    ranks = soft.ranks(x)
    assert ranks.dtype == jnp.float32
    np.testing.assert_array_equal(ranks, soft.ranks(x.astype(jnp.float32)))
    # Nor the values of another distribution, unless they are of it.
    few = x[:5]
    targets = jnp.array([1.0, 7e4, 7e4 + 1])
    found = soft.quantile_normalization(few, targets)
    expected = soft.quantile_normalization(few.astype(jnp.float32), targets)
    np.testing.assert_array_equal(found, expected)
    halves = (targets / 7).astype(dtype)
    assert soft.quantile_normalization(few, halves).dtype == dtype


@pytest.mark.parametrize("dtype", ["int32", "uint8", "int64", "bool"])
def test_integers_are_numbers(dtype):
    x = np.array([1, 0, 1, 0], dtype)
    np.testing.assert_array_equal(soft.ranks(x), soft.ranks(x.astype(np.float32)))
    assert soft.ranks(x).dtype == jnp.float32


@pytest.mark.parametrize("dtype", [">f8", ">f4", ">i2", "longdouble"])
def test_numbers_of_numpy_alone_are_numbers(dtype):
    """Files of other machines have their bytes in turn."""
    x = np.array([3, 1, 2], dtype)
    np.testing.assert_allclose(soft.ranks(x), [2, 0, 1], atol=1e-3)
    assert soft.sort(x.astype(">f2")).dtype == np.float16


def test_a_list_of_traced_numbers_is_a_vector():
    found = jax.jit(lambda a, b: soft.ranks([a, b, 2.0]))(3.0, 1.0)
    np.testing.assert_allclose(found, [2, 0, 1], atol=1e-3)


def test_integers_that_would_be_rounded_are_refused(x64):
    big = [2**53 + 1, 2**53 + 2]
    with pytest.raises(SoftSortError, match="offset"):
        soft.ranks(big)
    jax.config.update("jax_enable_x64", False)
    with pytest.raises(SoftSortError, match="offset"):
        soft.ranks([2**24 + 1, 2**24 + 2])


# Faults of others, and misuse


def test_a_small_epsilon_converges_or_is_nan(x64):
    x = sample("normal", 300)
    ranks = soft.ranks(x, epsilon=1e-4)
    np.testing.assert_allclose(ranks.sum(), 300 * 299 / 2, rtol=1e-10)
    assert (np.diff(np.asarray(ranks)[np.argsort(x)]) >= 0).all()


def test_topk_of_many_values_stays_below_the_maximum():
    x = jnp.asarray(sample("uniform", 5000), jnp.float32)
    top = soft.sort(x, topk=3)
    assert (top <= x.max()).all()
    assert (top > 0.9).all()


@any_operator
def test_unknown_keywords_are_named_by_the_function_called(operator):
    with pytest.raises(TypeError, match="epsilom"):
        operator(jnp.array(X), epsilom=0.1)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: soft.sort(X, epsilon=0.0), "epsilon is 0.0"),
        (lambda: soft.sort(X, epsilon=np.nan), "epsilon is nan"),
        (lambda: soft.sort(X, axis=1), "axis 1"),
        (lambda: soft.sort(1.0), "axis -1"),
        (lambda: soft.sort([X, X], axis=(0, 0)), "axis"),
        (lambda: soft.sort(X, num_targets=0), "num_targets is 0"),
        (lambda: soft.sort(["a", "b"]), "inputs has dtype"),
        (lambda: soft.sort([1j, 2.0]), "inputs"),
        (lambda: soft.sort([[1.0], [2.0, 3.0]]), "inputs has rows of different"),
        (lambda: soft.sort(jnp.ones(2, jnp.float8_e4m3fn)), "inputs has dtype float8"),
        (lambda: soft.max(jax.random.key(0)), "inputs has dtype key"),
        (lambda: soft.sort(X, input_weights=list("abcde")), "input_weights has dtype"),
        (lambda: soft.sort_with(X, X, where=[True] * 4), r"where has shape \(4,\)"),
        (lambda: soft.sort(X, squashing_fun=jnp.sum), "squashing_fun"),
        (lambda: soft.topk_mask(X, k=6), "k is 6"),
        (lambda: soft.quantize(X, 0), "num_levels is 0"),
        (lambda: soft.quantile_normalization(X, [3.0, 1.0]), "targets"),
        (lambda: soft.quantile_normalization(X, [1.0], [0.5, 0.5]), "same shape"),
        (lambda: soft.ranks(X, target_weights=[-1.0, 2.0]), "target_weights"),
        (lambda: soft.sort_with([[1.0], [2.0]], [1.0, 2.0, 3.0]), "criterion"),
        (lambda: soft.quantize([1.0, 2.0, 4.0], num_levels=17_000), "too large"),
        (lambda: soft.quantize([1.0, 2.0, 4.0], num_levels=10**12), "too large"),
    ],
)
def test_misuse_is_explained(call, named):
    with pytest.raises(SoftSortError, match=named):
        call()


@pytest.mark.usefixtures("unchecked_types")
def test_misuse_by_type_is_explained():
    with pytest.raises(SoftSortError, match=r"topk is 2\.5"):
        soft.sort(X, topk=2.5)  # pyright: ignore
    for name in "epsilon", "tolerance", "weight", "fill":
        for value in [0.1, 0.2], "one", 1j:
            if name == "fill" and isinstance(value, list):
                continue
            with pytest.raises(SoftSortError, match=f"{name} is"):
                soft.quantile(X, where=True, **{name: value})  # pyright: ignore
    with pytest.raises(SoftSortError, match=r"squashing_fun returned shape \(\)"):
        soft.sort(X, squashing_fun=lambda _: None)  # pyright: ignore
