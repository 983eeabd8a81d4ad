"""What does not count in a loss is as if it were not there."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from softsort_core.losses import (
    soft_conformal_loss,
    soft_error_loss,
    soft_least_quantile_loss,
    soft_listwise_loss,
    soft_ndcg_loss,
    soft_pinball_loss,
    soft_spearman_loss,
)

RNG = np.random.default_rng(1)
X, Y = RNG.normal(size=(2, 6, 5))
LABELS = np.array([0, 1, 2, 3, 4, 0])
# Three values in each row, and two rows of each half.
VALUES = np.sort(RNG.uniform(size=(6, 5)).argsort(axis=1)[:, :3], axis=1)
WHERE = np.zeros((6, 5), bool)
np.put_along_axis(WHERE, VALUES, True, axis=1)
ROWS = np.array([True, False, True, True, True, False])
# Losses of values in rows, and of rows.
OF_VALUES = {
    "spearman": soft_spearman_loss,
    "soft targets": lambda x, y, **samples: soft_spearman_loss(
        x, y, soft_targets=True, **samples
    ),
    "ndcg": lambda x, y, **samples: soft_ndcg_loss(x, jnp.abs(y), 2, **samples),
    "listwise": soft_listwise_loss,
    "least quantile": lambda x, y, **samples: soft_least_quantile_loss(
        x - y, **samples
    ),
}
OF_ROWS = {
    "error": soft_error_loss,
    "conformal": lambda x, labels, **samples: soft_conformal_loss(
        x, labels, 0.7, **samples
    ),
    "pinball": lambda x, labels, **samples: soft_pinball_loss(
        x, labels / 3, [0.2, 0.6], **samples
    ),
}


@pytest.fixture(autouse=True)
def _quickly_compiled(x64):
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def evaluated(loss, x, y, where):
    """The loss and its gradient, with what does not count made NaN."""
    x = np.where(where.reshape(*where.shape, *[1] * (x.ndim - where.ndim)), x, np.nan)
    evaluate = jax.jit(jax.value_and_grad(lambda x, w: loss(x, y, where=w)))
    return evaluate, evaluate(x, where)


@pytest.mark.parametrize("name", OF_VALUES)
def test_values(name):
    loss = OF_VALUES[name]
    evaluate, (value, gradient) = evaluated(loss, X, Y, WHERE)
    few = (np.take_along_axis(each, VALUES, axis=1) for each in (X, Y))
    expected, slopes = jax.jit(jax.value_and_grad(loss))(*few)
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    np.testing.assert_allclose(gradient[WHERE], slopes.ravel(), rtol=1e-6, atol=1e-9)
    assert (gradient[~WHERE] == 0).all()
    # A row without any is left out.
    some = WHERE & (np.arange(6) > 0)[:, None]
    left, gradient = evaluate(X, some)
    parts = [evaluate(X, WHERE & (np.arange(6) == i)[:, None])[0] for i in range(1, 6)]
    np.testing.assert_allclose(left, np.mean(parts), rtol=1e-9)
    assert np.isfinite(gradient).all()
    assert (gradient[0] == 0).all()


@pytest.mark.parametrize("name", OF_ROWS)
def test_rows(name):
    loss = OF_ROWS[name]
    _, (value, gradient) = evaluated(loss, X, LABELS, ROWS)
    expected = jax.jit(loss)(X[ROWS], LABELS[ROWS])
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    assert (gradient[~ROWS] == 0).all()
    assert np.isfinite(gradient).all()
    weighted = jax.jit(loss)(X, LABELS, weights=7.0 * ROWS)
    np.testing.assert_allclose(weighted, expected, rtol=1e-9)


@pytest.mark.parametrize("name", OF_VALUES)
def test_equal_weights_are_none(name):
    loss = OF_VALUES[name]

    @jax.jit
    def both(x, y, weights):
        return loss(x, y, weights=weights), loss(x, y)

    # At equal weights the mass of a level is given, not chosen.
    weighted, plain = both(X, Y, np.full((6, 5), 3.0))
    np.testing.assert_allclose(weighted, plain, rtol=1e-9)


def test_weights_are_repetitions():
    """Of many values, for a rank level is an equal share of the mass."""
    x, y = RNG.normal(size=(2, 300))
    weights = np.where(np.arange(300) < 150, 1.0, 3.0)
    repeated = (np.repeat(each, weights.astype(int)) for each in (x, y))
    expected = jax.jit(soft_spearman_loss)(*repeated)

    @jax.jit
    def both(x, y):
        return soft_spearman_loss(x, y, weights=weights), soft_spearman_loss(x, y)

    found, plain = both(x, y)
    np.testing.assert_allclose(found, expected, rtol=1e-2)
    assert abs(plain - expected) > 0.02 * expected


@pytest.mark.parametrize("name", ["spearman", "soft targets", "least quantile"])
def test_a_weight_of_0_leaves_out(name):
    weights = np.where(WHERE, RNG.uniform(1, 2, size=(6, 5)), 0.0)
    evaluate = jax.jit(
        jax.value_and_grad(
            lambda x, weights: OF_VALUES[name](x, Y, weights=weights), argnums=(0, 1)
        )
    )
    value, (gradient, slopes) = evaluate(X, weights)
    few = [np.take_along_axis(each, VALUES, axis=1) for each in (X, Y, weights)]
    x, y, positive = few
    expected = jax.jit(OF_VALUES[name])(x, y, weights=positive)
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    assert (gradient[~WHERE] == 0).all()
    # Weights are relative: in each row, they have no slope together.
    assert np.isfinite(slopes).all()
    np.testing.assert_allclose(np.sum(slopes * weights, axis=1), 0, atol=1e-9)


@pytest.mark.parametrize("name", OF_VALUES)
def test_what_is_traced_and_wrong_gives_nan(name):
    weights = np.where(WHERE, 1.0, -1.0)
    loss = jax.jit(lambda x, y, weights: OF_VALUES[name](x, y, weights=weights))
    assert np.isnan(loss(X, Y, weights))


def test_gains_that_are_traced_and_negative_give_nan():
    assert np.isnan(jax.jit(soft_ndcg_loss)(X, Y))


@pytest.mark.parametrize("name", OF_ROWS)
def test_small_weights_have_a_slope(name):
    weights = np.float32(1e-30) * np.arange(1, 7, dtype=np.float32)
    loss = OF_ROWS[name]
    slopes = jax.jit(
        jax.grad(lambda weights: loss(np.float32(X), LABELS, weights=weights))
    )(weights)
    assert np.isfinite(slopes).all()
    assert np.abs(slopes).max() > 0


def test_nothing_that_counts_is_no_number():
    where = np.zeros((6, 5), bool)
    loss = jax.jit(lambda x, y: soft_spearman_loss(x, y, where=where))
    assert np.isnan(loss(X, Y))
