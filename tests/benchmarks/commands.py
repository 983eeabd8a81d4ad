"""Commands as processes: the time of softsort on a table, beside another's."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl

from tests.benchmarks.contestants import SEED
from tests.benchmarks.report import Row
from tests.benchmarks.text import count_text, seconds_text
from tests.benchmarks.timing import Call, medians

SOFTSORT = (sys.executable, "-c", "from softsort_cli.__main__ import main; main()")
POLARS_CSV = "pl.read_csv(a, infer_schema=False).write_csv(b)"
POLARS_PARQUET = "pl.read_parquet(a).write_parquet(b)"
# From a table to the arguments of a process, which writes a second one.
Arguments: TypeAlias = Callable[[str, str], tuple[str, ...]]


@dataclass(frozen=True)
class Process:
    name: str
    arguments: Arguments


def _softsort(name: str, *options: str) -> Process:
    def arguments(given: str, made: str) -> tuple[str, ...]:
        words = ("rank", given, "-c", "x", *options, "-o", made, "--force", "--quiet")
        return *SOFTSORT, *words

    return Process(name, arguments)


def _polars(code: str) -> Process:
    program = f"import sys, polars as pl; a, b = sys.argv[1:]; {code}"
    return Process(
        "polars, read and write",
        lambda given, made: (sys.executable, "-c", program, given, made),
    )


RANK = _softsort("softsort rank")
RANK_BY = _softsort("softsort rank --by", "--by", "g")
CSV, PARQUET = _polars(POLARS_CSV), _polars(POLARS_PARQUET)
HELP = Process("softsort --help", lambda *_: (*SOFTSORT, "--help"))


@dataclass(frozen=True)
class Commands:
    """The times of two processes on the same table, in turns.

    Attributes:
        theirs: the other one, or the seconds that ours may take.
    """

    ours: Process
    theirs: Process | float
    rows: int
    bar: float = 1.0
    form: str = "csv"

    @property
    def what(self) -> str:
        return f"{self.ours.name}, {self.form}, {count_text(self.rows)} rows"

    @property
    def beside(self) -> str:
        return self.theirs.name if isinstance(self.theirs, Process) else "allowed"

    def quick(self) -> "Commands":
        return replace(self, rows=min(self.rows, 100))

    def measure(self) -> Row:
        with tempfile.TemporaryDirectory() as folder:
            given = Path(folder) / f"given.{self.form}"
            _write(table(self.rows), given)
            calls = []
            for each in (self.ours, self.theirs):
                if isinstance(each, Process):
                    made = given.with_stem(f"made{len(calls)}")
                    calls.append(_call(each.arguments(str(given), str(made))))
                    calls[-1]()  # so that all is compiled and in memory
            times = medians(calls, budget=20.0)
        ours, theirs = (
            times if isinstance(self.theirs, Process) else (*times, self.theirs)
        )
        texts = seconds_text(ours), seconds_text(theirs)
        return Row(self.what, self.beside, *texts, ours / theirs, self.bar)


def table(rows: int) -> pl.DataFrame:
    """Return a table with groups, column g, of 1 to about 200 rows, 20 on average.

    As a CSV a row has about 47 bytes.
    """
    random = np.random.default_rng(SEED)
    sizes = 1 + (199 * random.random(rows // 20 + 1) ** 9.5).astype(int)
    groups = np.resize(np.repeat(np.arange(len(sizes)), sizes), rows)
    return pl.DataFrame(
        {
            "id": np.arange(rows),
            "x": random.standard_normal(rows),
            "name": random.integers(10**8, 10**9, rows),
            "g": random.permutation(groups),
        }
    )


def _write(frame: pl.DataFrame, path: Path) -> None:
    write = {".csv": frame.write_csv, ".parquet": frame.write_parquet}[path.suffix]
    write(path)


def _call(arguments: tuple[str, ...]) -> Call:
    return lambda: subprocess.run(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True
    )


COMMANDS = (
    Commands(RANK, CSV, 2_000_000, bar=1.6),
    Commands(RANK, PARQUET, 10**7, bar=2, form="parquet"),
    Commands(RANK_BY, RANK, 2_000_000, bar=3),
    Commands(RANK, 1.2, 10),
    Commands(HELP, 0.2, 10),
)
