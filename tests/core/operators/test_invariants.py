"""What holds of any values at any epsilon."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import softsort_core as soft

vectors = st.lists(
    st.floats(-1e6, 1e6, width=32) | st.integers(-3, 3).map(float),
    min_size=1,
    max_size=12,
)
epsilons = st.sampled_from([1.0, 0.1, 0.01, 1e-3, 1e-4])


invariant = settings(
    max_examples=50,
    deadline=None,
    derandomize=True,
    # The fixture only sets the precision, which every example shares.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def pad(x):
    """Return the values in a vector of 12 with weights, so that all compile once."""
    weights = np.zeros(12)
    weights[: len(x)] = 1.0
    return np.pad(np.asarray(x, np.float64), (0, 12 - len(x))), weights


@invariant
@given(x=vectors, epsilon=epsilons)
def test_invariants_of_sort(x64, x, epsilon):
    values, weights = pad(x)
    result = soft.sort(values, epsilon=epsilon, input_weights=weights)
    assert (np.diff(result) >= 0).all()
    assert result.min() >= min(x)
    assert result.max() <= max(x)
    scale = max(1e-300, np.ptp(x))
    np.testing.assert_allclose(result.mean(), np.mean(x), rtol=1e-9, atol=1e-9 * scale)
    permuted = soft.sort(
        values[::-1].copy(), epsilon=epsilon, input_weights=weights[::-1].copy()
    )
    np.testing.assert_allclose(result, permuted, rtol=1e-6, atol=1e-9 * scale)


@invariant
@given(x=vectors, epsilon=epsilons)
def test_invariants_of_ranks(x64, x, epsilon):
    values, weights = pad(x)
    n = len(x)
    result = soft.ranks(values, epsilon=epsilon, input_weights=weights)
    assert result.min() >= 0
    assert result.max() <= 11
    kept = np.asarray(result)[:n]
    np.testing.assert_allclose(kept.mean(), 5.5, rtol=1e-9)
    assert (np.diff(kept[np.argsort(x, kind="stable")]) >= -1e-9).all()
    moved = soft.ranks(3.0 * values + 7.0, epsilon=epsilon, input_weights=weights)
    np.testing.assert_allclose(kept, np.asarray(moved)[:n], atol=1e-4)
    order = np.random.default_rng(n).permutation(12)
    permuted = soft.ranks(values[order], epsilon=epsilon, input_weights=weights[order])
    np.testing.assert_allclose(np.asarray(result)[order], permuted, atol=1e-6)


@invariant
@given(x=vectors, epsilon=epsilons, q=st.floats(0, 1))
def test_invariants_of_quantile(x64, x, epsilon, q):
    values, weights = pad(x)
    result = float(soft.quantile(values, q, epsilon=epsilon, input_weights=weights)[0])
    assert min(x) <= result <= max(x)


@invariant
@given(x=vectors, epsilon=epsilons)
def test_mirrored_values(x64, x, epsilon):
    values, weights = pad(x)
    softness = {"epsilon": epsilon, "input_weights": weights}
    up, down = (soft.sort(each, **softness) for each in (values, -3 * values))
    np.testing.assert_allclose(down, -3 * up[::-1], atol=1e-6 * max(1, np.ptp(x)))
    up, down = (soft.ranks(each, **softness) for each in (values, -3 * values))
    np.testing.assert_allclose(up + down, np.full(12, 11.0), atol=1e-4)


six = st.lists(st.floats(-100, 100, width=16), min_size=6, max_size=6)


@invariant
@given(x=six, epsilon=epsilons, k=st.integers(0, 6))
def test_masks(x64, x, epsilon, k):
    mask = np.asarray(soft.topk_mask(np.array(x), k=k, epsilon=epsilon))
    np.testing.assert_allclose(mask.sum(), k, rtol=1e-9, atol=1e-9)
    assert mask.min() >= 0
    assert mask.max() <= 1
    assert (np.diff(mask[np.argsort(x)]) >= -1e-9).all()


@jax.jit
def slopes(x, epsilon):
    def both(x):
        return jnp.stack([each(x, epsilon=epsilon) for each in (soft.sort, soft.ranks)])

    return both(x), jax.jacfwd(both)(x)


@invariant
@given(x=six, epsilon=epsilons)
def test_slopes(x64, x, epsilon):
    """Moved or stretched values are sorted as they were, and their ranks stay."""
    x = np.array(x)
    (values, _), (of_values, of_ranks) = slopes(x, epsilon)
    close = 1e-7 * max(1, np.abs(of_values).max()) * max(1, np.abs(x).max())
    np.testing.assert_allclose(of_values.sum(1), np.ones(6), atol=close)
    np.testing.assert_allclose(of_values @ x, values, atol=close)
    close = 1e-7 * max(1, np.abs(of_ranks).max()) * max(1, np.abs(x).max())
    np.testing.assert_allclose(of_ranks.sum(1), np.zeros(6), atol=close)
    np.testing.assert_allclose(of_ranks @ x, np.zeros(6), atol=close)
