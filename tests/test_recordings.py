"""What is played gives what the operator gives, to the last bit, or nothing."""

import jax
import numpy as np
import pytest

import softsort_core as soft
from softsort_core import _kept as kept
from softsort_core import _padding as padding

pytestmark = pytest.mark.usefixtures("x64")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "programs"
    soft.keep_compiled(folder)
    yield folder
    soft.keep_compiled(None)


@pytest.fixture
def shared(tmp_path_factory):
    """A folder that others have left programs in, which takes less time."""
    folder = tmp_path_factory.getbasetemp() / "shared-programs"
    soft.keep_compiled(folder)
    yield folder
    soft.keep_compiled(None)


def normal(size, seed=1):
    return np.random.default_rng(seed).normal(size=size)


def recorded(folder):
    return [path for path in folder.iterdir() if path.name.startswith("recording-")]


@kept.jit
def plus(values, number):
    return values + number


OPERATORS = [
    (soft.ranks, {}),
    (soft.sort, {}),
    (soft.sort, {"topk": 3}),
    (soft.sort, {"num_targets": 4}),
    (soft.quantile, {"q": (0.1, 0.9)}),
    (soft.topk_mask, {"k": 3}),
    (soft.quantize, {"num_levels": 4}),
]
NAMES = [f"{function.__name__} {how}" for function, how in OPERATORS]


@pytest.mark.parametrize(("function", "how"), OPERATORS, ids=NAMES)
@pytest.mark.parametrize("size", [10, 150, 2500])
def test_other_values_give_what_the_operator_gives(shared, function, how, size):
    what = shared, function.__name__, how, size
    recordings = soft.Recordings(*what)
    assert not recordings

    def operator(values):
        return function(values, **how)

    found = recordings.record(operator, normal(size), how)
    np.testing.assert_array_equal(found, operator(normal(size)))
    assert recordings
    again = soft.Recordings(*what)
    again.load()
    # Those of Cauchy's distribution are far apart, equal ones as near as can be.
    wild = np.random.default_rng(2).standard_cauchy(size)
    for values in (normal(size, 3), wild, np.ones(size), np.round(wild)):
        np.testing.assert_array_equal(again.play(values, how), operator(values))


@pytest.mark.parametrize(
    ("function", "how"),
    [(soft.ranks, {}), (soft.sort, {}), (soft.quantile, {"q": (0.5,)})],
    ids=["ranks", "sort", "quantile"],
)
@pytest.mark.parametrize("size", [10, 100, 2500])
def test_it_holds_for_all_lengths_that_are_padded_alike(shared, function, how, size):
    recordings = soft.Recordings(shared, "lengths", function.__name__, size)

    def operator(values):
        return function(values, **how)

    recordings.record(operator, normal(size), how)
    padded = padding.padded_size(size)
    least = max(2, padding.least_rounded_to(padded))
    assert padding.rounded_up(least) == padded
    assert least == 2 or padding.rounded_up(least - 1) < padded
    for n in {least, (least + padded) // 2, padded}:
        found = recordings.play(normal(n, 3), how)
        np.testing.assert_array_equal(found, operator(normal(n, 3)))
    assert recordings.play(normal(padded + 1), how) is None
    assert recordings.play(normal(1), how) is None


def test_what_changes_with_the_number_of_values_holds_for_that_alone(folder):
    recordings, how = soft.Recordings(folder), {"topk": 3}
    recordings.record(lambda values: soft.sort(values, topk=3), normal(10), how)
    assert recordings.play(normal(10), how) is not None
    assert recordings.play(normal(11), how) is None


def test_other_options_are_another_recording(folder):
    recordings = soft.Recordings(folder, 0.01)
    recordings.record(soft.ranks, normal(10), {})
    assert soft.Recordings(folder, 0.01).play(normal(10), {}) is not None
    assert not soft.Recordings(folder, 0.02)
    assert soft.Recordings(folder, 0.01).play(normal(10), {"start": 1}) is None


@pytest.mark.parametrize(
    "operator",
    [
        lambda values: plus(values, values.max()),
        lambda values: plus(values, 1.0) * 2,
        lambda values: plus(values, 1.0 if values[0] > 0 else 2.0),
        lambda values: soft.ranks(np.arange(10.0) * values.std(), epsilon=1e-6),
        lambda values: soft.sort_with(np.stack([values, values], axis=1), values),
        lambda values: values + 1,
    ],
    ids=["an argument", "no program", "a constant", "hard", "rows", "nothing"],
)
def test_what_values_decide_otherwise_is_not_recorded(folder, operator):
    recordings, values = soft.Recordings(folder), normal(10)
    found = recordings.record(operator, values, {})
    np.testing.assert_array_equal(found, operator(values))
    assert not recordings


@pytest.mark.parametrize("values", [normal((3, 4)), normal(9).astype(np.float32)])
def test_what_is_no_vector_of_double_precision_is_not_recorded(folder, values):
    recordings = soft.Recordings(folder)
    found = recordings.record(soft.ranks, values, {})
    np.testing.assert_array_equal(found, soft.ranks(values))
    assert not recordings
    assert recordings.play(values, {}) is None


def test_what_is_no_number_is_left_to_the_operator(folder):
    recordings, values = soft.Recordings(folder), normal(10)
    recordings.record(soft.ranks, values, {})
    values[3] = np.inf
    assert recordings.play(values, {}) is None


def test_errors_are_those_of_the_operator(folder):
    recordings = soft.Recordings(folder)
    with pytest.raises(soft.SoftSortError, match="epsilon"):
        recordings.record(
            lambda values: soft.ranks(values, epsilon=-1.0), normal(5), {}
        )


@pytest.mark.parametrize("pattern", ["recording-*", "softsort-*"])
@pytest.mark.parametrize("damage", [None, b"", b"something else"])
def test_what_is_damaged_or_gone_is_made_again(folder, pattern, damage):
    recordings, values = soft.Recordings(folder), normal(10)
    recordings.record(soft.ranks, values, {})
    for path in folder.glob(pattern):
        path.unlink() if damage is None else path.write_bytes(damage)
    soft.keep_compiled(None)
    soft.keep_compiled(folder)
    forgetful = soft.Recordings(folder)
    forgetful.load()
    again = forgetful.record(soft.ranks, values, {})
    np.testing.assert_array_equal(again, soft.ranks(values))
    np.testing.assert_array_equal(forgetful.play(values, {}), again)


def test_only_the_latest_are_kept(folder, monkeypatch):
    monkeypatch.setattr("softsort_core._recordings._MOST_KEPT", 3)
    for number in range(5):
        recordings = soft.Recordings(folder, number)
        recordings.record(soft.ranks, normal(10), {})
        assert recordings
    assert len(recorded(folder)) == 3
    assert not soft.Recordings(folder, 0)


def test_a_folder_that_cannot_be_is_done_without(tmp_path):
    (tmp_path / "programs").write_text("a file where the folder should be")
    soft.keep_compiled(tmp_path / "programs")
    recordings = soft.Recordings(tmp_path / "programs")
    recordings.load()
    found = recordings.record(soft.ranks, normal(10), {})
    np.testing.assert_array_equal(found, soft.ranks(normal(10)))
    assert not recordings
    soft.keep_compiled(None)


def test_derivatives_are_those_of_the_operator(folder):
    with kept.watched(compiles=True) as watch:
        jax.grad(lambda values: soft.ranks(values)[0])(normal(5))
    assert not watch.runs
