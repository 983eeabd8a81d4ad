"""Many targets through few nodes, and many inputs through few points."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dense_plans import HARDEST, N, check, check_gradient, check_levels
from samples import KINDS, sample

import softsort_core as soft
from softsort_core.plans import choose, quadrature
from softsort_core.plans.chebyshev import Cells
from softsort_core.plans.dense import transport
from softsort_core.plans.gauss_rules import gauss_rule
from softsort_core.plans.moments import moments_of
from softsort_core.plans.panels import Inputs, Resolution
from softsort_core.squash import squash
from softsort_core.streaming import curves


def test_gauss_rules_of_even_grids(x64):
    counts = np.array([0.0, 1.0, 3.0, 8.0, 9.0, 1000.0])
    for used in (4, 8):
        nodes, weights = gauss_rule(np, counts, 8, used)
        assert (weights >= 0).all()
        for c, z, w in zip(counts, nodes, weights, strict=True):
            for degree in range(2 * used if c > used else 16):
                expected = ((np.arange(c) / 1000) ** degree).sum()
                np.testing.assert_allclose(w @ (z / 1000) ** degree, expected, 1e-10)
            assert (w > 0).sum() == min(c, used)


def test_ranks_and_sorted_values_are_the_dense_ones(x64):
    for kind in KINDS:
        check(sample(kind, N), 0.01, 1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_single_precision_is_kept_beside_double(x64, dtype):
    x = sample("normal", 3000).astype(jnp.dtype(dtype))
    exact = x.astype(float)
    for n, epsilon in (200, 0.01), (3000, 2e-3):
        given, options = (x[:n], exact[:n]), {"epsilon": epsilon}
        for operator, scale in ((soft.ranks, n - 1), (soft.sort, np.ptp(exact))):
            found, expected = (np.asarray(operator(each, **options)) for each in given)
            # Half precision could not tell ranks apart.
            kept = jnp.float32 if operator is soft.ranks else x.dtype
            assert found.dtype == kept
            error = np.abs(found.astype(float) - expected.astype(kept).astype(float))
            bound = 1e-6 + 2 * float(jnp.finfo(kept).eps)
            assert error.max() <= bound * scale


LARGEST = 170


@jax.jit
def largest_of_dense(x):
    logits = squash(x, None)[:, None] - np.linspace(0, 1, LARGEST + 1)
    b = np.append(N - LARGEST, np.ones(LARGEST)) / N
    plan = transport(-(logits**2) / 0.01, jnp.full(N, 1 / N), jnp.asarray(b))
    return plan.given_target(x)[0][1:]


def test_many_largest_are_those_of_the_dense_plan(x64):
    def largest(x):
        return soft.sort(x, topk=LARGEST)

    for kind in HARDEST:
        x = jnp.asarray(sample(kind, N))
        expected, off = largest_of_dense(x), 1e-7 * float(jnp.ptp(x)) + 1e-15
        np.testing.assert_allclose(largest(x), expected, rtol=0, atol=off)
    slopes = (
        jax.jit(jax.grad(lambda x, f=f: jnp.sum(f(x) ** 2)))(x)
        for f in (largest, largest_of_dense)
    )
    np.testing.assert_allclose(*slopes, atol=1e-6)


def test_many_largest_of_many(x64):
    x = sample("lognormal", 5000)
    values, places = map(np.asarray, soft.top_k(x, LARGEST))
    assert ((places >= 0) & (places < 5000)).all()
    found = np.asarray(soft.sort(x, topk=LARGEST))
    np.testing.assert_allclose(values[::-1], found, rtol=1e-12)
    summary = soft.summarise(x, soft.describe(x))
    off = 1e-7 * np.ptp(x)
    in_parts = soft.solve_topk(summary, LARGEST)
    np.testing.assert_allclose(in_parts, found, rtol=0, atol=off)
    # With all targets as they are.
    weights = np.append(5000 - LARGEST, np.ones(LARGEST)) / 5000
    taken = curves.expected_values(summary, curves.point_targets(weights), 0.01, 1e-6)
    np.testing.assert_allclose(np.asarray(taken)[1:], found, rtol=0, atol=off)
    # All but the least.
    ascending = np.asarray(soft.sort(x))
    np.testing.assert_allclose(soft.sort(x, topk=4999), ascending[1:], atol=1e-9)
    np.testing.assert_allclose(soft.top_k(x, 5000)[0], ascending[::-1], rtol=1e-12)


def test_gradients_are_differences(x64):
    check_gradient(soft.sort)


def test_many_levels_are_the_dense_ones(x64):
    check_levels(N, 500)


def test_many_levels_of_equal_mass_are_the_dense_ones(x64):
    n, m = N, 450  # no length that vectors are padded to
    x, a, b = sample("normal", n), np.full(n, 1 / n), np.full(m, 1 / m)
    squashed = squash(jnp.asarray(x), jnp.asarray(a))
    logits = -((squashed[:, None] - np.linspace(0, 1, m)) ** 2) / 0.01
    plan = jax.jit(transport)(logits, a, b)
    expected, _ = plan.given_input(plan.given_target(jnp.asarray(x))[0])
    for quantize in soft.quantize, jax.jit(soft.quantize, static_argnums=1):
        np.testing.assert_allclose(quantize(x, m), expected, rtol=0, atol=1e-9)


def test_many_levels_have_derivatives(x64):
    x, levels = sample("normal", N), np.linspace(-1, 1, 500) ** 3

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1))
    def loss(x, levels):
        return soft.quantile_normalization(x, levels) @ jnp.cos(jnp.arange(N))

    steps = 1e-5 * np.sin(np.arange(N)), 1e-5 * np.sin(3 * levels)
    ends = (loss(x + k * steps[0], levels + k * steps[1])[0] for k in (0.5, -0.5))
    difference = functools.reduce(lambda one, other: one - other, ends)
    slopes = sum(map(np.vdot, loss(x, levels)[1], steps))
    np.testing.assert_allclose(slopes, difference, rtol=1e-5)


@pytest.mark.parametrize("n", [10, 700])
def test_what_is_at_hand_compiles_once(n):
    x = np.random.default_rng(0).normal(size=n).astype(np.float32)
    operators = soft.ranks, lambda x: soft.sort_with(jnp.stack([x, x], 1), x)
    events = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, *_, **__: events.append(event)
    )
    for operator in operators:
        jax.clear_caches()
        operator(x)
        assert any("compile" in event for event in events)
        events.clear()
        operator(x[::-1])
        assert not any("compile" in event for event in events)
    jax.monitoring.clear_event_listeners()


def test_memory_is_bounded():
    # Neither all pairs of one long sort, nor all the plans of a batch.
    assert "20000,20000]" not in str(jax.make_jaxpr(soft.sort)(jnp.zeros(20_000)))
    assert "[9000,1000,80]" not in str(
        jax.make_jaxpr(soft.ranks)(jnp.zeros((9000, 1000)))
    )
    with pytest.raises(soft.SoftSortError, match="too large"):
        soft.ranks(np.zeros(1000), target_weights=np.ones(1_000_000))


def test_a_weightless_outlier_takes_no_part(x64):
    x, weights = sample("normal", N), np.ones(N)
    x[0], weights[0] = 1e6, 0
    check(x, 1e-3, weights=weights)


def test_weightless_values_are_given_levels_among_the_others(x64):
    weights = np.arange(N) % 3 / 1.0

    def ranks(x, **softness):
        levels = np.arange(N)
        return soft.quantile_normalization(x, levels, input_weights=weights, **softness)

    operators = lambda x, epsilon, **_: ranks(x, epsilon=epsilon), soft.sort
    check(sample("normal", N), 0.01, 1e-8, weights, operators)
    check_gradient(ranks)


def test_steep_places_are_certain_in_single_precision(x64):
    x = sample("two clusters", 3000).astype(np.float32)
    found, expected = (soft.sort(each, epsilon=1e-3) for each in (x, x.astype(float)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6 * np.ptp(x))


@pytest.mark.parametrize("name", ["ranks", "sort", "quantile"])
def test_no_large_array_is_a_part_of_the_program(name):
    operator = functools.partial(getattr(soft, name), epsilon=1e-3)
    program = jax.jit(operator).lower(jnp.zeros(5000)).as_text()
    assert len(program) < 2**20


def test_chords_of_sorted_values(monkeypatch):
    monkeypatch.setattr(quadrature, "_MOST_KNOTS", 2**8)
    x = sample("normal", 4999).astype(np.float32)
    # They are not enough for the usual tolerance.
    rough, fine = (np.asarray(soft.sort(x, tolerance=t)) for t in (1e-3, 1e-6))
    assert (np.diff(rough) >= 0).all()
    assert 1e-6 < np.abs(rough - fine).max() / np.ptp(x) < 1e-3


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    "resolution", [choose.SINGLE[1], Resolution(30, 1, 16, 0, 2**15, 4)]
)
def test_slopes_through_nodes_are_as_precise_as_numbers(resolution):
    """They are those of the smooth function whose values at nodes are read."""
    s = np.random.default_rng(0).uniform(size=500).astype("float32")
    cells = Cells(resolution.cells, resolution.cell_order)
    edges = jnp.round(jnp.linspace(0, resolution.cells, resolution.panels + 1))
    edges /= resolution.cells

    def total(s):
        half = jnp.asarray(0.5, s.dtype)
        placing = quadrature._linear(half, half)
        moments = moments_of(s, placing, None, cells, False)
        inputs = Inputs(moments, half - half, half + half)
        order = resolution.order
        y, weights = inputs.nodes(edges.astype(s.dtype), order, order)
        return weights @ jnp.sin(20 * jax.lax.stop_gradient(y))

    expected = 20 * np.cos(20 * s.astype(float))
    off = np.linalg.norm(jax.jit(jax.grad(total))(s) - expected)
    assert off <= 1e-4 * np.linalg.norm(expected)


def test_what_a_traced_epsilon_is_resolved_for():
    chosen = {}

    def choose_for(epsilon):
        for n in 1000, 2000, 5000:
            how = n, n, epsilon, jnp.float32
            chosen[n] = choose.resolutions_for(*how, are_even=True)[-1]
        return epsilon

    jax.eval_shape(choose_for, 0.01)
    assert chosen[1000] is None
    assert chosen[2000].nodes == choose.resolution_for(1e-4).nodes
    assert chosen[5000].nodes == choose.resolution_for(1e-3).nodes
