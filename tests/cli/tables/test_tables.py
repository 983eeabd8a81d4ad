"""Whatever bytes a table has, they come out again, with the new cells behind them."""

import csv as python_csv
import io
import os
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from softsort_cli.errors import CommandError, UsageError
from softsort_cli.io import source
from softsort_cli.io.source import Input
from softsort_cli.tables import arrow_texts, csv, csv_block, select, write
from softsort_cli.tables.csv_block import Block
from softsort_cli.tables.csv_quotes import end_of_records, quote, unquote
from softsort_cli.tables.formats import NAMED, form_in

pytest_plugins = ["tests.tabular"]

BOM = b"\xef\xbb\xbf"


def opened(data: bytes, delimiter=",", headers=True, comment=None, spare=0.0):
    given = Input("x.csv", io.BytesIO(data), "", "utf-8", None)
    form = replace(NAMED["csv"], delimiter=delimiter)
    return csv.open_table(given, form, headers=headers, comment=comment, spare=spare)


def parse(data: bytes, delimiter=",", headers=True, comment=None) -> Block:
    (block,) = opened(data, delimiter, headers, comment).parts()
    return block


def cells_of(data: bytes, **settings):
    for block in opened(data, **settings).parts():
        yield block.cells(range(len(block.names or [])))


def appended(
    data: bytes, columns, delimiter=",", headers=True, comment=None, kept=None
) -> bytes:
    parts, start = [], 0
    for block in opened(data, delimiter, headers, comment).parts():
        rows = slice(start, start + block.height)
        start = rows.stop
        cells = {name: pl.Series(each[rows]) for name, each in columns.items()}
        stays = None if kept is None else np.array(kept[rows], bool)
        parts.append(csv.append(block, cells, stays))
    return b"".join(parts)


@dataclass(frozen=True)
class Written:
    """A random table: what it is, what it says, and what appending must give.

    Attributes:
        lines: those that appending must give, with the number of the row of each.
    """

    data: bytes
    cells: list[list[str]]
    delimiter: str
    expected: bytes
    lines: list[tuple[int | None, bytes]]


# Zero bytes are refused, lone surrogates are not UTF-8, and a carriage return outside
# quotes is drawn separately, for at the end of a line it would be a line ending.
PLAIN = st.text(st.characters(exclude_characters='\0\r\n",;\t', codec="utf-8"))
ANY = st.text(
    st.characters(exclude_characters="\0", codec="utf-8")
    | st.sampled_from(',;\t"\r\n#')
)


@st.composite
def cell(draw, first: bool) -> tuple[str, str]:
    """The text of a cell as written and as read."""
    style = draw(st.sampled_from(["plain", "quoted", "inner quotes", "behind quotes"]))
    if style == "plain":
        text = draw(PLAIN)
        return (
            ('"' + text + '"', text) if first and text.startswith("#") else (text,) * 2
        )
    if style == "inner quotes":
        text = "x" + draw(PLAIN) + '"' + draw(PLAIN) + draw(st.sampled_from(["", '"']))
        return text, text
    said = draw(ANY)
    written = '"' + said.replace('"', '""') + '"'
    if style == "behind quotes":
        # csv takes characters behind the closing quote as part of the cell.
        rest = "y" + draw(PLAIN)
        return written + rest, said + rest
    return written, said


@st.composite
def written(draw) -> Written:
    delimiter = draw(st.sampled_from(",;\t"))
    width = draw(st.integers(1, 4))
    endings = draw(st.sampled_from([["\n"], ["\r\n"], ["\n", "\r\n"]]))
    fillers = draw(
        st.sampled_from([[], [""], ["#", '# a "comment', '#,"'], ["", "#;"]])
    )
    lines, expected, cells = [], [], []

    def add_row(line: str, ending: str, said: list[str]) -> None:
        row = len(cells) - 1 if cells else None
        new = "new" if row is None else f"{row}.5"
        lines.append(line + ending)
        expected.append((row, line + delimiter + new + ending))
        cells.append(said)

    for number in range(draw(st.integers(2, 6))):
        for filler in (
            draw(st.lists(st.sampled_from(fillers), max_size=2)) if fillers else []
        ):
            ending = draw(st.sampled_from(endings))
            if not filler and number and width == 1:
                add_row("", ending, [""])  # an absent cell
                continue
            lines.append(filler + ending)
            expected.append((None, filler + ending))
        pairs = [draw(cell(first=place == 0)) for place in range(width)]
        if width == 1 and not pairs[0][0]:
            pairs = [('""', "")]
        line = delimiter.join(pair[0] for pair in pairs)
        ending = draw(st.sampled_from(endings))
        add_row(line, ending, [pair[1] for pair in pairs])
    data = "".join(lines)
    if draw(st.booleans()):
        data = data.removesuffix(ending)
        expected[-1] = (expected[-1][0], expected[-1][1].removesuffix(ending))
    mark = draw(st.sampled_from([b"", BOM]))
    made = [(row, line.encode()) for row, line in expected]
    result = mark + b"".join(line for _, line in made)
    return Written(mark + data.encode(), cells, delimiter, result, made)


@settings(max_examples=150, deadline=None)
@given(written())
def test_appending_leaves_every_byte_as_it_was(table: Written):
    columns = {"new": [f"{row}.5" for row in range(len(table.cells) - 1)]}
    output = appended(table.data, columns, table.delimiter, comment="#")
    assert output == table.expected


@settings(max_examples=80, deadline=None)
@given(written(), st.integers(1, 40))
def test_blocks_of_any_size_give_the_same(table: Written, size: int):
    columns = {"new": [f"{row}.5" for row in range(len(table.cells) - 1)]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "BLOCK", size)
        output = appended(table.data, columns, table.delimiter, comment="#")
    assert output == table.expected


@settings(max_examples=80, deadline=None)
@given(written(), st.integers(1, 40), st.data())
def test_rows_that_are_left_out_leave_all_others(table: Written, size: int, data):
    count = len(table.cells) - 1
    columns = {"new": [f"{row}.5" for row in range(count)]}
    kept = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "BLOCK", size)
        output = appended(table.data, columns, table.delimiter, comment="#", kept=kept)
    mark = BOM if table.data.startswith(BOM) else b""
    stays = [line for row, line in table.lines if row is None or kept[row]]
    assert output == mark + b"".join(stays)


@settings(max_examples=80, deadline=None)
@given(written())
def test_cells_are_those_that_csv_reads(table: Written):
    read = parse(table.data, table.delimiter, comment="#")
    if not table.data.decode().startswith("\ufeff"):
        assert read.names == table.cells[0]
    for position, column in enumerate(read.cells(range(len(read.names)))):
        restored = [unquote(read.masked.restore_text(text)) for text in column]
        expected = [row[position] for row in table.cells[1:]]
        assert [text.removeprefix("\ufeff") for text in restored] == [
            text.removeprefix("\ufeff") for text in expected
        ]


@settings(max_examples=80, deadline=None)
@given(written(), st.integers(0, 3))
def test_replacing_changes_one_column_and_no_other(table: Written, position: int):
    read = parse(table.data, table.delimiter, comment="#")
    position %= len(read.names)
    name = read.names[position]
    if read.names.count(name) > 1 or table.data.decode().startswith("\ufeff"):
        return
    column = pl.Series(["7"] * len(read.rows))
    output = csv.append(read, {name: column})
    after = parse(output, table.delimiter, comment="#")
    for place in range(len(read.names)):
        want = (
            ["7"] * len(column)
            if place == position
            else read.cells([place])[0].to_list()
        )
        got = after.cells([place])[0].to_list()
        assert [after.masked.restore_text(text) for text in got] == [
            read.masked.restore_text(text) for text in want
        ]


@settings(max_examples=80, deadline=None)
@given(ANY)
def test_quoting_is_read_back_by_csv(text: str):
    (row,) = python_csv.reader(io.StringIO(quote(text, ",") + ",end", newline=""))
    assert row == [text, "end"]
    assert unquote(quote(text, ",")) == text


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a\n1\n2", b"a,n\n1,x\n2,x"),
        (b"a\r\n1\r\n", b"a,n\r\n1,x\r\n"),
        (b"a,a\n007,1.10\n", b"a,a,n\n007,1.10,x\n"),
        (b',\n"",\n', b',,n\n"",,x\n'),
        (b"a,b\n1,2\n\n\n", b"a,b,n\n1,2,x\n\n\n"),
        (b'a,b\n"1\n2",3\n', b'a,b,n\n"1\n2",3,x\n'),
        (BOM + b'"a",b\n1,2\n', BOM + b'"a",b,n\n1,2,x\n'),
        (b"\x01\x02\x03,b\n1,\x04\n", b"\x01\x02\x03,b,n\n1,\x04,x\n"),
        (b"x^,b\n1,2\nx^,2\n", b"x^,b,n\n1,2,x\nx^,2,x\n"),
        (b"x\x01\n1\n", b"x\x01,n\n1,x\n"),
        ("xڀ\n1\n".encode(), "xڀ,n\n1,x\n".encode()),
        (b"a\rb,c\n1,2\r3\n", b"a\rb,c,n\n1,2\r3,x\n"),
    ],
)
def test_appending(data: bytes, expected: bytes):
    rows = expected.count(b",x")
    assert appended(data, {"n": ["x"] * rows}) == expected


def test_without_headers_no_name_is_written():
    assert (
        appended(b"1,2\n3,4\n", {"n": ["x", "y"]}, headers=False) == b"1,2,x\n3,4,y\n"
    )


def test_names_and_cells_that_need_quotes_get_them():
    assert (
        appended(b'"a,b"\n1\n', {'a,"b"_rank': ["x"]}) == b'"a,b","a,""b""_rank"\n1,x\n'
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x.csv is empty"),
        (b"\r\n\n", "x.csv is empty"),
        (BOM, "x.csv is empty"),
        (b"#\n#\n", "nothing but comments"),
        (b"a,b\r1,2\r3,4\r", "carriage returns alone do not end any"),
        (b"a,b\n1,2\n3\n", "line 3: 1 instead of 2 cells as in the header"),
        (b'a,b\n"1\n\n",2\n\n3,4,5\n', "line 6: 3 instead of 2 cells"),
        (b"a;b\n1,5;2\n", "line 2: 2 instead of 1 .* by ';'\\? Try --delimiter ';'"),
        (b'a,b\n1,"2\n3,4\n', "line 2: a quoted cell is never closed"),
        (b"a\n\xff\n", "line 2: byte 0xff is not UTF-8"),
        ("a\n1\n".encode("utf-16"), "holds zero bytes"),
        (bytes(range(1, 256)), "is full of control codes"),
    ],
)
def test_what_is_not_a_table_is_refused(data: bytes, message: str):
    with pytest.raises(CommandError, match=message):
        list(cells_of(data, comment="#"))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["", "1"]), min_size=2, max_size=4), min_size=1),
    st.sampled_from([b"\n", b"\r\n"]),
)
def test_rows_of_other_widths_are_found_whatever_they_add_up_to(rows, ending):
    lines = [",".join(["0", "0", "0"]), *map(",".join, rows)]
    data = ending.join(line.encode() for line in lines)
    wrong = [place for place, row in enumerate(rows) if len(row) != 3]
    block = parse(data, headers=False)
    if wrong:
        width = len(rows[wrong[0]])
        found = f"line {wrong[0] + 2}: {width} instead of 3 cells as in the first row"
        with pytest.raises(CommandError, match=found):
            block.cells([1])
    else:
        assert block.cells([1])[0].to_list() == ["0", *(row[1] for row in rows)]


@pytest.mark.parametrize("delimiter", ["", ",,", "\n", '"', "é", "5", ".", "-", "e"])
def test_delimiters_that_cannot_be_are_refused(delimiter: str):
    with pytest.raises(UsageError, match="--delimiter"):
        form_in(None, None, delimiter)


def test_integers_beyond_float64_are_told(softsort):
    text = b"x,y\n9007199254740993,1\n9007199254740992,2\n"
    code, out, err = softsort("rank", "--hard", stdin=text)
    assert (code, out.splitlines()[1]) == (0, b"9007199254740993,1,0.5,0.0")
    assert "integers beyond 2^53" in err
    assert err.endswith("in 'x'\n")


@pytest.mark.parametrize(
    "data",
    [
        b"x,y\n1,a\n3,b\n2,c\n",
        b'x,y\r\n1,"a\r\nb"\r\n3,"c,d"\r\n\r\n2,""\r\n',
        BOM + b"# first\nx,y\n1,a\n# second\n\n,b\n2,c",
        b"x,y\n1,a\nodd,b\n2,c\n",
    ],
    ids=["plain", "quoted", "remarks", "odd"],
)
@pytest.mark.parametrize(
    "options",
    [["-o", "out.csv"], ["-o", "out.ndjson"], ["--replace", "-o", "out.tsv"]],
    ids=lambda options: options[-1],
)
def test_a_table_that_is_held_for_writing_is_written_as_if_read_anew(
    softsort, folder, monkeypatch, data, options
):
    monkeypatch.setattr(source, "BLOCK", 8)
    (folder / "in.csv").write_bytes(data)
    command = ["rank", "-c", "x", "--comment", "#", "--on-invalid", "skip", "--force"]
    written = []
    for held in (1 << 28, 0):
        monkeypatch.setattr(csv, "HELD", held)
        done = softsort(*command, *options, "in.csv")
        assert done[0] == 0, done
        written.append((folder / options[-1]).read_bytes())
    assert written[0] == written[1]
    assert len(written[0].splitlines()) >= 2


def test_what_is_held_is_given_once(folder):
    (folder / "in.csv").write_bytes(b"x\n1\n2\n")
    form = NAMED["csv"]
    given = source.open_input(folder / "in.csv")
    table = csv.open_table(given, form, headers=True, comment=None, spare=float("inf"))
    for _ in range(3):
        next(table.parts())
        (block,) = table.parts()
        assert csv.append(block, {}) == b"x\n1\n2\n"
        assert [cells.to_list() for cells in block.cells([0])] == [["1", "2"]]
        # Text that is in the file is not held beside it.
        assert not any(block.masked.text for block, _ in table.held or ())
    little = csv.open_table(given, form, headers=True, comment=None, spare=9)
    assert little.held is None
    assert opened(b"x\n1\n", spare=float("inf")).held is None  # of no known size


@pytest.mark.parametrize("data", [b"x\n1\n", b"x\n12\n3\n", b"x\n1\n\n\n"])
def test_a_file_that_has_changed_is_not_taken_for_what_it_was(folder, data):
    (folder / "in.csv").write_bytes(b"x\n1\n2\n")
    os.utime(folder / "in.csv", (0, 0))
    form = NAMED["csv"]
    given = source.open_input(folder / "in.csv")
    table = csv.open_table(given, form, headers=True, comment=None, spare=float("inf"))
    list(table.parts())
    (folder / "in.csv").write_bytes(data)
    with pytest.raises(CommandError, match="has changed while it was read"):
        list(table.parts())


@given(st.lists(st.text(), min_size=1), st.sampled_from([np.int32, np.int64]))
def test_texts_lie_one_after_another(said, width):
    parts = [each.encode() for each in said]
    ends = np.cumsum([3, *map(len, parts)], dtype=width)
    found = arrow_texts.texts(b"..." + b"".join(parts), ends)
    assert found.to_list() == said
    assert found.dtype == pl.String


def test_a_text_is_held_as_long_as_its_parts():
    text = "é" * 100
    before = len(arrow_texts._lent)
    found = arrow_texts.texts(text.encode(), np.array([0, 100, 200], np.int32))
    assert len(arrow_texts._lent) == before + 1
    some = found.head(1)
    del found
    assert some.to_list() == ["é" * 50]
    del some
    assert len(arrow_texts._lent) == before


@settings(max_examples=60, deadline=None)
@given(written(), st.data())
def test_cells_of_many_columns_are_those_of_each(table: Written, data):
    block = parse(table.data, table.delimiter, comment="#")
    places = st.lists(st.integers(0, len(block.names) - 1), min_size=1)
    columns = data.draw(places)
    alone = [block.cells([column])[0].to_list() for column in columns]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_block, "MANY", 1)
        assert [cells.to_list() for cells in block.cells(columns)] == alone


class Unsearched(list):
    """Names among which nobody looks for one: for each column that takes too long."""

    def _fail(self, *_):
        raise AssertionError

    __contains__ = count = index = _fail


def test_names_of_many_columns_are_looked_up():
    names = Unsearched(f"c{place}" for place in range(10))
    table = replace(opened(b"x\n1\n"), names=names)
    results = Unsearched(f"{name}_rank" for name in names)
    write.check_names(table, results, table.form, replace=False)
    write.check_table(table, [], results)
    assert select.choose(["c1,3-4", "!c3", "c5"], names) == ([1, 2, 5], {3})
    assert select.choose_keys(["c2,c0"], names) == [2, 0]
    block = replace(parse(b"a,b\n1,2\n"), known=None)
    vars(block)["names"] = Unsearched(["a", "b"])
    cells = {"b": pl.Series(["3"]), "c": pl.Series(["4"])}
    assert csv.append(block, cells) == b"a,b,c\n1,3,4\n"


class Once(bytearray):
    """A text whose last newline is looked for once, however many are in quotes."""

    searches = 0

    def rfind(self, *where):
        self.searches += 1
        assert self.searches == 1
        return super().rfind(*where)


@pytest.mark.parametrize(("more", "end"), [("", 4), ('",1\n', 45), ('",1', 4)])
def test_newlines_in_a_quoted_cell_are_not_gone_over_one_by_one(more, end):
    text = 'a,b\n"' + 'x""\n' * 9 + more
    assert end_of_records(Once(text.encode()), ",", None) == end
