"""A table in 64 parts on a Dask cluster of this machine: time, memory, bytes moved.

`python -m tests.benchmarks.cluster FOLDER [ROWS ...]`; the last of ROWS is 10^8 by
default, which takes some gigabytes in FOLDER and a few minutes.
"""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import psutil

PARTS, WORKERS = 64, 2
ADDRESS = "tcp://127.0.0.1:8799"
SOFTSORT = [sys.executable, "-c", "import cli.app; cli.app.main()"]
SCHEDULER = ["scheduler", "--host", "127.0.0.1", "--port", "8799", "--no-dashboard"]
WORKER = ["worker", ADDRESS, "--nworkers", str(WORKERS), "--nthreads", "1"]


def main(folder: Path, sizes: list[int]) -> None:
    """Measure each size in a cluster of its own."""
    print("| rows | first run, s | scheduler, MiB | a worker, MiB | moved, MB |")
    print("|---|---|---|---|---|")
    for rows in sizes:
        print(
            "| {:,} | {:.0f} | {:.0f} | {:.0f} | {:.2f} |".format(
                rows, *run(folder, rows)
            )
        )


def run(folder: Path, rows: int) -> tuple[float, float, float, float]:
    """Time, memory of the scheduler and of the largest worker, and bytes moved."""
    for part in range(PARTS):
        values = np.random.default_rng(part).lognormal(size=rows // PARTS)
        pl.DataFrame({"x": values}).write_parquet(folder / f"part-{part:02}.parquet")
    output = folder / "out"
    shutil.rmtree(output, ignore_errors=True)
    dask = [sys.executable, "-c", "from dask.__main__ import main; main()"]
    scheduler = subprocess.Popen([*dask, *SCHEDULER], stderr=subprocess.DEVNULL)
    workers = subprocess.Popen([*dask, *WORKER], stderr=subprocess.DEVNULL)
    try:
        while len(children(workers.pid)) < WORKERS:
            time.sleep(0.5)
        time.sleep(5)  # until they have found the scheduler
        before, start = moved(), time.perf_counter()
        command = ["rank", str(folder / "part-*.parquet"), "-c", "x"]
        command += ["--out-dir", str(output), "--cluster", ADDRESS]
        subprocess.run([*SOFTSORT, *command], check=True)
        seconds = time.perf_counter() - start
        memory = peak(scheduler.pid), max(map(peak, children(workers.pid)))
        return seconds, *memory, (moved() - before) / 1e6
    finally:
        workers.terminate()
        workers.wait()
        scheduler.terminate()
        scheduler.wait()


def children(process: int) -> list[int]:
    """The worker processes below a nanny."""
    found = psutil.Process(process).children(recursive=True)
    return [each.pid for each in found if "spawn_main" in " ".join(each.cmdline())]


def moved() -> int:
    """Bytes sent over the loopback interface, since the machine was started."""
    return psutil.net_io_counters(pernic=True)["lo"].bytes_sent


def peak(process: int) -> float:
    """The most memory that a process has held, in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    (kilobytes,) = re.findall(r"VmHWM:\s*(\d+) kB", status)
    return int(kilobytes) / 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(float(rows)) for rows in sys.argv[2:]] or [10**8])
