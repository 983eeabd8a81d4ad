"""Random commands on odd tables: a whole table, or one line that says what is wrong."""

import io
import os
import re

import numpy as np
import polars as pl
import pytest

pytest_plugins = ["tests.tabular"]

# `FUZZ=300` for more.
COMMANDS = int(os.environ.get("FUZZ", "40"))
NUMBERS = "x,w,g,y\n3,1,a,0.5\n1,2,b,1.5\n2,0,a,2.5\n9,1,,-1\n4,3,b,0\n"
TABLES = {
    "plain.csv": NUMBERS,
    "crlf.csv": NUMBERS.replace("\n", "\r\n"),
    "open.csv": NUMBERS[:-1],
    "absent.csv": "x,w,g,y\n3,1,a,\n,2,b,NA\n2,1,a,nan\n9,1,b,7\n",
    "all absent.csv": "x,w,g,y\n3,1,a,\n4,2,b,\n",
    "invalid.csv": "x,w,g,y\n3,1,a,?\n4,2,b,1\n5,1,b,2\n",
    "weights.csv": "x,w,g,y\n3,-1,a,1\n4,?,b,1\n5,,b,2\n",
    "shares.csv": "x,w,g,y\n3,0.2,a,1\n4,0.7,b,1\n5,0.1,b,2\n",
    "zero.csv": "x,w,g,y\n3,0,a,1\n4,0,b,1\n",
    "one.csv": "x,w,g,y\n3,2,a,1\n",
    "quoted.csv": 'x,w,"g ""1"" ",y\n"3",1,"a,b","0,5"\n 1 ,2,"b\nc",007\n2,1,é,1e3\n',
    "names.csv": "x,w,g,$x_{y}$\n3,1,a,1\n4,2,b,1\n",
    "twice.csv": "x,w,g,x\n3,1,a,1\n4,2,b,1\n",
    "taken.csv": "x,w,g,x_rank,x_sorted\n3,1,a,1,1\n4,2,b,1,2\n",
    "text.csv": "x,w,g,y\na,b,c,d\n",
    "wide.csv": "x,w,g,y\n1e-300,1,a,1e300\n-1e-300,5,a,-1e300\n1e-300,5,b,1e300\n",
    "same.csv": "x,w,g,y\n7,1,a,1\n7,2,b,1\n7,1,b,1\n",
    "t.tsv": NUMBERS.replace(",", "\t"),
    "column.csv": "x\n1\n3\n2\n",
    "german.csv": "x;w;g;y\n1.234,5;1;a;2024-01-31\n-0,25;2;b;\n1000;1;a;0001-01-01\n",
    "times.csv": "x,w,g,y\n2024-01-31,1,a,2024-01-31T00:00:00Z\n,2,b,\n"
    "2023-12-31,1,a,2024-01-31T00:00:00.5Z\n",
    "head.csv": "x,w,g,y\n",
    "blank.csv": "x\n1\n\n3\n",
    "remarks.csv": "# first\nx,w,g,y\n3,1,a,2\n# between\n4,2,b,1\n",
    "mark.csv": "\ufeff" + NUMBERS,
    "ragged.csv": "x,w\n1,2\n3\n",
    "nothing.csv": "",
    "nothing.ndjson": "\n",
    "broken.ndjson": '{"x": 1}\n{"x":\n',
    "lines.ndjson": '{"x": 1.10, "w": 2, "g": "a"}\n{"x": 3, "w": 1, "y": null}\n'
    '{"w": 1, "x": 2, "g": 1, "y": 4}\n',
}
OPTIONS = [
    ["--by", "g"],
    ["--by", "3"],
    ["--weights", "w"],
    ["--weights", "2"],
    ["--only"],
    ["--names", "{column}_r"],
    ["--names", "r"],
    ["--names", "{}"],
    ["--on-invalid", "skip"],
    ["--on-invalid", "null"],
    ["--max-memory", "1B"],
    ["--float-format", ".3f"],
    ["--replace"],
    ["-c", "x"],
    ["-c", "1,2"],
    ["-c", "!x"],
    ["-c", "none"],
    ["--no-headers"],
    ["--dry-run"],
    ["-e", "0.1"],
    ["--comment", "#"],
    ["--na-values", "3,a"],
    ["--encoding", "latin-1"],
    ["-d", ";"],
    ["--decimal", ","],
    ["-d", ";", "--decimal", ",", "--thousands", "."],
    ["--thousands", ","],
    ["--infer"],
    ["-c", "x,y"],
    ["--blur", "2"],
    ["--squash", "none"],
]
OF_COMMANDS = {
    "rank": [
        ["--desc"],
        ["--pct"],
        ["--start", "1"],
        ["--explain"],
        ["--plot", "p.svg"],
    ],
    "sort": [
        ["--desc"],
        ["--targets", "2"],
        ["--by-column", "x"],
        ["--plot", "q.png"],
    ],
    "topk": [["--mask"]],
    "quantile": [],
    "normalize": [["--to", "uniform"], ["--to", "plain.csv:x"]],
    "quantize": [["--levels", "2"]],
    "sweep": [],
}
NEEDED = {
    "topk": ["-k", "2"],
    "quantile": ["-q", "0,.25,1"],
    "sweep": ["--epsilons", ".1:1:2"],
}
OWN = {"quantile", "sweep"}  # tables of their own, whatever the options


def drawn(seed: int) -> tuple[str, list[str]]:
    rng = np.random.default_rng(seed)
    table = rng.choice([*TABLES, "p.parquet"])
    command = rng.choice(list(OF_COMMANDS))
    more = [*OPTIONS, *OF_COMMANDS[command] * 2]
    places = rng.choice(len(more), rng.integers(0, 5), replace=False)
    words = [word for place in places for word in more[place]]
    hard = [] if rng.random() < 0.4 or command == "sweep" else ["--hard"]
    return table, [command, table, *NEEDED.get(command, []), *words, *hard]


def rows_of(out: bytes, table: str, *, headers: bool, separator: str) -> pl.DataFrame:
    if table.endswith("ndjson"):
        return pl.read_ndjson(io.BytesIO(out)) if out.strip() else pl.DataFrame()
    if table.endswith("parquet"):
        return pl.read_parquet(io.BytesIO(out))
    settings = {"separator": separator, "infer_schema": False, "comment_prefix": "#"}
    frame = pl.read_csv(io.BytesIO(out), has_header=False, **settings)
    return frame[1:] if headers else frame


def assert_whole(table: str, arguments: list[str], before: bytes, out: bytes) -> None:
    headers = "--no-headers" not in arguments
    separator = "\t" if table.endswith("tsv") else ","
    separator = ";" if "-d" in arguments else separator
    how = {"headers": headers, "separator": separator}
    rows, came = (rows_of(each, table, **how) for each in (out, before))
    command = arguments[0]
    is_own = command in OWN or "--targets" in arguments
    is_own |= command == "topk" and "--mask" not in arguments
    if is_own:
        assert rows.height > 0 or not came.height
        return
    skips = "skip" in arguments
    assert rows.height <= came.height if skips else rows.height == came.height
    if "--only" in arguments or "--replace" in arguments or skips:
        return
    if table.endswith("parquet"):
        assert rows.select(came.columns).equals(came)
        return
    if table != "quoted.csv":  # whose rows have several lines
        ends = b"}" if table.endswith("ndjson") else b""
        for new, old in zip(out.splitlines(), before.splitlines(), strict=True):
            assert new.startswith(old.removesuffix(ends))


def numberless(text: bytes) -> int:
    return len(re.findall(rb"(?i)[,\t: ](nan|-?inf)\b", text))


@pytest.mark.parametrize("seed", range(COMMANDS))
def test_a_whole_table_or_one_line(softsort, folder, seed):
    for name, text in TABLES.items():
        (folder / name).write_bytes(text.encode())
    frame = pl.read_csv(io.BytesIO(NUMBERS.encode()))
    frame.write_parquet(folder / "p.parquet")
    table, arguments = drawn(seed)
    before = (folder / table).read_bytes()
    code, out, err = softsort(*arguments)
    lines = err.splitlines()
    assert all(line.startswith("softsort: ") for line in lines), (arguments, err)
    errors = [line for line in lines if line.startswith("softsort: error: ")]
    assert not re.search(r"error: \w+(Error|Exception)|Traceback", err), err
    assert (folder / table).read_bytes() == before
    if code:
        assert (code in (1, 2), out, len(errors)) == (True, b"", 1), (arguments, err)
    elif "--dry-run" in arguments:
        assert (out, "dry run" in err) == (b"", True)
    else:
        assert not errors
        assert numberless(out) <= numberless(before)
        assert_whole(table, arguments, before, out)
