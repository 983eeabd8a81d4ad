"""`--blur`: softness in the units of a column."""

import re

import numpy as np
import polars as pl
import pytest
from softsort_cli.operate import few_values

import softsort_core as soft

pytest_plugins = ["tests.tabular"]
pytestmark = pytest.mark.usefixtures("x64")

SIZES = [1, 3, 3, 40, 600]


@pytest.fixture
def table(folder):
    """Groups of many sizes, one value of them absent, and standard errors."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(len(SIZES)), SIZES)
    frame = pl.DataFrame(
        {
            "g": groups[rng.permutation(len(groups))],
            "x": rng.normal(100, 5, len(groups)),
            "y": rng.lognormal(size=len(groups)),
            "0.5": rng.uniform(0.1, 0.9, len(groups)),
        }
    )
    frame = frame.with_columns(x=pl.when(pl.col("y") < frame["y"].max()).then("x"))
    frame.write_csv("t.csv")
    return frame


def expected(values, blur, operator=soft.ranks, **settings):
    epsilon = soft.epsilon_for_blur(values, blur)
    return np.asarray(operator(values, epsilon=epsilon, **settings))


def read(out):
    return pl.read_csv(out)


def test_each_column_has_its_epsilon(softsort, table):
    code, out, _ = softsort("rank", "t.csv", "-c", "x,y", "--blur", "0.5")
    assert code == 0
    for name in "xy":
        values = table[name].drop_nulls().to_numpy()
        ranks = read(out)[f"{name}_rank"].drop_nulls()
        np.testing.assert_allclose(ranks, expected(values, 0.5), atol=1e-9)
    _, out, _ = softsort("quantile", "t.csv", "-c", "y", "-q", "0.3", "--blur", "0.5")
    median = expected(table["y"].to_numpy(), 0.5, soft.quantile, q=0.3)
    np.testing.assert_allclose(read(out)["value"], median, rtol=1e-9)


def test_each_group_has_its_epsilon(softsort, table):
    arguments = ["t.csv", "-c", "y", "--by", "g", "--blur", "0.2"]
    _, ranked, _ = softsort("rank", *arguments)
    _, ordered, _ = softsort("sort", *arguments)
    assert read(ranked).height == table.height
    for (_, some), (_, other) in zip(
        read(ranked).group_by("g"), read(ordered).group_by("g"), strict=True
    ):
        y = some["y"].to_numpy()
        np.testing.assert_allclose(some["y_rank"], expected(y, 0.2), atol=1e-6)
        y = other["y"].to_numpy()
        y_sorted = expected(y, 0.2, soft.sort)
        np.testing.assert_allclose(other["y_sorted"], y_sorted, atol=1e-6)


def test_a_column_of_standard_errors(softsort, table):
    table = table.rename({"0.5": "se"})
    table.write_csv("t.csv")
    code, out, _ = softsort("rank", "t.csv", "--blur", "se", "-c", "!g")
    names = ["g", "x", "y", "se", "x_rank", "y_rank"]
    assert (code, read(out).columns) == (0, names)
    # Of the rows that have a value.
    there = table.drop_nulls("x")
    ranks = expected(there["x"].to_numpy(), there["se"].median())
    np.testing.assert_allclose(read(out)["x_rank"].drop_nulls(), ranks, atol=1e-9)
    code, out, _ = softsort("rank", "t.csv", "--blur", "se", "-c", "x", "--by", "g")
    assert code == 0
    for _, some in read(out).drop_nulls("x").group_by("g"):
        ranks = expected(some["x"].to_numpy(), some["se"].median())
        np.testing.assert_allclose(some["x_rank"], ranks, atol=1e-6)


def test_a_number_is_no_column(softsort, table):
    results = [
        softsort("rank", "t.csv", "-c", "y", "--blur", blur)[1]
        for blur in ("0.5", "/^0.5$/")
    ]
    assert results[0] != results[1]
    ranks = expected(table["y"].to_numpy(), table["0.5"].median())
    np.testing.assert_allclose(read(results[1])["y_rank"], ranks, atol=1e-9)


@pytest.mark.parametrize("values", ["0,0", "-1,2", ","])
def test_standard_errors_that_are_none(softsort, values):
    text = "x,se\n" + "".join(f"{i},{se}\n" for i, se in enumerate(values.split(",")))
    code, out, err = softsort("rank", "-c", "x", "--blur", "se", stdin=text.encode())
    assert (code, out) == (1, b"")
    assert "column 'x': --blur se: standard errors" in err


def test_rows_are_blurred_by_their_criterion(softsort, table):
    _, out, _ = softsort(
        "sort", "t.csv", "-c", "0.5", "--by-column", "y", "--blur", "0.2"
    )
    y = table["y"].to_numpy()
    rows = soft.sort_with(
        table["0.5"].to_numpy()[:, None], y, epsilon=soft.epsilon_for_blur(y, 0.2)
    )
    np.testing.assert_allclose(read(out)["0.5_sorted"], rows[:, 0], rtol=1e-9)


@pytest.mark.parametrize("few", [0, 4096])
@pytest.mark.parametrize("more", [[], ["--weights", "times", "--desc", "--pct"]])
def test_parts_and_little_memory_give_what_one_process_gives(
    softsort, folder, monkeypatch, few, more
):
    monkeypatch.setattr(few_values, "FEW", few)
    rng = np.random.default_rng(1)
    frame = pl.DataFrame({"x": rng.lognormal(size=1500), "y": rng.normal(size=1500)})
    frame = frame.with_columns(times=rng.integers(0, 4, 1500))
    frame.write_csv("t.csv")
    for part in range(3):
        frame[500 * part :][:500].write_csv(f"part-{part}.csv")
    arguments = ["-c", "x,y", "--blur", "0.3", *more]
    whole = read(softsort("rank", "t.csv", *arguments)[1])
    little = read(softsort("rank", "t.csv", *arguments, "--max-memory", "9k")[1])
    code, *_ = softsort("rank", "part-*.csv", *arguments, "--out-dir", "out")
    assert code == 0
    parts = pl.concat([pl.read_csv(f"out/part-{part}.csv") for part in range(3)])
    for name in ("x_rank", "y_rank"):
        ranks, scale = whole[name].drop_nulls(), whole[name].max()
        for other in (little, parts):
            assert other[name].is_null().equals(whole[name].is_null())
            there = other[name].drop_nulls()
            np.testing.assert_allclose(there, ranks, rtol=0, atol=1e-10 * scale)


def ranked_and_told(softsort, path, *arguments):
    _, out, err = softsort("rank", path, "-c", "y", "--explain", *arguments)
    return read(out).drop_nulls(), [x for x in err.splitlines() if "at epsilon" in x]


@pytest.mark.parametrize("blur", ["0.4", "se"])
@pytest.mark.parametrize("more", [[], ["--by", "g"], ["--desc", "--pct"]])
def test_weights_are_repeated_rows(softsort, table, blur, more):
    times = np.random.default_rng(2).integers(0, 4, table.height)
    table = table.rename({"0.5": "se"}).drop("x").with_columns(times=times)
    table.write_csv("t.csv")
    table.select(pl.all().repeat_by("times").explode(empty_as_null=False)).write_csv(
        "repeated.csv"
    )
    arguments = ["--blur", blur, *more]
    some, told = ranked_and_told(softsort, "t.csv", "--weights", "times", *arguments)
    all_rows, told_of_all = ranked_and_told(softsort, "repeated.csv", *arguments)
    one_each = all_rows.unique("y", maintain_order=True)
    assert some.drop("y_rank").equals(one_each.drop("y_rank"))
    np.testing.assert_allclose(some["y_rank"], one_each["y_rank"], rtol=0, atol=1e-6)
    assert (len(told), told) == (1, told_of_all)


@pytest.mark.parametrize("size", [40, 600])
def test_rows_sorted_by_what_descends_as_it_is(softsort, folder, size):
    up = np.random.default_rng(3).uniform(size=size).round(6)
    frame = pl.DataFrame({"x": np.sin(9 * up), "up": up, "down": (1 - up).round(6)})
    frame.write_csv("t.csv")
    arguments = ["sort", "t.csv", "-c", "x", "--squash", "none", "--blur", "0.05"]
    some, other = (
        read(softsort(*arguments, "--by-column", *by)[1])["x_sorted"]
        for by in (["up", "--descending"], ["down"])
    )
    np.testing.assert_allclose(some, other, rtol=0, atol=1e-9)


def test_a_tenth_of_many_groups(softsort, folder):
    values = np.random.default_rng(4).normal(size=300)
    pl.DataFrame({"g": np.arange(300) // 3, "y": values}).write_csv("t.csv")
    _, (told,) = ranked_and_told(softsort, "t.csv", "--by", "g", "-e", "0.1")
    _, (then,) = ranked_and_told(softsort, "t.csv", "--by", "g", "-e", "0.01")
    told_then = re.search("ones by (.*) on average.*about (.*) others", then)
    gap, sharing = told_then.groups()
    assert f"they would differ by {gap}, and share with about {sharing}" in told


def test_explaining_tells_the_blur(softsort, table):
    _, _, err = softsort("rank", "t.csv", "-c", "y", "--explain")
    blur = soft.blur_of_epsilon(table["y"].to_numpy(), 0.01)
    assert f"y: at epsilon 0.01, a blur of {blur:.3g} in units of the column," in err
    arguments = ["rank", "t.csv", "-c", "y", "--blur", "0.25", "--explain"]
    for more in ([], ["--by", "g"]):
        _, _, err = softsort(*arguments, *more)
        assert re.search(r"y: at epsilon 0\.0\d+, a blur of 0\.25 in units", err)
    _, _, err = softsort("rank", "--explain", stdin=b"x\n2\n2\n")
    assert "at epsilon 0.01 soft ranks differ" in err


@pytest.mark.parametrize("more", [["--by", "g"], []])
def test_a_tiny_blur_is_exact(softsort, table, more):
    arguments = ["rank", "t.csv", "-c", "y", *more]
    code, out, _ = softsort(*arguments, "--blur", "1e-9")
    assert code == 0
    hard = read(softsort(*arguments, "--hard")[1])
    np.testing.assert_allclose(read(out)["y_rank"], hard["y_rank"], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-e", "0.01", "--blur", "1"], "both say how soft"),
        (["--blur", "1", "-e", "0.01"], "both say how soft"),
        (["--blur", "0"], "0.0 is not a positive number"),
        (["--blur", "nan"], "nan is not a positive number"),
        (["--blur", "none"], "--blur 'none': no such column"),
        (["--blur", "1", "--hard"], "leave one out"),
        (["--blur", "y", "--max-memory", "1k"], "--blur COLUMN needs all numbers"),
        (["--blur", "y", "--out-dir", "o"], "--blur COLUMN needs all numbers"),
    ],
)
def test_refused(softsort, table, arguments, message):
    code, out, err = softsort("rank", "t.csv", "-c", "x", *arguments)
    assert (code, out) == (2, b"")
    assert message in err


def test_both_in_the_environment(softsort, table, monkeypatch):
    monkeypatch.setenv("SOFTSORT_EPSILON", "0.1")
    code, _, err = softsort("rank", "t.csv", "--blur", "1")
    assert (code, "SOFTSORT_EPSILON" in err) == (2, True)
    monkeypatch.delenv("SOFTSORT_EPSILON")
    monkeypatch.setenv("SOFTSORT_BLUR", "1")
    code, _, err = softsort("rank", "t.csv", "-e", "0.1")
    assert (code, "SOFTSORT_EPSILON" in err) == (2, True)
    # It has epsilons of its own.
    assert softsort("sweep", "t.csv", "--epsilons", "0.1:1:2", "-c", "x")[0] == 0
