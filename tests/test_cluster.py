"""Tables in parts and many images, by threads and by the workers of a Dask cluster."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import distributed
import numpy as np
import polars as pl
import pytest
from distributed import LocalCluster, WorkerPlugin
from PIL import Image

from cli import cluster, inparts, manifest

pytest_plugins = ["tests.tabular"]

SIZE = 1 << 8
CUTS = [0, 1, 40, 40 + SIZE, 700, 1000]


@pytest.fixture(scope="module")
def scheduler(cache):
    """A scheduler and two worker processes."""
    environment = {"JAX_COMPILATION_CACHE_DIR": str(cache)}
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=None,
        silence_logs="CRITICAL",
        env=environment,
    ) as cluster:
        yield cluster


@pytest.fixture
def address(scheduler, monkeypatch):
    # As on the workers, so that sums are taken in the same order.
    yield scheduler.scheduler_address
    with distributed.Client(scheduler) as client:
        client.wait_for_workers(2)


@pytest.fixture
def table(folder):
    """A table, whole and in parts."""
    rng = np.random.default_rng(0)
    x, y = rng.lognormal(size=1000), rng.normal(size=1000)
    y[::7] = np.nan
    whole = pl.DataFrame({"id": np.arange(1000), "x": x, "y": y})
    whole = whole.with_columns(pl.col("y").fill_nan(None))
    whole.write_csv(folder / "whole.csv")
    cut(whole, folder, CUTS)
    return whole


def cut(whole, folder, cuts):
    for place, (start, stop) in enumerate(zip(cuts, cuts[1:], strict=False)):
        whole[start:stop].write_csv(folder / f"part-{place}.csv")


def together(folder):
    return pl.concat([pl.read_csv(path) for path in sorted(folder.glob("part-*"))])


def close(got, want, names):
    """Equal to 1e-12 of the range."""
    for name in names:
        assert got[name].is_null().equals(want[name].is_null())
        span = want[name].max() - want[name].min()
        assert (got[name] - want[name]).abs().max() <= 1e-12 * span


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("command", ["rank", "sort"])
def test_parts_are_one_table_wherever_they_are_worked_on(
    softsort, folder, table, address, command
):
    arguments = [command, "-c", "x,y", "--quiet"]
    assert softsort(*arguments, "whole.csv", "-o", "one.csv")[0] == 0
    assert softsort(*arguments, "part-*.csv", "--out-dir", "here")[0] == 0
    there = ["--out-dir", "there", "--cluster", address]
    code, _, err = softsort(*arguments, "part-*.csv", *there)
    assert (code, err) == (0, "")
    whole = pl.read_csv("one.csv")
    assert together(folder / "here").drop(whole.columns[3:]).equals(whole[:, :3])
    for place in (folder / "here", folder / "there"):
        close(together(place), whole, whole.columns[3:])
    cut(table, folder, [0, 333, 334, 335, 336, 1000])
    assert softsort(*arguments, "part-*.csv", "--out-dir", "else")[0] == 0
    close(together(folder / "else"), together(folder / "there"), whole.columns[3:])
