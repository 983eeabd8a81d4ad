"""What is kept of a compiled function gives what the function gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import softsort_core as soft
from softsort_core import _kept as kept


@pytest.fixture
def folder(tmp_path):
    yield tmp_path / "programs"
    soft.keep_compiled(None)


def later(folder):
    """What a process that begins later has in memory: nothing."""
    soft.keep_compiled(None)
    soft.keep_compiled(folder)


def counted():
    traced = []

    @kept.jit(static_argnames="power")
    def function(tree, *more, power):
        traced.append(power)
        return {"sum": tree["x"] ** power + sum(more), "power": power}

    return function, traced


def test_a_later_process_does_not_trace_again(folder):
    function, traced = counted()
    for expected in ([2], [2], [2, 3], [2, 3]):
        later(folder)
        power = expected[-1]
        found = function({"x": jnp.arange(3.0)}, 1.0, 2.0, power=power)
        assert found["sum"].tolist() == [3.0, 4.0, 3.0 + 2**power]
        assert traced == expected
    assert len(list(folder.iterdir())) == 2


def test_what_it_depends_on_tells_programs_apart(folder):
    function, traced = counted()
    soft.keep_compiled(folder)
    x = np.arange(3, dtype=np.float32)
    for given in (x, x[:2], x.astype(np.int32), jnp.asarray(x)):
        assert function({"x": given}, power=2)["sum"].dtype == given.dtype
    function({"x": x}, x, power=2)
    with jax.enable_x64(True):
        assert function({"x": x.astype(np.float64)}, power=2)["sum"].dtype == np.float64
    assert len(traced) == 5
    assert len(list(folder.iterdir())) == 5


def test_other_sources_are_compiled_anew(folder, monkeypatch):
    function, _ = counted()
    for sources in ("old", "new", "new"):
        monkeypatch.setattr(kept, "_sources", lambda _, sources=sources: sources)
        later(folder)
        function({"x": 1.0}, power=2)
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("damage", [b"", b"something else", None])
def test_a_damaged_program_is_made_again(folder, damage):
    function, traced = counted()
    later(folder)
    function({"x": 1.0}, power=2)
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:-99] if damage is None else damage)
    for _ in range(2):
        later(folder)
        assert function({"x": 3.0}, power=2)["sum"] == 9
    assert len(traced) == 2
    assert len(path.read_bytes()) > 99


def test_a_folder_that_cannot_be_is_done_without(folder):
    folder.write_text("a file where the folder should be")
    function, _ = counted()
    later(folder)
    assert function({"x": 3.0}, power=2)["sum"] == 9


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("operator", "n"), [(soft.ranks, 5), (soft.sort, 9000)])
def test_operators_give_the_same_from_what_is_kept(folder, operator, n):
    x = np.random.default_rng(0).normal(size=n)
    expected = operator(x)
    for _ in range(2):
        later(folder)
        np.testing.assert_array_equal(operator(x), expected)


@pytest.mark.usefixtures("x64")
def test_derivatives_are_not_kept(folder):
    x = jnp.arange(5.0)
    expected = jax.grad(lambda x: soft.ranks(x)[0])(x)
    later(folder)
    found = jax.grad(lambda x: soft.ranks(x)[0])(x)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("lengths", [(9, 12), (2100, 3000)])
@pytest.mark.parametrize(
    "operator",
    [
        soft.ranks,
        soft.sort,
        lambda x: soft.quantile(x, 0.5),
        lambda x: soft.sort_with(jnp.stack([x, x**2], 1), x),
    ],
    ids=["ranks", "sort", "quantile", "sort_with"],
)
def test_lengths_share_what_is_kept(folder, operator, lengths):
    soft.keep_compiled(folder)
    x = np.random.default_rng(0).normal(size=lengths[1]).astype(np.float32)
    operator(x[: lengths[0]])
    programs = set(folder.iterdir())
    assert programs
    found = operator(x)
    assert set(folder.iterdir()) == programs
    # Compiled as a whole, it is for this length alone.
    alone = jax.jit(operator)(x)
    assert found.shape == alone.shape
    np.testing.assert_allclose(found, alone, rtol=1e-5, atol=1e-5 * len(x))
