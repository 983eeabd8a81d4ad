"""The benchmarks run, and write their table and plot; how fast is not tested."""

import sys

import pytest

from tests.benchmarks.__main__ import main


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the benchmarks in this process: what they write."""

    def run(*arguments) -> str:
        monkeypatch.setattr(sys, "argv", ["benchmarks", *map(str, arguments)])
        main()
        return capsys.readouterr().out

    return run


# As they are beside ott-jax, whose warnings are its own.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("unchecked_types")
def test_a_quick_run_writes_a_table_and_a_plot(run, tmp_path):
    names = "10,000 / ott", "plot", "5 x 5", "first call, topk_mask"
    chosen = (word for name in names for word in ("--only", name))
    shown = run("--quick", *chosen, "--output", tmp_path / "docs")
    (file,) = (tmp_path / "docs").glob("*.md")
    page, picture = file.read_text(encoding="utf-8"), file.with_suffix(".png")
    assert page == shown
    assert page.startswith("# Benchmarks: ")
    assert "\n| ranks, n = 64 | " in page
    assert "\n| soft_median, 5 x 5, 32 x 32 | " in page
    assert "\n## First call\n" in page
    assert "\n| first call, topk_mask, n = 20 | " in page
    assert "Not measured" not in page
    assert f"]({picture.name})" in page
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_only_chooses_lines(run):
    lines = run("--list", "--only", "argsort", "--only", "peak").splitlines()
    assert {"argsort" in line or "peak" in line for line in lines} == {True}
