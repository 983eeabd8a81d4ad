"""What CONTRIBUTING tells to write works as it is written there."""

import io
import re
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import softsort_cli.commands
from softsort_cli import app

import softsort_core.operators

pytest_plugins = ["tests.tabular"]

RECIPE = Path(__file__).parents[1] / "CONTRIBUTING.md"
PACKAGES = {
    "cli/softsort_cli/commands": softsort_cli.commands,
    "softsort_core/operators": softsort_core.operators,
}


@pytest.fixture
def winsorize(tmp_path, monkeypatch):
    """Add the operator of the recipe: its two files and its line."""
    files = re.findall(
        r"`([\w/]+/winsorize\.py)`:\n\n```python\n(.*?)```",
        RECIPE.read_text(),
        re.DOTALL,
    )
    assert len(files) == 2
    for name, text in files:
        path = tmp_path / "added" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
        package = PACKAGES[str(Path(name).parent)]
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(path.parent)])
    monkeypatch.setitem(app.COMMANDS, "winsorize", "Draw values in to quantiles.")
    yield
    for package in PACKAGES.values():
        sys.modules.pop(f"{package.__name__}.winsorize", None)


@pytest.mark.usefixtures("winsorize")
@pytest.mark.parametrize("softness", [["--hard"], ["--epsilon", "1e-5"]])
@pytest.mark.parametrize("by", [[], ["--by", "key"]])
def test_an_operator_of_two_files_and_a_line(softsort, softness, by):
    rng = np.random.default_rng(0)
    table = pl.DataFrame({"x": rng.normal(size=42), "key": ["a", "b"] * 21})
    table.write_csv("t.csv")
    code, out, err = softsort(
        "winsorize", "t.csv", "-c", "x", "--share", "0.25", *by, *softness
    )
    assert (code, err) == (0, "")
    result = pl.read_csv(io.BytesIO(out))
    for part in result.partition_by("key") if by else [result]:
        low, high = np.quantile(part["x"], [0.25, 0.75])
        expected = np.clip(part["x"], low, high)
        # Between two values, hard quantiles are interpolated and soft ones are means.
        np.testing.assert_allclose(part["x_winsorized"], expected, atol=0.15)
        assert (part["x_winsorized"] != part["x"]).mean() > 0.4
