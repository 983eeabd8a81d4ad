"""Sweeps, plots, explanations, dry runs, completion, the manual, little memory."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from softsort_cli.io import source
from softsort_cli.operate import streaming
from softsort_cli.tables import column_data

import softsort_core as soft

pytest_plugins = ["tests.tabular"]

COMMAND = [sys.executable, "-c", "from softsort_cli.app import main; main()"]
VALUES = [1.0, 5.0, 4.0, 8.0, 12.0]
TABLE = b"x,name\n1,a\n5,b\n4,c\n8,d\n12,e\n"


@pytest.mark.usefixtures("x64")
def test_sweep_is_the_library_at_each_epsilon(softsort, folder):
    (folder / "t.csv").write_bytes(TABLE)
    code, out, _ = softsort(
        "sweep", "t.csv", "--epsilons", "1e-3:10:5", "--plot", "p.png"
    )
    assert code == 0
    table = pl.read_csv(out)
    assert table["epsilon"].unique(maintain_order=True).to_list() == pytest.approx(
        [1e-3, 1e-2, 1e-1, 1, 10]
    )
    for epsilon in (1e-3, 10.0):
        some = table.filter((pl.col("epsilon") / epsilon - 1).abs() < 1e-9)
        np.testing.assert_allclose(some["sorted"], soft.sort(VALUES, epsilon=epsilon))
        np.testing.assert_allclose(some["rank"], soft.ranks(VALUES, epsilon=epsilon))
        assert some["value"].to_list() == VALUES
    assert np.diff(table["sorted"].to_numpy().reshape(5, 5), axis=1).min() > 0
    assert np.ptp(table["sorted"].tail(5).to_numpy()) < 0.2
    assert (folder / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("levels", ["1", "0:1:3", "1:2:x", "1:inf:2", "1:2:0"])
def test_wrong_epsilons_are_refused(softsort, levels):
    code, _, err = softsort("sweep", "--epsilons", levels, stdin=TABLE)
    assert (code, "two positive numbers and how many" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sort", "--targets", "1000000000"], "--targets"),
        (["quantize", "--levels", "1000000000"], "--levels"),
        (["sweep", "--epsilons", "1:2:1000000000"], "more than 10,000,000"),
        (["rank", "--float-format", ".1000000000f"], "more than 1000 characters"),
        (["rank", "--float-format", "1000000000"], "more than 1000 characters"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_sizes_beyond_all_are_refused_before_any_work(softsort, arguments, message):
    code, out, err = softsort(*arguments, "none.csv")
    assert (code, out, err.count("\n")) == (2, b"", 1)
    assert message in err


def test_more_results_than_memory_holds_are_refused(softsort):
    text = b"g,x\n" + b"".join(b"%d,1\n" % place for place in range(200))
    arguments = ["--by", "g", "--hard", "-c", "x"]
    code, out, err = softsort("sort", "--targets", "1000000", *arguments, stdin=text)
    assert (code, out, err.count("\n")) == (1, b"", 1)
    assert "200,000,000 results in 200 groups" in err
    code, out, _ = softsort("topk", "-k", "1000000", *arguments, stdin=text)
    assert (code, out.count(b"\n")) == (0, 201)


def test_plots_and_what_cannot_be_drawn(softsort, folder):
    (folder / "t.csv").write_bytes(TABLE)
    for command in ("rank", "sort"):
        code, out, _ = softsort(command, "t.csv", "--hard", "--plot", f"{command}.svg")
        assert (code, out.count(b"\n")) == (0, 6)
        assert b"<svg" in (folder / f"{command}.svg").read_bytes()
        assert softsort(command, "t.csv", "--hard", "--plot", f"{command}.svg")[0] == 1
    for wrong in (["--plot", "p.gif"], ["--plot", "p.png", "--by", "name"]):
        assert softsort("rank", "t.csv", "--hard", *wrong)[0] == 2


def test_explaining(softsort):
    values = np.array([0.2, 0.2, 0.5, 0.9])
    text = b"x\n" + b"".join(b"%f\n" % value for value in values)
    _, out, err = softsort("rank", "--squash", "none", "--explain", stdin=text)
    ranks = pl.read_csv(out)["x_rank"].to_numpy()
    gaps = np.abs(ranks - [0.5, 0.5, 2, 3])
    said = f"{gaps.mean():.3g} on average and {gaps.max():.3g} at most"
    assert f"differ from the exact ones by {said}" in err
    # Only the first two are near one another.
    assert "with about 0.5 others; at 0.001 they would differ by" in err


def test_a_dry_run_writes_nothing(softsort, folder):
    (folder / "t.csv").write_bytes(TABLE)
    code, out, err = softsort("rank", "t.csv", "--dry-run", "-o", "o.csv")
    assert (code, out) == (0, b"")
    assert err == ("softsort: dry run: t.csv: 5 rows; would write x_rank to o.csv\n")
    assert [path.name for path in folder.iterdir()] == ["t.csv"]


def test_numbers_that_do_not_fit_in_memory(softsort, folder, monkeypatch):
    rng = np.random.default_rng(0)
    rows = [f"{value},{place}" for place, value in enumerate(rng.normal(size=250))]
    rows[7:9] = ["?,7", "NA,8"]
    (folder / "t.csv").write_text("x,y\n" + "\n".join(rows) + "\n")
    arguments = ["rank", "t.csv", "-c", "x", "--on-invalid", "skip"]
    _, expected, _ = softsort(*arguments)
    monkeypatch.setattr(source, "BLOCK", 1000)
    monkeypatch.setattr("softsort_cli.operate.streaming.SIZE", 1 << 9)
    code, out, err = softsort(*arguments, "--max-memory", "1kB")
    assert code == 0
    assert "read in several passes" in err
    name = "x_rank"
    got, want = pl.read_csv(out), pl.read_csv(expected)
    assert got.drop(name).equals(want.drop(name))
    there = want[name].is_not_null()
    assert got[name].is_not_null().equals(there)
    np.testing.assert_allclose(
        got[name].filter(there), want[name].filter(there), atol=5e-4
    )


def test_sorted_values_come_in_pieces_of_one_size(monkeypatch):
    class Solution:
        asked = []  # noqa: RUF012

        def __init__(self, count):
            self.statistics = SimpleNamespace(count=count)

        def sorted_values(self, start, stop):
            self.asked.append(stop - start)
            return np.arange(start, stop)

    monkeypatch.setattr(streaming, "SIZE", 10)
    for count in (3, 10, 25):
        solution, found = Solution(count), []
        for start in range(0, 40, 7):
            places = range(start, start + 7)
            found += streaming.sorted_values(solution, np.zeros(7), places).tolist()
        assert found == list(range(count))
        assert set(solution.asked) <= {3, 7, 10}


def test_what_needs_all_numbers_says_so(softsort, monkeypatch):
    monkeypatch.setattr(column_data, "VALUE", 1000)
    for arguments in (["sweep"], ["rank", "--by", "name"]):
        code, _, err = softsort(*arguments, "--max-memory", "1KiB", stdin=TABLE)
        assert code == 1
        assert "take more than --max-memory 1KiB" in err


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("softsort rank t.csv -c na", ["name"]),
        ("softsort rank t.csv --by ", ["x", "name"]),
        ("softsort sort t.csv -c x,n", ["x,name"]),
        ("softsort rank none.csv -c n", []),
    ],
)
def test_completion_of_columns(folder, line, expected):
    (folder / "t.csv").write_bytes(TABLE)
    place = str(len(line.split(" ")) - 1)
    environment = {"COMP_WORDS": line, "COMP_CWORD": place}
    done = subprocess.run(
        COMMAND,
        env=os.environ | environment | {"_SOFTSORT_COMPLETE": "complete_bash"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == expected
    assert done.stderr == ""


def test_the_manual_has_every_option_of_every_command(softsort):
    code, out, _ = softsort("--man")
    page = out.decode().replace("\\-", "-")
    assert code == 0
    for command in ("rank", "sweep", "quantile", "denoise"):
        assert f"\n.SS {command} " in page
        helped = softsort(command, "--help")[1].decode()
        for word in helped.split():
            if word.startswith("--") and word.strip("-,.;").isalpha():
                assert word.rstrip(",.;") in page
