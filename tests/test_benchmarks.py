"""The benchmarks run, and write their table and plot; how fast is not tested."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", *arguments],
        cwd=ROOT,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_quick_run_writes_a_table_and_a_plot(tmp_path):
    names = "10,000 / ott", "plot", "5 x 5", "first call, topk_mask"
    chosen = (word for name in names for word in ("--only", name))
    done = run("--quick", *chosen, "--output", tmp_path / "docs")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert page == done.stdout
    assert page.startswith("# Benchmarks: ")
    assert "\n| ranks, n = 64 | " in page
    assert "\n| soft_median, 5 x 5, 32 x 32 | " in page
    assert "\n## First call\n" in page
    assert "\n| first call, topk_mask, n = 20 | " in page
    assert "Not measured" not in page
    assert "](benchmarks.png)" in page
    picture = (tmp_path / "docs" / "benchmarks.png").read_bytes()
    assert picture.startswith(b"\x89PNG")


def test_only_chooses_lines():
    lines = run("--list", "--only", "argsort", "--only", "peak").stdout.splitlines()
    assert {"argsort" in line or "peak" in line for line in lines} == {True}
