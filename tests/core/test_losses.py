"""Losses over soft ranks: their limits, their derivatives, and logits of any kind."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
import sklearn.metrics

from softsort_core import SoftSortError, quantile
from softsort_core.losses import (
    soft_conformal_loss,
    soft_error_loss,
    soft_least_quantile_loss,
    soft_listwise_loss,
    soft_ndcg_loss,
    soft_pinball_loss,
    soft_spearman_loss,
)

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 5))
LABELS = np.array([0, 1, 2, 3, 4, 0])
WANTED = RNG.normal(size=(6, 5))
GAINS = RNG.integers(0, 4, size=(6, 5)).astype(float)
TARGETS = RNG.normal(size=6)
SHARP = 1e-5
LARGE = np.arange(2**60, 2**60 + 30).reshape(6, 5)
# Each as a function of logits of shape (6, 5) and epsilon.
LOSSES = {
    "error": lambda x, e: soft_error_loss(x, LABELS, epsilon=e),
    "spearman": lambda x, e: soft_spearman_loss(x, WANTED.astype(x.dtype), epsilon=e),
    "least quantile": lambda x, e: soft_least_quantile_loss(x**2, 0.4, epsilon=e),
    "ndcg": lambda x, e: soft_ndcg_loss(x, GAINS.astype(x.dtype), 3, epsilon=e),
    "listwise": lambda x, e: soft_listwise_loss(x, WANTED.astype(x.dtype), epsilon=e),
    "pinball": lambda x, e: soft_pinball_loss(
        x, TARGETS.astype(x.dtype), [0.7, 0.2], epsilon=e
    ),
    "conformal": lambda x, e: soft_conformal_loss(x, LABELS, 0.7, epsilon=e),
}
KINDS = {
    "tied": np.tile([1.0, 2.0, 2.0, 1.0, 3.0], (6, 1)),
    "equal": np.full((6, 5), 0.3),
    "huge": 1e4 * LOGITS,
    "tiny": 1e-6 * LOGITS,
    "huge and tied": np.tile([1e4, -1e4, 1e4, 0.0, 1e4], (6, 1)),
    "far": 1e4 + LOGITS,
    "zero": np.zeros((6, 5)),
}


@pytest.fixture(autouse=True)
def _quickly_compiled():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@functools.cache
def compiled(name):
    return jax.jit(jax.value_and_grad(LOSSES[name]))


def error(x, epsilon):
    return compiled("error")(x, epsilon)[0]


@jax.jit
def top_2_error(x, epsilon, labels=LABELS):
    return soft_error_loss(x, labels, 2, epsilon=epsilon)


def above(logits, labels):
    """How many wrong classes stand above the true one."""
    return (logits > np.take_along_axis(logits, labels[:, None], 1)).sum(1)


def pinball(q):
    values = np.quantile(LOGITS, q, axis=1, method="averaged_inverted_cdf")
    return sklearn.metrics.mean_pinball_loss(TARGETS, values, alpha=q)


def conformal():
    # Of three values (1 - 0.7) (3 + 1) = 1.2 are in the lowest third.
    threshold = np.sort(LOGITS[np.arange(3), LABELS[:3]])[0]
    sizes = scipy.special.expit((LOGITS[3:] - threshold) / 0.1).sum(1)
    return np.maximum(sizes - 1, 0).mean()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ndcg", 1 - sklearn.metrics.ndcg_score(GAINS, LOGITS, k=3)),
        ("pinball", (pinball(0.2) + pinball(0.7)) / 2),
        ("conformal", conformal()),
        ("error", above(LOGITS, LABELS).mean()),
        (
            "spearman",
            np.mean(
                [
                    1 - scipy.stats.spearmanr(*pair).statistic
                    for pair in zip(LOGITS, WANTED, strict=True)
                ]
            ),
        ),
        (
            "least quantile",
            np.quantile(LOGITS**2, 0.4, axis=1, method="hazen").mean(),
        ),
    ],
)
def test_the_limit_is_the_hard_loss(x64, name, expected):
    value, _ = compiled(name)(jnp.asarray(LOGITS), SHARP)
    np.testing.assert_allclose(value, expected, atol=1e-6)


@pytest.mark.parametrize(("k", "evaluate"), [(1, error), (2, top_2_error)])
def test_the_soft_error_is_that_of_converged_ranks(x64, k, evaluate):
    # Of [1, 5, 4, 8, 12], from an independent solver.
    known = [0.0159598215, 1.840641706, 1.1499966238, 2.9997526185, 3.9936492302]
    logits = jnp.tile(jnp.array([1.0, 5.0, 4.0, 8.0, 12.0]), (6, 1))
    expected = np.maximum(5 - k - np.array(known)[LABELS], 0).mean()
    np.testing.assert_allclose(evaluate(logits, 0.01), expected, atol=1e-9)


def test_the_limit_of_the_top_k_form(x64):
    expected = np.maximum(above(LOGITS, LABELS) - 1, 0).mean()
    value = top_2_error(jnp.asarray(LOGITS), SHARP)
    np.testing.assert_allclose(value, expected, atol=1e-6)


def sinkhorn(x, epsilon):
    """The logarithms of soft permutations of vectors, in rows, by plain iteration."""
    z = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    s = scipy.special.expit(z)
    logits = -((s[..., None] - np.linspace(0, 1, x.shape[1])) ** 2) / epsilon
    for _ in range(5000):
        logits -= scipy.special.logsumexp(logits, axis=1, keepdims=True)
        logits -= scipy.special.logsumexp(logits, axis=2, keepdims=True)
    return logits


def test_the_listwise_loss_is_a_cross_entropy(x64):
    places = WANTED.argsort(axis=1).argsort(axis=1)
    rows = sinkhorn(LOGITS, 0.1)
    logs = np.take_along_axis(rows, places[..., None], 2)
    value, _ = compiled("listwise")(jnp.asarray(LOGITS), 0.1)
    np.testing.assert_allclose(value, -np.mean(logs), rtol=1e-8)
    ties = np.array([1.0, 2.0, 2.0, 3.0, 4.0])
    tied = soft_listwise_loss(jnp.asarray(LOGITS[0]), ties, epsilon=0.1)
    log = rows[0]
    between = (log[1, 1] + log[1, 2] + log[2, 1] + log[2, 2]) / 2
    exact = log[0, 0] + between + log[3, 3] + log[4, 4]
    np.testing.assert_allclose(tied, -exact / 5, rtol=1e-8)


def test_the_gradient_by_targets_is_that_of_soft_ones(x64):
    x, y = jnp.asarray(LOGITS[0]), jnp.asarray(WANTED[0])

    @functools.partial(jax.jit, static_argnames="soft_targets")
    @functools.partial(jax.grad, argnums=1)
    def slope(x, y, soft_targets):
        return soft_spearman_loss(x, y, soft_targets=soft_targets)

    assert jnp.abs(slope(x, y, True)).max() > 1e-3
    assert (slope(x, y, False) == 0).all()


def test_outlying_targets_do_not_matter(x64):
    loss = jax.jit(soft_spearman_loss)
    far = WANTED * np.array([1e9, 1, 1, 1, 1])
    values = [loss(LOGITS, far * scale) for scale in (1, 9)]
    np.testing.assert_allclose(*values, rtol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("epsilon", [0.01, 0.1])
def test_gradients_are_differences(x64, name, epsilon):
    evaluate = compiled(name)
    x, step = jnp.asarray(LOGITS), 1e-4
    _, gradient = evaluate(x, epsilon)
    for place in np.ndindex(x.shape):
        ahead, behind = (
            [evaluate(x.at[place].add(sign * h), epsilon)[0] for h in (step, 2 * step)]
            for sign in (1, -1)
        )
        # Four points leave an error of fourth order.
        near, far = ahead[0] - behind[0], ahead[1] - behind[1]
        difference = (8 * near - far) / (12 * step)
        np.testing.assert_allclose(gradient[place], difference, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_values_and_gradients_are_finite_in_single_precision(name):
    for kind, logits in KINDS.items():
        for epsilon in (0.01, 0.1):
            value, gradient = compiled(name)(jnp.float32(logits), epsilon)
            assert gradient.dtype == jnp.float32
            assert jnp.isfinite(value), kind
            assert jnp.isfinite(gradient).all(), kind


def test_the_unit_of_logits_is_of_no_account():
    evaluate = compiled("error")
    expected, _ = evaluate(jnp.float32(LOGITS), 0.01)
    for scale in (1e-6, 1e4):
        value, _ = evaluate(jnp.float32(scale * LOGITS), 0.01)
        np.testing.assert_allclose(value, expected, atol=1e-4)


def test_descending_the_soft_error_finds_the_right_classes():
    evaluate = compiled("error")
    x = jnp.float32(LOGITS)
    for _ in range(60):
        _, gradient = evaluate(x, 0.1)
        x -= 2.0 * gradient
    np.testing.assert_array_equal(jnp.argmax(x, axis=-1), LABELS)


def test_constants_are_correlated_with_nothing():
    value, gradient = compiled("spearman")(jnp.float32(KINDS["equal"]), 0.01)
    assert value == 1
    assert (gradient == 0).all()


def test_half_precision_is_enough_for_logits():
    x = jnp.asarray(np.random.default_rng(0).normal(size=100), jnp.float16)
    loss = functools.partial(soft_spearman_loss, targets=x, soft_targets=True)
    evaluate = jax.jit(jax.value_and_grad(loss))
    value, gradient = evaluate(-x)
    np.testing.assert_allclose(value, 2, atol=1e-5)
    np.testing.assert_allclose(evaluate(x)[0], 0, atol=1e-5)
    assert jnp.isfinite(gradient).all()
    slopes = jax.jit(jax.grad(lambda x: soft_spearman_loss(x, WANTED[0])))
    halves, singles = (
        slopes(jnp.asarray(LOGITS[0], t)) for t in ("float16", "float32")
    )
    np.testing.assert_allclose(halves, singles, atol=2e-2)
    assert jnp.abs(singles).max() > 0.05


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda x: soft_spearman_loss(x[:, :1], x[:, :1]), r"\(6, 1\)"),
        (lambda x: soft_spearman_loss(x[:, :1], x[:, 0]), r"\(6, 1\)"),
        (lambda x: soft_spearman_loss(x, x[0]), r"\(6, 5\)"),
        (lambda x: soft_error_loss(x, LABELS[:, None]), r"labels has shape \(6, 1\)"),
        (lambda x: soft_error_loss(x, LABELS[:1]), r"labels has shape \(1,\)"),
        (lambda x: soft_conformal_loss(x, LABELS[:1]), r"labels has shape \(1,\)"),
        (lambda x: soft_ndcg_loss(x, x[0] ** 2), r"relevance \(5,\)"),
        (lambda x: soft_listwise_loss(x, x[0]), r"targets \(5,\)"),
        (lambda x: soft_pinball_loss(x, x), r"targets \(6, 5\)"),
        (lambda x: soft_spearman_loss(x, x, where=x[0] > 0), r"where has shape \(5,\)"),
        (
            lambda x: soft_error_loss(x, LABELS, weights=x),
            r"weights has shape \(6, 5\)",
        ),
        (lambda x: soft_ndcg_loss(x, x**2, where=x), "where has dtype float32"),
    ],
)
def test_shapes_that_do_not_match_are_named(call, named):
    with pytest.raises(SoftSortError, match=named):
        call(jnp.float32(LOGITS))


def test_labels_that_do_not_exist_give_nan(x64):
    for label in (5, -1):
        labels = np.append(LABELS[1:], label)
        assert jnp.isnan(top_2_error(jnp.asarray(LOGITS), 0.1, labels))


@pytest.mark.parametrize("label", [2**32, -(2**32)])
def test_labels_of_64_bits_are_not_cut(label):
    labels = np.append(LABELS[1:], label)
    assert jnp.isnan(soft_error_loss(jnp.float32(LOGITS), labels))


@pytest.mark.parametrize("weights", [None, np.ones((6, 5))])
def test_the_mean_over_several_levels(x64, weights):
    levels = [0.2, 0.7]

    @jax.jit
    def both(errors):
        found = soft_least_quantile_loss(errors, levels, weights=weights)
        return found, jnp.mean(quantile(errors, levels, input_weights=weights))

    np.testing.assert_allclose(*both(jnp.asarray(LOGITS**2)), rtol=1e-9)


@pytest.mark.parametrize(
    ("loss", "arguments"),
    [
        (soft_spearman_loss, [LOGITS, WANTED]),
        (soft_ndcg_loss, [LOGITS, GAINS]),
        (soft_listwise_loss, [LOGITS, WANTED]),
        (soft_error_loss, [LOGITS, LABELS]),
        (soft_conformal_loss, [LOGITS, LABELS]),
        (soft_least_quantile_loss, [LOGITS]),
        (soft_pinball_loss, [LOGITS, TARGETS]),
    ],
)
def test_lists_are_arrays(loss, arguments):
    assert loss(*(each.tolist() for each in arguments)) == loss(*arguments)


def test_where_may_be_a_list():
    where = [[True, False, True, True, True]]
    values = [
        soft_spearman_loss(jnp.float32(LOGITS[:1]), WANTED[:1], where=each)
        for each in (where, np.array(where))
    ]
    np.testing.assert_allclose(*values, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: soft_error_loss(x, LABELS, True), ["k is True", "integer"]),
        (lambda x: soft_error_loss(x, LABELS, 1.5), ["k is 1.5", "integer"]),
        (lambda x: soft_error_loss(x, LABELS / 2), ["labels", "float64", "integers"]),
        (lambda x: soft_conformal_loss(x[None], LABELS[None]), ["(1, 6, 5)", "rows"]),
        (lambda x: soft_pinball_loss(LARGE, x[:, 0]), ["samples", "integers beyond"]),
        (lambda x: soft_pinball_loss(x, LARGE[:, 0]), ["targets", "integers beyond"]),
        (lambda x: soft_ndcg_loss(x, LARGE), ["relevance", "integers beyond"]),
        (lambda x: soft_error_loss(x, LABELS, 0), ["k is 0", "1 to 4"]),
        (lambda x: soft_error_loss(x, LABELS, 5), ["k is 5", "1 to 4"]),
        (lambda x: soft_least_quantile_loss(x, 1.5), ["1.5"]),
        (lambda x: soft_pinball_loss(x, x[:, 0], 1.5), ["1.5"]),
        (lambda x: soft_ndcg_loss(x, x), ["relevance", "negative"]),
        (lambda x: soft_ndcg_loss(x, x**2, 0), ["k is 0", "1"]),
        (lambda x: soft_conformal_loss(x, LABELS, 1.0), ["coverage is 1", "0.9"]),
        (lambda x: soft_conformal_loss(x[:1], LABELS[:1]), ["(1, 5)", "2 rows"]),
        (lambda x: soft_spearman_loss(x, x, weights=-(x**2)), ["weights", "negative"]),
        (lambda x: soft_spearman_loss(x, x, epsilon=-1.0), ["epsilon", "-1"]),
    ],
)
@pytest.mark.usefixtures("unchecked_types")
def test_errors_name_the_argument_and_the_remedy(call, words):
    with pytest.raises(SoftSortError) as caught:
        call(jnp.float32(LOGITS))
    for word in words:
        assert word in str(caught.value)
