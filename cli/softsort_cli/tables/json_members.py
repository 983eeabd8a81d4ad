"""The members of JSON objects, one object a line, as they are written.

Numbers lose their spelling when JSON is parsed, and parsing all of it takes long.
"""

import json
from collections.abc import Iterable

import numpy as np
import polars as pl

# Which bytes are structure, outside of strings, and which begin and end these.
STRUCTURE = bytes(chr(code) in '{}[]:,"' for code in range(256))
BLANKS = " \t\r"
# What no valid JSON has: it stands between keys and values.
BETWEEN = 1


def lines_beyond(lines: pl.Series, names: Iterable[str]) -> pl.Series:
    """Those of some lines that may not be objects of members of these names alone.

    Keys that are not written plainly and deeply nested values are in doubt.
    """
    blank = r"[ \t\r]*"
    string = r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"'
    number = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
    single = rf"{blank}(?:{string}|{number}|true|false|null|NaN|-?Infinity){blank}"
    array = rf"\[(?:{single}(?:,{single})*|{blank})\]"
    pair = rf"{blank}{string}{blank}:{single}"
    nested = rf"\{{(?:{pair}(?:,{pair})*|{blank})\}}"
    value = rf"(?:{single}|{blank}(?:{array}|{nested}){blank})"
    keys = "|".join(pl.escape_regex(json.dumps(n, ensure_ascii=False)) for n in names)
    member = rf"{blank}(?:{keys}){blank}:{value}"
    known = rf"^{blank}\{{{member}(?:,{member})*\}}{blank}$"
    try:
        return lines.filter(~lines.str.contains(known)) if keys else lines
    except pl.exceptions.ComputeError:  # too many names for one pattern
        return lines


def split(text: bytes) -> pl.DataFrame:
    """The row, key and value of each member of the objects, which are valid JSON."""
    # Escapes hide quotes. The first backslash of each pair comes first.
    bare = text
    if b"\\" in text:
        bare = text.replace(rb"\\", b"  ").replace(rb"\"", b"  ")
    marked = np.flatnonzero(np.frombuffer(bare.translate(STRUCTURE), bool))
    kinds = np.frombuffer(bare, np.uint8)[marked]
    is_quote = kinds == ord('"')
    inside = (np.cumsum(is_quote, dtype=np.uint8) & 1).astype(bool)
    outside = ~(inside | is_quote)
    marked, kinds = marked[outside], kinds[outside]
    opens = (kinds == ord("{")) | (kinds == ord("["))
    closes = (kinds == ord("}")) | (kinds == ord("]"))
    steps = opens.astype(np.int8) - closes.astype(np.int8)
    depth = np.cumsum(steps, dtype=np.int32)
    colons = (depth == 1) & (kinds == ord(":"))
    starts = (depth == 1) & opens
    # Now every member gets a line of its own.
    lines = np.frombuffer(text, np.uint8).copy()
    lines[marked[starts | ((depth == 0) & closes)]] = ord(" ")
    lines[marked[(depth == 1) & (kinds == ord(","))]] = ord("\n")
    lines[marked[colons]] = BETWEEN
    header = b"key%cvalue\n" % BETWEEN  # the first object may be empty
    members = pl.read_csv(
        header + lines.tobytes(),
        schema={"key": pl.String, "value": pl.String},
        separator=chr(BETWEEN),
        quote_char=None,
        empty_string_is_null=False,
    )
    rows = np.cumsum(starts, dtype=np.int32)[colons] - 1
    there = members.filter(pl.col("value") != "")  # that of an empty object
    return there.with_columns(pl.Series("row", rows))


def are_strings(values: pl.Series) -> pl.Series:
    """Which values are strings."""
    return values.str.strip_chars(BLANKS).str.starts_with('"')


def texts(values: pl.Series, decimal: str = ".") -> pl.Series:
    """What values say: the content of strings, nothing for null, others as written.

    But for the mark before fractions of numbers.
    """
    value = pl.col("value").str.strip_chars(BLANKS)
    is_string = value.str.starts_with('"')
    other = value if decimal == "." else value.str.replace(".", decimal, literal=True)
    content = value.str.strip_prefix('"').str.strip_suffix('"')
    # In one step, for each step takes its time whatever it does.
    frame = values.alias("value").to_frame()
    columns = frame.select(
        text=pl.when(is_string).then(content).when(value != "null").then(other),
        escaped=is_string & value.str.contains("\\", literal=True),
    )
    texts, places = columns["text"], columns["escaped"].arg_true()
    if len(places):
        strings = [_unescaped(string) for string in values.gather(places)]
        texts = texts.scatter(places, pl.Series(strings, dtype=pl.String))
    return texts


def _unescaped(string: str) -> str:
    # Half of a pair of surrogates is no character.
    return (
        json.loads(string).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )
