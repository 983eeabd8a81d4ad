"""Batches of images in a process that one of the images, or a signal, may kill."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

COMMAND = "denoise", "--hard", "-r", "images", "--out-dir", "o"
# Images of which a decoder is made to do what it should not.
PROGRAM = """
import os, signal, sys, time
from softsort_cli.images import png
from softsort_cli.work import engine
{before}
read = png.read
def decode(data, source):
    if source in {names!r}:
        {does}
    return read(data, source)
png.read = decode
from softsort_cli.__main__ import main
main()
"""


@pytest.fixture
def start(tmp_path):
    """Start a batch, in which some images have something done when they are read."""
    (tmp_path / "images").mkdir()
    for name in range(5):
        image = Image.fromarray(np.full((4, 4), name, np.uint8))
        image.save(tmp_path / "images" / f"{name}.png")

    def run(names: str, does: str, before: str = "") -> subprocess.Popen:
        paths = [str(Path("images", f"{name}.png")) for name in names]
        program = PROGRAM.format(names=paths, does=does, before=before)
        return subprocess.Popen(
            [sys.executable, "-c", program, *COMMAND],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def written(folder: Path) -> str:
    """The names of the outputs, each of which has to be right."""
    paths = sorted(path for path in (folder / "o").iterdir())
    for path in paths:
        assert (np.asarray(Image.open(path)) == int(path.stem)).all()
    return "".join(path.stem for path in paths)


def kills(name: str) -> str:
    return f"signal.raise_signal(signal.{name})"


@pytest.mark.parametrize(
    ("names", "name", "why", "code"),
    [
        ("2", "SIGSEGV", "the file may be damaged", 3),
        ("04", "SIGABRT", "the file may be damaged", 3),
        ("0123", "SIGKILL", "it may need more memory", 3),
        ("01234", "SIGBUS", "the file may be damaged", 1),
    ],
)
def test_an_image_takes_no_other_with_it(start, tmp_path, names, name, why, code):
    process = start(names, kills(name))
    out, err = process.communicate(timeout=60)
    path = str(Path("images", "{}.png"))
    line = f"{path}: the process that read it was killed ({name}): {why}"
    expected = [line.format(each) for each in names]
    expected.append(f"{len(names)} of 5 images failed")
    assert err.splitlines() == [f"softsort: error: {each}" for each in expected]
    assert (process.returncode, out) == (code, "")
    assert written(tmp_path) == "".join(sorted({*"01234"} - {*names}))


def test_what_was_written_then_is_done(start, tmp_path):
    # Killed after an image is written and before that is noted.
    before = f"""
from softsort_cli.work import supervisor
sets = supervisor.Fates.set
def set_(fates, task, state):
    if state == supervisor.DONE and task in fates.of(supervisor.TRIED):
        if task.path.stem == "1":
            {kills("SIGKILL")}
    sets(fates, task, state)
supervisor.Fates.set = set_
"""
    process = start("", "pass", before)
    assert process.communicate(timeout=60) == ("", "")
    assert (process.returncode, written(tmp_path)) == (0, "01234")


def test_it_is_not_sought_among_images_that_are_not_in_work(start, tmp_path):
    before = f"engine.Threads.__init__ = lambda _: {kills('SIGKILL')}"
    process = start("", "pass", before)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.count("\n")) == (1, "", 1)
    assert "was killed (SIGKILL)" in err
    assert written(tmp_path) == ""


# Tells which process it is, and stays in it.
STAYS = "os.write(1, b'%d\\n' % os.getpid()); time.sleep(3600)"


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_process_that_works_too(start, tmp_path, name):
    process = start("3", STAYS)
    assert int(process.stdout.readline()) != process.pid
    process.send_signal(getattr(signal, name))
    # Its standard error is closed when both have ended.
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 128 + getattr(signal, name)
    assert "3" not in written(tmp_path)


def test_nobody_works_on_for_a_process_that_was_killed(start):
    process = start("3", STAYS)
    process.stdout.readline()
    process.kill()
    assert process.communicate(timeout=60)[1] == ""


def test_a_signal_to_the_process_that_works_is_no_crash(start):
    process = start("3", STAYS)
    worker = int(process.stdout.readline())
    os.kill(worker, signal.SIGTERM)
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 128 + signal.SIGTERM
