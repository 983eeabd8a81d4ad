"""What README and the site show is what happens."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import jax
import matplotlib.cbook
import numpy as np
import pytest

from tests import pages

pytest_plugins = ["tests.tabular"]

PYTHON = Path(sys.executable)
ENDED = 128 + signal.SIGPIPE
SAMPLES = "Stocks.csv", "grace_hopper.jpg"
# What goes into a command, and its arguments, and what is made of its output.
SOFTSORT = re.compile(
    r"(?:(?P<before>.*)\| *)?softsort (?P<arguments>(?:'[^']*'|\"[^\"]*\"|[^'\"|>])*)"
    r"(?P<after>.*)"
)
RUN = [page for page in pages.PAGES if pages.blocks(page)]
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)]*)\)")


@pytest.fixture
def shell(softsort, folder):
    """Run a command of a page, softsort in this process: what it writes."""

    def bash(command: str, data: bytes = b"") -> bytes:
        run = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=folder,
            env={**os.environ, "PATH": f"{PYTHON.parent}:{os.environ['PATH']}"},
            input=data,
            capture_output=True,
            check=False,
        )
        # A command is ended if what reads from it, such as head, has enough.
        assert run.returncode in (0, ENDED), (command, run.stderr)
        return run.stdout

    def shell(command: str) -> str:
        if not (parts := SOFTSORT.fullmatch(command)):
            assert "softsort" not in command
            return bash(command).decode()
        data = bash(parts["before"]) if parts["before"] else None
        code, out, err = softsort(*shlex.split(parts["arguments"]), stdin=data)
        assert code == 0, (command, err)
        return (bash(f"cat {parts['after']}", out) if parts["after"] else out).decode()

    return shell


@pytest.mark.filterwarnings("ignore:JAXopt is no longer maintained")
# In one test, for some blocks need what others before them have made.
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_blocks(page, folder, shell):
    for name in SAMPLES:
        shutil.copy(matplotlib.cbook.get_sample_data(name, asfileobj=False), folder)
    names = {}
    with np.printoptions():
        for block in pages.blocks(page):
            if block.needs and find_spec(block.needs) is None:
                continue
            if block.kind == "pycon":
                # As in a process of its own, whatever commands have set.
                jax.config.update("jax_enable_x64", False)
                told = pages.python_failures(block, names, page.name)
                assert not told, told
                continue
            for command, expected in pages.steps(block):
                got = shell(command)
                assert pages.is_shown(expected, got, block.within), (command, got)


def test_what_is_not_shown_is_noticed():
    for want, got in (
        ("a 1.23", "a 1.2349"),
        ("[ 1.0  2.50]", "[1. 2.5]"),
        ("1.5e-3", "0.00151"),
        ("-0.0 b", "0.04 b"),
        ("3\n", "3"),
    ):
        assert pages.is_shown(want, got)
    assert pages.is_shown("acc 0.93", "acc 0.99", within=0.1)
    assert not pages.is_shown("acc 0.93 1", "acc 0.99 2", within=0.1)
    for want, got in (("1.23", "1.26"), ("3", "3.1"), ("1.0 2", "1.0"), ("a", "b")):
        assert not pages.is_shown(want, got)
    block = pages.Block("pycon", ">>> 1 + 1\n3\n>>> 2.04\n2.0\n")
    told = pages.python_failures(block, {}, "page")
    assert told.count("Failed example") == 1
    assert pages.steps(pages.Block("console", "$ a\nb\n$ c\n")) == [
        ("a", "b\n"),
        ("c", ""),
    ]


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.stem)
def test_pictures_are_there_and_are_described(page):
    for words, path in IMAGE.findall(page.read_text()):
        assert (page.parent / path).is_file(), path
        assert len(words) > 20, path


def test_targets_of_make_exist():
    makefile = (pages.ROOT / "Makefile").read_text()
    readme = (pages.ROOT / "README.md").read_text()
    targets = re.findall(r"^make ([a-z]+)", readme, re.MULTILINE)
    assert {"demo", "test"} <= set(targets)
    for target in targets:
        assert f"\n{target}:" in makefile


def test_the_site_has_all_pages():
    navigation = (pages.ROOT / "mkdocs.yml").read_text()
    for page in pages.PAGES[1:]:
        assert f": {page.relative_to(pages.ROOT / 'docs')}\n" in navigation
    assert all(isinstance(page, Path) for page in RUN)
