"""Numbers as people write them: a comma before fractions, groups of three digits."""

import io

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from softsort_cli.tables.numbers import Spelling, as_cells, parse

pytest_plugins = ["tests.tabular"]

GERMAN = Spelling(decimal=",", thousands=".")


@given(st.lists(st.floats(-1e12, 1e12), min_size=1))
def test_what_german_programs_write_is_read(values):
    texts = [f"{value:,.3f}".translate({44: ".", 46: ","}) for value in values]
    expected = [float(f"{value:.3f}") for value in values]
    read = parse(pl.Series(texts), GERMAN)
    assert read.values.tolist() == expected
    assert (read.absent, len(read.invalid)) == (0, 0)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_what_is_written_is_read_again(values):
    cells = as_cells(np.array(values), None, ";", ",")
    assert parse(cells, GERMAN).values.tolist() == values


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1.234.567,8", 1234567.8),
        ("1234567,8", 1234567.8),
        ('" -1.234 "', -1234.0),
        ("+0,5", 0.5),
        (",5", 0.5),
        ("5,", 5.0),
        ("1,5e-3", 0.0015),
        ("NA", None),
        ("", None),
        # These are not in groups of three digits, or not in this spelling.
        *((cell, "?") for cell in ("1.23", "1.2345", "12.34,5", "1..234", ".234")),
        *((cell, "?") for cell in ("1234.567", "1,234,567", "1,234.5", "1.5e3", "1,,")),
        *((cell, "?") for cell in ("inf", "1,e", "x")),
    ],
)
def test_groups_have_three_digits(cell, value):
    read = parse(pl.Series([cell, "1,5"]), GERMAN)
    assert read.values[1] == 1.5
    assert read.absent == (value is None)
    assert read.invalid.tolist() == [0] * (value == "?")
    if isinstance(value, float):
        assert read.values[0] == value


def test_marks_of_groups():
    spaces = Spelling(thousands=" ")
    cells = ["1 234.5", "1\u00a0234.5", "1\u202f234.5", "1 23"]
    read = parse(pl.Series(cells), spaces)
    assert read.values[:3].tolist() == [1234.5] * 3
    assert read.invalid.tolist() == [3]
    assert parse(pl.Series(["1'234"]), Spelling(thousands="'")).values == [1234]
    beyond = parse(pl.Series(["9.007.199.254.740.993"]), GERMAN)
    assert (beyond.rounded, beyond.values[0]) == (True, 2.0**53)


TABLE = b'k;x\r\na;1.234,50\r\n"b;";-0,5\r\nc;\r\nd;1000000\r\n'
MARKS = ["-d", ";", "--decimal", ",", "--thousands", ".", "--hard"]


def test_results_can_be_read_by_the_same_command(softsort, folder):
    (folder / "t.csv").write_bytes(TABLE)
    code, out, err = softsort("sort", "t.csv", *MARKS)
    assert (code, "absent cells left out: 1 in 'x'" in err) == (0, True)
    ends = b"x_sorted", b"-0,5", b"1234,5", b"1000000,0", b""
    lines = zip(TABLE.splitlines(), ends, strict=True)
    assert out == b"".join(line + b";" + end + b"\r\n" for line, end in lines)
    (folder / "again.csv").write_bytes(out)
    code, out, _ = softsort("quantile", "again.csv", *MARKS, "-q", ".25", "-c", "2,3")
    assert (code, out) == (
        0,
        b"column;q;value\r\nx;0,25;617,0\r\nx_sorted;0,25;617,0\r\n",
    )
    code, out, _ = softsort("topk", "t.csv", "-k1", *MARKS, "--float-format", ",.1f")
    assert (code, out) == (0, b"x_topk\r\n1.000.000,0\r\n")
    # A text of another kind, and one whose numbers are those of everybody.
    code, _, _ = softsort("rank", "t.csv", *MARKS, "-o", "t.tsv")
    lines = (folder / "t.tsv").read_bytes().split(b"\r\n")
    assert (code, lines[:2]) == (0, [b"k\tx\tx_rank", b"a\t1.234,50\t1,0"])
    code, out, _ = softsort("rank", "t.csv", *MARKS, "-o", "t.ndjson")
    code, out, _ = softsort("sort", "t.ndjson", *MARKS[2:], "-c", "x,x_rank")
    rows = pl.read_ndjson(io.BytesIO(out))
    assert rows["x_sorted"].to_list() == [-0.5, 1234.5, 1e6, None]
    assert rows["x_rank_sorted"].to_list() == [0, 1, 2, None]


def test_marks_in_quotes_and_in_parquet(softsort, folder):
    table = b'x,y\n"1,5",a\n"0,25",b\n'
    code, out, _ = softsort("sort", *MARKS[2:4], "--hard", "-d", ",", stdin=table)
    assert (code, out) == (0, b'x,y,x_sorted\n"1,5",a,"0,25"\n"0,25",b,"1,5"\n')
    table = b'x,y\n"1,234.5",a\n"1,234,567",b\n'
    code, out, _ = softsort("rank", "--thousands", ",", "--hard", stdin=table)
    assert (code, out) == (
        0,
        b'x,y,x_rank\n"1,234.5",a,0.0\n"1,234,567",b,1.0\n',
    )
    frame = pl.DataFrame({"x": ["1,5", "0,5"], "y": [0.25, 1.5]})
    frame.write_parquet(folder / "t.parquet")
    code, out, _ = softsort("rank", "t.parquet", *MARKS[2:], "-o", "t.tsv")
    assert code == 0
    assert (folder / "t.tsv").read_bytes() == (
        b"x\ty\tx_rank\ty_rank\n1,5\t0,25\t1,0\t0,0\n0,5\t1,5\t0,0\t1,0\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--decimal", ","], "as in -d ';', or -d , if such numbers are in quotes"),
        (["--thousands", "."], "name what is before fractions, too, as in --decimal ,"),
        (["--thousands", ".."], "is not a character that can part digits"),
        (["--thousands", "5"], "is not a character that can part digits"),
        (["-d", ";", "--decimal", ",", "-c", "x"], "see --decimal and --thousands"),
        (
            ["-d", ";", "--decimal", ",", "--thousands", ".", "-c", "y"],
            "line 2: '1.23' is not a finite number; correct it, or see --na-values and "
            "--on-invalid; --thousands '.' has three digits behind it each time",
        ),
    ],
)
def test_marks_that_mean_two_things(softsort, folder, arguments, message):
    (folder / "t.csv").write_bytes(b"x;y\n1.234,5;1.23\n")
    code, out, err = softsort("rank", "t.csv", *arguments)
    assert (code in (1, 2), out) == (True, b"")
    assert message in err


@pytest.mark.parametrize(
    "arguments",
    [["rank", "-c", "x,d", "--desc", "--pct"], ["sort", "-c", "d", "--blur", "90"]],
    ids=" ".join,
)
def test_every_way_gives_the_same(softsort, folder, arguments):
    """Numbers, dates and weights as Germans write them: alone, in passes, in parts."""
    rng = np.random.default_rng(0)
    days = np.datetime64("2024-01-01") + rng.integers(0, 900, 40)
    values = [f"{x:,.2f}".translate({44: ".", 46: ","}) for x in 1e4 * rng.random(40)]
    weights = rng.choice(["1", "2", "0,5", "3,0"], 40)
    cells = zip(values, days, weights, strict=True)
    rows, head = [";".join(map(str, row)) + "\n" for row in cells], "x;d;w\n"
    (folder / "t.csv").write_text(head + "".join(rows))
    for part in range(2):
        (folder / f"p{part}.csv").write_text(head + "".join(rows[25 * part :][:25]))
    spelling = ["-d", ";", "--decimal", ",", "--thousands", ".", "--weights", "w"]
    arguments = [*arguments, *spelling, "--only"]
    _, whole, _ = softsort(*arguments, "t.csv")
    _, little, _ = softsort(*arguments, "t.csv", "--max-memory", "1B")
    assert softsort(*arguments, "p*.csv", "--out-dir", "o")[0] == 0
    parts = [(folder / f"o/p{part}.csv").read_bytes() for part in range(2)]
    assert [each.count(b"\n") for each in parts] == [26, 16]
    expected = read_only(whole)
    for other in (little, parts[0] + parts[1].split(b"\n", 1)[1]):
        np.testing.assert_allclose(read_only(other), expected, rtol=0, atol=1e-10)


def read_only(out: bytes) -> list[list[float]]:
    """The numbers of results, of dates those of their digits."""
    rows = out.decode().splitlines()[1:]
    plain = [row.replace(",", ".").replace("-", "").split(";") for row in rows]
    return [[float(cell) for cell in row] for row in plain]


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        *((cell, "see --decimal") for cell in ["1,5", "1'000", "1\xa0000", "1\u202f0"]),
        *((cell, "dates and times are") for cell in ["31.01.2024", "1/2/24", "9:30"]),
        *((cell, "dates and times are") for cell in ["2024-1-3", "2024-W05"]),
        *((cell, "see --na-values and --on-invalid\n") for cell in ["x", "$5", "-"]),
    ],
)
def test_what_may_be_wrong_with_a_cell(softsort, folder, cell, hint):
    (folder / "1.5, 2.csv").write_text(f"x;y\n{cell};1\n")
    code, _, err = softsort("rank", "1.5, 2.csv", "--hard", "-c", "x", "-d", ";")
    assert (code, err.count("\n"), hint in err) == (1, 1, True), err
