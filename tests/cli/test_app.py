"""The commands on tables, from their arguments to their output and exit code."""

import io
import stat
import sys
from pathlib import Path

import jax
import matplotlib.cbook
import numpy as np
import polars as pl
import pytest
import typer
from softsort_cli import app, console
from softsort_cli.operate import exact
from softsort_cli.options import sizes
from softsort_cli.options.fast_values import Coercion

import softsort_core.operators.ranks

VALUES = np.array([1.0, 5.0, 4.0, 8.0, 12.0])
TABLE = "x,name,y\n1,a,07\n5,b,1.10\n4,c,\n8,d,NA\n12,e,3\n"
STOCKS = Path(matplotlib.cbook.get_sample_data("Stocks.csv", asfileobj=False))
CONFIGURED = ("jax_compilation_cache_dir", "jax_default_device", "jax_enable_x64")


@pytest.fixture(autouse=True)
def _own_state(tmp_path, monkeypatch):
    """Give each command the state of a new process, and a folder to work in."""
    before = {name: getattr(jax.config, name) for name in CONFIGURED}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(console, "quiet", False)
    monkeypatch.setattr(console, "verbose", False)
    (tmp_path / "t.csv").write_text(TABLE)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture
def softsort(capfd, monkeypatch):
    """Run a command: its exit code, output and messages."""

    def run(*arguments, stdin: str | None = None) -> tuple[int, str, str]:
        if stdin is not None:
            text = io.TextIOWrapper(io.BytesIO(stdin.encode()))
            monkeypatch.setattr(sys, "stdin", text)
        code = app.run([str(argument) for argument in arguments])
        return code, *capfd.readouterr()

    return run


def column(text: str, name: str) -> list[str]:
    return pl.read_csv(text.encode(), infer_schema=False)[name].to_list()


def test_ranks_are_the_converged_ones(softsort):
    code, out, err = softsort("rank", "t.csv", "-c", "x")
    assert (code, err) == (0, "")
    lines = TABLE.splitlines()
    assert [line.rpartition(",")[0] for line in out.splitlines()] == lines
    known = [0.0159598215, 1.840641706, 1.1499966238, 2.9997526185, 3.9936492302]
    np.testing.assert_allclose(
        [float(t) for t in column(out, "x_rank")], known, atol=1e-9
    )


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(
    ("arguments", "name", "operator", "settings"),
    [
        (["rank"], "x_rank", "ranks", {}),
        (["sort", "-e", "0.1"], "x_sorted", "sort", {"epsilon": 0.1}),
        (["topk", "-k", "2", "--mask"], "x_topk", "topk_mask", {"k": 2}),
        (["quantize", "--levels", "2"], "x_quantized", "quantize", {"num_levels": 2}),
    ],
)
def test_results_are_those_of_the_library(
    softsort, arguments, name, operator, settings
):
    _, out, _ = softsort(*arguments, "t.csv", "-c", "x")
    expected = getattr(softsort_core, operator)(VALUES, **{"epsilon": 0.01} | settings)
    assert [float(text) for text in column(out, name)] == expected.tolist()


@pytest.mark.parametrize(
    ("arguments", "name", "expected"),
    [
        (["rank"], "x_rank", [0, 2, 1, 3, 4]),
        (["rank", "--start", "1"], "x_rank", [1, 3, 2, 4, 5]),
        (["sort"], "x_sorted", [1, 4, 5, 8, 12]),
        (["topk", "-k", "2", "--mask"], "x_topk", [0, 0, 0, 1, 1]),
        (["quantize", "--levels", "2"], "x_quantized", [3, 6, 3, 9, 9]),
        (["normalize", "--to", "uniform"], "x_normalized", [0.1, 0.5, 0.3, 0.7, 0.9]),
        (["sort", "--targets", "1"], "x_sorted", [6]),
        (["topk", "-k", "2"], "x_topk", [12, 8]),
    ],
)
def test_exact_operators(softsort, arguments, name, expected):
    code, out, _ = softsort(*arguments, "--hard", "t.csv", "-c", "x")
    assert code == 0
    got = [float(text) for text in column(out, name)]
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_quantiles_are_a_table_of_their_own(softsort):
    _, out, _ = softsort("quantile", "--hard", "t.csv", "-q", "0.5,1", "-q", "0")
    expected = "column,q,value\nx,0.5,5.0\nx,1.0,12.0\nx,0.0,1.0\n"
    assert out == expected + "y,0.5,3.0\ny,1.0,7.0\ny,0.0,1.1\n"


def test_soft_quantiles_come_in_the_order_asked_for(softsort):
    _, out, _ = softsort("quantile", "t.csv", "-q", "0.8,0.2,0.5", "-c", "x")
    high, low, middle = (float(text) for text in column(out, "value"))
    assert low < middle < high
    _, out, _ = softsort("quantile", "t.csv", "-q", "0.5", "-c", "x")
    assert float(column(out, "value")[0]) == pytest.approx(4.996368107, abs=1e-6)


SKEWED = "x\n" + "".join(f"{value}\n" for value in [*range(1, 10), 100])


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("way", ["one", "groups", "passes", "parts"])
def test_levels_do_not_change_each_other(softsort, tmp_path, way):
    table = SKEWED
    more = {"passes": ["--max-memory", "1"]}.get(way, [])
    if way == "groups":  # of a group for each level, and of another size
        lines = SKEWED.splitlines()[1:]
        table = "g,x\n" + "".join(f"{g},{x}\n" for g in "ab" for x in lines)
        table += "c,1\nc,4\n"
        more = ["--by", "g"]
    (tmp_path / "s.csv").write_text(table)
    (tmp_path / "t.csv").unlink()
    (tmp_path / "none.csv").write_text("x\n")
    path = "*.csv" if way == "parts" else "s.csv"

    def at(levels, *options):
        arguments = ["quantile", path, "-q", levels, *more, *options, "--quiet"]
        _, out, _ = softsort(*arguments)
        rows = [line.split(",")[-2:] for line in out.splitlines()[1:]]
        return {float(q): float(value) for q, value in rows[: len(levels.split(","))]}

    values = [float(value) for value in SKEWED.splitlines()[1:]]
    both = at("0.9,0.5")
    for level in (0.5, 0.9):
        alone = float(softsort_core.quantile(values, level)[0])
        assert both[level] == pytest.approx(alone, rel=1e-9)
        assert at(str(level))[level] == pytest.approx(alone, rel=1e-9)
    assert list(both) == [0.9, 0.5]
    if way != "groups":  # whose levels are padded to those of the largest
        joint = np.asarray(softsort_core.quantile(values, [0.9, 0.5]))
        assert list(at("0.9,0.5", "--jointly").values()) == pytest.approx(
            joint, rel=1e-9
        )
    assert abs(both[0.5] - at("0.9,0.5", "--jointly")[0.5]) > 0.01


@pytest.mark.usefixtures("x64")
def test_levels_of_a_summary_do_not_change_each_other():
    values = np.random.default_rng(0).lognormal(size=5000)
    known = softsort_core.describe(values)
    summary = softsort_core.summarise(values, known, epsilon=0.1)
    forms = softsort_core.forms("quantile", q=(0.9, 0.5), jointly=False)
    assert forms.solve is not None
    got = np.asarray(forms.solve(summary, epsilon=0.1))
    alone = [softsort_core.quantile(values, [q], epsilon=0.1)[0] for q in (0.9, 0.5)]
    assert got == pytest.approx(np.array(alone), rel=1e-6)


def test_normalizing_to_a_column_of_another_table(softsort, tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n9,50\n,40\nNA,10\n3,30\n1,20\n")
    arguments = ["normalize", "--hard", "t.csv", "-c", "x", "--to"]
    _, out, _ = softsort(*arguments, "other.csv:b")
    assert column(out, "x_normalized") == ["10.0", "30.0", "20.0", "40.0", "50.0"]
    code, _, err = softsort(*arguments, "other.csv:c")
    assert code == 2
    assert "--to other.csv:c: -c 'c': no such column" in err


@pytest.mark.parametrize("name", ["other.csv", "other", "other.tsv", "other.ndjson"])
def test_a_reference_is_read_as_the_table_is(softsort, tmp_path, name):
    """By its name, if that tells of another format."""
    delimiter, codec = ("\t", "utf-8") if name.endswith("tsv") else (";", "latin-1")
    text = "# é\na;b\né;2,5\nb;1,5\n".replace(";", delimiter)
    if name.endswith("json"):
        text, codec = '{"b": 2.5}\n{"b": "1,5"}\n', "utf-8"
    (tmp_path / name).write_bytes(text.encode(codec))
    (tmp_path / "x.csv").write_bytes("x;é\n-1;é\n7,25;\n".encode("latin-1"))
    spelled = ["-d", ";", "--decimal", ",", "--encoding", "latin-1", "--comment", "#"]
    arguments = ["normalize", "--hard", "x.csv", "-c", "x", "--to", f"{name}:b"]
    assert softsort(*arguments, *spelled, "--only")[1] == "x_normalized\n1,5\n2,5\n"


def test_sorting_rows_by_a_column(softsort):
    _, out, _ = softsort("sort", "--hard", "t.csv", "-c", "x,y", "--by-column", "y")
    # Only three rows have both; the rest of the columns is empty.
    assert column(out, "x_sorted") == ["5.0", "12.0", "1.0", None, None]
    assert column(out, "y_sorted") == ["1.1", "3.0", "7.0", None, None]
    code, soft, _ = softsort(
        "sort", "t.csv", "-c", "x", "--by-column", "y", "-e", "1e-4"
    )
    assert code == 0
    np.testing.assert_allclose(
        [float(text) for text in column(soft, "x_sorted")[:3]], [5, 12, 1], atol=1e-3
    )


def test_sorted_values_run_from_the_top(softsort):
    _, out, err = softsort("sort", "--hard", "t.csv", "-c", "y")
    assert column(out, "y_sorted") == ["1.1", "3.0", "7.0", None, None]
    assert err == "softsort: t.csv: absent cells left out: 2 in 'y'\n"


def test_real_data_with_a_comment_and_gaps(softsort):
    code, out, err = softsort("rank", "--hard", STOCKS, "--comment", "#")
    assert code == 0
    old, new = STOCKS.read_text().splitlines(), out.splitlines()
    assert new[0] == old[0]
    assert all(b.startswith(a + ",") for a, b in zip(old[1:], new[1:], strict=True))
    assert err.startswith(f"softsort: {STOCKS}: absent cells left out: 133 in 'IBM'")
    table = pl.read_csv(out.encode(), comment_prefix="#")
    ranks = table["MSFT"].rank("average") - 1
    assert table["MSFT_rank"].to_list() == ranks.to_list()


def test_single_precision_has_fewer_digits(softsort):
    _, out, _ = softsort("rank", "t.csv", "-c", "x", "--precision", "32")
    single = [np.float32(text) for text in column(out, "x_rank")]
    expected = softsort_core.ranks(VALUES.astype(np.float32))
    np.testing.assert_allclose(single, expected, atol=1e-5)
    assert all(len(text) <= 12 for text in column(out, "x_rank"))


@pytest.mark.parametrize("value", ["none", "sigmoid"])
def test_squashing(softsort, value):
    code, out, _ = softsort(
        "rank", "-", "--squash", value, "-n", stdin="0.1\n0.3\n0.2\n0.9\n0.5\n"
    )
    assert code == 0
    ranks = [float(line.split(",")[1]) for line in out.splitlines()]
    assert np.argsort(ranks).tolist() == [0, 2, 1, 4, 3]


def test_options_from_the_environment(softsort, monkeypatch):
    monkeypatch.setenv("SOFTSORT_EPSILON", "1000")
    monkeypatch.setenv("SOFTSORT_FLOAT_FORMAT", ".2f")
    monkeypatch.setenv("SOFTSORT_COLUMNS", "x")
    _, out, _ = softsort("rank", "t.csv")
    assert column(out, "x_rank") == ["2.00"] * 5
    monkeypatch.setenv("SOFTSORT_HARD", "1")
    _, out, _ = softsort("rank", "t.csv")
    assert column(out, "x_rank") == ["0.00", "2.00", "1.00", "3.00", "4.00"]


@pytest.mark.parametrize("name", app.COMMANDS)
def test_values_of_options_are_what_typer_makes_of_them(name):
    def made(coercion, value, param):
        try:
            return coercion.coerce(value, param=param, ctx=None)
        except typer.BadParameter as error:
            return error.message

    command = app.Commands().get_command(None, name)
    for param in command.get_params(typer.Context(command)):
        quick = param.get_runtime_param()
        assert isinstance(quick, Coercion)
        typers = quick.build()
        several = param.multiple or param.nargs == -1
        # An empty name of a file is refused: Typer would take the folder for it.
        is_path = param.type_descriptor.annotation in (Path, list[Path])
        some = "c" if is_path else ""
        texts = (
            [[], ["a", some], ["1", "b c"]] if several else [some, "1", "cpu", "a/b/"]
        )
        for value in (None, param.default, *texts):
            found, expected = (made(each, value, param) for each in (quick, typers))
            assert found == expected
            assert type(found) is type(expected)


def test_several_options_from_one_variable(softsort, monkeypatch):
    monkeypatch.setenv("SOFTSORT_BY", "a b\nc")
    text = "a b,c,x\n1,1,5\n1,2,4\n1,1,3\n"
    _, out, _ = softsort("rank", "-", "--hard", "-c", "x", stdin=text)
    assert column(out, "x_rank") == ["1.0", "0.0", "0.0"]


@pytest.mark.parametrize(
    ("arguments", "stdin", "expected"),
    [
        (["-"], "x\r\n2\r\n1\r\n", "x,x_rank\r\n2,1.0\r\n1,0.0\r\n"),
        ([], "x\n2\n1", "x,x_rank\n2,1.0\n1,0.0"),
        (["--format", "tsv"], "x\ty\n2\tb\n", "x\ty\tx_rank\n2\tb\t0.0\n"),
        (["-d", "tab"], "x\ty\n2\tb\n", "x\ty\tx_rank\n2\tb\t0.0\n"),
        (["-d", ";"], "x;y\n2;b,c\n", "x;y;x_rank\n2;b,c;0.0\n"),
        (["-n"], "2,b\n3,c\n", "2,b,0.0\n3,c,1.0\n"),
        (["-c", "2-,!b"], "x,a,b\n1,5,0\n", "x,a,b,a_rank\n1,5,0,0.0\n"),
        (["--comment", ""], "x\n1\n", "x,x_rank\n1,0.0\n"),
        ([], "x,y\n,1\n", "x,y,y_rank\n,1,0.0\n"),
        (["-c", "x"], "x,y\n,1\n", "x,y,x_rank\n,1,\n"),
        (["-c", "1"], "x,x\n5,6\n", "x,x,x_rank\n5,6,0.0\n"),
        (["--replace"], "x_rank,x\r\n9,5\r\n", None),
        (["--replace", "-c", "x"], "x_rank,x\r\n9,5\r\n", "x_rank,x\r\n0.0,5\r\n"),
        (["--on-invalid", "null"], "x\n1\n?\n2\n", "x,x_rank\n1,0.0\n?,\n2,1.0\n"),
        (["--on-invalid", "skip"], "x\n1\n?\n2\n", "x,x_rank\n1,0.0\n2,1.0\n"),
    ],
)
def test_tables_of_every_kind(softsort, arguments, stdin, expected):
    code, out, _ = softsort("rank", "--hard", *arguments, stdin=stdin)
    if expected is not None:
        assert (code, out.replace("\r", "")) == (0, expected.replace("\r", ""))
    else:
        assert "x_rank_rank" in out


def test_rows_left_out_leave_no_gap_in_sorted_columns(softsort):
    _, out, _ = softsort(
        "sort", "--hard", "--on-invalid", "skip", stdin="x,y\n3,1\n?,2\n1,3\n2,4\n"
    )
    assert out == "x,y,x_sorted,y_sorted\n3,1,1.0,1.0\n1,3,2.0,3.0\n2,4,3.0,4.0\n"


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "message"),
    [
        (["rank", "none.csv"], None, 1, "cannot read none.csv: No such file"),
        (["rank", "."], None, 1, "cannot read .: Is a directory"),
        (["rank", "x.ods"], None, 2, "convert it to one of these"),
        (["rank"], "", 1, "standard input is empty"),
        (["rank"], "x\na\n", 1, "has no numeric column"),
        (["rank"], "x;y\n1;2\n", 1, "Try --delimiter ';'"),
        (
            ["rank", "-c", "x"],
            "x\n1\nq\n",
            1,
            "column 'x', line 3: 'q' is not a finite",
        ),
        (["rank", "-c", "prise"], "price\n1\n", 2, "did you mean 'price'?"),
        (["rank"], "x,x_rank\n1,2\n", 1, "already has a column 'x_rank'"),
        (["rank"], "x,x\n1,2\n", 1, "several columns named 'x'"),
        (["rank", "-o", "t.csv"], "x\n1\n", 1, "t.csv exists"),
        (["rank", "-o", "."], "x\n1\n", 1, "it is a folder"),
        (["rank", "-o", "no/x.csv"], "x\n1\n", 1, "there is no folder no"),
        (["rank", "-o", "x.ods"], "x\n1\n", 2, "and Excel are written"),
        (["rank", "-o", "x.arrow.gz"], "x\n1\n", 2, "arrow is compressed inside"),
        (["rank", "-o", "/dev/full"], "x\n1\n", 1, "No space left on device"),
        (["rank", "--float-format", "q"], "x\n1\n", 2, "--float-format 'q'"),
        (["rank", "-e", "0"], "x\n1\n", 2, "0.0 is not a positive number"),
        (["rank", "-d", "ab"], "x\n1\n", 2, "--delimiter 'ab'"),
        (["rank", "--precision", "16"], "x\n1\n", 2, "--precision"),
        (["rank", "--nope"], "x\n1\n", 2, "No such option: --nope"),
        (["nope"], None, 2, "No such command 'nope'"),
        (["topk"], "x\n1\n", 2, "Missing option '-k'"),
        (
            ["topk", "-k", "3"],
            "x\n1\n",
            1,
            "column 'x': -k 3 is more than its 1 values",
        ),
        (["quantile", "-q", "0.5,2"], "x\n1\n", 2, "give levels from 0 to 1"),
        (["quantile", "-q", "half"], "x\n1\n", 2, "-q 'half': give levels from 0"),
        (["sort", "--targets", "2", "--by-column", "x"], "x\n1\n", 2, "leave out"),
        (["sort", "--by-column", "1-2"], "x,y\n1,2\n", 2, "stands for 2 columns"),
        (
            ["normalize", "--to", "gauss"],
            "x\n1\n",
            2,
            "normal, uniform, or FILE:COLUMN",
        ),
    ],
)
def test_errors_are_one_line_and_have_their_exit_code(
    softsort, arguments, stdin, code, message
):
    hard_too = [] if arguments == ["nope"] else ["--hard"]
    got, out, err = softsort(*arguments, *hard_too, stdin=stdin)
    assert (got, out) == (code, "")
    assert err.startswith("softsort: error: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("1000000", 10**6),
        ("512B", 512),
        ("1.5k", 1500),
        ("1K", 1000),
        ("0.29KB", 290),
        ("700M", 700 * 10**6),
        ("500 MB", 500 * 10**6),
        ("2g", 2 * 10**9),
        (".5T", 5 * 10**11),
        ("1Ki", 1024),
        ("256MiB", 2**28),
        ("1.5gib", 3 * 2**29),
        (" 2TiB ", 2**41),
    ],
)
def test_sizes_of_memory(text, size):
    assert sizes.bytes_of(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "much", "-1", "0", "0.5", "M", "1.2.3M", ".M", "5i", "2E", "1e9", "9" * 400],
)
@pytest.mark.parametrize("command", [["rank", "none.csv"], ["denoise", "none.tif"]])
def test_what_is_no_size_of_memory(softsort, command, text):
    code, out, err = softsort(*command, "--max-memory", text)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"{text!r} is not a size, such as 256MiB" in err


def test_a_result_that_is_no_number_is_an_error(softsort, monkeypatch):
    monkeypatch.setattr(exact, "ranks", lambda values, *_, **__: values * np.nan)
    code, out, err = softsort("rank", "--hard", "t.csv", "-c", "x", "--precision", "32")
    assert (code, out) == (1, "")
    assert "column 'x': the solver did not converge" in err
    assert "larger --epsilon or --precision 64" in err


def test_what_the_library_refuses_names_the_column(softsort, monkeypatch):
    def refuse(*_, **__):
        raise softsort_core.SoftSortError("too many values")

    monkeypatch.setattr(softsort_core, "forms", refuse)
    code, _, err = softsort("rank", "t.csv")
    assert (code, err.splitlines()[-1]) == (
        1,
        "softsort: error: column 'x': too many values",
    )


def test_columns_of_mostly_numbers_are_not_dropped_in_silence(softsort):
    _, out, err = softsort("rank", "--hard", stdin="x,y\n1,1\n2,?\n3,3\n")
    assert "column 'y' is left out: line 3: '?' is not a number" in err
    assert out.startswith("x,y,x_rank\n")


def test_quiet(softsort):
    arguments = ["--hard", "t.csv", "-c", "y"]
    assert softsort("rank", *arguments, "-q")[2] == ""
    assert softsort("quantile", *arguments, "-q", "0.5", "--quiet")[2] == ""


def test_verbose_shows_the_traceback(softsort):
    _, _, err = softsort("rank", "none.csv", "--verbose")
    assert "Traceback" in err


def test_an_output_is_replaced_whole(softsort, tmp_path):
    target = tmp_path / "t.csv"
    target.chmod(0o640)
    (tmp_path / "link.csv").symlink_to(target)
    code, out, _ = softsort(
        "rank", "--hard", "t.csv", "-o", "link.csv", "--force", "-q"
    )
    assert (code, out) == (0, "")
    assert target.read_text().startswith("x,name,y,x_rank,y_rank\n1,a,07,0.0,2.0\n")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert {path.name for path in tmp_path.iterdir()} == {"link.csv", "t.csv"}
    assert (tmp_path / "link.csv").is_symlink()


def test_a_failure_while_writing_leaves_the_old_file(softsort, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("softsort_cli.tables.csv.append", fail)
    code, _, err = softsort("rank", "--hard", "t.csv", "-o", "t.csv", "--force", "-q")
    assert code == 1
    assert "cannot write t.csv: No space left on device" in err
    assert (tmp_path / "t.csv").read_text() == TABLE
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_tables_of_results_follow_the_extension(softsort, tmp_path):
    softsort("quantile", "--hard", "t.csv", "-c", "x", "-q", "0.5", "-o", "q.tsv")
    assert (tmp_path / "q.tsv").read_text() == "column\tq\tvalue\nx\t0.5\t5.0\n"


def test_info_checks_itself(softsort):
    code, out, _ = softsort("info")
    assert code == 0
    assert f"jax {jax.__version__}\n" in out
    assert "self-check: largest error" in out
