"""Files as other tools pack, delimit and encode them."""

import gzip
import struct

import polars as pl
import pytest
import zstandard
from softsort_cli.tables import formats

pytest_plugins = ["tests.tabular"]

TABLE, RANKED = b"x\n3\n1\n", b"x,x_rank\n3,1.0\n1,0.0\n"


def skipped(number: int, size: int) -> bytes:
    """A frame of zstd that says nothing."""
    return struct.pack("<II", 0x184D2A50 + number, size) + b"?" * size


def packed_long() -> bytes:
    """What zstd --long=31 makes of a table whose size it does not know."""
    settings = zstandard.ZstdCompressionParameters(window_log=31, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=settings).compressobj()
    return packer.compress(TABLE) + packer.flush()


FIRST, SECOND = (zstandard.compress(part) for part in (TABLE[:4], TABLE[4:]))
# Without the time, which would be another for each process of the tests.
ZIPPED = [gzip.compress(part, mtime=0) for part in (TABLE[:4], TABLE[4:])]


@pytest.mark.parametrize(
    "packed",
    [
        FIRST + SECOND,
        skipped(0, 0) + FIRST + SECOND,
        skipped(15, 1 << 19) + FIRST + skipped(3, 7) + SECOND + skipped(0, 1),
        packed_long(),
        b"".join(ZIPPED),
        b"".join(ZIPPED) + bytes(1),
        b"".join(ZIPPED) + bytes(1 << 20),
        ZIPPED[0] + bytes(512) + ZIPPED[1] + bytes(512),
    ],
)
def test_packed_in_several_frames(softsort, folder, packed):
    assert softsort("rank", "--hard", stdin=packed) == (0, RANKED, "")
    (folder / "t.csv.gz").write_bytes(packed)  # whatever its name says
    assert softsort("rank", "--hard", "t.csv.gz")[:2] == (0, RANKED)


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (ZIPPED[0] + b"rest", "damaged gz"),
        (FIRST + b"rest", "damaged zst"),
        (ZIPPED[0][:-1], "gz data end too early"),
        (skipped(0, 9)[:-1], "zst data end too early"),
        (FIRST[:-1], "zst data end too early"),
    ],
)
def test_what_is_behind_packed_data_is_not_lost(softsort, packed, message):
    code, out, err = softsort("rank", "--hard", stdin=packed)
    assert (code, out, message in err) == (1, b"", True)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_typed_tables_that_somebody_packed(softsort, folder, kind, pack):
    frame = pl.DataFrame({"x": [3.0, 1.0], "n": ["a", None]})
    {"parquet": frame.write_parquet, "arrow": frame.write_ipc}[kind]("t")
    name = f"t.{kind}.{'gz' if pack is gzip.compress else 'zst'}"
    (folder / name).write_bytes(pack((folder / "t").read_bytes()))
    assert softsort("rank", "--hard", name, "-o", "o.parquet") == (0, b"", "")
    ranked = frame.with_columns(pl.Series("x_rank", [1.0, 0.0]))
    assert pl.read_parquet("o.parquet").equals(ranked)
    for output in ("o.gz", f"o.{kind}.gz"):
        code, _, err = softsort("rank", "--hard", name, "-o", output)
        assert (code, "is compressed inside: leave out .gz" in err) == (2, True)


@pytest.mark.parametrize("name", ["x.json.gz", "x.xls.zst", "x.json"])
def test_packed_or_not_a_foreign_table_is_refused(softsort, folder, name):
    (folder / name).write_bytes(gzip.compress(b'{"x": 1}'))
    assert "convert it" in softsort("rank", name)[2]
    assert "are written" in softsort("rank", "-o", f"o{name}", stdin=TABLE)[2]


@pytest.mark.parametrize("goes", ["ndjson", "parquet", "arrow", "tsv", "csv"])
@pytest.mark.parametrize("codec", ["windows-1252", "utf-16"])
def test_typed_tables_and_json_are_utf8(softsort, folder, codec, goes):
    text = "n,x\né,3\n"
    arguments = ["rank", "--hard", "-c", "x", "--encoding", codec, "-o", f"o.{goes}"]
    assert softsort(*arguments, stdin=text.encode(codec)) == (0, b"", "")
    written = (folder / f"o.{goes}").read_bytes()
    if goes == "ndjson":
        assert written.decode() == '{"n":"é","x":"3","x_rank":0.0}\n'
    elif goes in ("csv", "tsv"):
        assert "é" in written.decode(codec)
    else:
        read = {"parquet": pl.read_parquet, "arrow": pl.read_ipc}[goes]
        assert read(f"o.{goes}")["n"].to_list() == ["é"]
    softsort(
        *["quantile", "-q", "0", "--by", "n", "--hard", "--encoding", codec],
        *["-o", "q.ndjson", "--force"],
        stdin=text.encode(codec),
    )
    assert "é" in (folder / "q.ndjson").read_bytes().decode()


@pytest.mark.parametrize(
    ("came", "given", "goes", "written"),
    [
        ("t.csv", "tab", "o.csv", "\t"),
        ("t.csv", "tab", None, "\t"),
        ("t.csv", ";", "o.csv", ";"),
        ("t.csv", ";", "o.csv.gz", ";"),
        ("t.csv", ";", "o.tsv", "\t"),
        ("t.csv", ";", "o.psv", "|"),
        ("t.csv", ";", "o.txt", ";"),
        ("t.txt", "tab", "o.csv", "\t"),
        (None, ";", "o.csv", ";"),
        ("t.tsv", None, "o.csv", ","),
        ("t.tsv", None, "o", "\t"),
        ("t.tsv", ";", "o.csv", ","),
        ("t.psv", ",", "o.psv", ","),
    ],
)
def test_tables_are_delimited_as_they_came(
    softsort, folder, came, given, goes, written
):
    read = {"tab": "\t", None: "\t"}.get(given, given)
    text = f"n{read}x\na{read}3\n".encode()
    arguments = ["rank", "--hard", "-c", "x"]
    if came is not None:
        (folder / came).write_bytes(text)
        arguments.append(came)
    arguments += [] if given is None else ["-d", given]
    arguments += [] if goes is None else ["-o", goes]
    code, out, _ = softsort(*arguments, stdin=None if came else text)
    out = out if goes is None else (folder / goes).read_bytes()
    out = gzip.decompress(out) if out.startswith(b"\x1f") else out
    assert (code, out.decode()) == (
        0,
        f"n{written}x{written}x_rank\na{written}3{written}0.0\n",
    )


def test_what_packs_is_told():
    assert formats.PACKED == ".gz and .zst of them"
