"""The memory that ranks takes, measured in a process of its own.

On a CPU that is the peak resident memory of the process (VmHWM of Linux, which
`ru_maxrss` is not: a child process inherits the latter from its parent), less its
resident memory just before the input is made. A call on few values comes first, so
that the libraries are loaded and most of the compiler's memory is taken. On a GPU it is
the peak that JAX reports for the device, less what is in use before the input is made.
"""

import gc
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from softsort_core import ranks
from tests.benchmarks.contestants import EPSILON, SkippedError, normal

ROOT = Path(__file__).parents[2]
_STATUS = Path("/proc/self/status")
_MACHINE = Path("/proc/meminfo")
# Enough to be ranked in the way that many values are.
_FEW = 2**16


def measured_peak(n: int) -> int:
    """Return the most bytes that n float32 values and their ranks take at a time."""
    if jax.default_backend() == "cpu" and not _STATUS.exists():
        raise SkippedError(f"It is read from {_STATUS}, which this system lacks.")
    return measured_in_process("tests.benchmarks.memory", n)


def measured_in_process(module: str, *arguments: object) -> Any:
    """Return what a module prints, as JSON, when it is run with these arguments."""
    environment = os.environ | {
        # Most of a GPU's memory is taken by this process.
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        # The last line of an error says what it is.
        "JAX_TRACEBACK_FILTERING": "off",
    }
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = " ".join(done.stderr.strip().splitlines()[-1:])
        raise SkippedError(f"Its process ended with code {done.returncode}: {last}")
    return json.loads(done.stdout)


def available_memory() -> int | None:
    """Return the bytes of memory that are free on this machine, where it says so."""
    return _field(_MACHINE, "MemAvailable") if _MACHINE.exists() else None


def _measure(n: int) -> int:
    _rank(_FEW)
    before, _ = memory_in_use()
    _rank(n)
    return memory_in_use()[1] - before


def _rank(n: int) -> None:
    x = jax.block_until_ready(jnp.asarray(normal((n,))))
    # JAX keeps the numpy array, which is no part of the input, until then.
    gc.collect()
    jax.block_until_ready(ranks(x, epsilon=EPSILON))


def memory_in_use() -> tuple[int, int]:
    """Return the bytes in use now, and at most so far."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        statistics = device.memory_stats()
        return statistics["bytes_in_use"], statistics["peak_bytes_in_use"]
    return _field(_STATUS, "VmRSS"), _field(_STATUS, "VmHWM")


def _field(path: Path, name: str) -> int:
    """Read one of the kernel's figures, all in kB."""
    found = re.search(rf"^{name}:\s*(\d+) kB$", path.read_text(), re.MULTILINE)
    if found is None:
        raise SkippedError(f"{path} has no {name}.")
    return 1024 * int(found[1])


if __name__ == "__main__":
    print(json.dumps(_measure(int(sys.argv[1]))))
