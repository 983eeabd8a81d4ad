"""--help: by theme, as wide as the terminal, in colour on one and plain elsewhere."""

import os
import re
import subprocess
import sys

import pytest
from softsort_cli import app
from softsort_cli.options import help_pages

pty = pytest.importorskip("pty")
ANSI = re.compile(r"\033\[[\d;]*m")


def help_of(capfd, *command) -> str:
    assert app.run([*command, "--help"]) == 0
    return capfd.readouterr().out


@pytest.mark.parametrize("name", app.COMMANDS)
def test_options_are_listed_once_under_their_theme(capfd, name):
    text = help_of(capfd, name)
    assert "\033" not in text
    assert ANSI.sub("", help_pages.painted(text)) == text
    blocks = re.split(r"^([A-Z]\w+):$", text, flags=re.MULTILINE)[1:]
    themes = dict(zip(blocks[::2], blocks[1::2], strict=True))
    assert len(themes) == len(blocks) / 2
    names = {
        theme: re.findall(r"^  (?:-\w, )?(--?[a-z-]+)", block, re.MULTILINE)
        for theme, block in themes.items()
    }
    every = [name for each in names.values() for name in each]
    assert len(every) == len({*every}) > 2
    assert "--help" in names["Options"]
    for option, theme in (
        ("--blur", "Softness"),
        ("--hard", "Softness"),
        ("--cluster", "Computing"),
        ("--by", "Reading"),
        ("--out-dir", "Writing"),
        ("--float-format", "Writing"),
        ("--verbose", "Messages"),
        ("--footprint", "Window"),
        ("--amount", "Noise"),
        ("--epochs", "Training"),
    ):
        assert option not in every or option in names[theme]


def test_commands_and_exit_codes_are_told(capfd):
    text = help_of(capfd)
    assert all(f"\n  {name} " in text for name in app.COMMANDS)
    painted = help_pages.painted(text)
    assert "\033[36m0\033[0m    done" in painted
    assert "\033[36mrank\033[0m  " in painted
    assert "\033[1;33mCommands:\033[0m" in painted


@pytest.mark.parametrize(
    ("variables", "colours"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({}, False),
    ],
)
def test_terminals_that_have_colours(monkeypatch, variables, colours):
    monkeypatch.delenv("TERM", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert help_pages.has_colours() is colours
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    assert not help_pages.has_colours()


def on_terminal(columns: int, *arguments: str) -> str:
    master, slave = pty.openpty()
    kept = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "LINES")}
    with subprocess.Popen(
        [sys.executable, "-m", "softsort_cli", *arguments],
        stdout=slave,
        stderr=slave,
        env={**kept, "TERM": "xterm", "COLUMNS": str(columns)},
    ) as process:
        os.close(slave)
        text = b""
        try:
            while piece := os.read(master, 1 << 16):
                text += piece
        except OSError:
            pass  # its other end was closed
    os.close(master)
    assert process.returncode in (0, 2)
    return text.decode().replace("\r\n", "\n")


def test_help_on_a_narrow_terminal_is_in_colour_and_fits():
    text = on_terminal(40, "quantize", "--help")
    assert "\033[36m--levels\033[0m" in text
    assert "\033[2m[default: " in text
    plain = ANSI.sub("", text)
    long = [line for line in plain.splitlines() if len(line) > 40]
    # Only what has to be copied as it is, or cannot be broken.
    assert all("softsort" in line or re.match("  -", line) for line in long)


def test_help_that_nobody_asked_for_is_plain_in_a_file(tmp_path):
    text = on_terminal(80)
    assert "\033[1;33mCommands:\033[0m" in text
    command = f"{sys.executable} -m softsort_cli 2> {tmp_path}/err.txt"
    master, slave = pty.openpty()
    subprocess.run(command, shell=True, stdout=slave, check=False)
    os.close(slave)
    os.close(master)
    assert (tmp_path / "err.txt").read_text() == ANSI.sub("", text)
