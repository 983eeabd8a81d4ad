"""`softsort train` and `softsort predict`, from their arguments to their files."""

import csv
import io
import json
import signal
import subprocess
import sys

import jax
import matplotlib.image
import numpy as np
import pytest
from softsort_cli import app, console
from softsort_cli.training import data, run_folder, running
from softsort_cli.training.settings import Choices, Settings

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (17, 4, 5), dtype=np.uint8)
LABELS = np.arange(17) % 3
SHORT = ["--data", "x.npz", "--epochs", "2", "--batch-size", "4"]
CROSS = [*SHORT, "--loss", "cross-entropy"]
CONFIGURED = ("jax_compilation_cache_dir", "jax_default_device", "jax_enable_x64")


@pytest.fixture(autouse=True)
def _own_state(tmp_path, monkeypatch):
    """Give each command the state of a new process, and a folder to work in."""
    before = {name: getattr(jax.config, name) for name in CONFIGURED}
    # Compiling takes most of the time.
    jax.config.update("jax_disable_most_optimizations", True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "quiet", False)
    monkeypatch.setattr(console, "verbose", False)
    write_data()
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    for name, value in before.items():
        jax.config.update(name, value)


def write_data(images=IMAGES):
    parts = {"x_train": images[4:], "y_train": LABELS[4:]}
    np.savez("x.npz", **parts, x_test=images[:4], y_test=LABELS[:4])


@pytest.fixture
def softsort(capfd):
    """Run a command: its exit code, output and messages."""

    def run(*arguments) -> tuple[int, str, str]:
        code = app.run([str(argument) for argument in arguments])
        return code, *capfd.readouterr()

    return run


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_run_leaves_metrics_figure_and_checkpoints(softsort, tmp_path):
    code, out, err = softsort("train", *SHORT, "--loss", "both", "--out", "a/run")
    assert (code, err) == (0, "")
    folder = tmp_path / "a" / "run"
    assert sorted(path.name for path in folder.iterdir()) == [
        "cross-entropy.msgpack",
        "metrics.csv",
        "metrics.png",
        "settings.json",
        "soft-error.msgpack",
    ]
    found = rows((folder / "metrics.csv").read_text())
    assert len(found) == 2 * (2 * 3 + 2)
    ends = rows(out)
    for loss in ("soft-error", "cross-entropy"):
        mine = [row for row in found if row["loss"] == loss]
        for split in ("train", "test"):
            last = [r for r in mine if r["split"] == split and r["epoch"] == "2"]
            (end,) = (r for r in ends if r["loss"] == loss and r["split"] == split)
            for name in ("soft_error", "cross_entropy", "accuracy"):
                expected = np.mean([float(row[name]) for row in last])
                assert abs(float(end[name]) - expected) < 1e-4
    assert matplotlib.image.imread(folder / "metrics.png").shape == (600, 1800, 4)
    first = [row for row in found if row["step"] == "1"]
    # Both begin with one network and one batch.
    assert first[0]["cross_entropy"] == first[1]["cross_entropy"]

    # What was trained can predict; a score is a soft top-k mask.
    code, out, err = softsort("predict", "--model", folder, "x.npz", "-k", "2")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "image,class_1,score_1,class_2,score_2"
    assert len(rows(out)) == 4
    for row in rows(out):
        assert {row["class_1"], row["class_2"]} < {"0", "1", "2"}
        first, second = float(row["score_1"]), float(row["score_2"])
        assert 1 >= first >= 0
        assert 1 >= second >= 0
        assert first >= second - 1e-12
        assert first + second <= 2 + 1e-6
    right = [int(row["class_1"]) for row in rows(out)] == LABELS[:4]
    (end,) = (r for r in ends if r["loss"] == "soft-error" and r["split"] == "test")
    assert float(end["accuracy"]) == np.mean(right)

    refused = softsort("predict", "--model", folder, "x.npz", "-k", "4")
    assert refused[0] == 2
    assert "-k 4" in refused[2]
    np.savez("other.npz", images=IMAGES[:, :, :4])
    refused = softsort("predict", "--model", folder, "other.npz")
    assert refused[0] == 1
    assert "(4, 5, 1)" in refused[2]


@pytest.mark.parametrize("saves", [1, 4])
def test_an_interrupted_run_ends_as_if_it_had_not_been(
    softsort, tmp_path, monkeypatch, saves
):
    softsort("train", *CROSS, "--out", "whole")
    monkeypatch.setattr(running, "SECONDS_BETWEEN", 0)
    written, write = [], run_folder.write

    def interrupted(path, content):
        if len(written) > saves:
            raise KeyboardInterrupt
        written.append(path)
        write(path, content)

    monkeypatch.setattr(run_folder, "write", interrupted)
    code, out, err = softsort("train", *CROSS, "--out", "part")
    assert (code, out) == (130, "")
    assert err == "softsort: interrupted: softsort train --resume part goes on\n"
    assert len(written) == saves + 1  # the settings and checkpoints, one a step
    monkeypatch.setattr(run_folder, "write", write)
    code, resumed, err = softsort("train", "--resume", "part")
    assert (code, err) == (0, "")
    for name in ("metrics.csv", "cross-entropy.msgpack", "settings.json"):
        expected = (tmp_path / "whole" / name).read_bytes()
        assert (tmp_path / "part" / name).read_bytes() == expected
    # Done is done: nothing is left to do, and the table is the same.
    assert softsort("train", "--resume", "part", "--epochs", 2) == (0, resumed, "")


def test_an_abort_of_a_run_tells_how_it_goes_on(tmp_path):
    program = (
        "import signal, threading, softsort_cli.app, softsort_cli.training.running\n"
        "def endless(*_):\n"
        "    print('training', flush=True)\n"
        "    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
        "    threading.Event().wait()\n"
        "softsort_cli.training.running._train = endless\n"
        "softsort_cli.app.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, "train", *CROSS, "--out", "part"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "training\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    expected = "softsort: interrupted: softsort train --resume part goes on\n"
    assert (process.returncode, err) == (130, expected)


@pytest.fixture
def run(tmp_path):
    """The folder of a run that was interrupted before its first step."""
    found = data.read(tmp_path / "x.npz")
    choices = {"loss": "cross-entropy", "data": str(tmp_path / "x.npz")}
    choices |= {"epochs": 2, "batch_size": 4}
    settings = Settings.of(Choices(**choices), found)
    run_folder.write_settings(tmp_path / "run", settings)
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--out", "run"], 1, ["run is not empty", "--force"]),
        (["--out", "x.npz", "--force"], 1, ["x.npz", "is a file"]),
        (["--resume", "nowhere"], 1, ["nowhere", "settings.json"]),
        (["--resume", "run", "--seed", "1"], 2, ["--seed is 1", "begun with 0"]),
        (["--resume", "run", "--force"], 2, ["--force"]),
        (["--resume", "run", "--data", "digits"], 2, ["--data is digits"]),
        (["--data", "nowhere.npz"], 1, ["nowhere.npz", "No such file"]),
        (["--data", "x.npz", "--batch-size", "14"], 2, ["--batch-size is 14", "13"]),
        (["--learning-rate", "0"], 2, ["learning-rate", "positive"]),
        (["--epsilon", "nan"], 2, ["epsilon", "positive"]),
    ],
)
def test_refusals_of_train(softsort, run, arguments, code, words):
    found, out, err = softsort("train", *arguments)
    assert (found, out) == (code, "")
    assert err.count("\n") == 1
    for word in words:
        assert word in err
    assert [path.name for path in run.iterdir()] == ["settings.json"]
    assert not (run.parent / "softsort-run").exists()


def test_resuming_with_other_data_is_refused(softsort, run):
    write_data(IMAGES[::-1])
    code, _, err = softsort("train", "--resume", run)
    assert code == 1
    assert "are not those" in err


def test_broken_folders_are_refused(softsort, run):
    (run / "cross-entropy.msgpack").write_bytes(b"half")
    code, _, err = softsort("train", "--resume", run)
    assert code == 1
    assert "cross-entropy.msgpack: it is not a checkpoint" in err
    code, _, err = softsort("predict", "--model", run, "x.npz", "--loss", "soft-error")
    assert code == 1
    assert "no network trained by soft-error" in err
    settings = json.loads((run / "settings.json").read_text())
    for text in ("{", "[]", json.dumps(settings | {"more": 1}), "{}"):
        (run / "settings.json").write_text(text)
        code, _, err = softsort("predict", "--model", run, "x.npz")
        assert code == 1
        assert "settings.json is not from softsort train" in err


@pytest.mark.parametrize("library", ["flax", "optax", "sklearn"])
def test_missing_libraries_are_named(softsort, monkeypatch, library):
    monkeypatch.setitem(sys.modules, library, None)
    code, _, err = softsort("train")
    assert code == 1
    assert library in err
    assert "pip install 'softsort-cli[learn]'" in err
