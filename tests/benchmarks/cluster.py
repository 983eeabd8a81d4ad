"""Dask clusters of this machine: how they share the work, and what they move.

`python -m tests.benchmarks.cluster FOLDER [ROWS ...]` prints the table of
docs/scaling.md; the last of ROWS is 10^8 by default, which takes some gigabytes in
FOLDER and a few minutes.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import psutil
from PIL import Image

from tests.benchmarks.commands import SOFTSORT
from tests.benchmarks.report import Row
from tests.benchmarks.text import bytes_text, count_text, seconds_text

PARTS, WORKERS = 64, 2
PORT = "8799"
ADDRESS = f"tcp://127.0.0.1:{PORT}"
SCHEDULER = ["scheduler", "--host", "127.0.0.1", "--port", PORT, "--no-dashboard"]
DASK = [sys.executable, "-c", "from dask.__main__ import main; main()"]


@dataclass(frozen=True)
class Cluster:
    """The processes of a cluster."""

    scheduler: int
    workers: list[int]


@dataclass(frozen=True)
class Run:
    """What a command took on a cluster: seconds, and bytes."""

    seconds: float
    scheduler: int  # peak memory
    worker: int  # that of the largest
    moved: int


@dataclass(frozen=True)
class Images:
    """The time of two workers on images, beside that of one."""

    count: int = 48
    side: int = 1_000
    bar: float = 0.65

    @property
    def what(self) -> str:
        size = f"{self.side}x{self.side}"
        return f"denoise --size 7 by two workers, {self.count} images of {size}"

    @property
    def beside(self) -> str:
        return "by one worker"

    def quick(self) -> "Images":
        return replace(self, count=4, side=100)

    def measure(self) -> Row:
        ours, theirs = (self._seconds(workers) for workers in (2, 1))
        texts = seconds_text(ours), seconds_text(theirs)
        return Row(self.what, self.beside, *texts, ours / theirs, self.bar)

    def _seconds(self, workers: int) -> float:
        random = np.random.default_rng(0)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for place in range(self.count):
                pixels = random.integers(0, 256, (self.side, self.side), np.uint8)
                Image.fromarray(pixels).save(folder / f"{place}.png", compress_level=1)
            command = ["denoise", "--size", "7", str(folder / "*.png")]
            with cluster(workers) as running:
                # So that workers have what they import and compile.
                for out in ("before", "out"):
                    given = [*command, "--out-dir", str(folder / out)]
                    seconds = measured(given, running).seconds
        return seconds


@dataclass(frozen=True)
class Moved:
    """The bytes that ranking many rows in parts moves, beside those of few."""

    rows: int = 10**8
    few: int = 10**6
    bar: float = 1.2  # processes say that they are there as long as it takes

    @property
    def what(self) -> str:
        return f"bytes moved, rank of {count_text(self.rows)} rows in {PARTS} parts"

    @property
    def beside(self) -> str:
        return f"of {count_text(self.few)} rows"

    def quick(self) -> "Moved":
        return replace(self, rows=10**5, few=10**4)

    def measure(self) -> Row:
        with tempfile.TemporaryDirectory() as folder:
            few, many = (ranked(Path(folder), n).moved for n in (self.few, self.rows))
        texts = bytes_text(many), bytes_text(few)
        return Row(self.what, self.beside, *texts, many / few, self.bar)


CLUSTERS = (Images(), Moved())


def main(folder: Path, sizes: list[int]) -> None:
    """Measure each size in a cluster of its own."""
    print("| rows | first run, s | scheduler, MiB | a worker, MiB | moved, MB |")
    print("|---|---|---|---|---|")
    for rows in sizes:
        run = ranked(folder, rows)
        memory = f"{run.scheduler / 2**20:.0f} | {run.worker / 2**20:.0f}"
        print(f"| {rows:,} | {run.seconds:.0f} | {memory} | {run.moved / 1e6:.2f} |")


def ranked(folder: Path, rows: int) -> Run:
    """Rank so many rows in parts, in a cluster of its own."""
    for part in range(PARTS):
        values = np.random.default_rng(part).lognormal(size=rows // PARTS)
        pl.DataFrame({"x": values}).write_parquet(folder / f"part-{part:02}.parquet")
    output = folder / "out"
    command = ["rank", str(folder / "part-*.parquet"), "-c", "x"]
    with cluster(WORKERS) as running:
        found = measured([*command, "--out-dir", str(output)], running)
    shutil.rmtree(output)
    return found


@contextmanager
def cluster(workers: int) -> Iterator[Cluster]:
    """A scheduler and so many workers of one thread."""
    words = ["worker", ADDRESS, "--nworkers", str(workers), "--nthreads", "1"]
    scheduler = subprocess.Popen([*DASK, *SCHEDULER], stderr=subprocess.DEVNULL)
    nanny = subprocess.Popen([*DASK, *words], stderr=subprocess.DEVNULL)
    try:
        while len(children(nanny.pid)) < workers:
            time.sleep(0.5)
        time.sleep(5)  # until they have found the scheduler
        yield Cluster(scheduler.pid, children(nanny.pid))
    finally:
        for process in (nanny, scheduler):
            process.terminate()
            process.wait()


def measured(command: list[str], running: Cluster) -> Run:
    """Run a command on a cluster."""
    before, start = moved(), time.perf_counter()
    subprocess.run([*SOFTSORT, *command, "--cluster", ADDRESS], check=True)
    seconds = time.perf_counter() - start
    largest = max(map(peak, running.workers))
    return Run(seconds, peak(running.scheduler), largest, moved() - before)


def children(process: int) -> list[int]:
    """The worker processes below a nanny."""
    found = psutil.Process(process).children(recursive=True)
    return [each.pid for each in found if "spawn_main" in " ".join(each.cmdline())]


def moved() -> int:
    """Bytes sent over the loopback interface, since the machine was started."""
    return psutil.net_io_counters(pernic=True)["lo"].bytes_sent


def peak(process: int) -> int:
    """The most memory that a process has held."""
    status = Path(f"/proc/{process}/status").read_text()
    (kilobytes,) = re.findall(r"VmHWM:\s*(\d+) kB", status)
    return int(kilobytes) * 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(float(rows)) for rows in sys.argv[2:]] or [10**8])
