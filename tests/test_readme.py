"""What the README shows is what happens; pytest runs its Python as doctests."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.cbook

README = Path(__file__).parents[1] / "README.md"


# In one test, for some commands need what others before them have written.
def test_commands(tmp_path):
    for name in ("Stocks.csv", "grace_hopper.jpg"):
        shutil.copy(matplotlib.cbook.get_sample_data(name, asfileobj=False), tmp_path)
    commands = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{commands}:{os.environ['PATH']}"}
    blocks = re.findall(r"```console\n(.*?)```", README.read_text(), re.DOTALL)
    assert blocks
    steps = (step for block in blocks for step in re.split(r"^\$ ", block, flags=re.M))
    for step in filter(None, steps):
        command, _, expected = step.partition("\n")
        run = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, (command, run.stderr)
        assert run.stdout.strip() == expected.strip(), command


def test_targets_of_make_exist():
    makefile = (README.parent / "Makefile").read_text()
    targets = re.findall(r"^make ([a-z]+)", README.read_text(), re.MULTILINE)
    assert {"demo", "test"} <= set(targets)
    for target in targets:
        assert f"\n{target}:" in makefile
