"""Types of columns of texts, where nothing of what a text says is lost by them.

An integer with zeros before it, or of more digits than 64 bits hold, stays a text, and
so does a column in which one cell is not of the type of the others.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import polars as pl

from softsort_cli.io import prefetch
from softsort_cli.tables import ndjson
from softsort_cli.tables.numbers import Spelling, says_nothing
from softsort_cli.tables.table import Part, Table
from softsort_cli.tables.times import Time

# What all cells of each column may be.
Types: TypeAlias = "Mapping[str, Sequence[str]]"

WHOLE = r"-?(?:0|[1-9]\d*)"
PATTERNS = {
    "integer": rf"^{WHOLE}$",
    "number": rf"^(?:-?(?:0|[1-9]\d*)?\.\d+|{WHOLE}\.?)(?:[eE][+-]?\d+)?$",
    "boolean": r"^(?:[Tt]rue|TRUE|[Ff]alse|FALSE)$",
}
TIMES = {
    "date": Time("date", "d", mark="."),
    "timestamp": Time("timestamp", "us", mark="."),
    "instant": Time("timestamp", "us", mark=".", zone="Z"),
    "time": Time("time", "ns", mark="."),
}
# From the narrowest to the widest; a text may be anything.
ALL = [*PATTERNS, *TIMES]


def types_of(table: Table) -> Types:
    """What the cells of each column may be, by a pass over the table."""

    def of_part(part: Part) -> Types:
        columns = table.columns(part).items()
        types = {name: _may_be(cells, table.spelling) for name, cells in columns}
        if isinstance(part, ndjson.Block):
            strings_of = part.strings(range(len(table.names)))
            for name, strings in zip(table.names, strings_of, strict=True):
                if strings.any():
                    types[name] = [kind for kind in types[name] if kind in TIMES]
        return types

    together: dict[str, Sequence[str]] = {}
    for some in prefetch.each(of_part, table.parts()):
        for name, kinds in some.items():
            known = together.get(name, ALL)
            together[name] = [kind for kind in known if kind in kinds]
    return together


def typed(
    columns: Mapping[str, pl.Series], types: Types, spelling: Spelling
) -> dict[str, pl.Series]:
    """Columns of texts as the narrowest types that all of their cells may have."""
    return {
        name: _cast(cells, types[name][0], spelling)
        if types.get(name) and types[name] != ALL
        else cells
        for name, cells in columns.items()
    }


def inferred(cells: pl.Series, spelling: Spelling) -> pl.Series:
    """A whole column of texts as the narrowest type that its cells have."""
    types = {cells.name: _may_be(cells, spelling)}
    return typed({cells.name: cells}, types, spelling)[cells.name]


def _may_be(cells: pl.Series, spelling: Spelling) -> list[str]:
    """What all of the cells may be: anything if none says something."""
    some = cells.drop_nulls().unique()
    some = some.filter(~says_nothing(some, spelling))
    if not len(some):
        return ALL
    # What is a number or a boolean is no time, which is more work to find out.
    kinds = [kind for kind in PATTERNS if _are(some, kind, spelling)]
    if kinds or not some.str.contains(r"^\d\d").all():
        return kinds
    if some.str.contains(r"[.,]\d{7}").any():
        return []
    return [kind for kind in TIMES if not _cast(some, kind, spelling).is_null().any()]


def _are(some: pl.Series, kind: str, spelling: Spelling) -> bool:
    """Whether texts, of which all say something, are all numbers or booleans."""
    plain = spelling.plain(some)
    if not plain.str.contains(PATTERNS[kind]).all():
        return False
    if kind == "number":
        whole = plain.filter(plain.str.contains(PATTERNS["integer"]))
        if (whole.str.strip_chars("-").str.len_chars() > 15).any():
            return False
    return not _cast(some, kind, spelling).is_null().any()


def _cast(cells: pl.Series, kind: str, spelling: Spelling) -> pl.Series:
    """Texts as cells of a type; null where they say nothing."""
    if kind in TIMES:
        time = TIMES[kind]
        return time.inferred().of_ticks(time.ticks(cells)).alias(cells.name)
    if kind == "boolean":
        there = cells.set(says_nothing(cells, spelling), None)
        return there.str.to_lowercase() == "true"
    to = pl.Int64 if kind == "integer" else pl.Float64
    numbers = spelling.plain(cells).cast(to, strict=False)
    return numbers if kind == "integer" else numbers.fill_nan(None)
