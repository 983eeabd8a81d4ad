"""What counts as a number, and how a number is written."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from softsort_cli.errors import UsageError
from softsort_cli.tables import numbers
from softsort_cli.tables.csv import text_of
from softsort_cli.tables.formats import NAMED
from softsort_cli.tables.numbers import as_cells, check_format, parse

pytest_plugins = ["tests.tabular"]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1", 1.0),
        ("007", 7.0),
        ("1.10", 1.1),
        ("-.5", -0.5),
        ("+3", 3.0),
        ("5.", 5.0),
        ("1e5", 1e5),
        ("1E-3", 1e-3),
        (" 2\t", 2.0),
        ('"4"', 4.0),
        ('" 4 "', 4.0),
        ("5e-324", 5e-324),
        ("123456789012345678901234567890", 123456789012345678901234567890.0),
    ],
)
def test_numbers(cell, value):
    read = parse(pl.Series([cell]))
    assert read.values.tolist() == [value]
    assert (read.absent, len(read.invalid)) == (0, 0)


@pytest.mark.parametrize(
    ("cells", "rounded"),
    [
        (["9007199254740993"], True),
        ([" -9007199254740993 ", "x"], True),
        (['"9007199254740995"', ""], True),
        (["9007199254740994", "1e300", "0.1", "9007199254740993.0"], False),
        (["9" * 45, "9007199254740992"], False),
        ([2**53 + 1, None], True),
        ([2**63 - 1, 7], True),
        ([2**53 + 2, 7], False),
        ([1e17 + 16, 0.1], False),
    ],
)
def test_integers_that_float64_does_not_hold(cells, rounded):
    assert parse(pl.Series(cells)).rounded == rounded


# The words of pandas.io.parsers.readers.STR_NA_VALUES, and that of MySQL.
PANDAS = [
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND"),
    *("1.#QNAN", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    r"\N",
]


@pytest.mark.parametrize("cell", [*PANDAS, " ", '""', "na", '"NA"', ' "null" '])
def test_absent_cells(cell):
    read = parse(pl.Series(["1", cell, "2"]))
    assert (read.absent, len(read.invalid)) == (1, 0)
    assert np.isnan(read.values).tolist() == [False, True, False]


@pytest.mark.parametrize(
    "cell",
    [
        "x",
        "1,5",
        "1_0",
        "0x10",
        "inf",
        "-Infinity",
        "1e400",
        "2020-01-01",
        "1 2",
        "-",
        ".",
        "?",
    ],
)
def test_invalid_cells(cell):
    read = parse(pl.Series(["1", cell, "", "y"]))
    assert (read.absent, read.invalid.tolist()) == (1, [1, 3])
    assert np.isnan(read.values).tolist() == [False, True, True, True]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_text_reads_back_the_same(values):
    for text, value in zip(as_text(np.array(values), None), values, strict=True):
        assert math.copysign(1, float(text)) == math.copysign(1, value)
        assert float(text) == value
        assert len(digits(text)) <= len(digits(repr(value)))


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_single_precision_is_written_with_its_own_digits(values):
    single = np.array(values, np.float32)
    for text, value in zip(as_text(single, None), single, strict=True):
        assert np.float32(text) == value
        assert len(digits(text)) <= len(digits(np.format_float_positional(value)))


def as_text(values, spec):
    frame = as_cells(values, spec).to_frame("x")
    text = text_of(frame, NAMED["csv"], headers=False, ending="\n")
    return text.decode().split("\n")[:-1]


def digits(text: str) -> str:
    """The digits that matter of a number."""
    mantissa = text.lower().partition("e")[0]
    return mantissa.replace(".", "").strip("-0")


def test_formats():
    values = np.array([1.0, np.nan, 1234.5])
    assert as_text(values, None) == ["1.0", "", "1234.5"]
    assert as_text(values, ".3f") == ["1.000", "", "1234.500"]
    assert as_text(values, ",.1f") == ["1.0", "", '"1,234.5"']
    assert as_cells(values, ",.1f", ",").to_list() == ["1.0", None, '"1,234.5"']


@pytest.mark.parametrize("spec", ["s", "4q", "d"])
def test_wrong_formats_are_refused(spec):
    with pytest.raises(UsageError, match="--float-format"):
        check_format(spec)


def test_words_that_are_named_say_that_there_is_no_number():
    absent = numbers.Spelling.named(["-, .", "-999,Missing"])
    cells = [
        "1",
        "-",
        '"."',
        "-999",
        "-999.0",
        " -9.99e2",
        "Missing",
        "",
        "missing",
        "?",
    ]
    read = parse(pl.Series(cells), absent)
    assert (read.absent, read.invalid.tolist()) == (7, [8, 9])
    assert read.values[0] == 1
    assert np.isnan(read.values[1:]).all()
    typed = parse(pl.Series([1, -999, None]), absent)
    assert (typed.absent, typed.values.tolist()[0]) == (2, 1.0)


@pytest.mark.parametrize("more", [[], ["--max-memory", "1"], ["--out-dir", "o"]])
def test_named_words_on_every_way(softsort, folder, more):
    (folder / "t.csv").write_bytes(b"k,x\n-,3\n-,-1\na,.\nb,NULL\n")
    arguments = ["rank", "t.csv", "-e", "1e-4", "--na-values=-1", "--na-values", ".,!"]
    code, out, err = softsort(*arguments, *more)
    written = (folder / "o" / "t.csv").read_bytes() if "--out-dir" in more else out
    assert code == 0
    assert written == b"k,x,x_rank\n-,3,0.0\n-,-1,\na,.,\nb,NULL,\n"
    assert "absent cells left out: 3 in 'x'" in err
    code, _, err = softsort("rank", "t.csv", "-c", "x", *more, "--force")
    assert (code, "'.' is not a finite number" in err) == (1, True)
    assert "see --na-values" in err
