"""What is wrong is said in one line: what, where, and what to do."""

import os
import sys
from pathlib import Path

import polars as pl
import pytest
from softsort_cli import jax_setup
from softsort_cli.errors import CommandError

pytest_plugins = ["tests.tabular"]


@pytest.mark.parametrize(
    ("arguments", "table", "code", "said"),
    [
        ("rank -c 2019", "x, 2019\n1,2\n", 2, "did you mean ' 2019'?"),
        ("rank -c ,", "x\n1\n", 2, "-c ',' names no column"),
        ("rank -c !g,!x", "g,x\n1,2\n", 2, "-c excludes every column"),
        ("rank --by ,", "g,x\n1,2\n", 2, "--by ',' names no column"),
        ("rank --by g,y", "g,x\n1,2\n", 2, "--by 'y': no such column"),
        ("rank", "x\n1\n\0\n", 1, "the first in line 3"),
        ("rank -c x", "x,x_rank,x_rank\n1,2,3\n", 1, "rename them"),
        (
            "rank -c x --format ndjson",
            '{"x": 1, "x_rank": 2}\n',
            1,
            "cannot have it replaced; rename it",
        ),
        (
            "rank --format json",
            "x\n1\n",
            2,
            "'--format': 'json' is not one of 'csv', 'tsv', 'psv', 'ndjson', "
            "'parquet', 'arrow', 'excel'; did you mean 'ndjson'?",
        ),
        ("rank --on-invalid skp", "x\n1\n", 2, "did you mean 'skip'?"),
        ("rank -c x", "x\n-\n", 1, "'-' is not a finite number; correct it, or see"),
    ],
)
def test_messages(softsort, arguments, table, code, said):
    got, out, err = softsort(*arguments.split(), "--hard", stdin=table.encode())
    assert (got, out, err.count("\n")) == (code, b"", 1)
    assert said in err
    assert not any(word in err for word in ("Value error", "--replace"))


@pytest.mark.parametrize("arguments", [["rank", ""], ["rank", "-o", ""], ["sweep", ""]])
def test_an_empty_name_is_none_of_a_file(softsort, arguments):
    code, out, err = softsort(*arguments, stdin=b"x\n1\n")
    assert (code, out, err.count("\n")) == (2, b"", 1)
    assert "it is empty: name a file" in err


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ([1, 2], "row 1: '[1, 2]', list,"),
        ({"a": 1}, "row 1: \"{'a': 1}\", struct,"),
        (b"ab", "row 1: \"b'ab'\", binary,"),
        (True, "row 1: 'True', boolean,"),
        ("a", "row 1: 'a', string,"),
        (float("inf"), "row 1: 'inf', float64,"),
    ],
)
def test_cells_of_every_type_are_shown_in_words(softsort, cell, said):
    pl.DataFrame({"x": [cell]}).write_parquet("t.parquet")
    code, _, err = softsort("rank", "--hard", "-c", "x", "t.parquet", "-o", "o.parquet")
    assert (code, err.count("\n")) == (1, 1)
    assert f"column 'x', {said} is not a finite number" in err


@pytest.mark.parametrize("by", [[], ["--by", "g"]])
def test_a_device_is_no_fault_of_a_column(softsort, monkeypatch, by):
    def fail():
        raise CommandError("--device gpu: jax finds no such device")

    monkeypatch.setattr(jax_setup, "wait_until_started", fail)
    code, _, err = softsort("rank", "-c", "x", *by, stdin=b"g,x\na,1\n")
    assert code == 1
    assert err == "softsort: error: --device gpu: jax finds no such device\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_temporary_folder_is_the_cause_that_is_told(softsort, monkeypatch):
    with Path("/dev/full").open("w+b", buffering=0) as full:
        monkeypatch.setattr("tempfile.TemporaryFile", lambda: full)
        theirs, ours = os.pipe()
        with os.fdopen(ours, "wb") as pipe:
            pipe.write(b"x\n1\n")
        with os.fdopen(theirs) as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            code, out, err = softsort("rank", "--hard")
    assert (code, out, err.count("\n")) == (1, b"", 1)
    assert "cannot keep standard input in" in err
    assert "No space left on device; name a folder with more room" in err
