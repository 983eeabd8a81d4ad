"""What the README shows is what happens; pytest runs its Python as doctests."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.cbook
import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("readme")
    for name in ("Stocks.csv", "grace_hopper.jpg"):
        shutil.copy(matplotlib.cbook.get_sample_data(name, asfileobj=False), folder)
    return folder


@pytest.mark.parametrize(
    "block", re.findall(r"```console\n(.*?)```", README.read_text(), re.DOTALL)
)
def test_commands(folder, block):
    commands = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{commands}:{os.environ['PATH']}"}
    for step in block.removeprefix("$ ").split("\n$ "):
        command, _, expected = step.partition("\n")
        run = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        assert run.stdout.strip() == expected.strip()


def test_targets_of_make_exist():
    makefile = (README.parent / "Makefile").read_text()
    targets = re.findall(r"^make ([a-z]+)", README.read_text(), re.MULTILINE)
    assert {"demo", "test"} <= set(targets)
    for target in targets:
        assert f"\n{target}:" in makefile
