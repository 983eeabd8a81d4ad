"""Tables in parts and many images, by threads and by the workers of a Dask cluster."""

import asyncio
import contextlib
import errno
import fcntl
import http.client
import itertools
import json
import logging
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import dask
import distributed
import numpy as np
import polars as pl
import psutil
import pytest
import tifffile
from distributed import LocalCluster, Security, WorkerPlugin, rpc
from PIL import Image
from polars.testing import assert_frame_equal
from softsort_cli.errors import CommandError
from softsort_cli.images import tiff_bands, tiff_streaming
from softsort_cli.io import files
from softsort_cli.operate import few_values
from softsort_cli.options.softness import Solver
from softsort_cli.work import dask as workers
from softsort_cli.work import manifest
from softsort_cli.work.engine import open_engine

pytest_plugins = ["tests.tabular"]

SIZE = 1 << 8
CUTS = [0, 1, 40, 40 + SIZE, 700, 1000]


@pytest.fixture(scope="module")
def scheduler():
    """A scheduler and two worker processes."""
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=None,
        silence_logs="CRITICAL",
    ) as cluster:
        yield cluster


@pytest.fixture
def address(scheduler):
    yield scheduler.scheduler_address
    with distributed.Client(scheduler) as client:
        client.wait_for_workers(2)


@pytest.fixture
def table(folder, monkeypatch):
    """A table, whole and in parts, of enough values to be summarised."""
    monkeypatch.setattr(few_values, "FEW", 0)
    rng = np.random.default_rng(0)
    x, y = rng.lognormal(size=1000), rng.normal(size=1000)
    y[::7] = np.nan
    whole = pl.DataFrame({"id": np.arange(1000), "x": x, "y": y})
    whole = whole.with_columns(pl.col("y").fill_nan(None))
    whole.write_csv(folder / "whole.csv")
    cut(whole, folder, CUTS)
    return whole


def cut(whole, folder, cuts):
    for place, (start, stop) in enumerate(itertools.pairwise(cuts)):
        whole[start:stop].write_csv(folder / f"part-{place}.csv")


def together(folder):
    return pl.concat([read(path) for path in sorted(folder.glob("part-*"))])


def read(path):
    return pl.read_csv(path, infer_schema=False).cast(pl.Float64)


def close(got, want, names, tolerance=1e-12):
    """Equal to so much of the range."""
    for name in names:
        assert got[name].is_null().equals(want[name].is_null())
        span = want[name].max() - want[name].min()
        assert (got[name] - want[name]).abs().max() <= tolerance * span


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("command", ["rank", "sort"])
def test_parts_are_one_table_wherever_they_are_worked_on(
    softsort, folder, table, address, command
):
    arguments = [command, "-c", "x,y", "--quiet"]
    assert softsort(*arguments, "whole.csv", "-o", "one.csv")[0] == 0
    assert softsort(*arguments, "part-*.csv", "--out-dir", "here") == (0, b"", "")
    there = ["--out-dir", "there", "--cluster", address]
    code, _, err = softsort(*arguments, "part-*.csv", *there)
    assert (code, err) == (0, "")
    whole = read("one.csv")
    assert together(folder / "here").drop(whole.columns[3:]).equals(whole[:, :3])
    for place in (folder / "here", folder / "there"):
        close(together(place), whole, whole.columns[3:])
    cut(table, folder, [0, 333, 334, 335, 336, 1000])
    assert softsort(*arguments, "part-*.csv", "--out-dir", "else")[0] == 0
    close(together(folder / "else"), together(folder / "there"), whole.columns[3:])


APPENDED = [
    (["topk", "-k", "30", "--mask"], "topk"),
    (["quantize", "--levels", "4"], "quantized"),
    (["normalize"], "normalized"),
]


@pytest.mark.parametrize(("command", "suffix"), APPENDED)
def test_every_command_takes_parts(softsort, folder, table, command, suffix):
    arguments = [*command, "-c", "y", "--quiet"]
    assert softsort(*arguments, "whole.csv", "-o", "one.csv")[0] == 0
    assert softsort(*arguments, "part-*.csv", "--out-dir", "here") == (0, b"", "")
    names = [f"y_{suffix}"]
    got, want = together(folder / "here"), read("one.csv")
    assert got.columns == want.columns
    # One is solved with all values, the other with their summary.
    close(got, want, names, 1e-9)
    cut(table, folder, [0, 333, 334, 335, 336, 1000])
    assert softsort(*arguments, "part-*.csv", "--out-dir", "else")[0] == 0
    close(together(folder / "else"), got, names)
    # A file that memory does not hold is a table in parts.
    memory = ["--max-memory", "1kB"]
    assert softsort(*arguments, "whole.csv", "-o", "two.csv", *memory)[0] == 0
    close(read("two.csv"), got, names)


FEW = [
    ["quantile", "-q", "0.9,0.1"],
    ["topk", "-k", "3"],
    ["sort", "--targets", "5"],
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("command", FEW)
def test_few_results_of_parts_are_one_table(softsort, folder, table, address, command):
    arguments = [*command, "-c", "y", "--quiet"]
    tables = []
    for place, given in enumerate(
        (["whole.csv"], ["part-*.csv"], ["whole.csv", "--max-memory", "1kB"])
    ):
        output = f"{place}.csv"
        assert softsort(*arguments, *given, "-o", output) == (0, b"", "")
        tables.append(pl.read_csv(output))
    one, parts, passes = tables
    assert parts.columns == one.columns
    numbers = one.select(pl.col(pl.Float64)).columns
    close(parts, one, numbers, 1e-9)
    close(passes, parts, numbers)
    if command[0] == "quantile":
        code, out, err = softsort(*arguments, "part-*.csv", "--cluster", address)
        assert (code, err) == (0, "")
        close(pl.read_csv(out), parts, numbers)


def test_another_reference_starts_over(softsort, folder, table):
    arguments = ["normalize", "-c", "y", "--to", "whole.csv:x"]
    assert softsort(*arguments, "whole.csv", "-o", "one.csv")[0] == 0
    arguments += ["part-*.csv", "--out-dir", "out"]
    assert softsort(*arguments)[0] == 0
    before = together(folder / "out")
    close(before, read("one.csv"), ["y_normalized"], 1e-9)
    assert "5 of 5 parts are finished" in softsort(*arguments)[2]
    table.with_columns(pl.col("x") * 2).write_csv("whole.csv")
    code, _, err = softsort(*arguments)
    assert (code, "starting over" in err) == (0, True), err
    twice = pl.col("y_normalized") * 2
    close(together(folder / "out"), before.with_columns(twice), ["y_normalized"], 1e-9)


class Deadly(WorkerPlugin):
    """Kill a worker in the middle of writing, the first time it comes to some parts."""

    def __init__(self, folder, parts):
        self.folder, self.parts = folder, parts

    def setup(self, worker):  # noqa: ARG002
        from softsort_cli.tables import write as results

        write = results._appended

        def deadly(table, rows, form, spec):
            first, *others = rows
            name = Path(first[0].source).name
            for text in write(table, [first, *others], form, spec):
                yield text[: len(text) // 2]
                flag = self.folder / f"killed-{name}"
                if name in self.parts and not flag.exists():
                    flag.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                yield text[len(text) // 2 :]

        results._appended = deadly
        self.undo = lambda: setattr(results, "_appended", write)

    def teardown(self, worker):  # noqa: ARG002
        self.undo()


@pytest.mark.filterwarnings("ignore")
def test_lost_workers_lose_nothing(softsort, folder, table, address):
    arguments = ["rank", "part-*.csv", "-c", "x"]
    assert softsort(*arguments, "--out-dir", "here")[0] == 0
    with distributed.Client(address) as client:
        deadly = Deadly(folder, ["part-1.csv", "part-3.csv"])
        client.register_plugin(deadly, name="deadly")
        there = ["--out-dir", "there", "--cluster", address]
        code, _, err = softsort(*arguments, *there)
        client.unregister_worker_plugin("deadly")
    assert (code, err) == (0, "")
    assert len(list(folder.glob("killed-*"))) == 2
    names = sorted(path.name for path in (folder / "here").iterdir())
    assert sorted(path.name for path in (folder / "there").iterdir()) == names
    close(together(folder / "there"), together(folder / "here"), ["x_rank"])


KILLED = """
import os, signal, sys
from softsort_cli import app
from softsort_cli.work import manifest
add = manifest.Manifest.add
def deadly(run, *given):
    add(run, *given)
    if len(run.entries) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
manifest.Manifest.add = deadly
app.run(sys.argv[1:])
"""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("command", ["rank", "denoise"])
def test_a_killed_command_is_finished_by_a_second(
    softsort, folder, table, address, command
):
    arguments = [command, "part-*.csv", "-c", "x"]
    names = [path.name for path in folder.glob("part-*")]
    if command == "denoise":
        arguments, names = [command, "*.png"], [f"{place}.png" for place in range(5)]
        noise(folder, names)
    arguments += ["--out-dir", "out", "--cluster", address, "--quiet"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    done = manifest.read(folder / "out").entries
    before = {name: (folder / "out" / name).stat().st_mtime_ns for name in done}
    assert 2 == len(before) < len(names)
    assert softsort(*arguments) == (0, b"", "")
    done = manifest.read(folder / "out").entries
    assert sorted(done) == sorted(names)
    for name in names:
        output = folder / "out" / name
        assert before.get(name) in (None, output.stat().st_mtime_ns)
        assert done[name].checksum == manifest.checksum(output)


INTERRUPTED = """
import time
from pathlib import Path
from softsort_cli import app
from softsort_cli.io import files
from softsort_cli.options.softness import Solver
from softsort_cli.work.engine import open_engine
def write(output):
    with files.open_output(output, force=False):
        print("writing", flush=True)
        time.sleep(3600)
def command():
    output, solver = Path("y.csv").absolute(), Solver(hard=True, cluster="local:1")
    with open_engine(solver, "64", output.parent, [], [output]) as engine:
        engine.submit(write, output).result()
app.run = command
app.main()
"""


def test_an_interrupt_ends_workers_of_this_machine(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    assert len(list(tmp_path.iterdir())) == 1
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    # Their standard output is closed once all workers have ended too.
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "is_left"),
    [
        (".a.tif.0123abcd.tmp", True),
        (".a.tif.0-512.tmp", True),
        ("..a.tif.0-512.tmp.0123abcd.tmp", True),
        (".b.tif.0123abcd.tmp", False),
        ("a.tif.0123abcd.tmp", False),
        (".a.tif", False),
    ],
)
def test_what_is_left_of_an_output(tmp_path, name, is_left):
    (tmp_path / name).touch()
    files.remove_leftovers([tmp_path / "a.tif"])
    assert (tmp_path / name).exists() != is_left


def test_what_has_changed_is_done_again(softsort, folder, table):
    arguments = ["rank", "part-*.csv", "-c", "x", "--out-dir", "out"]
    assert softsort(*arguments)[0] == 0
    (folder / "out" / "part-1.csv").write_text("damaged")
    code, _, err = softsort(*arguments)
    assert (code, err) == (0, "softsort: out: 4 of 5 parts are finished already\n")
    first = together(folder / "out")
    code, _, err = softsort(*arguments, "-e", "0.1")
    assert (code, "epsilon was 0.01 and is 0.1" in err) == (0, True)
    assert together(folder / "out")["x_rank"].max() < first["x_rank"].max()
    cut(table.reverse(), folder, CUTS)
    code, _, err = softsort(*arguments, "-e", "0.1")
    assert (code, "part-0.csv has changed" in err) == (0, True)
    assert together(folder / "out")["id"].to_list() == list(range(999, -1, -1))
    (folder / "out" / manifest.NAME).unlink()
    code, _, err = softsort(*arguments)
    assert (code, "exists" in err) == (1, True)


HELD = """
import sys
from softsort_cli import app
from softsort_cli.work import manifest
def hold(*given):
    print("begun", flush=True)
    sys.stdin.read()
manifest.Manifest.add = hold
app.run(sys.argv[1:])
"""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("command", ["rank", "denoise"])
def test_two_commands_do_not_write_to_one_folder(
    softsort, folder, table, address, command
):
    arguments = [command, "part-*.csv", "-c", "x"]
    names = [path.name for path in folder.glob("part-*")]
    if command == "denoise":
        names = ["a.png", "b.png"]
        noise(folder, names)
        arguments = [command, *names, "--cluster", address]
    arguments += ["--out-dir", "out", "--quiet"]
    first = subprocess.Popen(
        [sys.executable, "-c", HELD, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with first:
        assert first.stdout.readline() == b"begun\n"
        before = (folder / "out" / manifest.NAME).read_bytes()
        for more in ([], ["--force"], ["-e", "0.1"]):
            code, _, err = softsort(*arguments, *more)
            assert (code, err.count("\n")) == (1, 1)
            assert "another command writes to out: wait for it, or name" in err
        if command == "rank":
            assert softsort(*arguments, "--dry-run", "--force")[0] == 0
        assert (folder / "out" / manifest.NAME).read_bytes() == before
        first.kill()
    # What it had locked is not any more, and no lock is left.
    assert softsort(*arguments) == (0, b"", "")
    left = sorted(path.name for path in (folder / "out").iterdir())
    assert left == sorted([*names, manifest.NAME])


def test_a_lock_that_was_removed_is_none(folder, monkeypatch):
    flock = fcntl.flock

    def removed(*given):
        # Another command has ended between opening and locking.
        monkeypatch.setattr(fcntl, "flock", flock)
        (folder / manifest.LOCK).unlink()
        flock(*given)

    monkeypatch.setattr(fcntl, "flock", removed)
    with manifest.lock(folder):
        assert (folder / manifest.LOCK).exists()
        with (
            pytest.raises(CommandError, match="another command writes"),
            manifest.lock(folder),
        ):
            pass
        assert (folder / manifest.LOCK).exists()
    assert not list(folder.iterdir())


def test_a_file_system_without_locks_is_told(folder, monkeypatch, capsys):
    def fail(*given):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)
    with manifest.lock(folder):
        pass
    assert "no locks (No locks available): let no other" in capsys.readouterr().err
    assert not list(folder.iterdir())


def test_outputs_with_other_options_are_done_again(softsort, folder, table):
    """What two commands at once leave where nothing keeps one of them out."""
    arguments = ["rank", "part-*.csv", "-c", "x"]
    assert softsort(*arguments, "--out-dir", "other", "-e", "0.1")[0] == 0
    arguments += ["--out-dir", "out"]
    assert softsort(*arguments)[0] == 0
    expected = together(folder / "out")
    (other,) = (
        line
        for line in (folder / "other" / manifest.NAME).read_text().splitlines()
        if json.loads(line).get("part") == "part-3.csv"
    )
    with (folder / "out" / manifest.NAME).open("a") as stream:
        stream.write(other + "\n")
    (folder / "other" / "part-3.csv").replace(folder / "out" / "part-3.csv")
    assert not together(folder / "out").equals(expected)
    code, _, err = softsort(*arguments)
    assert (code, "out: 1 outputs were made with other options" in err) == (0, True)
    assert together(folder / "out").equals(expected)
    code, _, err = softsort(*arguments)
    assert err == "softsort: out: 5 of 5 parts are finished already\n"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("option", ["--weights", "--footprint"])
def test_another_window_in_the_same_file_starts_over(softsort, folder, address, option):
    noise(folder, ["a.png"])
    (folder / "window.txt").write_text("1 1 1\n")
    arguments = ["denoise", "a.png", option, "window.txt"]
    there = ["--out-dir", "out", "--cluster", address]
    assert softsort(*arguments, *there) == (0, b"", "")
    assert "1 of 1 images are done already" in softsort(*arguments, *there)[2]
    (folder / "window.txt").write_text("0 1 1\n")
    code, _, err = softsort(*arguments, *there)
    assert (code, f"{option[2:]} values was" in err) == (0, True), err
    assert softsort(*arguments, "-o", "expected.png")[0] == 0
    outputs = [folder / "out" / "a.png", folder / "expected.png"]
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def noise(folder, names):
    rng = np.random.default_rng(0)
    for name in names:
        pixels = rng.integers(0, 255, (40, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)


@pytest.mark.filterwarnings("ignore")
def test_images_on_workers(softsort, folder, address):
    noise(folder, ["a.png", "b.png"])
    (folder / "c.png").write_bytes(b"nothing")
    arguments = ["denoise", "*.png", "--epsilon", "auto"]
    code, _, here = softsort(*arguments, "--out-dir", "here")
    assert code == 3
    arguments += ["--out-dir", "there", "--cluster", address]
    code, _, there = softsort(*arguments)
    assert code == 3
    assert sorted(there.replace(f"{folder}/", "").split("\n")) == sorted(
        here.split("\n")
    )
    for name in ("a.png", "b.png"):
        pair = [(folder / each / name).read_bytes() for each in ("here", "there")]
        assert pair[0] == pair[1]
    code, _, err = softsort(*arguments)
    assert (code, "2 of 3 images are done already" in err) == (3, True)
    arguments[1] = "-"
    code, _, err = softsort(*arguments)
    assert (code, "workers see no standard input" in err) == (2, True)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("border", ["reflect", "wrap"])
def test_large_images_are_done_in_pieces(
    softsort, folder, address, monkeypatch, border
):
    rng = np.random.default_rng(0)
    pages = rng.integers(0, 255, (2, 90, 64), dtype=np.uint8)
    tifffile.imwrite("a.tif", pages, photometric="minisblack")
    options = ["a.tif", "--size", "5", "--iterations", "2", "--border", border]
    assert softsort("denoise", *options, "-o", "whole.tif") == (0, b"", "")
    monkeypatch.setattr(tiff_streaming, "is_large", lambda *_: True)
    monkeypatch.setattr(tiff_bands, "VALUES", 64 * 20)
    code, _, err = softsort("denoise", *options, "-o", "b.tif", "--cluster", address)
    assert (code, err) == (0, "")
    np.testing.assert_array_equal(
        tifffile.imread("b.tif"), tifffile.imread("whole.tif")
    )
    names = ["a.tif", "b.tif", "whole.tif"]
    assert sorted(path.name for path in folder.iterdir()) == names


class Waiting(distributed.Client):
    """A client that notes for how long it would wait."""

    seconds = []  # noqa: RUF012

    def __init__(self, *given, timeout=None, **more):
        self.seconds.append(timeout)
        super().__init__(*given, timeout=timeout, **more)

    def wait_for_workers(self, *given, timeout=None):
        self.seconds.append(timeout)
        return super().wait_for_workers(*given, timeout=timeout)


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_that_cannot_be_used_is_told_at_once(
    softsort, folder, table, address, monkeypatch
):
    arguments = ["rank", "part-*.csv", "-c", "x", "--out-dir", "out", "--cluster"]
    with (
        distributed.LocalCluster(
            n_workers=0,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs="CRITICAL",
        ) as empty,
        monkeypatch.context() as patched,
    ):
        patched.setattr(distributed, "Client", Waiting)
        told(softsort, [*arguments, "elsewhere"], "give tcp://HOST:PORT")
        place = empty.scheduler_address
        told(softsort, [*arguments, place], "the scheduler has no workers")
        assert Waiting.seconds == [workers.PATIENCE] * 2
        patched.setattr(workers, "PATIENCE", 0.5)
        place = "tcp://127.0.0.1:9"
        told(softsort, [*arguments, place], "no scheduler answers there")
        assert Waiting.seconds[2:] == [0.5]
    with monkeypatch.context() as patched:
        # A file that is not there is like one on another machine.
        patched.setattr(Path, "touch", lambda _: None)
        told(softsort, [*arguments, address], f"cannot see {folder}")
    other = workers._versions() | {"jax": "0.1"}
    monkeypatch.setattr(workers, "_versions", lambda: other)
    told(softsort, [*arguments, address], "the command has 0.1: install the same")


def told(softsort, arguments, message):
    code, _, err = softsort(*arguments)
    assert code in (1, 2)
    assert message in err
    assert err.count("\n") == 1


def test_processes_on_this_machine(softsort, folder, table):
    arguments = ["sort", "part-2.csv", "-c", "x"]
    code, _, err = softsort(*arguments, "-o", "there.csv", "--cluster", "local:1")
    assert (code, err) == (0, "")
    assert softsort(*arguments, "--out-dir", "here")[0] == 0
    there, here = pl.read_csv("there.csv"), pl.read_csv("here/part-2.csv")
    # How many threads share a product of matrices shows in the last digits.
    assert_frame_equal(there, here, rel_tol=1e-12, abs_tol=1e-12)


def listening():
    """The ports on which this process and those that it started listen."""
    this = psutil.Process()
    return {
        each.laddr.port
        for process in [this, *this.children(recursive=True)]
        for each in process.net_connections()
        if each.status == psutil.CONN_LISTEN
    }


async def identity(address, **connection_args):
    """What a process of a cluster says of itself, to who has such credentials."""
    async with rpc(address, timeout=2, connection_args=connection_args) as there:
        return await there.identity()


def answer(port, page):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", page)
        return connection.getresponse().status


@pytest.mark.filterwarnings("ignore")
def test_processes_on_this_machine_let_nobody_else_in(folder):
    before, searched = listening(), list(sys.path)
    solver = Solver(cluster="local:2")
    with open_engine(solver, "64", folder, []) as engine:
        engine.client.wait_for_workers(2)
        own = engine.client.security.get_connection_args("client")
        workers = engine.client.scheduler_info(n_workers=-1)["workers"]
        addresses = [engine.client.scheduler.address, *workers]
        addresses += [worker["nanny"] for worker in workers.values()]
        known = {int(address.rpartition(":")[2]) for address in addresses}
        assert len(known) == 5
        unknown = ssl.create_default_context()
        unknown.check_hostname, unknown.verify_mode = False, ssl.CERT_NONE
        strangers = [
            ("tcp", {}),
            ("tls", {"ssl_context": unknown}),
            ("tls", Security.temporary().get_connection_args("client")),
        ]
        for address in addresses:
            assert asyncio.run(identity(address, **own))["id"]
        ports = listening() - before
        assert ports >= known
        for port, (protocol, given) in itertools.product(known, strangers):
            with pytest.raises(OSError):  # noqa: PT011
                asyncio.run(identity(f"{protocol}://127.0.0.1:{port}", **given))
        # The others are of HTTP servers, which ask for no credentials.
        pages = ("/", "/status", "/json/counts.json", "/metrics", "/health")
        for port, page in itertools.product(ports - known, pages):
            assert answer(port, page) == 404
        for worker in workers.values():
            place = Path(worker["local_directory"])
            private = [each.stat().st_mode & 0o077 == 0 for each in place.parents]
            assert any(private)
    assert listening() <= before
    assert sys.path == searched


@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_with_tls(softsort, folder, table):
    arguments = ["rank", "part-*.csv", "-c", "x", "--out-dir", "out", "--cluster"]
    own, other = Security.temporary(), Security.temporary()
    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        host="127.0.0.1",
        security=own,
        dashboard_address=None,
        silence_logs=logging.CRITICAL,
    ) as running:
        tls = running.scheduler_address
        assert tls.startswith("tls://")
        tcp = tls.replace("tls", "tcp")
        encrypted = {"distributed.comm.require-encryption": True}
        cases = [
            (tls, {}, "needs certificates: have Dask's configuration name them"),
            (tls, credentials(other), "certificates must be of one authority"),
            (tls, credentials(own, ca="none.pem"), "cannot read the certificates"),
            (tcp, {}, "give its tls:// address"),
            (tcp, encrypted, "requires encryption"),
        ]
        for address, configured, message in cases:
            with dask.config.set(configured):
                told(softsort, [*arguments, address], message)
        Path("scheduler.json").write_text(json.dumps({"address": tls}))
        with dask.config.set(credentials(own)):
            solver = Solver(cluster="scheduler.json", hard=True)
            with open_engine(solver, "64", folder, []) as engine:
                assert engine.client.scheduler.address == tls
                assert engine.submit(sorted, [2, 1]).result() == [1, 2]
    Path("scheduler.json").write_text("{}")
    told(softsort, [*arguments, "scheduler.json"], "this is no scheduler file")


def credentials(security, ca=None):
    return {
        "distributed.comm.tls.ca-file": ca or security.tls_ca_file,
        "distributed.comm.tls.client.cert": security.tls_client_cert,
        "distributed.comm.tls.client.key": security.tls_client_key,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rank", "part-*.csv"], "give --out-dir"),
        (["rank", "part-*.csv", "-o", "x.csv"], "-o names one file"),
        (["rank", "part-*.csv", "--out-dir", "."], "is a part itself"),
        (["rank", "part-*.csv", "--hard", "--out-dir", "o"], "--hard"),
        (["rank", "part-*.csv", "--by", "id", "--out-dir", "o"], "--by"),
        (["rank", "part-*.csv", "--explain", "--out-dir", "o"], "--explain"),
        (["sort", "part-*.csv", "--targets", "3", "--out-dir", "o"], "--targets"),
        (["sort", "part-*.csv", "--by-column", "x", "--out-dir", "o"], "--by-column"),
        (["topk", "part-*.csv", "-k", "3", "--out-dir", "o"], "--mask"),
        (["topk", "part-*.csv", "-k", "3", "--mask"], "give --out-dir"),
        (["quantile", "part-*.csv", "-q", "0.5", "--by", "id"], "--by"),
        (["sweep", "part-*.csv"], "no table in many parts"),
        (["rank", "part-*.csv", "--on-invalid", "skip", "--out-dir", "o"], "by -c"),
        (["rank", "--out-dir", "o"], "standard input is no part"),
        (["sweep", "whole.csv", "--cluster", "local"], "--cluster"),
        (["topk", "whole.csv", "-k", "1", "--cluster", "local:1000"], "up to 999"),
    ],
)
def test_what_cannot_be_done_in_parts_says_so(
    softsort, folder, table, arguments, message
):
    code, _, err = softsort(*arguments)
    assert (code, message in err) == (2, True), err


def test_invalid_cells_of_all_parts_are_told_once(softsort, folder):
    good = "".join(f"{value}\n" for value in range(100))
    (folder / "part-0.csv").write_text(f"x\n?\n{good}")
    (folder / "part-1.csv").write_text("x\n100\n?\n101\n")
    arguments = ["rank", "part-*.csv", "-c", "x", "--out-dir", "out", "--on-invalid"]
    code, _, err = softsort(*arguments, "error")
    assert (code, "part-0.csv, line 2" in err) == (1, True), err
    code, _, err = softsort(*arguments, "skip")
    assert (code, "not a number: 2, left out" in err) == (0, True), err
    ranks = together(folder / "out")["x_rank"]
    assert ranks.rank().to_list() == list(range(1, 103))
    (folder / "part-1.csv").write_text("y\n5\n")
    code, _, err = softsort(*arguments, "error", "--force")
    assert (code, "part-1.csv has other columns" in err) == (1, True), err


def test_a_dry_run_writes_nothing(softsort, folder, table):
    arguments = ["rank", "part-*.csv", "-c", "x,y", "--out-dir", "out", "--dry-run"]
    before = sorted(folder.iterdir())
    code, _, err = softsort(*arguments)
    assert code == 0
    assert "1,000 rows; would write x_rank, y_rank to out" in err
    assert sorted(folder.iterdir()) == before


def test_nothing_of_dask_is_imported_without_a_cluster(folder, table):
    program = (
        "import sys; from softsort_cli import app; "
        "code = app.run(['rank', 'part-*.csv', '-c', 'x', '--out-dir', 'o']); "
        "sys.exit(code or bool({'dask', 'distributed'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
