"""Weights: what comes of a weighted table is what comes of its rows repeated."""

import io
import json

import numpy as np
import polars as pl
import pytest
from softsort_cli.io import source

pytest_plugins = ["tests.tabular"]

ROWS = 11


@pytest.fixture
def table(folder) -> pl.DataFrame:
    """Write a table, `t.csv`, and one of its rows repeated, `repeated.csv`."""
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "row": range(ROWS),
            "x": [*rng.integers(0, 9, ROWS - 1).astype(float), None],
            "y": rng.normal(size=ROWS),
            "times": [2, 0, 1, 1, 0, 3, 1, 1, 1, 2, 2],
            "group": list("aababaababc"),
        }
    )
    frame.write_csv(folder / "t.csv")
    repeated(frame).write_csv(folder / "repeated.csv")
    return frame


def repeated(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(pl.all().repeat_by("times").explode(empty_as_null=False))


def read(out: bytes) -> pl.DataFrame:
    return pl.read_csv(io.BytesIO(out))


def assert_near(some: pl.DataFrame, other: pl.DataFrame) -> None:
    assert some.columns == other.columns
    for name in some.columns:
        if some[name].dtype == pl.Float64:
            a, b = some[name].to_numpy(), other[name].to_numpy()
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-9, err_msg=name)
        else:
            assert some[name].equals(other[name])


APPENDED = [
    (["rank"], "rank"),
    (["rank", "--desc", "--start", "1"], "rank"),
    (["rank", "--pct"], "rank"),
    (["topk", "-k", "2", "--mask"], "topk"),
    (["quantize", "--levels", "3"], "quantized"),
    (["normalize"], "normalized"),
]
OF_THEIR_OWN = [
    ["sort", "--targets", "4"],
    ["sort", "--targets", "4", "--descending"],
    ["topk", "-k", "2"],
    ["quantile", "-q", ".2,.5"],
]
WAYS = [["--hard"], [], ["--by", "group"], ["--hard", "--by", "group"]]


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
@pytest.mark.parametrize(("command", "suffix"), APPENDED, ids=str)
def test_appended_results_are_those_of_repeated_rows(
    softsort, table, command, suffix, way
):
    arguments = [*command, *way, "-c", "x,y", "--quiet"]
    code, out, _ = softsort(*arguments, "t.csv", "--weights", "times")
    assert code == 0
    _, expected, _ = softsort(*arguments, "repeated.csv")
    counts = read(out).filter(pl.col("times") > 0)
    assert_near(counts, read(expected).unique("row", maintain_order=True))
    rest = read(out).filter(pl.col("times") == 0)
    assert rest[f"x_{suffix}"].null_count() == rest[f"y_{suffix}"].null_count() == 2


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
@pytest.mark.parametrize("command", OF_THEIR_OWN, ids=" ".join)
def test_results_of_their_own_are_those_of_repeated_rows(softsort, table, command, way):
    arguments = [*command, *way, "-c", "x,y", "--quiet"]
    code, out, _ = softsort(*arguments, "t.csv", "--weights", "times")
    assert code == 0
    assert_near(read(out), read(softsort(*arguments, "repeated.csv")[1]))


@pytest.mark.parametrize("way", [["--hard"], []], ids=" ".join)
def test_sorted_values_are_equal_shares_of_repeated_rows(softsort, table, way):
    arguments = ["sort", "-c", "y", *way]
    _, out, _ = softsort(*arguments, "t.csv", "--weights", "times")
    _, expected, _ = softsort(*arguments, "repeated.csv", "--targets", "9")
    expected = read(expected)["y_sorted"].to_numpy()
    assert read(out)["y_sorted"].null_count() == 2
    np.testing.assert_allclose(read(out)["y_sorted"][:9], expected, atol=1e-9)
    by_column = [*arguments, "--by-column", "y", "--descending"]
    _, out, _ = softsort(*by_column, "t.csv", "--weights", "times")
    np.testing.assert_allclose(read(out)["y_sorted"][:9], expected[::-1], atol=1e-9)


def test_sweeps_are_of_the_weighted_values(softsort, table):
    arguments = ["sweep", "t.csv", "--epsilons", ".01:.02:1", "-c", "y"]
    _, out, _ = softsort(*arguments, "--weights", "times")
    _, expected, _ = softsort("rank", "t.csv", "-c", "y", "--weights", "times")
    there = read(expected)["y_rank"].drop_nulls()
    np.testing.assert_allclose(read(out)["rank"], there, atol=1e-12)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["rank", "--desc"], "x_rank"),
        (["rank", "--pct"], "x_rank"),
        (["sort", "--desc"], "x_sorted"),
        (["sort"], "x_sorted"),
        (["topk", "-k", "9", "--mask"], "x_topk"),
        (["normalize"], "x_normalized"),
    ],
    ids=str,
)
def test_parts_and_little_memory_give_what_one_process_gives(
    softsort, folder, monkeypatch, command, name
):
    rng = np.random.default_rng(0)
    times = rng.integers(0, 4, 900)
    frame = pl.DataFrame({"x": rng.normal(size=900), "times": times})
    frame.write_csv(folder / "t.csv")
    frame[:400].write_csv(folder / "part-1.csv")
    frame[400:].write_csv(folder / "part-2.csv")
    arguments = [*command, "-c", "x", "--weights", "times"]
    expected = read(softsort(*arguments, "t.csv")[1])
    results = expected[name].drop_nulls().to_numpy()
    monkeypatch.setattr(source, "BLOCK", 4000)
    monkeypatch.setattr("softsort_cli.operate.streaming.SIZE", 1 << 9)
    _, out, err = softsort(*arguments, "t.csv", "--max-memory", "1kB")
    assert "several passes" in err
    code, _, _ = softsort(*arguments, "part-1.csv", "part-2.csv", "--out-dir", "out")
    assert code == 0
    parts = [pl.read_csv(folder / "out" / f"part-{i}.csv") for i in (1, 2)]
    for other in (read(out), pl.concat(parts)):
        assert other[name].is_null().equals(expected[name].is_null())
        np.testing.assert_allclose(
            other[name].drop_nulls(), results, rtol=0, atol=1e-10 * np.ptp(results)
        )


def test_few_rows_that_count_often_are_few(softsort, folder):
    """In parts they are solved as in one piece."""
    first, *others = rows = "1,9000", "2,5", "5,8000"
    for name, some in ("t", rows), ("a", [first]), ("b", others):
        (folder / f"{name}.csv").write_text("\n".join(["x,times", *some, ""]))
    arguments = ["quantile", "-q", ".3,.6", "-c", "x", "--weights", "times"]
    assert softsort(*arguments, "a.csv", "b.csv") == softsort(*arguments, "t.csv")


@pytest.mark.parametrize(
    ("cell", "line"), [("-1", 3), ("", 3), ("?", 3), ("inf", 3), ("NA", 3)]
)
@pytest.mark.parametrize("way", [[], ["--on-invalid", "skip"]], ids=" ".join)
def test_what_is_no_weight_is_refused_with_its_line(softsort, cell, line, way):
    text = f"x,w\n1,1\n2,{cell}\n3,1\n".encode()
    code, out, err = softsort("rank", "--hard", "--weights", "w", *way, stdin=text)
    assert (code, out, err.count("\n")) == (1, b"", 1)
    assert f"column 'w', line {line}: {cell!r} is no weight" in err


def test_members_that_are_missing_are_no_weights(softsort, folder):
    rows = [{"x": 1, "w": 2}, {"x": 2}]
    (folder / "t.ndjson").write_text("\n".join(map(json.dumps, rows)) + "\n")
    code, _, err = softsort("rank", "t.ndjson", "--hard", "--weights", "w")
    assert (code, err.count("\n")) == (1, 1)
    assert "line 2: null is no weight" in err


def test_weights_in_parts_are_refused_with_their_part(softsort, folder):
    (folder / "a.csv").write_text("x,w\n1,1\n2,1\n")
    (folder / "b.csv").write_text("x,w\n1,1\n2,-2\n")
    code, _, err = softsort(
        "rank", "a.csv", "b.csv", "--weights", "w", "--out-dir", "out"
    )
    assert (code, err.count("\n")) == (1, 1)
    assert "b.csv, column 'w', line 3: '-2' is no weight" in err


def test_the_weights_are_no_column_of_values(softsort):
    text = b"x,w\n1,1\n2,3\n"
    _, out, _ = softsort("rank", "--hard", "--weights", "w", stdin=text)
    assert out == b"x,w,x_rank\n1,1,0.0\n2,3,2.0\n"
    _, out, _ = softsort("rank", "--hard", "--weights", "w", "-c", "w", stdin=text)
    assert out == b"x,w,w_rank\n1,1,0.0\n2,3,2.0\n"


def test_rows_that_do_not_count_need_no_number(softsort):
    text = b"x,w\n1,1\nNA,0\n2,1\n7,0\n"
    _, out, _ = softsort("rank", "--hard", "--weights", "w", stdin=text)
    assert [line.split(b",")[2] for line in out.splitlines()[1:]] == [
        b"0.0",
        b"",
        b"1.0",
        b"",
    ]


def test_weights_that_are_shares_are_refused(softsort):
    text = b"x,w\n1,0.5\n2,0.25\n3,0.25\n"
    code, out, err = softsort("rank", "--hard", "--weights", "w", stdin=text)
    assert (code, out) == (1, b"")
    assert "the weights of its 3 values sum to 1" in err


def test_k_is_of_the_weighted_values(softsort):
    text = b"x,w\n1,2\n2,3\n"
    arguments = ["--hard", "--weights", "w"]
    _, out, _ = softsort("topk", "-k", "4", *arguments, stdin=text)
    assert out == b"x_topk\n2.0\n2.0\n2.0\n1.0\n"
    code, _, err = softsort("topk", "-k", "6", *arguments, stdin=text)
    assert (code, "more than its 5 values, by their weights" in err) == (1, True)
