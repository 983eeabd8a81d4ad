"""The command as a process: what it imports, pipes, terminals, signals, its cache."""

import importlib
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from softsort_cli import app

SOFTSORT = [sys.executable, "-c", "from softsort_cli.__main__ import main; main()"]
HEAVY = {
    "PIL",
    "dask",
    "distributed",
    "flax",
    "imagecodecs",
    "jax",
    "matplotlib",
    "numpy",
    "optax",
    "polars",
    "rich",
    "scipy",
    "sklearn",
    "softsort_core",
    "softsort_filters",
    "tifffile",
}
LONG = "x\n" + "".join(f"{number}\n" for number in range(100_000))


def run(*arguments, **settings) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*SOFTSORT, *arguments], capture_output=True, text=True, check=False, **settings
    )


@pytest.mark.parametrize("arguments", [["--help"], ["rank", "--help"], ["nope"]])
def test_help_imports_nothing_heavy(arguments):
    program = (
        "import json, sys; from softsort_cli.app import run; run(sys.argv[1:]); "
        "print(json.dumps(list(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    assert arguments == ["nope"] or "Usage: softsort" in done.stdout
    modules = json.loads(done.stderr.splitlines()[-1])
    assert {name.partition(".")[0] for name in modules} & HEAVY == set()


@pytest.mark.parametrize("name", app.COMMANDS)
def test_help_says_what_each_command_does(name):
    module = importlib.import_module(f"softsort_cli.commands.{name.replace('-', '_')}")
    function = getattr(module, name.replace("-", "_"))
    first = function.__doc__.partition("\n\n")[0]
    assert " ".join(first.split()) == app.COMMANDS[name]


def test_exact_results_need_neither_jax_nor_pydantic(tmp_path):
    (tmp_path / "x.csv").write_text("x\n1\n")
    program = (
        "import sys; import softsort_cli.app; "
        "softsort_cli.app.run(['rank', '--hard', 'x.csv', '-c', 'x', '-o', 'y.csv']); "
        "sys.exit(bool({'jax', 'pydantic'} & sys.modules.keys()))"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)


def pipe_into_nothing(arguments: list[str], text: str = "") -> tuple[int, str]:
    """Run with a standard output that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*SOFTSORT, *arguments],
        input=text,
        text=True,
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.parametrize("text", ["x\n1\n", LONG])
def test_a_closed_pipe_ends_quietly(text):
    assert pipe_into_nothing(["rank", "--hard"], text) == (0, "")


def test_help_into_a_closed_pipe_ends_quietly():
    assert pipe_into_nothing(["--help"]) == (0, "")


def test_head_gets_its_lines():
    command = f"{sys.executable} -c '{SOFTSORT[2]}' rank --hard"
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -2; echo ${{PIPESTATUS[0]}}"],
        input=LONG,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "x,x_rank\n0,0.0\n0\n"
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*SOFTSORT, "rank", "--hard"],
            input="x\n1\n",
            text=True,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == (
        "softsort: error: cannot write standard output: No space left on device\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("arguments", "code"),
    [([], 2), (["rank", "--nope"], 2), (["rank", "no.csv", "-v"], 1)],
)
def test_a_full_standard_error_leaves_the_exit_code(arguments, code):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*SOFTSORT, *arguments], stderr=full, check=False)
    assert done.returncode == code


def test_a_closed_standard_output_is_one_line():
    done = subprocess.run(
        ["bash", "-c", '"$@" >&-', "bash", *SOFTSORT, "rank", "--hard"],
        input="x\n1\n",
        text=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "standard output is closed" in done.stderr


@pytest.mark.parametrize(("text", "code"), [("x\n1\n", 0), ("x\n?\n", 1)])
def test_a_closed_standard_error_takes_no_other_place(text, code):
    done = subprocess.run(
        ["bash", "-c", '"$@" 2>&-', "bash", *SOFTSORT, "rank", "--hard"],
        input=text,
        text=True,
        capture_output=True,
        check=False,
    )
    expected = "x,x_rank\n1,0.0\n" if code == 0 else ""
    assert (done.returncode, done.stdout, done.stderr) == (code, expected, "")


@pytest.mark.parametrize("file", [[], ["-"]])
def test_closed_input_is_told(file):
    done = subprocess.run(
        ["bash", "-c", '"$@" <&-', "bash", *SOFTSORT, "rank", *file],
        text=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "standard input is closed" in done.stderr


def test_a_terminal_is_not_waited_for():
    ours, theirs = pty.openpty()
    done = run("rank", stdin=theirs, timeout=60)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 2
    assert "standard input is a terminal" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_terminal_gets_no_bytes_of_a_typed_table(tmp_path):
    pl.DataFrame({"x": [1, 2]}).write_parquet(tmp_path / "t.parquet")
    for arguments in (["rank"], ["quantile", "-q", "0"], ["rank", "-o", "-"]):
        ours, theirs = pty.openpty()
        done = subprocess.run(
            [*SOFTSORT, *arguments, "--hard", str(tmp_path / "t.parquet")],
            stdout=theirs,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        os.set_blocking(ours, False)
        with pytest.raises(BlockingIOError):
            os.read(ours, 1)
        os.close(ours)
        os.close(theirs)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert (
            "-o FILE.parquet, pipe it on, or show text by --format csv" in done.stderr
        )


# Interrupts the process when something is imported.
INTERRUPTED = """
import os, signal, sys
class Interrupts:
    def find_spec(self, name, *_):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupts())
"""


@pytest.mark.parametrize(
    "name", ["softsort_cli.app", "typer", "softsort_cli.interrupts"]
)
def test_an_interrupt_while_it_starts_is_quiet(name):
    program = INTERRUPTED.format(name=name) + SOFTSORT[2]
    done = subprocess.run(
        [sys.executable, "-c", program, "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


TOLD = "print('writing', flush=True)"
# What the main thread may be in when a signal comes.
BUSY = {
    "Python": "while True: sleep(0.01)",
    # It does not get the signal, and a lock is all that it waits for.
    "a wait": (
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()); "
        "threading.Lock().acquire() and threading.Event().wait()"
    ),
    "XLA": (
        "import jax; from jax import lax; "
        "jax.jit(lambda x: lax.while_loop(lambda x: x < 1, lambda x: -x, x))(0.0)"
        ".block_until_ready()"
    ),
    "a thread": (
        "from concurrent.futures import ThreadPoolExecutor; "
        "ThreadPoolExecutor(1).submit(threading.Event().wait).result()"
    ),
    "an error of it": (
        "try:\n"
        f"        {TOLD}\n"
        "        while True: sleep(0.01)\n"
        "    except BaseException: raise ValueError"
    ),
    "an import that aborts at an error": (
        "class Aborts:\n"
        "        def find_spec(*_):\n"
        "            try:\n"
        f"                {TOLD}\n"
        "                while True: sleep(0.01)\n"
        "            except BaseException: __import__('os').abort()\n"
        "    sys.meta_path.insert(0, Aborts())\n"
        "    import nothing"
    ),
    "what an error cannot leave": (
        "class Left:\n"
        "        def __del__(self):\n"
        f"            {TOLD}\n"
        "            while True: sleep(0.01)\n"
        "    Left()\n"
        "    while True: sleep(0.01)"
    ),
}
ENDS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129, "SIGQUIT": 131}


def writing(folder: Path, busy: str, *, before: str = "") -> subprocess.Popen:
    """A command that is busy while it writes y.csv, and tells when it is."""
    busy = busy if TOLD in busy else f"{TOLD}\n    {busy}"
    program = (
        "import signal, sys, threading\n"
        "import softsort_cli.app, softsort_cli.interrupts\n"
        "import softsort_cli.io.compression\n"
        "from time import sleep\n"
        # Who runs in the background may be told to ignore some.
        f"for name in {list(ENDS)}:\n"
        "    default = signal.default_int_handler if name == 'SIGINT' else 0\n"
        "    signal.signal(getattr(signal, name), default)\n"
        f"{before}\n"
        "def endless(*_):\n"
        f"    {busy}\n"
        "softsort_cli.io.compression.encoded = endless\n"
        "softsort_cli.app.main()"
    )
    (folder / "x.csv").write_text("x\n1\n")
    process = subprocess.Popen(
        [sys.executable, "-c", program, "rank", "--hard", "x.csv", "-o", "y.csv"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    assert len(list(folder.iterdir())) == 2
    return process


@pytest.mark.parametrize(
    ("busy", "name"),
    [(busy, "SIGINT") for busy in BUSY] + [("a wait", name) for name in [*ENDS][1:]],
)
def test_signals_leave_nothing_behind(tmp_path, busy, name):
    process = writing(tmp_path, BUSY[busy])
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (ENDS[name], "")
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]


def test_a_second_signal_does_not_wait(tmp_path):
    busy = (
        "try:\n"
        f"        {TOLD}\n"
        "        while True: sleep(0.01)\n"
        "    except KeyboardInterrupt: print('again', flush=True)\n"
        "    while True: sleep(0.01)"
    )
    process = writing(tmp_path, busy, before="softsort_cli.interrupts.GRACE = 3600")
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert process.stdout.readline() == "again\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]


def test_ignored_signals_stay_ignored(tmp_path):
    ignoring = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    process = writing(tmp_path, BUSY["a wait"], before=ignoring)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143


def test_what_cannot_be_cleaned_up_does_not_keep_the_process(tmp_path):
    before = (
        "softsort_cli.interrupts.GRACE = 0; import softsort_cli.io.files\n"
        "from pathlib import Path\n"
        "class Stuck(type(Path())):\n"
        "    def unlink(self, missing_ok=False): sleep(3600)\n"
        "softsort_cli.io.files.Path = Stuck"
    )
    process = writing(tmp_path, BUSY["a wait"], before=before)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143


def test_the_cursor_that_a_bar_hides_comes_back():
    # Not printed: a bar takes what is.
    program = (
        "import os, signal, threading, softsort_cli.app, softsort_cli.console\n"
        "def bar():\n"
        "    with softsort_cli.console.progress('work', 1, delay=0):\n"
        "        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
        "        os.write(1, b'working\\n')\n"
        "        threading.Event().wait()\n"
        "softsort_cli.app.run = bar\n"
        "softsort_cli.app.main()"
    )
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm"},
    )
    os.close(theirs)
    assert process.stdout is not None
    assert process.stdout.readline() == b"working\n"
    shown = b""
    while b"\x1b[?25l" not in shown:  # hides it
        shown += os.read(ours, 1024)
    process.send_signal(signal.SIGTERM)
    while b"\x1b[?25h" not in shown:  # shows it
        shown += os.read(ours, 1024)
    process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 143


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_input_that_never_comes_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / "x.csv")
    process = subprocess.Popen(
        [*SOFTSORT, "rank", "--hard", "x.csv", "-o", "y.csv", "-q"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    # It is opened for writing once it is for reading.
    with (tmp_path / "x.csv").open("w"):
        process.send_signal(getattr(signal, name))
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (ENDS[name], "")
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]
