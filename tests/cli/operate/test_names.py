"""Names of results, and results alone."""

import io

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from softsort_cli.io import source

pytest_plugins = ["tests.tabular"]

TABLE = b'x,y,key\r\n3,1,"a,b"\r\n1,,007\r\n?,2,007\r\n5,4,007\r\n'
TAKEN = b"x,y,k\n1,2,3\n"
SKIP = ["--hard", "--on-invalid", "skip", "-c", "x,y"]


def test_names_are_made_of_those_of_the_columns(softsort):
    arguments = ["--hard", "-c", "x,y", "--names", "{column} {{soft}}"]
    _, out, _ = softsort("rank", *arguments, stdin=b"x,y\n1,2\n")
    assert out.splitlines()[0] == b"x,y,x {soft},y {soft}"
    for own in (["topk", "-k", "1"], ["sort", "--targets", "1"]):
        _, out, _ = softsort(*own, *arguments, stdin=b"x,y\n1,2\n")
        assert out.splitlines()[0] == b"x {soft},y {soft}"


def test_one_column_needs_no_pattern(softsort):
    _, out, _ = softsort("rank", "--hard", "--names", "r,", stdin=b"x\n1\n")
    assert out == b'x,"r,"\n1,0.0\n'


@pytest.mark.parametrize(
    "pattern",
    ["", "{", "{x}", "{}", "{0}", "{column.real}", "{column!r}", "{column:9}"],
)
def test_what_is_no_pattern_is_refused(softsort, pattern):
    code, _, err = softsort("rank", "none.csv", "--names", pattern)
    assert (code, err.count("\n"), "write {column}" in err) == (2, 1, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rank", "--names", "r"], "several columns the name 'r': write {column}"),
        (["rank", "--names", "r", "-n", "-c", "1,2"], "several columns the name 'r'"),
        (["topk", "-k", "1", "--names", "r"], "several columns the name 'r'"),
        (["rank", "--names", "y", "-c", "x"], "already has a column 'y'"),
        (["rank", "--names", "k", "-c", "x", "--by", "k", "--only"], "is a key"),
        (["topk", "-k", "1", "--names", "k", "-c", "x", "--by", "k"], "is a key"),
    ],
)
def test_names_that_are_taken_are_refused_before_any_work(
    softsort, monkeypatch, arguments, message
):
    monkeypatch.setattr("softsort_cli.operate.groups.apply", None)
    code, out, err = softsort(
        *arguments, "--hard", stdin=TAKEN[6 * ("-n" in arguments) :]
    )
    assert (code, out, err.count("\n")) == (2 if "several" in message else 1, b"", 1)
    assert message in err


def test_results_alone_with_their_keys(softsort, folder):
    arguments = [*SKIP, "--only"]
    _, out, _ = softsort("rank", *arguments, stdin=TABLE)
    assert out == b"x_rank,y_rank\r\n1.0,0.0\r\n0.0,\r\n2.0,1.0\r\n"
    _, out, _ = softsort("sort", *arguments, "--by", "key", stdin=TABLE)
    lines = [b"key,x_sorted,y_sorted", b'"a,b",3.0,1.0', b"007,1.0,4.0", b"007,5.0,"]
    assert out == b"".join(line + b"\r\n" for line in lines)
    # Two columns of one name are of no concern, and a name that is taken is free.
    arguments = ["-c", "1", "--hard", "--only", "--names", "r", "-o", "o.tsv"]
    code, _, _ = softsort("rank", *arguments, stdin=b"x,x,r\n2,,9\n1,,9\n")
    assert (code, (folder / "o.tsv").read_bytes()) == (0, b"r\n1.0\n0.0\n")


@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet", "arrow"])
def test_results_alone_in_any_format_and_way(softsort, folder, monkeypatch, kind):
    writer = {"arrow": "ipc"}.get(kind, kind)
    reader = {"csv": pl.read_csv, "ndjson": pl.read_ndjson, "parquet": pl.read_parquet}
    read = reader.get(kind, pl.read_ipc)
    frame = pl.DataFrame({"x": [3.0, 1.0, 2.0, 5.0] * 3, "name": list("abcd") * 3})
    getattr(frame, f"write_{writer}")(folder / f"t.{kind}")
    getattr(frame[:5], f"write_{writer}")(folder / f"a.{kind}")
    getattr(frame[5:], f"write_{writer}")(folder / f"b.{kind}")
    arguments = ["rank", "-c", "x", "-e", "0.5", "--only", "--names", "{column}"]
    _, out, _ = softsort(*arguments, f"t.{kind}")
    whole = read(io.BytesIO(out))
    assert (whole.columns, whole.height) == (["x"], 12)
    monkeypatch.setattr("softsort_cli.operate.streaming.SIZE", 1 << 9)
    monkeypatch.setattr(source, "BLOCK", 100)
    _, out, _ = softsort(*arguments, f"t.{kind}", "--max-memory", "1B")
    assert_frame_equal(read(io.BytesIO(out)), whole, abs_tol=1e-9)
    code, _, _ = softsort(*arguments, f"a.{kind}", f"b.{kind}", "--out-dir", "o")
    assert code == 0
    parts = [read(folder / "o" / f"{name}.{kind}") for name in "ab"]
    assert_frame_equal(pl.concat(parts), whole, abs_tol=1e-9)


def test_lines_end_as_they_came(softsort, folder):
    (folder / "t.csv").write_bytes(b"k,x\r\na,2\r\nb,1\r\n")
    arguments = ["rank", "t.csv", "--only", "-e", "1e-6", "--float-format", ".0f"]
    for more in (["--hard"], ["--max-memory", "1"], ["--out-dir", "o"]):
        code, out, _ = softsort(*arguments, *more)
        out = (folder / "o" / "t.csv").read_bytes() if "--out-dir" in more else out
        assert (code, out) == (0, b"x_rank\r\n1\r\n0\r\n")
    code, *_ = softsort("rank", "t.csv", "--hard", "-o", "t.tsv")
    assert (
        folder / "t.tsv"
    ).read_bytes() == b"k\tx\tx_rank\r\na\t2\t1.0\r\nb\t1\t0.0\r\n"


def test_members_are_replaced_where_objects_are_not_written_as_they_came(softsort):
    arguments = ["rank", "--hard", "--names", "{column}", "--format", "ndjson"]
    lines = b'{"x": 3, "k": "a"}\n{"x": 1}\n'
    code, _, err = softsort(*arguments, "-o", "o.csv", stdin=lines)
    assert (code, "--replace to overwrite it" in err) == (1, True)
    code, _, err = softsort(*arguments, "--replace", "-o", "o.csv", stdin=lines)
    assert (code, err, pl.read_csv("o.csv").rows()) == (0, "", [(1, "a"), (0, None)])
