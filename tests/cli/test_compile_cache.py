"""What commands keep of what JAX compiled: whole, and this user's alone."""

import contextlib
import functools
import os
import pty
import stat
import subprocess
import sys

import pytest
from softsort_cli import compile_cache

SOFTSORT = [sys.executable, "-c", "from softsort_cli.__main__ import main; main()"]
TABLE, RANKS = "x\n1\n5\n4\n", "x,x_rank\n1,0.0\n5,2.0\n4,1.0\n"


@pytest.fixture
def rank(tmp_path):
    """Rank a table with a cache of its own: its output, errors and the cache."""

    def call(*, pass_fds=(), **environment):
        given = {"XDG_CACHE_HOME": str(tmp_path)} | environment
        kept = {k: v for k, v in os.environ.items() if k != compile_cache.VARIABLE}
        done = subprocess.run(
            [*SOFTSORT, "rank", "-q", "--float-format", ".1f"],
            input=TABLE,
            env=kept | given,
            cwd=tmp_path,
            pass_fds=pass_fds,
            capture_output=True,
            text=True,
            check=True,
        )
        assert (done.stdout, done.stderr) == (RANKS, "")
        return list((tmp_path / "softsort").glob("softsort-jax-*/*"))

    return call


def changed(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    return bytes(data)


def programs(folder):
    return {path: path.read_bytes() for path in folder.glob("*-cache")}


@pytest.fixture
def own(tmp_path):
    """A folder with a file that is sound."""
    folder = compile_cache.Folder(tmp_path / "own")
    (folder.path / "sound-cache").write_bytes(b"program")
    folder.seal()
    return folder.path


def test_what_one_command_compiles_is_there_for_the_next(rank, tmp_path):
    first = rank()
    # Wherever in the process the folder is open.
    with (tmp_path / "other").open("w") as other:
        assert set(rank(pass_fds=[other.fileno()])) == set(first)
    for folder in (tmp_path / "softsort", first[0].parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    # A changed file is compiled again.
    before = {path: changed(path) for path in first if path.name.endswith("-cache")}
    rank()
    assert before
    assert all(path.read_bytes() != bad for path, bad in before.items())
    # And then it is kept.
    after = {path: path.read_bytes() for path in before}
    assert set(rank()) == set(first)
    assert {path: path.read_bytes() for path in before} == after


def test_the_first_command_says_on_a_terminal_that_it_compiles(tmp_path):
    kept = {k: v for k, v in os.environ.items() if k != compile_cache.VARIABLE}

    def times_said(*arguments) -> int:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [*SOFTSORT, "rank", *arguments],
            stdin=subprocess.PIPE,
            env=kept | {"XDG_CACHE_HOME": str(tmp_path), "TERM": "dumb"},
            stdout=subprocess.DEVNULL,
            stderr=theirs,
        )
        os.close(theirs)
        process.stdin.write(TABLE.encode())
        process.stdin.close()
        shown = b""
        with contextlib.suppress(OSError):  # on Linux, the end of a terminal
            while more := os.read(ours, 1000):
                shown += more
        os.close(ours)
        assert process.wait(timeout=60) == 0
        return shown.count(b"compiling what the first command")

    assert times_said("--hard") == 0
    assert times_said() == 1
    assert times_said() == 0


def test_files_that_are_not_sound_are_removed(own, monkeypatch):
    (own / "cut-cache").write_bytes(b"whole")
    (own / "old-cache").write_bytes(b"nobody has noted its checksum")
    (own / "link-cache").symlink_to(own / "sound-cache")
    (own / "folder-cache").mkdir()
    compile_cache.Folder(own).seal()
    (own / "cut-cache").write_bytes(b"who")
    (own / "young-cache").write_bytes(b"another command may be about to note it")
    (own / "old-cache").write_bytes(b"what")
    os.utime(own / "old-cache", (0, 0))
    compile_cache.Folder(own)
    assert {path.name for path in programs(own)} == {"sound-cache", "young-cache"}
    monkeypatch.setattr(compile_cache, "_MOST_FILES", 1)
    os.utime(own / "sound-cache", (1, 1))
    compile_cache.Folder(own).seal()
    assert {path.name for path in programs(own)} == {"young-cache"}
    assert "sound" not in (own / "SHA256SUMS").read_text()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="there are no owners")
def test_files_of_others_are_never_loaded(own, monkeypatch):
    # Nobody but root can give files away, so this process becomes another user.
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    with pytest.raises(PermissionError, match="others"):
        compile_cache.Folder(own)
    monkeypatch.undo()
    if os.geteuid() == 0:
        (own / "planted-cache").write_bytes(b"program")
        os.chown(own / "planted-cache", 65534, 65534)
        compile_cache.Folder(own)
        assert {path.name for path in programs(own)} == {"sound-cache"}


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_a_folder_that_others_can_write_to_is_not_used(own, mode):
    own.chmod(mode)
    with pytest.raises(PermissionError, match="others"):
        compile_cache.Folder(own)
    assert programs(own)


def test_a_folder_stays_what_it_was_when_it_was_opened(own):
    folder = compile_cache.Folder(own)
    own.rename(own.with_name("moved"))
    own.mkdir()
    (own / "planted-cache").write_bytes(b"program")
    if folder.location != own:  # where open folders have a path of their own
        assert {path.name for path in programs(folder.location)} == {"sound-cache"}


def test_checksums_that_cannot_be_noted_are_no_error(monkeypatch):
    class Gone:
        def seal(self):
            raise FileNotFoundError("the folder is gone")

    @functools.cache
    def folder():
        return Gone()

    folder()
    monkeypatch.setattr(compile_cache, "folder", folder)
    compile_cache.seal()


def test_checksums_are_not_written_through_a_link(own, tmp_path):
    (own / "SHA256SUMS").unlink()
    (own / "SHA256SUMS").symlink_to(tmp_path / "elsewhere")
    folder = compile_cache.Folder(own)
    folder.seal()
    assert not (tmp_path / "elsewhere").exists()
    assert "sound-cache" in (own / "SHA256SUMS").read_text()


def test_the_variable_names_a_folder_for_one_of_its_own(rank, tmp_path):
    rank(JAX_COMPILATION_CACHE_DIR=str(tmp_path / "a" / "b"))
    (folder,) = (tmp_path / "a" / "b").iterdir()
    assert programs(folder)
    for made in (tmp_path / "a", tmp_path / "a" / "b", folder):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "environment",
    [
        {"JAX_COMPILATION_CACHE_DIR": ""},
        {"JAX_COMPILATION_CACHE_DIR": "/proc/none"},
        {"XDG_CACHE_HOME": "", "HOME": ""},
        {"XDG_CACHE_HOME": "/dev/null"},
    ],
    ids=str,
)
def test_a_cache_that_cannot_be_is_no_error(rank, tmp_path, environment):
    assert rank(**environment) == []
    assert list(tmp_path.iterdir()) == []


def test_folders_of_versions_that_are_out_of_use_are_removed(tmp_path):
    for name in (
        "jaxlib-0.8.3-0",
        "softsort-jax-0.8.2-0",
        "softsort-jax-0.9-0",
        "else",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recording-0").touch()
        if name != "softsort-jax-0.9-0":
            os.utime(tmp_path / name, (0, 0))
    compile_cache.Folder(tmp_path / "softsort-jax-0.12-0")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"softsort-jax-0.12-0", "softsort-jax-0.9-0", "else"}
