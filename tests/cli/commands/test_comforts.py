"""Sweeps, plots, explanations, dry runs, completion, the manual, little memory."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from softsort_cli.io import source
from softsort_cli.operate import plots, streaming
from softsort_cli.tables import column_data

import softsort_core as soft

pytest_plugins = ["tests.tabular"]

COMMAND = [sys.executable, "-c", "from softsort_cli.__main__ import main; main()"]
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
    assert softsort("rank", "t.csv", "--hard", "--plot", "p.gif")[0] == 2


@pytest.fixture
def figures(monkeypatch) -> list[object]:
    """Collect what is drawn."""
    drawn = []
    monkeypatch.setattr(plots, "_write", lambda figure, *_, **__: drawn.append(figure))
    return drawn


@pytest.mark.parametrize("command", ["rank", "sort"])
def test_plots_of_the_largest_groups(softsort, figures, monkeypatch, command):
    monkeypatch.setattr(plots, "GROUPS", 2)
    text = b"x,k\n1,a\n2,_b$\n3,_b$\n4,\n5,\n6,\nNA,c\n"
    arguments = ["--by", "k", "--hard", "-c", "x", "--plot", "p.png"]
    code, _, _ = softsort(command, *arguments, stdin=text)
    (axis,) = figures[0].axes
    assert (code, axis.get_title()) == (0, "the 2 largest of 4 groups")
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert labels == [r" _b\$", "(empty)"]
    _, one, _, other = (line.get_xydata().T.tolist() for line in axis.lines)
    if command == "rank":
        assert (one, other) == ([[2, 3], [0, 1]], [[4, 5, 6], [0, 1, 2]])
    else:
        assert (one, other) == ([[0, 1], [2, 3]], [[0, 1, 2], [4, 5, 6]])


@pytest.mark.parametrize("way", ["--max-memory", "--out-dir"])
@pytest.mark.parametrize("order", [[], ["--desc"]], ids=" ".join)
def test_plots_of_values_that_are_not_together(
    softsort, folder, figures, monkeypatch, way, order
):
    monkeypatch.setattr(streaming, "SIZE", 1 << 9)
    values = np.random.default_rng(0).normal(size=300)
    pl.DataFrame({"x": values}).write_csv(folder / "t.csv")
    arguments = ["t.csv", "-e", "0.1", *order]
    _, expected, _ = softsort("rank", *arguments)
    code, _, _ = softsort("rank", *arguments, "--plot", "p.png", way, "1")
    (axis,) = figures[0].axes
    (line,) = axis.lines
    places, soft_ranks = (np.array(each) for each in line.get_data())
    assert (code, line.get_label()) == (0, "soft")
    assert sorted(places[[0, -1]]) == [values.min(), values.max()]
    order = np.argsort(places)
    ranks = np.interp(values, places[order], soft_ranks[order])
    np.testing.assert_allclose(ranks, pl.read_csv(expected)["x_rank"], atol=0.01)


def test_explaining(softsort):
    arguments = ["--explain", "--squash", "none", "--epsilon", "1e-4"]
    _, out, err = softsort("rank", *arguments, stdin=b"x\n1\n1\n2\n3\n")
    gaps = np.abs(pl.read_csv(out)["x_rank"].to_numpy() - [0.5, 0.5, 2, 3])
    said = f"differ from the exact ones by {gaps.mean():.3g} on average and "
    assert said + f"{gaps.max():.3g} at most" in err
    # Only the first two are near one another.
    assert "with about 0.5 others; at 1e-05 they would differ by 0," in err


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

    forms = SimpleNamespace(at_places=Solution.sorted_values)
    monkeypatch.setattr(streaming, "SIZE", 10)
    for count in (3, 10, 25):
        solution, found = Solution(count), []
        for start in range(0, 40, 7):
            places = start, min(start + 7, 40)
            found += streaming.at_places(forms, solution, *places).tolist()
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
