"""Dates and times as numbers: ticks since a moment near them, which float64 holds.

Cells are of a type, or texts as ISO 8601 has them; what is computed from them is
written alike, to the finest place that a cell of the column has.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from softsort_cli.tables.numbers import Numbers, Spelling, bare, says_nothing

SECOND = {"ms": 10**3, "us": 10**6, "ns": 10**9}  # in ticks
DAY = 86_400  # seconds
CLOCK = (
    r"(?P<hour>\d{2}):(?P<minute>\d{2})"
    r"(?::(?P<second>\d{2})(?:(?P<mark>[.,])(?P<fraction>\d{1,9}))?)?"
)
ZONE = r"(?P<zone> ?(?:[Zz]|UTC|(?P<sign>[+-])(?P<hours>\d{2}):?(?P<minutes>\d{2})?))"
MOMENT = rf"^(?P<date>\d{{4}}-\d{{2}}-\d{{2}})(?:(?P<joint>[Tt ]){CLOCK}{ZONE}?)?$"
PATTERNS = {"timestamp": MOMENT, "time": f"^{CLOCK}$"}
SUCH = {
    "date": "a date, as in 2024-01-31",
    "timestamp": "a timestamp, as in 2024-01-31T12:30:00",
    "time": "a time, as in 12:30:00",
    "duration": "a duration",
}
WIDE = pl.Int128  # which holds what is between any two ticks


@dataclass(frozen=True)
class Time:
    """A column of dates or times: what its numbers count, and how it writes them."""

    name: str  # date, timestamp, time or duration
    unit: str  # of ticks: d, ms, us or ns
    origin: int = 0  # the ticks where numbers are 0
    zone: str | None = None  # of typed cells, or what texts have behind their ends
    joint: str = ""  # of texts: what is between a date and a time
    mark: str = ""  # and before fractions of seconds; nothing for typed cells
    step: int = 1  # ticks between results

    @classmethod
    def of_type(cls, kind: pl.DataType) -> Time | None:
        """That of typed cells; None of cells that are no times."""
        if kind == pl.Date:
            return cls("date", "d")
        if kind == pl.Time:
            return cls("time", "ns")
        if isinstance(kind, pl.Datetime):
            return cls("timestamp", kind.time_unit, zone=kind.time_zone)
        if isinstance(kind, pl.Duration):
            return cls("duration", kind.time_unit)
        return None

    @classmethod
    def of(cls, cells: pl.Series, spelling: Spelling) -> Time | None:
        """That of the column which these cells are of, if at least half are times."""
        if cells.dtype != pl.String:
            time = cls.of_type(cells.dtype)
            ticks = cells.drop_nulls().head(1).to_physical().to_list()
            return time and (time.near(ticks[0]) if ticks else time)
        texts = bare(cells.drop_nulls().alias("text"))
        texts = texts.filter(~says_nothing(texts, spelling))
        for name, pattern in PATTERNS.items():
            fields = texts.str.extract_groups(pattern).struct.unnest()
            there = fields.filter(
                pl.col("date" if name == "timestamp" else "hour") != ""
            )
            if not 0 < len(texts) <= 2 * there.height:
                continue
            if name == "timestamp" and there["hour"].is_null().all():
                return cls("date", "d", joint="-", mark=".")
            return cls._of_fields(name, there.drop_nulls("hour"))
        return None

    @classmethod
    def _of_fields(cls, name: str, fields: pl.DataFrame) -> Time:
        """That of texts with these fields, by the first of them."""
        first = fields.row(0, named=True)
        is_fine = (fields["fraction"].str.len_chars() > 6).any()
        marks = fields["mark"].drop_nulls()
        time = cls(
            name,
            "ns" if is_fine or name == "time" else "us",
            zone=first.get("zone"),
            joint=first.get("joint", ""),
            mark=marks[0] if len(marks) else ".",
        )
        if name == "time":
            return time
        days = fields["date"].str.to_date(strict=False).drop_nulls()
        ticks = days.to_physical()[0] * DAY * SECOND[time.unit] if len(days) else 0
        return time.near(ticks)

    def near(self, ticks: int) -> Time:
        """One whose numbers are exact near a moment, and round where days begin."""
        if self.name != "timestamp":
            return self
        day = DAY * SECOND[self.unit]
        return replace(self, origin=ticks // day * day)

    def inferred(self) -> Time:
        """One of typed cells, where texts are written as such."""
        zone = "UTC" if self.mark and self.zone else self.zone
        return replace(self, mark="", zone=zone)

    @property
    def per_unit(self) -> int:
        """How many ticks there are in what people count by: a day, or a second."""
        return SECOND.get(self.unit, 1)

    @property
    def units(self) -> str:
        """What people count by."""
        return "days" if self.unit == "d" else "seconds"

    @property
    def such(self) -> str:
        """What cells are, in messages."""
        return SUCH[self.name] + ((self.mark and self.zone) or "")

    def parse(self, cells: pl.Series, spelling: Spelling) -> Numbers:
        """Read cells as ticks since the origin."""
        if not self.mark:
            ticks = cells.to_physical().cast(pl.Int64)
            values, rounded = self._since(ticks)
            return Numbers(values, cells.null_count(), np.zeros(0, int), rounded)
        texts = bare(cells.cast(pl.String).fill_null("").alias("text"))
        fields = self._fields(texts)
        ticks = fields.select(self._ticks()).to_series()
        values, rounded = self._since(ticks)
        none = ticks.is_null()
        absent = none & says_nothing(texts, spelling)
        invalid = (none & ~absent).arg_true().to_numpy()
        lengths = fields["fraction"].str.len_chars().fill_null(0).to_numpy()
        digits = int(lengths[~none.to_numpy()].max(initial=0))
        step, most = self._step(fields, digits)
        rounded |= digits > most
        return Numbers(values, int(absent.sum()), invalid, rounded, step)

    def ticks(self, texts: pl.Series) -> pl.Series:
        """Ticks of texts since 1970, or midnight; null where they are no times."""
        return self._fields(texts).select(self._ticks()).to_series()

    def _fields(self, texts: pl.Series) -> pl.DataFrame:
        pattern = PATTERNS["time" if self.name == "time" else "timestamp"]
        return texts.str.extract_groups(pattern).struct.unnest()

    def _step(self, fields: pl.DataFrame, digits: int) -> tuple[int, int]:
        """The ticks of the finest place there is, and how many digits ticks have."""
        if self.unit == "d":
            return 1, 0
        second = SECOND[self.unit]
        most = len(str(second)) - 1
        if digits:
            return second // 10 ** min(digits, most), most
        has_seconds = fields["second"].is_not_null().any()
        return second if has_seconds else 60 * second, most

    def _ticks(self) -> pl.Expr:
        """Ticks of the fields of texts; null where these are no such time."""

        def number(name: str) -> pl.Expr:
            return pl.col(name).cast(pl.Int64).fill_null(0)

        days = pl.lit(0)
        if self.name != "time":
            days = pl.col("date").str.to_date("%Y-%m-%d", strict=False)
            days = days.cast(pl.Int64)
        if self.unit == "d":
            return pl.when(pl.col("hour").is_null()).then(days)
        second = SECOND[self.unit]
        hour, minute, seconds = map(number, ("hour", "minute", "second"))
        fits = (hour < 24) & (minute < 60) & (seconds < 60)
        digits = pl.col("fraction").str.pad_end(9, "0").cast(pl.Int64).fill_null(0)
        clock = hour * 3600 + minute * 60 + seconds
        if self.name == "time":
            fits &= pl.col("hour").is_not_null()
        else:
            zone = pl.col("zone")
            fits &= zone.is_null() if self.zone is None else zone.is_not_null()
            east = number("hours") * 60 + number("minutes")
            clock -= pl.when(pl.col("sign") == "-").then(-east).otherwise(east) * 60
        # Year 1 to 9999 in nanoseconds are more than 64 bits: null, and so invalid.
        whole = (days * DAY + clock).cast(WIDE) * second
        ticks = (whole + digits // (10**9 // second)).cast(pl.Int64, strict=False)
        return pl.when(fits).then(ticks)

    def _since(self, ticks: pl.Series) -> tuple[np.ndarray, bool]:
        """Ticks since the origin, NaN for null, and whether any is not exact."""
        since = (ticks.cast(WIDE) - pl.Series([self.origin], dtype=WIDE)).cast(
            pl.Float64
        )
        rounded = (self._whole(since.fill_null(0).to_numpy()) != ticks).any()
        return since.to_numpy(writable=True), rounded

    def _whole(self, values: np.ndarray) -> pl.Series:
        """The ticks nearest to numbers since the origin."""
        since = pl.Series(np.rint(values / self.step) * self.step).cast(WIDE)
        ticks = since + pl.Series([self.origin], dtype=WIDE)
        return ticks.cast(pl.Int64, wrap_numerical=True)

    def typed(self, values: np.ndarray, ahead: int = 0) -> pl.Series:
        """Numbers as typed dates and times, null for NaN.

        Of texts as their clocks show them, which are so many ticks ahead of UTC.
        """
        none = np.isnan(values)
        ticks = self._whole(np.where(none, 0.0, values)) + ahead
        return self.of_ticks(ticks.set(pl.Series(none), None))

    def of_ticks(self, ticks: pl.Series) -> pl.Series:
        """Ticks since 1970, or midnight, as typed dates and times."""
        if self.name == "date":
            return ticks.cast(pl.Int32).cast(pl.Date)
        if self.name == "time":
            return ticks.cast(pl.Time)
        of = pl.Datetime if self.name == "timestamp" else pl.Duration
        moments = ticks.cast(of(self.unit))  # pyright: ignore[reportArgumentType]
        if self.mark or self.zone is None:
            return moments
        return moments.dt.replace_time_zone("UTC").dt.convert_time_zone(self.zone)

    def drawn(self, values: np.ndarray) -> np.ndarray:
        """Numbers as dates of NumPy; times and durations as seconds."""
        is_moment = self.name in ("date", "timestamp")
        return self.typed(values).to_numpy() if is_moment else values / self.per_unit

    def cells(self, values: np.ndarray) -> pl.Series:
        """Numbers as cells like those of the column."""
        if not self.mark:
            return self.typed(values)
        if self.name == "date":
            return self.typed(values).dt.to_string("%Y-%m-%d")
        second = SECOND[self.unit]
        minutes = 0 if self.zone is None else _east(self.zone)
        moments = self.typed(values, minutes * 60 * second)
        days = "" if self.name == "time" else f"%Y-%m-%d{self.joint}"
        seconds = ":%S" * (self.step <= second)
        texts = moments.dt.to_string(f"{days}%H:%M{seconds}").to_frame("text")
        parts = [pl.col("text")]
        if self.step < second:
            digits = (moments.to_physical() % second // self.step).cast(pl.String)
            width = len(str(second // self.step)) - 1
            parts += [pl.lit(self.mark), pl.lit(digits.str.zfill(width))]
        if self.zone is not None:
            parts.append(pl.lit(self.zone))
        return texts.select(pl.concat_str(parts)).to_series()


def _east(zone: str) -> int:
    """Minutes by which the clocks of a zone, as texts name it, are ahead of UTC."""
    digits = zone.replace(":", "").strip()
    if digits[0] not in "+-":
        return 0
    minutes = int(digits[1:3]) * 60 + int(digits[3:5] or 0)
    return -minutes if digits[0] == "-" else minutes
