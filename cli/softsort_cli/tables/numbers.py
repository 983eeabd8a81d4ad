"""Cells <-> numbers: what counts as a number, and how a number is written."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from softsort_cli.errors import UsageError
from softsort_cli.options.declare import number_of
from softsort_cli.tables.csv_quotes import quote

BLANKS = " \t"
SPACES = " \u00a0\u202f"
# What people and programs write where there is no number, in any case of letters.
ABSENT = frozenset(
    ("", "na", "nan", "n/a", "null", "none", "<na>", "#na", "#n/a", "#n/a n/a", "-nan")
) | {"+nan", "nat", r"\n", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"}
LONGEST = 1000  # characters, or digits, that --float-format can ask for


@dataclass(frozen=True)
class Spelling:
    """How numbers are written, and what else says that there is none."""

    words: frozenset[str] = frozenset()  # as they are written
    numbers: tuple[float, ...] = ()
    decimal: str = "."
    thousands: str = ""  # nothing if digits are not grouped

    @classmethod
    def named(
        cls,
        lists: Sequence[str] | None,
        decimal: str = ".",
        thousands: str | None = None,
    ) -> Spelling:
        """What lists of words name, and these marks."""
        words = {word.strip(BLANKS) for each in lists or () for word in each.split(",")}
        absent = tuple(sorted(filter(math.isfinite, map(number_of, words))))
        return cls(frozenset(words), absent, decimal, thousands or "")

    def plain(self, cells: pl.Series) -> pl.Series:
        """Texts whose numbers are written without groups and with a point.

        What is a number otherwise, but not in this spelling, becomes none.
        """
        if self.decimal == "." and not self.thousands:
            return cells
        cells = bare(cells)
        mark, group = pl.escape_regex(self.decimal), _group(self.thousands)
        groups = rf"\d{{1,3}}(?:{group}\d{{3}})+|" if group else ""
        digits = rf"(?:(?:{groups}\d+)(?:{mark}\d*)?|{mark}\d+)"
        are_numbers = cells.str.contains(rf"^[+-]?{digits}(?:[eE][+-]?\d+)?$")
        others = cells.cast(pl.Float64, strict=False).is_finite() & ~are_numbers
        plain = cells.str.replace_all(group, "") if group else cells
        plain = plain.str.replace(self.decimal, ".", literal=True)
        return plain.zip_with(are_numbers, cells).set(others, "?")

    def hint(self, cell: str) -> str:
        """What may be wrong with a cell that is no number, told with its place."""
        said = re.sub(r"^.*?(?:line|row) \d+: ", "", cell)
        if self.thousands and self.thousands in said:
            return (
                f"; --thousands {self.thousands!r} has three digits behind it each time"
            )
        if re.search(r"\d([-./])\d{1,2}\1\d|\d:\d|\d{4}-\w", said):
            return "; dates and times are read as in 2024-01-31T12:30:00"
        # Spaces at which no line is broken are told as codes.
        if re.search(r"\d(?:[.,' ]|\\xa0|\\u202f)\d", said):
            return "; see --decimal and --thousands"
        return ""


def bare(cells: pl.Series) -> pl.Series:
    """What texts say without blanks and quotes around it."""
    texts = cells.str.strip_chars(BLANKS)
    quoted = texts.str.starts_with('"') & texts.str.ends_with('"')
    if not quoted.any():
        return texts
    inside = texts.str.strip_prefix('"').str.strip_suffix('"').str.strip_chars(BLANKS)
    return texts.zip_with(~quoted, inside)


def _group(thousands: str) -> str:
    """A pattern for what stands between groups of digits."""
    # A space between digits is often one at which no line is broken.
    return f"[{SPACES}]" if thousands in tuple(SPACES) else re.escape(thousands)


PLAIN = Spelling()


@dataclass(frozen=True)
class Numbers:
    """Some cells of a column as numbers."""

    values: np.ndarray  # float64, one a row, NaN where there is no number
    absent: int  # how many cells say that there is none
    invalid: np.ndarray  # the rows whose cell says something else
    rounded: bool = False  # whether a cell is an integer that float64 does not hold
    step: int = 0  # of times, the ticks of the finest place; 0 if there is none


def parse(cells: pl.Series, spelling: Spelling = PLAIN) -> Numbers:
    """Read cells as numbers; spaces and quotes around them are ignored.

    A number beyond the range of float64 is not one, and neither is infinity.
    """
    read = _parse(cells, spelling)
    if not spelling.numbers:
        return read
    none = np.isin(read.values, spelling.numbers)
    read.values[none] = np.nan
    return replace(read, absent=read.absent + int(none.sum()))


def _parse(cells: pl.Series, spelling: Spelling) -> Numbers:
    cells = cells.alias("cells")  # what it is called may be a pattern to polars
    if cells.dtype == pl.Null or not (
        cells.dtype.is_numeric() or cells.dtype == pl.String
    ):
        values = np.full(len(cells), np.nan)
        invalid = cells.is_not_null().arg_true().to_numpy()
        return Numbers(values, len(cells) - len(invalid), invalid)
    if cells.dtype == pl.String:
        cells = spelling.plain(cells)
    numbers = cells.cast(pl.Float64, strict=False)
    values = numbers.to_numpy(writable=True)  # NaN for null
    if np.isfinite(values).all():
        return Numbers(values, 0, np.zeros(0, int), _are_rounded(cells, values))
    odd = (~numbers.is_finite()).fill_null(True).arg_true()
    if cells.dtype == pl.String:
        texts = bare(cells.gather(odd).fill_null(""))
        again = texts.cast(pl.Float64, strict=False)
        again = again.set(~again.is_finite(), None)
        absent = says_nothing(texts, spelling)
    else:
        again = pl.Series([None], dtype=pl.Float64).new_from_index(0, len(odd))
        absent = ~numbers.gather(odd).is_infinite().fill_null(False)
    values[odd.to_numpy()] = again.fill_null(np.nan).to_numpy()
    invalid = odd.filter(again.is_null() & ~absent)
    rounded = _are_rounded(cells, values)
    return Numbers(values, int(absent.sum()), invalid.to_numpy(), rounded)


def says_nothing(texts: pl.Series, spelling: Spelling) -> pl.Series:
    """Which texts say that there is nothing."""
    known = texts.str.to_lowercase().is_in(list(ABSENT))
    return known | texts.is_in(list(spelling.words))


def _are_rounded(cells: pl.Series, values: np.ndarray) -> bool:
    """Whether cells are integers that the values they were read as are not."""
    large = np.flatnonzero(np.abs(values) >= 2**53)
    if not large.size or not (cells.dtype.is_integer() or cells.dtype == pl.String):
        return False
    some = cells.gather(large)
    if some.dtype == pl.String:
        some = some.str.strip_chars(' \t"')
    # Null where it is no integer.
    exact = some.cast(pl.Int128, strict=False)
    return bool((exact != pl.Series(values[large]).cast(pl.Int128, strict=False)).any())


def check_format(spec: str | None) -> None:
    """Refuse a --float-format that Python cannot format a number with.

    Or that gives texts of any length.
    """
    try:
        if any(int(digits) > LONGEST for digits in re.findall(r"\d+", spec or "")):
            raise ValueError(f"more than {LONGEST} characters")
        format(0.5, spec or "")
    except ValueError as error:
        raise UsageError(
            f"--float-format {spec!r}: {error}; write .4f, .3e or .6g"
        ) from None


def as_cells(
    values: np.ndarray | pl.Series,
    spec: str | None,
    delimiter: str | None = None,
    decimal: str = ".",
) -> pl.Series:
    """Numbers as cells: by `spec`, or numbers still, which polars writes shortest.

    A NaN gives an empty cell, a null. With a `delimiter`, texts are quoted where it
    makes them need it. Of a series, which is of what results are of, `spec` is not for.
    """
    if isinstance(values, pl.Series):
        cells = values
    elif not spec:
        cells = pl.Series(values, nan_to_null=True)
    else:
        texts = [None if np.isnan(v) else format(v, spec) for v in values.tolist()]
        cells = pl.Series(texts, dtype=pl.String)
        if decimal != ".":
            # Groups of digits, which a format may ask for, are parted by a point then.
            cells = cells.str.replace_many([".", ","], [decimal, "."])
    cells = spelled(cells, decimal)
    if delimiter is None or cells.dtype != pl.String:
        return cells
    odd = cells.str.contains(rf'[{pl.escape_regex(delimiter)}"\r\n]').arg_true()
    quoted = [quote(text, delimiter) for text in cells.gather(odd)]
    return cells.scatter(odd, pl.Series(quoted, dtype=pl.String))


def spelled(cells: pl.Series, decimal: str) -> pl.Series:
    """Cells whose numbers have another mark than a point."""
    if decimal == "." or not cells.dtype.is_float():
        return cells
    return cells.cast(pl.String).str.replace(".", decimal, literal=True)
