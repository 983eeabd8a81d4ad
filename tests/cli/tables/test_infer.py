"""Types of texts that are written as Parquet, Arrow or Excel."""

import datetime

import polars as pl
from softsort_cli.io import source

pytest_plugins = ["tests.tabular"]

UTC = datetime.UTC
DAY = datetime.date(2024, 2, 29)
# What cells say, and what they are.
CELLS = {
    "integer": (["1", "-20", "0", "NA"], [1, -20, 0, None]),
    "large": (["9223372036854775807", "1", "", ""], [2**63 - 1, 1, None, None]),
    "number": (["1", "1.5", "-.5", "1e3"], [1.0, 1.5, -0.5, 1000.0]),
    "boolean": (["true", "False", "", "true"], [True, False, None, True]),
    "date": (["2024-02-29", "", "null", "2024-02-29"], [DAY, None, None, DAY]),
    "moment": (
        ["2024-02-29T01:00:00.25", "2024-02-29", "", ""],
        [
            datetime.datetime(2024, 2, 29, 1, 0, 0, 250_000),
            datetime.datetime(2024, 2, 29),
            None,
            None,
        ],
    ),
    "instant": (
        ["2024-02-29T01:00:00+01:00", "2024-02-29 00:00:00Z", "", ""],
        [datetime.datetime(2024, 2, 29, tzinfo=UTC)] * 2 + [None] * 2,
    ),
    "clock": (
        ["01:02:03", "23:59", "", ""],
        [datetime.time(1, 2, 3), datetime.time(23, 59), None, None],
    ),
}
# Texts of which any could not be had back otherwise.
TEXTS = {
    "zeros": ["007", "1", "", ""],
    "digits": ["12345678901234567890", "1", "", ""],
    "mixed": ["1", "x", "2024-02-29", "true"],
    "half": ["2024-02-29", "2024-02-30", "", ""],
    "plus": ["+1", "1_000", "", "inf"],
    "fine": ["2024-02-29T01:00:00.1234567", "", "", ""],
    "none": ["", "", "", ""],
}


def test_types_are_those_of_all_cells(softsort, folder, monkeypatch):
    monkeypatch.setattr(source, "BLOCK", 512)  # of which rows are in several
    frame = pl.DataFrame({name: cells for name, (cells, _) in CELLS.items()} | TEXTS)
    columns = ["-c", "number,date", "--infer"]
    frame.write_csv(folder / "t.csv", quote_style="never")
    assert softsort("sort", "t.csv", *columns, "--hard", "-o", "o.parquet")[0] == 0
    written = pl.read_parquet(folder / "o.parquet")
    for name, (_, values) in CELLS.items():
        assert written[name].to_list() == values
        assert not any(isinstance(value, str) for value in values)
    for name, cells in TEXTS.items():
        assert written[name].to_list() == [cell or None for cell in cells]
    assert written["date_sorted"].to_list() == [DAY, DAY, None, None]
    assert (
        softsort("rank", "t.csv", "-c", "number", "--hard", "-o", "p.parquet")[0] == 0
    )
    assert pl.read_parquet(folder / "p.parquet")["integer"].to_list() == [
        "1",
        "-20",
        "0",
        "NA",
    ]


def test_keys_json_and_other_marks(softsort, folder):
    lines = b'{"a": 2, "b": "2", "c": true, "d": [1], "e": "2024-02-29"}\n{"a": 1.5}\n'
    arguments = ["rank", "--format", "ndjson", "--infer", "-c", "a", "--hard"]
    assert softsort(*arguments, "-o", "o.arrow", stdin=lines)[0] == 0
    row = pl.read_ipc(folder / "o.arrow").row(0)
    assert row == (2.0, "2", True, "[1]", DAY, 1.0)
    (folder / "t.csv").write_bytes(b'k;x\n1;"1.234,5"\n2;2\n')
    marks = ["-d", ";", "--decimal", ",", "--thousands", ".", "--infer", "--hard"]
    code, _, err = softsort("rank", "t.csv", *marks, "-o", "o.parquet")
    assert (code, pl.read_parquet(folder / "o.parquet")["x"].to_list()) == (
        0,
        [1234.5, 2],
    )
    code, *_ = softsort("topk", "t.csv", "-k1", "--by", "k", *marks, "-o", "k.parquet")
    assert pl.read_parquet(folder / "k.parquet").rows() == [(1, 1234.5), (2, 2.0)]
    code, _, err = softsort("rank", "o.parquet", "--infer", "-o", "p.parquet")
    assert (code, "--infer is for text that is written with types" in err) == (2, True)
