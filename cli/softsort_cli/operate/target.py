"""Where results go: refused before any work, told by a dry run, written at the end."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import typer

from softsort_cli import console
from softsort_cli.errors import CommandError, UsageError
from softsort_cli.io import files
from softsort_cli.options.tables import Appending, PartsWriting, Reading, TableWriting
from softsort_cli.tables import formats, numbers, write
from softsort_cli.tables.column_data import Chosen

# The names of the columns of a table of results.
Naming: TypeAlias = "Callable[[Chosen], Sequence[str]]"


def check(path: Path | None, reading: Reading, writing: TableWriting) -> formats.Form:
    """The form of the output, if it can be written, before anything is read."""
    if path is not None and files.is_pattern(path) and not path.exists():
        raise UsageError(f"{path}: this command takes no table in many parts")
    files.check_output(writing.output, force=writing.force)
    formats.check_kind(reading.form, path, writing.output)
    came = formats.form_in(path, reading.form, reading.delimiter)
    form = formats.form_out(writing.output, reading.form, came)
    if form.is_binary and files.is_terminal(writing.output):
        raise UsageError(
            f"{form.kind} is not for a terminal: name a file, as in "
            f"-o FILE{form.suffixes[0]}, pipe it on, or show text by --format csv"
        )
    check_form(came, form, reading, writing)
    return form


def check_form(
    came: formats.Form, form: formats.Form, reading: Reading, writing: TableWriting
) -> None:
    """Refuse a form that cannot be written, or options that are not for it."""
    if reading.infer and (came.is_binary or not form.is_binary):
        raise UsageError(
            f"--infer is for text that is written with types, not for {came.kind} as "
            f"{form.kind}: name the output, as in -o FILE.parquet"
        )
    form.check_installed()
    numbers.check_format(writing.float_format)
    if form.is_binary and writing.float_format:
        raise UsageError(f"--float-format is for text, not for {form.kind}")


def named(data: Chosen, suffix: str, writing: Appending) -> list[str]:
    """The names of results, one a column, if no two are the same."""
    sources, table = data.names(), data.table
    pattern = writing.names or f"{{column}}_{suffix}"
    names = [pattern.format(column=name) for name in sources]
    if len(set(names)) == len(names):
        return names
    twice = next(name for name in names if names.count(name) > 1)
    if len(set(sources)) == len(sources):
        raise UsageError(
            f"--names {writing.names!r} gives several columns the name {twice!r}: "
            "write {column} in it"
        )
    raise CommandError(
        f"{table.source} has several columns named {sources[names.index(twice)]!r}: "
        "choose one of them by its number, as in -c 2"
    )


def result_names(
    data: Chosen, suffix: str, form: formats.Form, writing: Appending
) -> list[str]:
    """The names of results, if they are free: appended, or alone behind keys."""
    names = named(data, suffix, writing)
    if writing.only:
        check_names_alone(data, names)
    else:
        write.check_names(data.table, names, form, writing.replace)
    return names


def check_names_alone(data: Chosen, names: Sequence[str]) -> None:
    """Refuse the names of a table of results of which two columns would have one."""
    keys = data.groups.columns if data.groups else []
    write.check_table(data.table, [data.table.names[column] for column in keys], names)


def end_dry_run(data: Chosen, names: Sequence[str], writing: TableWriting) -> None:
    """End a dry run, and tell what would be done."""
    if not writing.dry_run:
        return
    place = writing.output
    if isinstance(writing, PartsWriting):
        place = place or writing.out_dir
    grouped = f" in {data.groups.count:,} groups" if data.groups else ""
    console.note(
        f"dry run: {data.table.source}: {data.height:,} rows{grouped}; would write "
        f"{', '.join(names)} to {place or 'standard output'}"
    )
    raise typer.Exit


def write_columns(
    data: Chosen,
    columns: Mapping[str, np.ndarray],
    form: formats.Form,
    writing: Appending,
) -> None:
    """Write the table with whole columns of results, or these alone."""
    if writing.only:
        keys = {} if data.groups is None else data.keys(data.groups.codes)
        rows = {**keys, **columns}
        if (kept := data.kept()) is not None:
            places = kept.nonzero()[0]
            rows = {name: each[places] for name, each in rows.items()}
        write.write_table(data.table, rows, form, writing)
    else:
        write.write_appended(data.table, _rows(data, columns), form, writing)


def _rows(data: Chosen, columns: Mapping[str, np.ndarray]) -> Iterator[write.Rows]:
    """The table part by part, with its part of the results."""
    start, kept = 0, data.kept()
    for part in data.table.parts():
        rows = slice(start, start + part.height)
        start = rows.stop
        if start > data.height:
            data.table.input.check_unchanged()
        some = {name: values[rows] for name, values in columns.items()}
        yield part, some, None if kept is None else kept[rows]
