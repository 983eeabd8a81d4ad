"""Files -> tables, of any format."""

from dataclasses import replace
from pathlib import Path

from softsort_cli.errors import UsageError
from softsort_cli.io import source
from softsort_cli.options.tables import Reading
from softsort_cli.tables import formats
from softsort_cli.tables.numbers import Spelling
from softsort_cli.tables.table import Table


def open_table(path: Path | None, reading: Reading, *, twice: bool = False) -> Table:
    """Open a file, or standard input for None and `-`.

    Where it is to be read `twice`, and memory allows it, that is made quicker.
    """
    form = formats.form_in(path, reading.form, reading.delimiter)
    if not form.delimiter:
        for option, value in (
            ("--no-headers", reading.no_headers),
            ("--comment", reading.comment),
            ("--encoding", form.is_binary and reading.encoding),
        ):
            if value:
                raise UsageError(f"{option} is for delimited text, not for {form.kind}")
    if reading.sheet is not None and form.kind != "excel":
        raise UsageError(f"--sheet is for Excel, not for {form.kind}")
    form.check_installed()
    _check_marks(form, reading)
    table = form.load().open_table(
        source.open_input(path, reading.encoding),
        form,
        headers=not reading.no_headers,
        comment=reading.comment or None,
        spare=reading.allowed() if twice else 0,
        sheet=reading.sheet,
    )
    marks = reading.decimal, reading.thousands
    spelling = Spelling.named(reading.na_values, *marks)
    return replace(table, spelling=spelling, infers=reading.infer)


def _check_marks(form: formats.Form, reading: Reading) -> None:
    """Refuse marks of numbers that mean two things."""
    if reading.thousands == reading.decimal:
        raise UsageError(
            f"--thousands and --decimal are both {reading.decimal!r}: name what is "
            "before fractions, too, as in --decimal ,"
        )
    if form.delimiter == reading.decimal and reading.delimiter is None:
        raise UsageError(
            f"--decimal {reading.decimal}: cells are separated by it as well; name "
            f"what separates them, as in -d ';', or -d {reading.decimal} if such "
            "numbers are in quotes"
        )
