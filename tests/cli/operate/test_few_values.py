"""Columns of few values, in parts and beyond memory: as in one process."""

import itertools

import numpy as np
import polars as pl
import pytest
from softsort_cli.operate import few_values, streaming
from softsort_cli.operate.operator import Operator
from softsort_cli.options.softness import Solver
from softsort_cli.tables.counted import Meaning
from softsort_cli.tables.numbers import Numbers

pytest_plugins = ["tests.tabular"]

APPENDED = [
    "rank --start 1",
    "sort",
    "topk -k 1 --mask",
    "quantize --levels 3",
    "normalize",
]
TABULATED = ["quantile -q 0.5,0.1", "topk -k 1", "sort --targets 2"]
# How many numbers a column has beside one that has many.
COUNTS = {"one": 1, "two": 2, "three": 3, "five": 5, "none": 0}
CUTS = [0, 1, 40, 41, 90, 300]


@pytest.fixture
def table(folder, monkeypatch):
    monkeypatch.setattr(few_values, "FEW", 10)
    rng = np.random.default_rng(0)
    columns = {"many": rng.lognormal(size=CUTS[-1])}
    for name, count in COUNTS.items():
        values = np.full(CUTS[-1], np.nan)
        values[rng.permutation(CUTS[-1])[:count]] = rng.normal(size=count)
        columns[name] = values
    columns["five"][np.flatnonzero(~np.isnan(columns["five"]))[:2]] = 0.25  # ties
    whole = pl.DataFrame(columns).fill_nan(None)
    whole.write_csv("whole.csv")
    for place, (start, stop) in enumerate(itertools.pairwise(CUTS)):
        whole[start:stop].write_csv(f"part-{place}.csv")


def read(*paths):
    return pl.concat([pl.read_csv(path, infer_schema=False) for path in paths])


def close(got, want, names):
    got, want = (each.select(names).cast(pl.Float64) for each in (got, want))
    assert got.null_count().equals(want.null_count())
    assert got.fill_null(0).to_numpy() == pytest.approx(
        want.fill_null(0).to_numpy(), rel=0, abs=1e-10
    )


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("command", APPENDED)
def test_few_values_beside_many(softsort, folder, command):
    arguments = [*command.split(), "-q", "-c", "many,one,two,three,five,none"]
    assert softsort(*arguments, "whole.csv", "-o", "one.csv") == (0, b"", "")
    assert softsort(*arguments, "part-*.csv", "--out-dir", "parts") == (0, b"", "")
    beyond = ["--max-memory", "20kB", "-o", "passes.csv"]
    assert softsort(*arguments, "whole.csv", *beyond) == (0, b"", "")
    want = read("one.csv")
    names = want.columns[6:]
    close(read(*sorted((folder / "parts").glob("part-*"))), want, names)
    close(read("passes.csv"), want, names)


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("command", TABULATED)
def test_few_results_of_few_values(softsort, command):
    arguments = [*command.split(), "--quiet", "-c", "many,one,two,three,five"]
    assert softsort(*arguments, "whole.csv", "-o", "one.csv") == (0, b"", "")
    assert softsort(*arguments, "part-*.csv", "-o", "parts.csv") == (0, b"", "")
    beyond = ["--max-memory", "20kB", "-o", "passes.csv"]
    assert softsort(*arguments, "whole.csv", *beyond) == (0, b"", "")
    want = read("one.csv")
    names = [name for name in want.columns if name not in ("column", "q")]
    for path in ("parts.csv", "passes.csv"):
        assert read(path).drop(names).equals(want.drop(names))
        close(read(path), want, names)


@pytest.mark.usefixtures("table")
def test_what_few_values_refuse_in_one_process_they_refuse_in_parts(softsort):
    for path in (["whole.csv"], ["part-*.csv"]):
        code, _, err = softsort("topk", "-k", "4", "-c", "three", *path, "-q")
        assert (code, err) == (
            1,
            "softsort: error: column 'three': -k 4 is more than its 3 values\n",
        )


@pytest.mark.parametrize(
    ("number", "sizes"), [(1, [10]), (10, [10]), (11, [20]), (25, [20, 10])]
)
def test_few_values_take_little_time_and_memory(monkeypatch, number, sizes):
    """There may be very many columns and parts of them."""
    monkeypatch.setattr(few_values, "FEW", 10)
    monkeypatch.setattr(streaming, "SIZE", 20)
    operator = Operator("ranks", lambda *_: None, Solver(), {})
    values = np.arange(number, dtype=float)
    block = {0: Numbers(values, 0, np.zeros(0, int))}, np.ones(number)
    chunks = list(streaming._chunks([block], descends=False))
    assert [len(values) for _, values, _, _ in chunks] == sizes
    statistics = streaming.described([block], operator)
    assert statistics[0].count == number
    how = [0], operator, Meaning()
    kept = streaming.summarised([block], statistics, *how)[0]
    assert np.array_equal(kept, [np.arange(number), np.ones(number)])
    assert kept.base is None or kept.base.nbytes == kept.nbytes
