"""What tests of commands on tables share: a folder, a state and a way to run them."""

import io
import sys

import jax
import pytest
from softsort_cli import app, console

CONFIGURED = ("jax_compilation_cache_dir", "jax_default_device", "jax_enable_x64")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Give each command the state of a new process, and a folder to work in."""
    before = {name: getattr(jax.config, name) for name in CONFIGURED}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "quiet", False)
    monkeypatch.setattr(console, "verbose", False)
    yield tmp_path
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def softsort(folder, capfdbinary, monkeypatch):
    """Run a command: its exit code, output and messages."""

    def run(*arguments, stdin: bytes | None = None) -> tuple[int, bytes, str]:
        if stdin is not None:
            text = io.TextIOWrapper(io.BytesIO(stdin))
            monkeypatch.setattr(sys, "stdin", text)
        code = app.run([str(argument) for argument in arguments])
        out, err = capfdbinary.readouterr()
        return code, out, err.decode()

    return run
