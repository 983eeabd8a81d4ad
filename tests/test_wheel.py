"""What is installed stands alone: on its own names, and on what it says it needs."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image

ROOT = Path(__file__).parents[1]
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--quiet", *map(str, arguments)]
    subprocess.run(command, check=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    # Building leaves nothing behind in the sources.
    hidden = shutil.ignore_patterns(".git", ".[!g]*")
    shutil.copytree(ROOT, folder / "source", ignore=hidden)
    pip(
        "wheel",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        folder / "source",
    )
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture
def place(wheel, tmp_path):
    """An environment that has nothing but the wheel, and a folder to work in."""
    venv.create(tmp_path / "environment", symlinks=True)
    python = tmp_path / "environment" / "bin" / "python"
    pip("--python", python, "install", "--no-index", "--no-deps", wheel)
    return Place(tmp_path)


class Place:
    def __init__(self, folder):
        self.folder = folder
        self.bin = folder / "environment" / "bin"
        self.packages = folder / "environment" / "lib" / PYTHON / "site-packages"

    def add_needed(self, *extras):
        """Add what the wheel says it needs from the environment of this test."""
        (own,) = metadata.distributions(name="softsort-cli", path=[str(self.packages)])
        todo, seen = [(own, set(extras))], set()
        while todo:
            distribution, extras = todo.pop()
            for requirement in map(Requirement, distribution.requires or []):
                marker, key = requirement.marker, str(requirement)
                wanted = marker is None or any(
                    marker.evaluate({"extra": extra}) for extra in ["", *extras]
                )
                if wanted and key not in seen:
                    seen.add(key)
                    needed = metadata.distribution(requirement.name)
                    todo.append((needed, requirement.extras))
                    self.add(needed)

    def add(self, distribution):
        tops = {file.parts[0] for file in distribution.files or []}
        for name in tops - {"..", "__pycache__"}:
            if not (self.packages / name).exists():
                (self.packages / name).symlink_to(distribution.locate_file(name))

    def run(self, program, *arguments):
        ours = {"PYTHONPATH", "PYTHONHOME"}
        return subprocess.run(
            [self.bin / program, *arguments],
            cwd=self.folder,
            env={name: text for name, text in os.environ.items() if name not in ours},
            capture_output=True,
            text=True,
            check=False,
        )

    def result(self, program, *arguments):
        run = self.run(program, *arguments)
        assert run.returncode == 0, run.stderr
        return run.stdout


def test_names(wheel):
    names = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    (described,) = (name for name in names if name.endswith(".dist-info"))
    assert names - {described} == {"softsort_cli", "softsort_core", "softsort_filters"}


def test_commands_and_library(place):
    place.add_needed()
    (place.folder / "a.csv").write_text("x\n3\n1\n2\n")
    lines = place.result("softsort", "rank", "a.csv", "--float-format", ".1f")
    assert lines == "x,x_rank\n3,2.0\n1,0.0\n2,1.0\n"
    grey = np.full((16, 16), 100, np.uint8)
    grey[8, 8] = 255
    Image.fromarray(grey).save(place.folder / "a.png")
    place.result("softsort", "denoise", "a.png", "-o", "b.png")
    denoised = np.asarray(Image.open(place.folder / "b.png"))
    np.testing.assert_array_equal(denoised, np.full_like(grey, 100))
    script = "import softsort_core.losses, softsort_filters as f; print(f.__file__)"
    assert str(place.packages) in place.result("python", "-c", script)
    run = place.run("softsort", "train", "--out", "run")
    assert run.returncode == 1
    assert run.stderr.endswith(" pip install 'softsort-cli[learn]'\n")
    assert run.stderr.count("\n") == 1


def test_training(place):
    place.add_needed("learn")
    kinds = np.arange(32) % 2
    images = np.stack([np.eye(8), 1 - np.eye(8)])[kinds]
    np.savez(
        place.folder / "data.npz",
        x_train=images,
        y_train=kinds,
        x_test=images[:2],
        y_test=kinds[:2],
    )
    arguments = "--data", "data.npz", "--epochs", "1", "--batch-size", "32"
    place.result("softsort", "train", *arguments, "--out", "run")
    assert (place.folder / "run" / "metrics.csv").exists()
