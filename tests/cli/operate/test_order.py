"""Descending ranks and sorted values, and ranks as shares."""

import io

import numpy as np
import polars as pl
import pytest

pytest_plugins = ["tests.tabular"]

SIZES = {"a": 7, "b": 1, "c": 5}


@pytest.fixture
def table(folder) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    keys = [key for key, size in SIZES.items() for _ in range(size)]
    frame = pl.DataFrame({"x": rng.normal(size=13).round(1), "key": keys})
    frame = frame.sample(fraction=1, shuffle=True, seed=1)
    frame.write_csv(folder / "t.csv")
    frame.with_columns(-pl.col("x")).write_csv(folder / "negated.csv")
    return frame


def column(out: bytes, name: str) -> np.ndarray:
    return pl.read_csv(io.BytesIO(out))[name].to_numpy()


WAYS = [[], ["--hard"], ["--by", "key"], ["--hard", "--by", "key"]]


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("way", WAYS, ids=" ".join)
@pytest.mark.parametrize("long", ["--descending", "--desc"])
def test_descending_ranks_are_those_of_the_values_negated(softsort, way, long):
    arguments = ["rank", "--start", "1", *way]
    _, out, _ = softsort(*arguments, "t.csv", long)
    _, expected, _ = softsort(*arguments, "negated.csv")
    ranks = column(out, "x_rank"), column(expected, "x_rank")
    np.testing.assert_allclose(*ranks, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("way", WAYS, ids=" ".join)
@pytest.mark.parametrize("targets", [[], ["--targets", "3"]], ids=" ".join)
def test_descending_values_are_the_ascending_ones_reversed(softsort, way, targets):
    arguments = ["sort", *targets, *way]
    for key in SIZES if "--by" in way else [None]:
        results = []
        for more in ([], ["--descending"]):
            _, out, _ = softsort(*arguments, "t.csv", *more)
            frame = pl.read_csv(io.BytesIO(out))
            frame = frame if key is None else frame.filter(pl.col("key") == key)
            results.append(frame["x_sorted"].drop_nulls().to_numpy())
        np.testing.assert_allclose(results[0], results[1][::-1], rtol=1e-12)


@pytest.mark.usefixtures("table")
def test_the_rows_of_the_largest_criterion_come_first(softsort):
    arguments = ["sort", "t.csv", "--hard", "-c", "x", "--by-column", "x", "--desc"]
    _, out, _ = softsort(*arguments)
    assert (np.diff(column(out, "x_sorted")) <= 0).all()


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
@pytest.mark.parametrize("order", [[], ["--desc"]], ids=" ".join)
def test_shares_times_the_highest_rank_are_ranks(softsort, table, way, order):
    _, ranks, _ = softsort("rank", "t.csv", *way, *order)
    _, shares, _ = softsort("rank", "t.csv", *way, *order, "--pct")
    shares = column(shares, "x_rank")
    highest = np.full(13, 12)
    if "--by" in way:
        highest = np.array([SIZES[key] - 1 for key in table["key"]])
    ranks = column(ranks, "x_rank")
    np.testing.assert_allclose(shares * highest, ranks, rtol=0, atol=1e-12)
    assert (shares[highest == 0] == 0.5).all()


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("more", [["--desc"], ["--pct"]], ids=" ".join)
def test_parts_are_ranked_in_either_order(softsort, folder, more):
    lines = (folder / "t.csv").read_text().splitlines(keepends=True)
    (folder / "p1.csv").write_text("".join(lines[:5]))
    (folder / "p2.csv").write_text("".join([lines[0], *lines[5:]]))
    arguments = ["-c", "x", "-e", "0.1", *more]
    _, expected, _ = softsort("rank", "t.csv", *arguments)
    code, _, _ = softsort("rank", "p1.csv", "p2.csv", *arguments, "--out-dir", "o")
    assert code == 0
    parts = [(folder / "o" / name).read_bytes() for name in ("p1.csv", "p2.csv")]
    ranks = np.concatenate([column(part, "x_rank") for part in parts])
    np.testing.assert_allclose(ranks, column(expected, "x_rank"), atol=1e-9)


def test_shares_have_no_start(softsort):
    code, _, err = softsort("rank", "--pct", "--start", "1", stdin=b"x\n1\n")
    assert (code, err.count("\n"), "leave out --start" in err) == (2, 1, True)
