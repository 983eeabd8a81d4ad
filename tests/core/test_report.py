"""Estimates of errors, and plans that are hard."""

import jax.numpy as jnp
import numpy as np
import pytest
from samples import sample

import softsort_core as soft
from softsort_core.operators.exact import hard_error, hard_ranks
from softsort_core.squash import squash


@pytest.mark.parametrize("n", [200, 3000])
def test_few_nodes_are_certain(x64, n):
    report = soft.solve_report(sample("two clusters", n))
    assert report.is_certain
    assert not report.is_hard
    assert (report.num_values, report.num_targets) == (n, n)
    assert report.target_nodes == 80
    assert report.input_nodes == 160
    assert 5 < report.steps < 100
    assert report.residual < 1e-10
    assert report.estimate < 1e-7


def test_all_points_are_taken_as_they_are_if_they_are_few(x64):
    report = soft.solve_report(sample("normal", 12), input_weights=np.arange(12.0))
    assert (report.input_nodes, report.target_nodes) == (12, 12)
    assert report.estimate < 1e-12


def test_an_estimate_above_the_tolerance_is_not_certain(x64):
    x = sample("normal", 200)
    assert not soft.solve_report(x, tolerance=1e-15).is_certain
    assert jnp.isnan(soft.ranks(x, tolerance=1e-15)).all()


def test_hard_plans_are_told(x64):
    x = sample("ten values", 30)
    assert soft.solve_report(x, epsilon=1e-4).is_hard
    np.testing.assert_allclose(soft.ranks(x, epsilon=1e-4), hard_ranks(x), atol=1e-5)
    squashed = np.asarray(squash(jnp.asarray(x), None))
    assert hard_error(x, squashed, 1e-5) < 1e-6
    assert hard_error(x, squashed, 1e-2) > 1


def test_values_that_single_precision_squashes_together_may_be_told_apart():
    x = np.random.default_rng(0).normal(size=10_000).astype(np.float32)
    np.testing.assert_array_equal(soft.ranks(x, epsilon=1e-20), hard_ranks(x))


def test_values_that_squashing_brings_together_have_no_hard_ranks():
    x = np.array([0, 1, 2, 3, 1e12], np.float32)
    soft_ranks = [1.5, 1.5, 1.5, 1.5, 4.0]
    np.testing.assert_allclose(soft.ranks(x, epsilon=1e-5), soft_ranks, atol=1e-4)
    assert not soft.solve_report(x, epsilon=1e-5).is_hard
    turned = soft.ranks(x[:4] / 4, epsilon=1e-5, squashing_fun=lambda v: 1 - v)
    np.testing.assert_allclose(turned, [3.0, 2.0, 1.0, 0.0], atol=1e-4)


def test_hard_ranks_of_very_many_levels(x64):
    # No panels are fine enough, but the gaps between values are wide.
    x = np.random.default_rng(0).permutation(5000) // 2.0
    np.testing.assert_array_equal(soft.ranks(x, epsilon=1e-12), hard_ranks(x))
    np.testing.assert_array_equal(soft.sort(x, epsilon=1e-12), np.sort(x))
    assert soft.solve_report(x, epsilon=1e-12).is_hard


def test_misuse_is_explained():
    for inputs in ([], [[1.0]], [np.nan, 1.0]):
        with pytest.raises(soft.SoftSortError, match="vector of finite numbers"):
            soft.solve_report(inputs)
