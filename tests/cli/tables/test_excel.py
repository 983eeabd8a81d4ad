"""Sheets of Excel: values in and out, and what is lost is told."""

import datetime

import numpy as np
import polars as pl
import pytest
from scipy.stats import rankdata
from softsort_cli import errors

xlsxwriter = pytest.importorskip("xlsxwriter")
pytest.importorskip("fastexcel")
pytest_plugins = ["tests.tabular"]

MOMENTS = [datetime.datetime(2024, 1, 31, 12, 30, 0, 250_000), None]
FRAME = pl.DataFrame(
    {
        "x": [3.5, 1 / 3, None, 0.1],
        "n": [1, 2**40, 3, None],
        "code": ["007", "=1+1", None, "http://a.b"],
        "X": [True, False, None, True],
        "day": [datetime.date(2024, 1, 2), datetime.date(1900, 3, 1), None, None],
        "when": [*MOMENTS, *MOMENTS],
        "clock": [datetime.time(1, 2, 3), None, datetime.time(23, 59), None],
    }
)


def read(path, **settings) -> pl.DataFrame:
    return pl.read_excel(path, infer_schema_length=None, **settings)


def test_cells_are_kept(softsort, folder):
    FRAME.write_parquet(folder / "t.parquet")
    code, _, err = softsort("rank", "t.parquet", "--hard", "-c", "x", "-o", "t.xlsx")
    assert (code, "written with" in err) == (0, False)
    sheet = read(folder / "t.xlsx")
    assert sheet.columns == [*FRAME.columns, "x_rank"]
    np.testing.assert_allclose(sheet["x"].to_list()[:2], [3.5, 1 / 3], rtol=1e-15)
    # Polars takes a time of the day for one of the first day.
    sheet = sheet.with_columns(pl.col("clock").dt.time())
    for name in FRAME.columns[1:]:
        assert sheet[name].to_list() == FRAME[name].to_list()
    assert sheet["x_rank"].to_list() == [2, 1, None, 0]
    # Back, by way of a pipe, and to be read as what they are.
    data = (folder / "t.xlsx").read_bytes()
    arguments = ["--format", "excel", "-o", "o.arrow", "-c", "x,day,when,clock"]
    assert softsort("sort", "--hard", *arguments, stdin=data)[0] == 0
    back = pl.read_ipc(folder / "o.arrow")
    assert back["day_sorted"].to_list()[:2] == sorted(FRAME["day"].to_list()[:2])
    assert (
        back["clock_sorted"].to_list() == FRAME["clock"].sort(nulls_last=True).to_list()
    )
    assert back["when_sorted"].to_list() == [MOMENTS[0], MOMENTS[0], None, None]


def book(path, sheets) -> None:
    with xlsxwriter.Workbook(path) as written:
        for name, rows in sheets.items():
            sheet = written.add_worksheet(name)
            for place, row in enumerate(rows):
                sheet.write_row(place, 0, row)


def test_a_sheet_is_chosen_and_what_is_lost_told(softsort, folder):
    rows = [["k", "v"], ["a", 2], [], ["b", 1.5], ["c", "=1/2"]]
    book(folder / "b.xlsx", {"one": [["x"], [5]], "Données": rows, "none": []})
    code, out, err = softsort("rank", "b.xlsx", "--hard", "--format", "csv")
    assert (code, out) == (0, b"x,x_rank\n5,0.0\n")
    assert "sheet 'one' is read; --sheet for 'Données', 'none'" in err
    arguments = ["rank", "b.xlsx", "--hard", "--sheet", "Données"]
    code, _, err = softsort(*arguments, "-o", "o.xlsx")
    assert (code, "sheet 'one'" in err) == (0, False)
    assert "values alone, no formulas, formats or other sheets" in err
    written = read(folder / "o.xlsx", sheet_name="Données", drop_empty_rows=False)
    assert written["k"].to_list() == ["a", None, "b", "c"]
    there = written["v"].drop_nulls().to_numpy()
    ranks = written["v_rank"].drop_nulls().to_list()
    assert ranks == (rankdata(there) - 1).tolist()
    for sheet, message in (("Donnees", "there is 'Données'"), ("none", "is empty")):
        code, out, err = softsort("rank", "b.xlsx", "--sheet", sheet)
        assert (code in (1, 2), out, message in err) == (True, b"", True)


def test_what_a_sheet_cannot_hold(softsort, folder):
    zoned = pl.Series([datetime.datetime(2024, 1, 1)]).dt.replace_time_zone("UTC")
    frame = pl.DataFrame(
        {
            "x": [1.0],
            "zoned": zoned,
            "old": [datetime.date(1066, 10, 14)],
            "fine": [datetime.datetime(2024, 1, 1, 0, 0, 0, 1)],
            "large": [10**17 + 1],
            "long": [datetime.timedelta(hours=36)],
        }
    )
    frame.write_parquet(folder / "t.parquet")
    code, _, err = softsort("rank", "t.parquet", "--hard", "-c", "x", "-o", "t.xlsx")
    assert code == 0
    assert (
        "'zoned' as texts, for they have zones; 'old' as texts before March 1900; "
        "'fine' to milliseconds; 'large' of 15 digits" in err
    )
    sheet = read(folder / "t.xlsx")
    assert sheet["old"].to_list() == ["1066-10-14"]
    book(folder / "large.xlsx", {"s": [["x"], [1e300], [2e300]]})
    code, out, _ = softsort("rank", "large.xlsx", "--hard", "--format", "csv")
    assert (code, out) == (0, b"x,x_rank\n1e+300,0.0\n2e+300,1.0\n")
    assert sheet["long"].to_list() == frame["long"].to_list()
    for cells, message in (
        (pl.Series(["a" * 40_000]), "at most 32,767 characters"),
        (pl.Series([[1]]), "Excel has no cells for list"),
    ):
        pl.DataFrame({"x": [1.0], "s": cells}).write_parquet(folder / "s.parquet")
        code, _, err = softsort(
            "rank", "s.parquet", "-c", "x", "--hard", "-o", "s.xlsx"
        )
        assert (code, message in err, (folder / "s.xlsx").exists()) == (1, True, False)
    (folder / "n.csv").write_text("x\n" + "1\n" * 2**20)
    code, _, err = softsort("rank", "n.csv", "--hard", "-o", "n.xlsx")
    assert (code, "at most 1,048,575 rows" in err) == (1, True)


def test_parts_results_and_no_rows(softsort, folder):
    for part, values in enumerate([[3, 1], [2, 5]]):
        rows = [["k", "x"], *(["a", value] for value in values)]
        book(folder / f"p{part}.xlsx", {"s": rows})
    code, _, err = softsort("rank", "p*.xlsx", "--out-dir", "o", "-e", "1e-4")
    ranks = [read(folder / "o" / f"p{p}.xlsx")["x_rank"].to_list() for p in range(2)]
    assert (code, np.round(ranks, 9).tolist()) == (0, [[2, 0], [1, 3]])
    code, out, _ = softsort("quantile", "p0.xlsx", "-q.5", "--hard", "-o", "q.xlsx")
    assert (code, read(folder / "q.xlsx").row(0)) == (0, ("x", 0.5, 2))
    book(folder / "e.xlsx", {"s": [["x", "y"]]})
    code, out, err = softsort("rank", "e.xlsx", "--hard", "--format", "csv")
    assert (code, out) == (0, b"x,y,x_rank,y_rank\n")
    (folder / "bad.xlsx").write_bytes(b"PK\x03\x04 nothing")
    code, out, err = softsort("rank", "bad.xlsx")
    assert (code, out, err.count("\n")) == (1, b"", 1)
    assert "bad.xlsx is not a whole .xlsx file" in err


def test_without_the_extra(softsort, folder, monkeypatch):
    monkeypatch.setattr(errors, "find_spec", lambda _: None)
    (folder / "t.csv").write_text("x\n1\n")
    (folder / "t.xlsx").write_bytes(b"")
    for arguments in (["t.csv", "-o", "o.xlsx"], ["t.xlsx"]):
        code, out, err = softsort("rank", *arguments)
        assert (code, out, err.count("\n")) == (2, b"", 1)
        assert "pip install 'softsort-cli[excel]'" in err
    code, _, err = softsort("rank", "t.csv", "--sheet", "s")
    assert (code, "--sheet is for Excel, not for delimited" in err) == (2, True)
