"""The table, and the words around it."""

import os
import platform
import re
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import jax

from tests.benchmarks.contestants import EPSILON, SEED
from tests.benchmarks.text import ratio_text
from tests.benchmarks.timing import SLOW

_ABOUT = f"""\
Each line is measured in one run, in turns: softsort as it is called plainly, on a JAX
array, its contestant on the same values, both compiled and warm. Times are medians; a
call of more than {SLOW:.0f} s is timed once. ott-jax and the gradient run under
`jax.jit`, numpy and scipy on the CPU. Commands are whole processes on files, folders
are worked through by one that has compiled what it needs."""
_ABOUT_BARS = """\
The ratio is softsort's figure over the other's; the bar is the most it should be."""
_ABOUT_FIRST = """\
What a first call under `jax.jit` costs: seconds of a processor to trace, lower and
compile it, each in a process of its own without a cache."""
_ABOUT_QUICK = "**Quick run: few values, to see that everything runs; no bar applies.**"
_ABOUT_MEMORY = {
    "cpu": """\
Peak memory is that of a process of its own: its peak resident memory (VmHWM) less its
resident memory after a call on few values, just before the input is made. It includes
the input.""",
    "gpu": """\
Peak memory is the peak that JAX reports for the device in a process of its own, less
what is in use after a call on few values, just before the input is made. It includes
the input.""",
}


@dataclass(frozen=True)
class Row:
    """What was measured: two figures with their units, and their ratio."""

    what: str
    beside: str
    ours: str
    theirs: str
    ratio: float
    bar: float


@dataclass(frozen=True)
class Skipped:
    what: str
    beside: str
    reason: str


def is_on_gpu() -> bool:
    return jax.default_backend() != "cpu"


def report(results: list[Row | Skipped], plot: str | None, *, quick: bool) -> str:
    """Return the page: where, how, the table, what is not in it, and the plot."""
    rows = [result for result in results if isinstance(result, Row)]
    skipped = [result for result in results if isinstance(result, Skipped)]
    has_bars = not (quick or is_on_gpu())
    parts = [f"# Benchmarks: {device_text()}", _conditions(), _ABOUT]
    if has_bars:
        parts += [_ABOUT_BARS]
    if quick:
        parts += [_ABOUT_QUICK]
    first = [row for row in rows if row.what.startswith("first call")]
    if others := [row for row in rows if row not in first]:
        parts += [table(others, has_bars=has_bars)]
    if first:
        parts += ["## First call", _ABOUT_FIRST, table(first, has_bars=has_bars)]
    if skipped:
        parts += ["\n".join(_skipped_text(one) for one in skipped)]
    if any("memory" in row.what for row in rows):
        parts += [_ABOUT_MEMORY["gpu" if is_on_gpu() else "cpu"]]
    if plot is not None:
        parts += [f"![Time of ranks against the number of values]({plot})"]
    return "\n\n".join(parts) + "\n"


def table(rows: list[Row], *, has_bars: bool) -> str:
    """Return the rows in Markdown; bars were set for CPUs and all the values."""
    cells = [["what", "softsort", "contestant", "its time", "ratio"]]
    cells += [
        [row.what, row.ours, row.beside, row.theirs, ratio_text(row.ratio)]
        for row in rows
    ]
    if has_bars:
        cells[0] += ["bar"]
        for line, row in zip(cells[1:], rows, strict=True):
            line += [f"{row.bar:g}" + (", missed" if row.ratio > row.bar else "")]
    texts = {"what", "contestant"}
    cells.insert(1, ["---" if one in texts else "---:" for one in cells[0]])
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


def _skipped_text(one: Skipped) -> str:
    return f"- Not measured: {one.what}, beside {one.beside}. {one.reason}"


def device_text() -> str:
    """Return the name of the device that JAX uses by default."""
    return jax.devices()[0].device_kind if is_on_gpu() else _host_text()


def _host_text() -> str:
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count()
    return f"{_processor()}, {count} cores"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    text = path.read_text() if path.exists() else ""
    found = re.search(r"model name\s*: (.*)", text)
    return found[1] if found else platform.processor() or platform.machine()


def _conditions() -> str:
    versions = [f"Python {platform.python_version()}"]
    for name in ("jax", "numpy", "scipy", "ott-jax"):
        with suppress(PackageNotFoundError):
            versions += [f"{name} {version(name)}"]
    host = f" CPU: {_host_text()}." if is_on_gpu() else ""
    return (
        f"Epsilon {EPSILON:g}, float32, standard normal values (seed {SEED}). "
        f"{', '.join(versions)}.{host}"
    )
