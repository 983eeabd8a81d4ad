"""Dates and times as values: in order of time, and given back as what they are."""

import datetime
import io
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy.stats import rankdata
from softsort_cli.io import source
from softsort_cli.tables.numbers import PLAIN
from softsort_cli.tables.times import Time

pytest_plugins = ["tests.tabular"]

RNG = np.random.default_rng(7)
DAY = 86_400 * 10**9  # nanoseconds
START = 1_700_000_000 * 10**9
# Fifty days of nanoseconds, of which none may be lost.
NANOSECONDS = START + RNG.integers(0, 50 * DAY, 40)


def columns() -> dict[str, pl.Series]:
    moments = pl.Series(NANOSECONDS).cast(pl.Datetime("ns"))
    zoned = moments.dt.replace_time_zone("UTC")
    return {
        "ns": moments,
        "us": moments.cast(pl.Datetime("us")),
        "ms": moments.cast(pl.Datetime("ms")),
        "zoned": zoned.dt.convert_time_zone("Europe/Berlin"),
        "date": moments.cast(pl.Date),
        "time": moments.dt.time(),
        "duration": (moments - moments[0]).cast(pl.Duration("us")),
        "old": pl.Series([datetime.date(1, 1, 1), datetime.date(9999, 12, 31)] * 20),
    }


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_typed_cells_are_sorted_exactly(softsort, folder, form):
    frame = pl.DataFrame(columns()).with_row_index("n")
    frame = frame.with_columns(pl.when(pl.col("n") != 3).then(pl.exclude("n")))
    write = frame.write_parquet if form == "parquet" else frame.write_ipc
    write(folder / f"t.{form}")
    read = pl.read_parquet if form == "parquet" else pl.read_ipc
    arguments = [f"t.{form}", "-c", "2-", "--hard", "--force", "-o", f"o.{form}"]
    assert softsort("sort", *arguments)[0] == 0
    sorted_values = read(folder / f"o.{form}")
    assert sorted_values.select(frame.columns).equals(frame)
    assert softsort("rank", *arguments)[0] == 0
    ranks = read(folder / f"o.{form}")
    assert softsort("topk", *arguments, "-k", "3")[0] == 0
    largest = read(folder / f"o.{form}")
    for name in frame.columns[1:]:
        cells = frame[name]
        expected = cells.sort(nulls_last=True)
        assert sorted_values[f"{name}_sorted"].dtype == cells.dtype
        assert sorted_values[f"{name}_sorted"].to_list() == expected.to_list()
        assert largest[f"{name}_topk"].to_list() == expected[:39][::-1][:3].to_list()
        there = cells.drop_nulls().to_physical().to_numpy()
        of = ranks[f"{name}_rank"]
        assert of.drop_nulls().to_list() == (rankdata(there) - 1).tolist()
        assert of.is_null().arg_true().to_list() == [3]


TEXTS = {
    "date": ["2024-02-29", "2023-01-01", "9999-12-31", "0001-01-01"],
    "minutes": [
        "2024-02-29 12:30",
        "2024-02-29",
        "2024-02-28 23:59",
        "2025-01-01 00:00",
    ],
    "utc": ["2024-02-29T12:30:05Z", "2024-02-29T12:30:04Z", "1969-12-31T23:59:59Z", ""],
    "word": ["2024-02-29 12:30:05 UTC", "2024-02-29 12:30:04 UTC", "", "NaT"],
    "offset": ["2024-01-31T10:00:00.5+01:00", "2024-01-31T10:00:00.4+01:00", "", "NA"],
    "ns": ["2024-01-31 10:00:00.000000001", "2024-01-31 10:00:00.000000000", "", ""],
    "comma": ["2024-01-31 10:00:00,250", "2024-01-31 10:00:00,125", "null", ""],
    "time": ["12:30:00", "00:00:01", "23:59:59", ""],
}


def assert_same(one: bytes, other: bytes) -> None:
    """Lines of numbers that are the same to 1e-10, and others that are the same."""
    lines = one.decode().split("\n"), other.decode().split("\n")
    try:
        numbers = [np.array([float(x or 0) for x in each[1:]]) for each in lines]
        np.testing.assert_allclose(*numbers, atol=1e-10)
    except ValueError:
        assert lines[0] == lines[1]


@pytest.mark.parametrize("more", [[], ["--format", "ndjson"]])
def test_texts_come_back_as_they_are_written(softsort, more):
    frame = pl.DataFrame(TEXTS)
    table = frame.write_ndjson() if more else frame.write_csv()
    arguments = ["sort", "-c", "1-", "--hard", "--only", *more]
    code, out, _ = softsort(*arguments, stdin=table.encode())
    read = pl.read_ndjson if more else pl.read_csv
    sorted_values = read(io.BytesIO(out))
    assert code == 0
    for name, cells in TEXTS.items():
        there = [cell for cell in cells if cell not in ("", "NaT", "NA", "null")]
        if name == "minutes":
            there[1] += " 00:00"
        expected = sorted(there) + [None] * (4 - len(there))
        of = sorted_values[f"{name}_sorted"]
        assert of.cast(pl.String).to_list() == expected


def test_instants_of_several_zones(softsort):
    cells = ["10:00:00+02:00", "10:00:00+01:00", "08:30:00Z", "04:15-04:30"]
    cells = [f"2024-01-31T{cell}" for cell in cells]
    table = "\n".join(["t", *cells, ""])
    code, out, _ = softsort("rank", "-c", "t", "--hard", stdin=table.encode())
    instants = [datetime.datetime.fromisoformat(c).timestamp() for c in cells]
    expected = rankdata(instants) - 1
    ranks = [float(line.split(",")[1]) for line in out.decode().split("\n")[1:-1]]
    assert (code, ranks) == (0, expected.tolist())
    code, out, _ = softsort("topk", "-c", "t", "--hard", "-k2", stdin=table.encode())
    assert out.decode().split("\n")[1:3] == [
        "2024-01-31T11:00:00+02:00",
        "2024-01-31T10:45:00+02:00",
    ]


def test_what_is_between_is_rounded_to_the_finest_place(softsort, folder):
    table = b"d,s,f\n2024-01-01,2024-01-01 00:00:00,10:00:00.5\n"
    table += b"2024-01-04,2024-01-01 00:00:01,10:00:01\n"
    code, out, _ = softsort("quantile", "-c1-", "-q.5,.75", "--hard", stdin=table)
    # Halves go to the even one, as NumPy rounds.
    assert (code, out.decode().split("\n")) == (
        0,
        [
            "column,q,value",
            "d,0.5,2024-01-02",
            "d,0.75,2024-01-03",
            "s,0.5,2024-01-01 00:00:00",
            "s,0.75,2024-01-01 00:00:01",
            "f,0.5,10:00:00.8",
            "f,0.75,10:00:00.9",
            "",
        ],
    )


def test_every_way_gives_the_same(softsort, folder, monkeypatch):
    """Alone, in several passes and in parts, of which the first begins with nothing."""
    monkeypatch.setattr(source, "BLOCK", 400)
    cells = columns()["us"].cast(pl.String).to_list()
    rows = ["", *cells[:20], "", *cells[20:]]
    (folder / "t.csv").write_text("\n".join(["k,t", *(f"a,{row}" for row in rows), ""]))
    for part in range(2):
        lines = ["k,t", *(f"a,{row}" for row in rows[21 * part :][:21]), ""]
        (folder / f"p{part}.csv").write_text("\n".join(lines))
    for command, more in (("rank", ["--blur", "40000"]), ("sort", ["-e", "1e-3"])):
        arguments = [command, "-c", "t", "--only", "--force", *more]
        code, out, _ = softsort(*arguments, "t.csv")
        assert code == 0
        assert_same(softsort(*arguments, "t.csv", "--max-memory", "1")[1], out)
        assert softsort(*arguments, "p*.csv", "--out-dir", "o")[0] == 0
        texts = [(folder / "o" / f"p{part}.csv").read_text() for part in range(2)]
        head, *first = texts[0].split("\n")[:-1]
        # Lines of results without any are blank.
        lines = "\n".join([head, *first, *texts[1].split("\n")[1:]])
        assert_same(lines.encode(), out)
        (folder / "o" / ".softsort.json").unlink(missing_ok=True)
    seconds = (NANOSECONDS // 1000 - START // 1000) / 1e6
    numbers = "\n".join(["x", *map(str, seconds), ""])
    _, of_numbers, _ = softsort(
        "rank", "--only", "--blur", "40000", stdin=numbers.encode()
    )
    _, of_times, _ = softsort("rank", "-c", "t", "--only", "--blur", "40000", "t.csv")
    one, other = (
        np.array([float(line) for line in out.split()[1:]])
        for out in (of_numbers, of_times)
    )
    np.testing.assert_allclose(one, other, atol=1e-9)


def test_a_column_may_begin_with_absent_cells(softsort, folder, monkeypatch):
    monkeypatch.setattr(source, "BLOCK", 64)
    table = "t,k\n" + ",a\n" * 40 + "2024-01-02,b\n2024-01-01,b\n"
    arguments = ["rank", "-c", "t", "--hard", "--by", "k"]
    code, out, _ = softsort(*arguments, stdin=table.encode())
    assert (code, out.decode()[-34:]) == (
        0,
        "2024-01-02,b,1.0\n2024-01-01,b,0.0\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rank", "-c", "d"], "line 3: '2024-02-30' is not a date, as in 2024-01-31"),
        (["rank", "-c", "t"], "line 3: '24:00:00' is not a time, as in 12:30:00"),
        (
            ["rank", "-c", "z"],
            "is not a timestamp, as in 2024-01-31T12:30:00Z; correct",
        ),
        (["quantile", "-c", "x,ok", "-q.5"], "'x' and 'ok' are not of one kind"),
        (["sweep", "-c", "x,ok"], "'x' and 'ok' are not of one kind"),
        (["normalize", "-c", "x", "--to", "t.csv:ok"], "holds times"),
    ],
)
def test_what_is_no_such_time(softsort, folder, arguments, message):
    (folder / "t.csv").write_text(
        "x,ok,d,t,z\n1,2024-01-01,2024-02-29,10:00,2024-01-01T00:00:00Z\n"
        "2,2024-01-02,2024-02-30,24:00:00,2024-01-01T00:00:00\n"
    )
    code, out, err = softsort(*arguments, "t.csv", "--quiet")
    assert (code, out, message in err) == (1 + ("--to" in arguments), b"", True), err


def test_texts_of_parquet_and_pictures(softsort, folder):
    frame = pl.DataFrame({"t": ["2024-01-02", None, "2024-01-01"], "x": [1.0, 2, 3]})
    frame.write_parquet(folder / "t.parquet")
    arguments = ["sort", "t.parquet", "-c", "t", "--hard"]
    code, _, _ = softsort(*arguments, "-o", "o.parquet", "--plot", "p.svg")
    written = pl.read_parquet(folder / "o.parquet")["t_sorted"]
    assert (code, written.to_list()) == (0, ["2024-01-01", "2024-01-02", None])
    assert (folder / "p.svg").exists()
    code, out, err = softsort(
        *["rank", "t.parquet", "-c", "t", "--explain", "--blur", "1", "-o", "r.csv"]
    )
    assert (code, "a blur of 1 in days" in err) == (0, True)
    code, out, _ = softsort(
        *["sort", "t.parquet", "-c", "x", "--by-column", "t", "--hard", "--only"],
        *["--format", "csv"],
    )
    assert (code, out) == (0, b"x_sorted\n3.0\n1.0\n\n")


def test_sweep_of_times_and_of_columns_of_one_name(softsort, folder):
    table = b"t,t\n2024-01-02,5\n2024-01-01,7\n"
    arguments = ["sweep", "--epsilons", "1e-6:1e-6:1", "--plot", "p.png", "--force"]
    code, out, _ = softsort(*arguments, "-c", "1", stdin=table)
    cells = [line.split(",")[3:5] for line in out.decode().split("\n")[1:-1]]
    assert (code, cells) == (
        0,
        [["2024-01-01", "2024-01-02"], ["2024-01-02", "2024-01-01"]],
    )
    code, out, _ = softsort(*arguments, stdin=b"x,x\n1,4\n2,3\n")
    assert (code, out.count(b"\nx,")) == (0, 4)


def test_more_than_64_bits_of_nanoseconds():
    cells = pl.Series(["2024-01-01 00:00:00.123456789", "1700-01-01", "9999-12-31"])
    time = Time.of(cells, PLAIN)
    assert time is not None
    read = time.parse(cells, PLAIN)
    assert (read.invalid.tolist(), read.rounded, time.unit) == ([2], False, "ns")
    assert (
        read.values[1]
        == -(datetime.date(2024, 1, 1) - datetime.date(1700, 1, 1)).days * DAY
    )
    back = replace(time, step=read.step).cells(read.values)
    assert back.to_list() == [cells[0], "1700-01-01 00:00:00.000000000", None]
