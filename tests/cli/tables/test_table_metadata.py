"""What typed tables hold besides cells: kept, or told."""

import base64
import io
import json
import os

import polars as pl
import pytest
from softsort_cli.tables import arrow_schema

pytest_plugins = ["tests.tabular"]

# By pyarrow 26: Parquet with x and, in 256 bits, a decimal d of 60 digits.
WIDE_DECIMAL = """
UEFSMRUAFSwVLCwVBBUAFQYVBhwAAAACAAAABAEAAAAAAAAIQAAAAAAAAPA/FQAVQBVALBUEFQAVBhUG
HAAAAAIAAAADAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAXcFQQZPDUAGAZzY2hlbWEVBAAVCiUCGAF4
ABUOFTQVAhgBZCUKFQYVeCxcFQYVeAAAABYEGRwZLCYAHBUKGSUGABkYAXgVABYEFlIWUiYISRwVABUA
FQIAPCkGGSYABAAAACYAHBUOGSUGABkYAWQVABYEFmYWZiZaSRwVABUAFQIAPCkGGSYCAgAAABa4ARYE
JggWuAEAKCBwYXJxdWV0LWNwcC1hcnJvdyB2ZXJzaW9uIDI2LjAuMRksHAAAHAAAAMEAAABQQVIx
"""
# And the schema of x with metadata, t: time64[us], s: duration[s], c: ordered
# categories, n: struct of t: time32[s], ok: time64[ns], and the metadata geo.
SCHEMA = """
/////0ACAAAQAAAAAAAKAA4ABgAFAAgACgAAAAABBAAQAAAAAAAKAAwAAAAEAAgACgAAACwAAAAEAAAA
AQAAAAQAAAA0/v//EAAAAAQAAAACAAAAe30AAAMAAABnZW8ABgAAAIABAAA0AQAA+AAAAKAAAAA8AAAA
BAAAAPD+//8AAAEJEAAAABwAAAAEAAAAAAAAAAIAAABvawAACAAMAAYACAAIAAAAAAADAEAAAAAk////
AAABDRQAAAAYAAAABAAAAAEAAAAQAAAAAQAAAG4AAAB4////TP///wAAAQkQAAAAFAAAAAQAAAAAAAAA
AQAAAHQAAADC/v//AAAAABAAGAAIAAYABwAMABAAFAAQAAAAAAABBRQAAABEAAAAHAAAAAQAAAAAAAAA
AQAAAGMACgAMAAAACAAHAAoAAAAAAAABDAAAAAgADAAIAAcACAAAAAAAAAEIAAAABAAEAAQAAADY////
AAABEhAAAAAUAAAABAAAAAAAAAABAAAAcwAAAE7///8AAAAAEAAUAAgABgAHAAwAAAAQABAAAAAAAAEJ
EAAAABwAAAAEAAAAAAAAAAEAAAB0AAAACAAOAAYACAAIAAAAAAACAEAAAAAAABIAGAAIAAYABwAMAAAA
EAAUABIAAAAAAAEDFAAAAEwAAAAIAAAAEAAAAAAAAAABAAAAeAAAAAEAAAAMAAAACAAMAAQACAAIAAAA
EAAAAAQAAAABAAAAbQAAAAQAAAB1bml0AAAGAAgABgAGAAAAAAACAAAAAAA=
"""
# And z: timestamp[us, +02:00], u: timestamp[us, UTC].
ZONES = """
/////8AAAAAQAAAAAAAKAAwABgAFAAgACgAAAAABBAAMAAAACAAIAAAABAAIAAAABAAAAAIAAABMAAAABAAAAMz/
//8AAAEKEAAAABQAAAAEAAAAAAAAAAEAAAB1AAAAvP///wAAAgAEAAAAAwAAAFVUQwAQABQACAAGAAcADAAAABAA
EAAAAAAAAQoQAAAAHAAAAAQAAAAAAAAAAQAAAHoAAAAIAAwABgAIAAgAAAAAAAIABAAAAAYAAAArMDI6MDAAAAAA
AAA=
"""
TELLS = (
    "'x' without its metadata; 't' time[us] as time[ns]; 's' duration[s] as "
    "duration[ms]; 'c' without the order of its categories; 'n' time[s] as time[ns]"
)
FRAME = pl.DataFrame({"x": [3.0, 1.0], "name": ["b", None]})
COLUMNS = pl.DataFrame(
    {"x": [3.0, 1.0], "t": [1, 2], "s": [1, 2], "c": ["b", "a"], "ok": [1, 2]}
).with_columns(
    pl.col("t", "ok").cast(pl.Time),
    pl.col("s").cast(pl.Duration("ms")),
    pl.col("c").cast(pl.Categorical),
    n=pl.struct(pl.lit(1).cast(pl.Time).alias("t")),
)


def of_stream(frame: pl.DataFrame) -> bytes:
    stream = io.BytesIO()
    frame.write_ipc_stream(stream)
    return stream.getvalue()


def test_a_schema_tells_what_polars_changes():
    schema = arrow_schema.Schema.of_stream(base64.b64decode(SCHEMA))
    said = "; ".join(f"{name!r} {what}" for name, what in schema.changed.items())
    assert (schema.metadata, said, schema.times) == ({"geo": "{}"}, TELLS, {"ok"})


def test_a_schema_tells_which_zones_have_no_names():
    schema = arrow_schema.Schema.of_stream(base64.b64decode(ZONES))
    assert schema.changed == {"z": "zone +02:00 by a name"}


def test_metadata_is_put_into_a_schema():
    metadata = {"geo": "{}", "": "", "é" * 5: "z" * 1000, "k": "abc"}
    start = arrow_schema.with_metadata(of_stream(COLUMNS), metadata)
    assert arrow_schema.Schema.of_stream(start).metadata == metadata
    assert int.from_bytes(start[4:8], "little") == len(start) - 8
    # Polars reads it as it reads its own.
    rest = of_stream(COLUMNS)
    rest = rest[8 + int.from_bytes(rest[4:8], "little") :]
    assert pl.read_ipc_stream(io.BytesIO(start + rest)).equals(COLUMNS)
    again = arrow_schema.with_metadata(base64.b64decode(SCHEMA), {"a": "b"})
    assert arrow_schema.Schema.of_stream(again).changed.keys() == set("xtscn")


@pytest.mark.parametrize("skipping", [False, True])
def test_metadata_of_parquet_is_kept(softsort, skipping):
    metadata = {"pandas": '{"index_columns": []}', "geo": "é"}
    FRAME.write_parquet("t.parquet", metadata=metadata)
    # In one go, or part by part.
    more = ["--on-invalid", "skip"] if skipping else ["--max-memory", "1"]
    arguments = ["rank", "-c", "x", "t.parquet", *more]
    assert softsort(*arguments, "-q", "-o", "o.parquet") == (0, b"", "")
    written = pl.read_parquet_metadata("o.parquet")
    start = base64.b64decode(written.pop("ARROW:schema"))
    assert written == metadata
    # Arrow's own reader takes it from here.
    assert arrow_schema.Schema.of_stream(start).metadata == metadata
    assert pl.read_parquet("o.parquet").drop("x_rank").equals(FRAME)


@pytest.mark.parametrize(
    ("kinds", "more", "to_texts"),
    [
        (["int64"], [], True),
        (["datetime64[us]"], ["--max-memory", "1"], True),
        (["str", "str"], [], True),  # of two levels
        (["int64"], ["--names", "{column}", "--replace"], False),
        (["object"], [], False),
        (["str"], [], False),
        (None, [], False),
    ],
)
def test_pandas_is_told_that_names_are_texts(softsort, kinds, more, to_texts):
    levels = kinds and [{"numpy_type": kind, "pandas_type": kind} for kind in kinds]
    pandas = {"column_indexes": levels, "columns": [], "index_columns": ["é"]}
    frame = pl.DataFrame({"0": [3.0, 1.0]})
    frame.write_parquet("t.parquet", metadata={"pandas": json.dumps(pandas)})
    _, _, err = softsort("rank", "t.parquet", *more, "-o", "o.parquet")
    assert ("names of columns that are texts to pandas" in err) is to_texts
    written = json.loads(pl.read_parquet_metadata("o.parquet")["pandas"])
    (level,) = written["column_indexes"] if to_texts else ({},)
    assert level.get("numpy_type") == ("object" if to_texts else None)
    levels = written["column_indexes"] if to_texts else levels
    assert written == pandas | {"column_indexes": levels}


def test_what_is_not_kept_is_told_once(softsort, folder):
    (folder / "p").mkdir()
    metadata = {"ARROW:schema": SCHEMA.replace("\n", ""), "geo": "{}"}
    frame = COLUMNS.select("x", "t", "s", "c", "n", "ok")
    for name in ("a.parquet", "b.parquet"):
        frame.write_parquet(folder / "p" / name, metadata=metadata)
    hard = ["rank", "--hard", "-c", "x", "p/a.parquet"]
    _, _, err = softsort(*hard, "-o", "o.parquet")
    assert err == f"softsort: note: p/a.parquet is written with {TELLS}\n"
    _, _, err = softsort(*hard, "-o", "o.arrow")
    assert err.endswith(f"{TELLS}; no metadata ('geo')\n")
    assert softsort(*hard, "--only", "-o", "only.parquet") == (0, b"", "")
    _, _, err = softsort("rank", "-c", "x", "p/*.parquet", "--out-dir", "o")
    assert err.count("is written with") == 1


@pytest.mark.parametrize("goes", ["parquet", "arrow"])
@pytest.mark.parametrize("came", ["parquet", "arrow", "stream"])
def test_of_what_polars_wrote_nothing_is_lost(softsort, came, goes):
    frame = COLUMNS.with_columns(pl.lit("a").cast(pl.Enum(["b", "a"])).alias("e"))
    write = {
        "parquet": frame.write_parquet,
        "arrow": frame.write_ipc,
        "stream": frame.write_ipc_stream,
    }
    write[came]("t")
    form = "parquet" if came == "parquet" else "arrow"
    arguments = ["rank", "--hard", "-c", "x", "t", "--format", form]
    assert softsort(*arguments, "-o", f"o.{goes}") == (0, b"", "")
    read = {"parquet": pl.read_parquet, "arrow": pl.read_ipc}[goes]
    assert read(f"o.{goes}").drop("x_rank").equals(frame)


@pytest.mark.parametrize("goes", ["parquet", "arrow", "csv", "ndjson"])
def test_what_a_library_panics_at_is_one_line(softsort, folder, goes):
    (folder / "t.parquet").write_bytes(base64.b64decode(WIDE_DECIMAL))
    arguments = ["--hard", "-c", "x", "t.parquet"]
    code, out, err = softsort("rank", *arguments, "-o", f"o.{goes}")
    assert (code, out, err.count("\n")) == (1, b"", 1)
    assert "t.parquet: a column cannot be written again: 'd' (decimal" in err
    assert not (folder / f"o.{goes}").exists()
    # Where it is not written, it does not matter.
    assert softsort("quantile", "-q", "0", *arguments, "-o", "q.csv")[0] == 0
    assert (folder / "q.csv").read_text() == "column,q,value\nx,0.0,1.0\n"


@pytest.mark.parametrize("schema", ["AAAA", "!!!", "/////xAAAAAHBwcHBwcHBwcHBwcHBwcH"])
def test_a_schema_that_is_none_is_one_line(softsort, schema):
    FRAME.write_parquet("t.parquet", metadata={"ARROW:schema": schema})
    code, out, err = softsort("rank", "--hard", "t.parquet", "-o", "o.parquet")
    assert (code, out, err.count("\n")) == (1, b"", 1)
    assert err.startswith("softsort: error: t.parquet cannot be read as Parquet: ")


class PanicException(BaseException):
    """As Rust's libraries raise it."""


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (PanicException("at\nthe disco"), 1, "PanicException: at the disco"),
        (KeyboardInterrupt(), 130, None),
    ],
)
def test_every_error_of_a_library_is_one_line(softsort, monkeypatch, error, code, said):
    def fail(*_, **__):
        # A panic tells of itself before, on the descriptor that is standard error.
        os.write(2, b"thread 'main' panicked at\n")
        raise error

    monkeypatch.setattr("softsort_cli.operate.exact.ranks", fail)
    got, out, err = softsort("rank", "--hard", stdin=b"x\n1\n")
    expected = "" if said is None else f"softsort: error: {said}\n"
    assert (got, out, err) == (code, b"", expected)


def test_an_exit_is_none(softsort, monkeypatch):
    def leave(*_, **__):
        raise SystemExit(7)

    monkeypatch.setattr("softsort_cli.operate.exact.ranks", leave)
    with pytest.raises(SystemExit):
        softsort("rank", "--hard", stdin=b"x\n1\n")
