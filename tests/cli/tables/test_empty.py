"""Tables of no rows, rows of no cells, and names that results may not take."""

import polars as pl
import pytest
from softsort_cli import app

pytest_plugins = ["tests.tabular"]

APPENDED = {
    "rank": "rank",
    "sort": "sorted",
    "topk -k 2 --mask": "topk",
    "normalize": "normalized",
    "quantize": "quantized",
    "sort --by-column x": "sorted",
}
TABULATED = {
    "quantile -q 0.5": ["column", "q", "value"],
    "topk -k 2": ["x_topk"],
    "sort --targets 2": ["x_sorted"],
    "sweep": ["column", "epsilon", "place", "sorted", "value", "rank"],
}
SCHEMA = {"g": pl.String, "x": pl.Float64}


def test_every_command_on_tables_is_tried():
    images = {"denoise", "noise", "compare", "learn-filter", "train", "predict", "info"}
    tried = {command.split()[0] for command in [*APPENDED, *TABULATED]}
    assert tried | images == set(app.COMMANDS)


@pytest.mark.parametrize("by", ["", "--by g"])
@pytest.mark.parametrize("command", APPENDED)
def test_no_rows_in_are_no_rows_out(softsort, command, by):
    arguments = [*command.split(), *by.split(), "-c", "x", "--hard"]
    code, out, err = softsort(*arguments, stdin=b"g,x\r\n")
    assert (code, out) == (0, f"g,x,x_{APPENDED[command]}\r\n".encode())
    assert err == "softsort: standard input has no rows\n"


@pytest.mark.parametrize("by", ["", "--by g"])
@pytest.mark.parametrize("command", TABULATED)
def test_few_results_of_no_rows(softsort, command, by):
    if command == "sweep" and by:
        return
    hard = [] if command == "sweep" else ["--hard"]
    arguments = [*command.split(), *by.split(), "-c", "x", *hard]
    code, out, _ = softsort(*arguments, stdin=b"g,x\n")
    header = ",".join([*(["g"] if by else []), *TABULATED[command]])
    # A quantile of no values is absent, as of a column without numbers.
    row = "x,0.5,\n" if command.startswith("quantile") and not by else ""
    assert (code, out.decode()) == (0, f"{header}\n{row}")


@pytest.mark.parametrize("goes", ["parquet", "arrow", "csv"])
@pytest.mark.parametrize("came", ["parquet", "arrow"])
def test_types_tell_what_is_numeric_where_no_rows_do(softsort, folder, came, goes):
    frame = pl.DataFrame({name: [] for name in SCHEMA}, SCHEMA)
    {"parquet": frame.write_parquet, "arrow": frame.write_ipc}[came](f"t.{came}")
    assert softsort("rank", "--hard", f"t.{came}", "-o", f"o.{goes}")[0] == 0
    if goes == "csv":
        assert (folder / "o.csv").read_text() == "g,x,x_rank\n"
        return
    schema = {"parquet": pl.read_parquet_schema, "arrow": pl.read_ipc_schema}[goes]
    assert schema(f"o.{goes}") == SCHEMA | {"x_rank": pl.Float64}


@pytest.mark.parametrize("goes", ["ndjson", "csv", "parquet"])
def test_no_objects_are_a_table_of_any_columns(softsort, folder, goes):
    arguments = ["rank", "--hard", "--format", "ndjson", "-c", "x", "--by", "g"]
    code, _, err = softsort(*arguments, "-o", f"o.{goes}", stdin=b"\n")
    assert (code, err) == (0, "softsort: standard input has no rows\n")
    if goes == "parquet":
        assert pl.read_parquet("o.parquet").is_empty()
    else:
        assert (folder / f"o.{goes}").read_bytes() == b"\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["sort", "--by-column", "x", "--hard"],
        ["rank", "-c", "x", "--weights", "w", "--blur", "se"],
        ["sweep", "-c", "x", "--weights", "w"],
    ],
    ids=" ".join,
)
def test_no_objects_have_every_column_that_is_named(softsort, arguments):
    code, _, err = softsort(*arguments, "--format", "ndjson", stdin=b"\n")
    assert (code, err) == (0, "softsort: standard input has no rows\n")


@pytest.mark.parametrize("command", ["rank", "sort", "topk -k 1 --mask", "quantize"])
def test_objects_without_members_stay(softsort, command):
    arguments = [*command.split(), "--hard", "--format", "ndjson", "--by", "g"]
    assert softsort(*arguments, stdin=b"{}\n{ }\n") == (0, b"{}\n{ }\n", "")


def test_parts_without_objects_have_every_column(softsort, folder):
    (folder / "a.ndjson").write_text("\n")
    (folder / "b.ndjson").write_text('{"x": 1, "w": 2}\n{"x": 2, "w": 2}\n')
    (folder / "none.ndjson").write_text("")
    arguments = ["rank", "-c", "x", "--weights", "w"]
    assert softsort(*arguments, "a.ndjson", "b.ndjson", "--out-dir", "o")[0] == 0
    assert (folder / "o/a.ndjson").read_text() == "\n"
    assert pl.read_ndjson("o/b.ndjson")["x_rank"].round(3).to_list() == [0.5, 2.5]
    assert softsort(*arguments, "a.ndjson", "none.ndjson", "--out-dir", "p")[0] == 0


def test_rows_that_are_all_left_out_leave_a_table(softsort, folder):
    arguments = ["rank", "--hard", "-c", "x", "--on-invalid", "skip"]
    for goes in ("csv", "parquet", "tsv"):
        code, _, _ = softsort(*arguments, "-o", f"o.{goes}", stdin=b"g,x\na,?\n")
        assert code == 0
    assert (folder / "o.csv").read_text() == "g,x,x_rank\n"
    assert (folder / "o.tsv").read_text() == "g\tx\tx_rank\n"
    assert pl.read_parquet("o.parquet").shape == (0, 3)


@pytest.mark.parametrize("empty", [[0], [1], [0, 2], [0, 1, 2]])
def test_parts_of_no_rows(softsort, folder, empty):
    texts = [f"g,x\na,{place}\nb,5\n" for place in range(3)]
    for place in empty:
        texts[place] = "g,x\n"
    for place, text in enumerate(texts):
        (folder / f"p{place}.csv").write_text(text)
    arguments = ["rank", "-q", "-c", "x", "p*.csv"]
    assert softsort(*arguments, "--out-dir", "o")[0] == 0
    for place, text in enumerate(texts):
        lines = (folder / "o" / f"p{place}.csv").read_text().splitlines()
        assert [line.rpartition(",")[0] for line in lines] == text.splitlines()


def test_parts_without_objects(softsort, folder):
    (folder / "p0.ndjson").write_text("")
    (folder / "p1.ndjson").write_text('{"x": 1}\n')
    assert softsort("rank", "-q", "p*.ndjson", "--out-dir", "o")[0] == 0
    assert (folder / "o" / "p0.ndjson").read_text() == ""
    assert (folder / "o" / "p1.ndjson").read_text() == '{"x": 1, "x_rank": 0.0}\n'


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("headers", [True, False])
def test_a_blank_line_is_the_absent_cell_of_one_column(softsort, ending, headers):
    lines = ["a", "3", "", "1", ""] if headers else ["3", "", "1", ""]
    added = ["a_rank", "1.0", "", "0.0", ""][not headers :]
    text = "".join(line + ending for line in lines)
    options = [] if headers else ["--no-headers"]
    code, out, err = softsort("rank", "--hard", *options, stdin=text.encode())
    want = [f"{line},{new}" for line, new in zip(lines, added, strict=True)]
    assert (code, out.decode().split(ending)) == (0, [*want, ""])
    assert "absent cells left out: 2 in" in err
    options = [*options, "-o", "o.parquet"]
    assert softsort("rank", "--hard", *options, "-q", stdin=text.encode())[0] == 0
    assert pl.read_parquet("o.parquet")[:, 1].to_list() == [1.0, None, 0.0, None]


def test_a_blank_line_is_none_of_several_columns(softsort):
    _, out, err = softsort("rank", "--hard", "-c", "a", stdin=b"a,b\n\n3,x\n\n1,y\n\n")
    assert (out, err) == (b"a,b,a_rank\n\n3,x,1.0\n\n1,y,0.0\n\n", "")


@pytest.mark.parametrize("goes", ["csv", "tsv", "parquet", "ndjson"])
def test_comments_that_are_not_written_are_told(softsort, goes):
    arguments = ["rank", "--hard", "--comment", "#", "-o", f"o.{goes}"]
    _, _, err = softsort(*arguments, stdin=b"#1\nx\n3\n#2\n")
    told = "softsort: note: standard input: its comments are not written\n"
    assert err == ("" if goes == "csv" else told)
    _, _, err = softsort(*arguments, "--force", stdin=b"x\n3\n\n")
    assert "comments" not in err


@pytest.mark.parametrize(
    ("arguments", "header", "taken"),
    [
        ("quantile -q 0.5 --by q", "q,x", "q"),
        ("quantile -q 0.5 --by value", "value,x", "value"),
        ("quantile -q 0.5 --by column", "column,x", "column"),
        ("topk -k 1 --by x_topk -c x", "x_topk,x", "x_topk"),
        ("sort --targets 1 --by x_sorted -c x", "x_sorted,x", "x_sorted"),
        ("topk -k 1 -c 1,2", "x,x", "x"),
        ("sort --targets 1 -c 1,2", "x,x", "x"),
        ("quantile -q 0.5 --by 1,2 -c 3", "g,g,x", "g"),
        ("rank -c x", "x,x_rank", "x_rank"),
        ("sort -c x", "x,x_sorted", "x_sorted"),
        ("sort --by-column 1 -c x", "x,x_sorted", "x_sorted"),
        ("topk -k 1 --mask -c x", "x,x_topk", "x_topk"),
        ("normalize -c x", "x,x_normalized", "x_normalized"),
        ("quantize -c x", "x,x_quantized", "x_quantized"),
    ],
)
@pytest.mark.parametrize("is_dry", [True, False])
def test_results_never_take_a_name_in_silence(
    softsort, arguments, header, taken, is_dry
):
    row = ",".join("1" for _ in header.split(","))
    more = ["--dry-run"] if is_dry else []
    text = f"{header}\n{row}\n".encode()
    code, out, err = softsort(*arguments.split(), "--hard", *more, stdin=text)
    assert (code, out) == (1, b"")
    assert repr(taken) in err
    assert err.count("\n") == 1


def test_labels_are_no_results(softsort):
    table = b"x,y\n1.5,2\n3.25,4\n"
    arguments = ["--float-format", ".0f", "-c", "x"]
    _, out, _ = softsort("quantile", "--hard", "-q", "0,.75", *arguments, stdin=table)
    assert out.decode().split() == ["column,q,value", "x,0.0,2", "x,0.75,3"]
    _, out, _ = softsort("sweep", "--epsilons", "1e-3:1e-3:1", *arguments, stdin=table)
    assert out.decode().split()[1:] == ["x,0.001,0,2,1.5,0", "x,0.001,1,3,3.25,1"]
