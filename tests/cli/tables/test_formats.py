"""Tables in every format, packing and encoding, from files and from pipes."""

import csv
import gzip
import io
import itertools
from datetime import timedelta

import polars as pl
import pytest
import zstandard
from softsort_cli.io import source
from softsort_cli.tables import formats

pytest_plugins = ["tests.tabular"]

FRAME = pl.DataFrame({"x": [3.0, None, 1.0, 12.5], "name": ["é,", "b", None, 'q"']})
RANKS = [1.0, None, 0.0, 2.0]
WRITERS = {
    "csv": lambda frame, file: frame.write_csv(file),
    "tsv": lambda frame, file: frame.write_csv(file, separator="\t"),
    "psv": lambda frame, file: frame.write_csv(file, separator="|"),
    "ndjson": lambda frame, file: frame.write_ndjson(file),
    "parquet": lambda frame, file: frame.write_parquet(file),
    "arrow": lambda frame, file: frame.write_ipc(file),
}
READERS = {
    "csv": lambda data: pl.read_csv(data),
    "tsv": lambda data: pl.read_csv(data, separator="\t"),
    "psv": lambda data: pl.read_csv(data, separator="|"),
    "ndjson": lambda data: pl.read_ndjson(data),
    "parquet": lambda data: pl.read_parquet(data),
    "arrow": lambda data: pl.read_ipc(data),
}


def test_every_format_has_a_name_and_suffixes_of_its_own():
    assert [*WRITERS, "excel"] == list(formats.NAMED)  # which has tests of its own
    suffixes = [suffix for form in formats.ALL for suffix in form.suffixes]
    assert len(set(suffixes)) == len(suffixes)
    for form in formats.ALL:
        module = form.load()
        names = ["write"] if form.is_binary else ["append", "text_of"]
        assert all(callable(getattr(module, name)) for name in ["open_table", *names])


def stored(kind: str) -> bytes:
    file = io.BytesIO()
    WRITERS[kind](FRAME, file)
    return file.getvalue()


@pytest.mark.parametrize(("came", "goes"), list(itertools.product(WRITERS, READERS)))
def test_any_format_in_and_out(softsort, folder, came, goes):
    (folder / f"t.{came}").write_bytes(stored(came))
    arguments = ["rank", "--hard", f"t.{came}", "-c", "x"]
    assert softsort(*arguments, "-o", f"out.{goes}", "-q") == (0, b"", "")
    frame = READERS[goes]((folder / f"out.{goes}").read_bytes())
    assert frame["x_rank"].to_list() == RANKS
    assert frame["x"].cast(pl.Float64).to_list() == FRAME["x"].to_list()
    assert frame["name"].to_list() == FRAME["name"].to_list()
    # The same through pipes.
    code, piped, err = softsort(*arguments, "--format", goes, "-q")
    assert (code, err) == (0, "")
    assert READERS[goes](piped).equals(frame)
    if came == goes:
        given = {"stdin": stored(came)}
        piped = softsort("rank", "--hard", "-", "-c", "x", "--format", came, **given)[1]
        assert READERS[goes](piped).equals(frame)


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
@pytest.mark.parametrize(
    ("packing", "pack", "unpack"),
    [
        ("gz", gzip.compress, gzip.decompress),
        (
            "zst",
            lambda data: zstandard.compress(data),
            lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
        ),
    ],
)
def test_packed_tables(softsort, folder, kind, packing, pack, unpack):
    data = stored(kind)
    # Two members after one another are one content.
    (folder / f"t.{kind}.{packing}").write_bytes(pack(data[:9]) + pack(data[9:]))
    (folder / f"t.{kind}").write_bytes(data)
    arguments = ["rank", "--hard", "-c", "x", "-q"]
    expected = softsort(*arguments, f"t.{kind}")[1]
    assert softsort(*arguments, f"t.{kind}.{packing}")[1] == expected
    softsort(*arguments, f"t.{kind}", "-o", f"o.{kind}.{packing}")
    assert unpack((folder / f"o.{kind}.{packing}").read_bytes()) == expected
    (folder / f"cut.{kind}.{packing}").write_bytes(pack(data)[:-5])
    code, out, err = softsort(*arguments, f"cut.{kind}.{packing}")
    assert (code, out) == (1, b"")
    assert "data end too early" in err


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-be", "latin-1", "windows-1252"])
def test_text_in_other_encodings_comes_back_in_them(softsort, codec):
    code, out, _ = softsort(
        "rank",
        "--hard",
        "-",
        "--encoding",
        codec,
        stdin="é,x\r\nü,2\r\nß,1\r\n".encode(codec),
    )
    assert (code, out) == (0, "é,x,x_rank\r\nü,2,1.0\r\nß,1,0.0\r\n".encode(codec))


def test_lines_of_ndjson_stay_as_they_are(softsort):
    lines = [
        b'{"a": 1.10, "b": {"c": [1,  2]}, "d": 007e0}'.replace(b"007", b"7"),
        b"",
        b'{"d":"x\\u00e9","a":1e5 } \r',
        b'{"d":null}',
        b'{ "a" : "0.5" }',
    ]
    code, out, _ = softsort(
        "rank", "--hard", "--format", "ndjson", "-c", "a", stdin=b"\n".join(lines)
    )
    assert code == 0
    assert out.split(b"\n") == [
        lines[0][:-1] + b', "a_rank": 1.0}',
        b"",
        b'{"d":"x\\u00e9","a":1e5 , "a_rank": 2.0} \r',
        b'{"d":null, "a_rank": null}',
        b'{ "a" : "0.5" , "a_rank": 0.0}',
    ]


FORMATTED = {
    ".2f": ["1000.00", None, "1001.00"],
    ".3e": ["1.000e+03", None, "1.001e+03"],
    "+.1f": ['"+1000.0"', None, '"+1001.0"'],
    "07.1f": ['"01000.0"', None, '"01001.0"'],
    ",.1f": ['"1,000.0"', None, '"1,001.0"'],
    ".1%": ['"100000.0%"', None, '"100100.0%"'],
    '">7.1f': ['"\\"1000.0"', None, '"\\"1001.0"'],
}


@pytest.mark.parametrize("spec", FORMATTED)
def test_formatted_numbers_are_json_in_ndjson(softsort, folder, spec):
    expected = [text or "null" for text in FORMATTED[spec]]
    arguments = ["--hard", "--float-format", spec, "-c", "a", "-q"]
    lines = ['{"a":1', '{"a":null', '{"a":3000']
    given = "".join(line + "}\n" for line in lines).encode()
    rank = ["rank", "--start", "1000", *arguments]
    _, out, _ = softsort(*rank, "--format", "ndjson", stdin=given)
    pairs = zip(lines, expected, strict=True)
    appended = [f'{line}, "a_rank": {text}}}' for line, text in pairs]
    assert out.decode().splitlines() == appended
    # What was a text stays one, even if it looks like a number.
    (folder / "t.csv").write_text("é,a\n7.0,1\n,\nx,3000\n", encoding="utf-8")
    softsort(*rank, "t.csv", "-o", "o.ndjson")
    texts = ['"7.0","a":"1"', 'null,"a":null', '"x","a":"3000"']
    pairs = zip(texts, expected, strict=True)
    converted = [f'{{"é":{text},"a_rank":{rank}}}' for text, rank in pairs]
    assert (folder / "o.ndjson").read_text("utf-8").splitlines() == converted


def test_formatted_numbers_of_tables_of_results(softsort, folder):
    (folder / "t.csv").write_bytes(b"k,x\n7.0,1000\n,2000\n3.0,\n")
    arguments = ["quantile", "t.csv", "--hard", "--by", "k", "-q", "0.5"]
    softsort(*arguments, "--float-format", ",.1f", "-o", "o.ndjson")
    assert (folder / "o.ndjson").read_bytes().splitlines() == [
        b'{"k":"7.0","column":"x","q":0.5,"value":"1,000.0"}',
        b'{"k":null,"column":"x","q":0.5,"value":"2,000.0"}',
        b'{"k":"3.0","column":"x","q":0.5,"value":null}',
    ]
    _, out, _ = softsort(*arguments, "--float-format", ",.1f")
    assert out.splitlines()[1:] == [
        b'7.0,x,0.5,"1,000.0"',
        b',x,0.5,"2,000.0"',
        b"3.0,x,0.5,",
    ]


def test_an_absent_result_is_an_empty_cell_whatever_the_format(softsort, folder):
    arguments = ["rank", "--hard", "--format", "ndjson", "--float-format", ".1f"]
    softsort(*arguments, "-o", "o.csv", stdin=b'{"x":1}\n{"x":null}\n')
    assert (folder / "o.csv").read_bytes() == b"x,x_rank\n1,0.0\n,\n"


ODD = {
    "binary": pl.Series([b"a", b"\xff"]),
    "list": pl.Series([[1], [2, 3]]),
    "array": pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int64, 2)),
    "struct": pl.Series([{"a": 1}, {"a": 2}]),
    "duration": pl.Series([timedelta(1), timedelta(2)]),
    "list of binary": pl.Series([[b"a"], [b"\xff"]]),
    "struct of binary": pl.Series([{"a": b"a"}, {"a": b"\xff"}]),
}
IN_JSON = {
    "list": ["[1]", "[2,3]"],
    "array": ["[1,2]", "[3,4]"],
    "struct": ['{"a":1}', '{"a":2}'],
    "duration": ['"PT86400S"', '"PT172800S"'],
}


@pytest.mark.parametrize("goes", ["csv", "ndjson"])
@pytest.mark.parametrize("came", ["parquet", "arrow"])
@pytest.mark.parametrize("kind", ODD)
def test_cells_that_are_no_text(softsort, folder, kind, came, goes):
    WRITERS[came](pl.DataFrame({"odd": ODD[kind], "x": [1, 2]}), folder / f"t.{came}")
    arguments = [f"t.{came}", "--hard", "-c", "x", "-o", f"o.{goes}"]
    rank = softsort("rank", *arguments)
    keys = softsort("quantile", "-q", "1", "--by", "odd", *arguments, "--force")
    if goes == "ndjson" and kind in IN_JSON:
        assert (rank[0], keys[0]) == (0, 0)
        lines = (folder / "o.ndjson").read_text().splitlines()
        assert [line.partition(',"column"')[0] for line in lines] == [
            f'{{"odd":{text}' for text in IN_JSON[kind]
        ]
        return
    for code, out, err in (rank, keys):
        assert (code, out, err.count("\n")) == (1, b"", 1)
        assert f"t.{came}, column 'odd': " in err
        assert "-o FILE.parquet" in err
    assert not (folder / f"o.{goes}").exists()


def test_members_that_appear_late(softsort, folder, monkeypatch):
    monkeypatch.setattr(source, "BLOCK", 64)
    early = [f'{{"x": {place}, "deep": {{"lost": {{"u": []}}}}}}' for place in range(9)]
    late = ['{"x": 9, "l\\u0061te": 2.50, "q\\"": 7}', '{"late": 1e5, "": [1,  2]}']
    (folder / "t.ndjson").write_text("\n".join([*early, *late, "{}"]))
    arguments = ["rank", "--hard", "t.ndjson", "-q"]
    assert softsort(*arguments, "-c", "late", "-o", "o.csv")[0] == 0
    names, *rows = csv.reader((folder / "o.csv").read_text().splitlines())
    assert names == ["x", "deep", "late", 'q"', "", "late_rank"]
    assert rows[0] == ["0", '{"lost": {"u": []}}', "", "", "", ""]
    assert rows[-3:] == [
        ["9", "", "2.50", "7", "", "0.0"],
        ["", "", "1e5", "", "[1,  2]", "1.0"],
        [""] * 6,
    ]
    (folder / "t.ndjson").write_text("\n".join([*early, '{"x_rank": 1}']))
    code, out, err = softsort(*arguments, "-c", "x")
    assert (code, out, "has a member 'x_rank'" in err) == (1, b"", True)


def test_the_last_of_several_members_of_a_name_counts(softsort):
    lines = ['{"x": 1, "x": 4}', "{}", '{"x": 2}', '{"x": 5, "\\u0078": 3}']
    arguments = ["rank", "--hard", "--format", "ndjson", "-c", "x"]
    for given in (lines, [*lines, '{"x": NaN}']):  # which polars does not read
        _, out, _ = softsort(*arguments, stdin="\n".join(given).encode())
        ranks = [line.rpartition(b" ")[2] for line in out.splitlines()]
        assert ranks[:4] == [b"2.0}", b"null}", b"0.0}", b"1.0}"]


def test_texts_of_ndjson_are_carried_along_as_they_are_written(softsort, folder):
    values = [
        "1.00",
        "1.0",
        "1",
        '"1"',
        "1e5",
        "1.10",
        "-0.0",
        "12345678901234567890123",
    ]
    values += ["0.10000000000000001", "[1.0,  2]", '{"b": 1.50}', "true", "null"]
    values += [
        '"null"',
        '""',
        r'"\u00e9\n\"\\,"',
        '"a\\\\"',
        r'"\ud83d\ude00"',
        '": 1, "',
    ]
    lines = [f'{{"k": {value}, "x": {x}}}' for x, value in enumerate(values)]
    plain = "\n".join(lines)
    expected: list[str | None] = [value.strip('"') for value in values]
    expected[12], expected[15:18] = None, ['é\n"\\,', "a\\", "\U0001f600"]
    for text in (plain, plain + '\n{"x": NaN}'):  # which polars does not read
        (folder / "t.ndjson").write_text(text)
        arguments = ["t.ndjson", "-c", "x", "--hard", "--force", "-q"]
        softsort("rank", *arguments, "-o", "o.parquet")
        found = pl.read_parquet(folder / "o.parquet")["k"].to_list()
        assert found[: len(expected)] == expected


@pytest.mark.parametrize("more", ["", '{"k": 2, "x": NaN}\n'])
def test_keys_of_ndjson_compare_as_they_are_written(softsort, more):
    spelled = ["1.00", "1.0", "1", '"1"', "1.00", '"\\u0031"']
    lines = [f'{{"k": {key}, "x": {x}}}\n' for x, key in enumerate(spelled)]
    arguments = ["rank", "--format", "ndjson", "-c", "x", "--by", "k", "--hard"]
    _, out, _ = softsort(*arguments, stdin=("".join(lines) + more).encode())
    ranks = [line.rpartition(b" ")[2] for line in out.splitlines()[:6]]
    assert ranks == [b"0.0}", b"0.0}", b"0.0}", b"1.0}", b"1.0}", b"2.0}"]


@pytest.mark.parametrize(
    ("name", "data", "code", "message"),
    [
        ("t.parquet", b"PAR1 and no more", 1, "t.parquet cannot be read as Parquet: "),
        ("t.arrow", b"ARROW1 and no more", 1, "t.arrow cannot be read as Arrow: "),
        ("t.parquet", b"", 1, "t.parquet"),
        ("t.ndjson", b'{"x":1}\n{"x":\n', 1, "t.ndjson, line 2: not JSON"),
        ("t.ndjson", b'{"x":1}\n[2]\n', 1, "line 2: not a JSON object"),
        ("t.ndjson", b'{"x":1}\n{"x":"q"}\n', 1, 'line 2: "q"'),
        (
            "t.csv.gz",
            b"\x1f\x8b\x08" + bytes(6) + b"\xff" * 9,
            1,
            "damaged gz",
        ),
        ("t.csv", "x\né\n".encode("latin-1"), 1, "--encoding windows-1252"),
        ("t.csv", bytes(range(256)), 1, "is not a text table"),
        ("t.csv", "x\n1\n".encode("utf-16"), 1, "is it UTF-16? Try --encoding utf-16"),
        ("t.parq", b"PAR1\0\0", 1, "is it Parquet? Try --format parquet"),
        ("t", b"ARROW1\0\0", 1, "is it Arrow? Try --format arrow"),
        ("t.dat", b"PK\3\4\0", 1, "is it Excel? Try --format excel"),
    ],
)
def test_damaged_files_are_one_line(softsort, folder, name, data, code, message):
    (folder / name).write_bytes(data)
    got, out, err = softsort("rank", "--hard", name, "-c", "1")
    assert (got, out, err.count("\n")) == (code, b"", 1)
    assert message in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["t.parquet", "--no-headers"], "--no-headers is for delimited text"),
        (["t.parquet", "--encoding", "latin-1"], "--encoding is for delimited text"),
        (["t.ndjson", "-d", ";"], "--delimiter is for delimited text"),
        (["t.csv", "--encoding", "klingon"], "'klingon' is not known"),
        (["t.csv", "-o", "o.parquet", "--float-format", ".2f"], "is for text"),
        (["t.csv", "--max-memory", "much"], "is not a size"),
        (["t.csv", "-o", "o.tsv", "--format", "ndjson"], "t.csv is csv and o.tsv is"),
    ],
)
def test_options_that_cannot_be(softsort, folder, arguments, message):
    for kind in WRITERS:
        (folder / f"t.{kind}").write_bytes(stored(kind))
    code, out, err = softsort("rank", "--hard", "-c", "x", *arguments)
    assert (code, out) == (2, b"")
    assert message in err


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_format_that_a_name_tells_too_is_no_contradiction(softsort, folder, kind):
    (folder / "t.csv").write_bytes(stored("csv"))
    arguments = ["t.csv", "-c", "x", "-q", "-o", "o.parquet", "--format", kind]
    assert softsort("rank", "--hard", *arguments) == (0, b"", "")
    assert pl.read_parquet(folder / "o.parquet")["x_rank"].to_list() == RANKS


def test_a_file_that_changes_under_the_command(softsort, folder, monkeypatch):
    path = folder / "t.csv"
    path.write_bytes(b"x\n1\n2\n")

    def ranks(values, *_, **__):
        path.write_bytes(b"x\n1\n2\n3\n")
        return values

    monkeypatch.setattr("softsort_cli.operate.exact.ranks", ranks)
    code, _, err = softsort("rank", "--hard", "t.csv", "-o", "o.csv")
    assert code == 1
    assert "t.csv has changed while it was read" in err
    assert not (folder / "o.csv").exists()


def test_every_size_of_block_gives_the_same(softsort, folder, monkeypatch):
    rows = "".join(f'{i},"a ""{i}""\n",{i % 7 / 3!r}\r\n' for i in range(50))
    (folder / "t.csv").write_bytes(b"id,text,x\r\n" + rows.encode())
    expected = softsort("rank", "--hard", "t.csv", "-c", "x")
    for size in (1, 7, 100):
        monkeypatch.setattr(source, "BLOCK", size)
        assert softsort("rank", "--hard", "t.csv", "-c", "x") == expected


@pytest.mark.parametrize("came", ["parquet", "arrow"])
@pytest.mark.parametrize("goes", ["parquet", "arrow"])
def test_results_beside_typed_cells(softsort, folder, came, goes):
    frame = pl.DataFrame(
        {
            "x_rank": ["old"] * 4,
            "x": ["3", "?", None, "1"],
            "kept": [1, 2, 3, 4],
            "*": [5, 6, 7, 8],
            "^x$": [True, False, None, True],
            "list": [[1], [], None, [2, 3]],
        }
    )
    WRITERS[came](frame, folder / f"t.{came}")
    code, _, err = softsort(
        *["rank", "--hard", f"t.{came}", "-c", "x", "-o", f"o.{goes}"],
        *["--replace", "--on-invalid", "skip"],
    )
    assert (code, err.count("\n")) == (0, 2)
    found = READERS[goes]((folder / f"o.{goes}").read_bytes())
    expected = frame.with_columns(x_rank=pl.Series([1.0, None, None, 0.0]))
    assert found.equals(expected.filter(pl.col("kept") != 2))


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("rows", [1, 1000, 300_000])
def test_arrow_of_any_size(softsort, folder, rows, is_stream):
    frame = pl.DataFrame({"x": range(rows)})
    write = frame.write_ipc_stream if is_stream else frame.write_ipc
    write(folder / "t.arrow")
    for given in [["t.arrow"], ["-", "--format", "arrow"]]:
        stdin = (folder / "t.arrow").read_bytes() if "-" in given else None
        arguments = ["rank", "--hard", *given, "-o", "o.arrow", "--force"]
        assert softsort(*arguments, stdin=stdin) == (0, b"", "")
        found = pl.read_ipc((folder / "o.arrow").read_bytes())
        assert found.equals(frame.with_columns(x_rank=pl.col("x").cast(pl.Float64)))


@pytest.mark.parametrize("kind", ["csv", "ndjson", "parquet", "arrow"])
def test_names_that_are_patterns_elsewhere(softsort, folder, kind):
    frame = pl.DataFrame({"*": [1.5, 2.0, 0.5], "^a$": [4, 3, 4], "a": ["u", "v", "u"]})
    WRITERS[kind](frame, folder / f"t.{kind}")
    arguments = ["rank", "--hard", f"t.{kind}", "--by", "^a$", "-c", "*"]
    assert softsort(*arguments, "-o", f"o.{kind}")[0] == 0
    found = READERS[kind]((folder / f"o.{kind}").read_bytes())
    assert found.equals(frame.with_columns(pl.Series("*_rank", [1.0, 0.0, 0.0])))
    code, out, _ = softsort("sort", "--hard", f"t.{kind}", "--format", "csv")
    assert code == 0
    assert out.splitlines()[0] == b"*,^a$,a,*_sorted,^a$_sorted"


@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_numbers_of_ndjson_that_json_does_not_have(softsort, start):
    lines = [
        '{"x": NaN, "y": {"a": [1.50, null]}}',
        '{"x": 123456789012345678901234567890}',
        '{"x": 1e-400, "y": "NaN"}',
        '{"x": "7"}',
        '{"x": null}',
    ]
    given = (start + "\n".join(lines)).encode()
    arguments = ["rank", "--hard", "--format", "ndjson", "-c", "x"]
    code, out, err = softsort(*arguments, stdin=given)
    assert (code, "2 in 'x'" in err) == (0, True)
    ranks = ["null", "2.0", "0.0", "1.0", "null"]
    expected = [
        line[:-1] + f', "x_rank": {rank}}}'
        for line, rank in zip(lines, ranks, strict=True)
    ]
    assert out.decode() == start + "\n".join(expected)
    code, _, err = softsort(*arguments, stdin=b'{"x": 1}\n{"x": -Infinity}\n')
    assert (code, "line 2: -Infinity is not a finite" in err) == (1, True)
