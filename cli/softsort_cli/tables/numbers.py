"""Cells <-> numbers: what counts as a number, and how a number is written."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from softsort_cli.errors import UsageError
from softsort_cli.tables.csv_quotes import quote

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

BLANKS = " \t"
# What people and programs write where there is no number, in any case of letters.
ABSENT = frozenset(
    ("", "na", "nan", "n/a", "null", "none", "<na>", "#na", "#n/a", "#n/a n/a", "-nan")
) | {"+nan", r"\n", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"}
LONGEST = 1000  # characters, or digits, that --float-format can ask for


@dataclass(frozen=True)
class Absent:
    """What else says that there is no number."""

    words: frozenset[str] = frozenset()  # as they are written
    numbers: tuple[float, ...] = ()

    @classmethod
    def named(cls, lists: Sequence[str] | None) -> Absent:
        """What lists of words name."""
        words = {word.strip(BLANKS) for each in lists or () for word in each.split(",")}
        numbers = []
        for word in words:
            with suppress(ValueError):
                numbers.append(float(word))
        return cls(frozenset(words), tuple(sorted(filter(math.isfinite, numbers))))


NOTHING_ELSE = Absent()


@dataclass(frozen=True)
class Numbers:
    """Some cells of a column as numbers."""

    values: np.ndarray  # float64, one a row, NaN where there is no number
    absent: int  # how many cells say that there is none
    invalid: np.ndarray  # the rows whose cell says something else
    rounded: bool = False  # whether a cell is an integer that float64 does not hold


def parse(cells: pl.Series, absent: Absent = NOTHING_ELSE) -> Numbers:
    """Read cells as numbers; spaces and quotes around them are ignored.

    A number beyond the range of float64 is not one, and neither is infinity.
    """
    import numpy as np

    read = _parse(cells, absent.words)
    if not absent.numbers:
        return read
    none = np.isin(read.values, absent.numbers)
    read.values[none] = np.nan
    return replace(read, absent=read.absent + int(none.sum()))


def _parse(cells: pl.Series, words: frozenset[str]) -> Numbers:
    import numpy as np
    import polars as pl

    cells = cells.alias("cells")  # what it is called may be a pattern to polars
    if cells.dtype == pl.Null or not (
        cells.dtype.is_numeric() or cells.dtype == pl.String
    ):
        values = np.full(len(cells), np.nan)
        invalid = cells.is_not_null().arg_true().to_numpy()
        return Numbers(values, len(cells) - len(invalid), invalid)
    numbers = cells.cast(pl.Float64, strict=False)
    values = numbers.to_numpy(writable=True)  # NaN for null
    if np.isfinite(values).all():
        return Numbers(values, 0, np.zeros(0, int), _are_rounded(cells, values))
    odd = (~numbers.is_finite()).fill_null(True).arg_true()
    if cells.dtype == pl.String:
        texts = cells.gather(odd).fill_null("").str.strip_chars(BLANKS)
        quoted = texts.str.starts_with('"') & texts.str.ends_with('"')
        bare = texts.str.strip_prefix('"').str.strip_suffix('"').str.strip_chars(BLANKS)
        texts = texts.zip_with(~quoted, bare)
        again = texts.cast(pl.Float64, strict=False)
        again = again.set(~again.is_finite(), None)
        absent = texts.str.to_lowercase().is_in(list(ABSENT)) | texts.is_in(list(words))
    else:
        again = pl.Series([None], dtype=pl.Float64).new_from_index(0, len(odd))
        absent = ~numbers.gather(odd).is_infinite().fill_null(False)
    values[odd.to_numpy()] = again.fill_null(np.nan).to_numpy()
    invalid = odd.filter(again.is_null() & ~absent)
    rounded = _are_rounded(cells, values)
    return Numbers(values, int(absent.sum()), invalid.to_numpy(), rounded)


def _are_rounded(cells: pl.Series, values: np.ndarray) -> bool:
    """Whether cells are integers that the values they were read as are not."""
    import numpy as np
    import polars as pl

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
    values: np.ndarray, spec: str | None, delimiter: str | None = None
) -> pl.Series:
    """Numbers as cells: by `spec`, or numbers still, which polars writes shortest.

    A NaN gives an empty cell, a null. With a `delimiter`, texts are quoted where it
    makes them need it.
    """
    import numpy as np
    import polars as pl

    if not spec:
        return pl.Series(values, nan_to_null=True)
    texts = [
        None if np.isnan(value) else format(value, spec) for value in values.tolist()
    ]
    if delimiter is not None:
        texts = [text and quote(text, delimiter) for text in texts]
    return pl.Series(texts, dtype=pl.String)
