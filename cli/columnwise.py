"""What every command on the columns of a table does: read, compute, check, write."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from cli import chosen, console, files, formats, numbers, results, tables
from cli.errors import CommandError, UsageError
from cli.options import Appending, Reading, Solver, TableWriting

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

BITS = "64"  # the numbers of a table are decimals that float32 cannot hold

Compute: TypeAlias = "Callable[[np.ndarray], np.ndarray]"


def append(
    path: Path | None,
    suffix: str,
    compute: Compute,
    solver: Solver,
    reading: Reading,
    writing: Appending,
    *,
    from_top: bool = False,
) -> None:
    """Append `{column}_{suffix}`: the results for the numbers present in each column.

    They go to the rows of those numbers, or `from_top` to the first rows.
    """
    import numpy as np

    check(writing)
    data = chosen.read(path, reading)
    names = result_names(data, data.names(), suffix, writing)
    columns = {}
    found = computed(data, compute, solver)
    for name, (column, result) in zip(names, found, strict=True):
        values = np.full(len(data.table.rows), np.nan, result.dtype)
        places = data.kept() if from_top else np.flatnonzero(column.present)
        values[places[: len(result)]] = result
        columns[name] = values
    write_appended(data, columns, writing)


def summarise(
    path: Path | None,
    suffix: str,
    compute: Compute,
    solver: Solver,
    reading: Reading,
    writing: TableWriting,
) -> None:
    """Write a table of the columns `{column}_{suffix}` alone."""
    check(writing)
    data = chosen.read(path, reading)
    found = [result for _, result in computed(data, compute, solver)]
    names = [f"{name}_{suffix}" for name in data.names()]
    write_table(data.table, names, found, writing)


def computed(
    data: chosen.Chosen, compute: Compute, solver: Solver
) -> Iterator[tuple[numbers.Numbers, np.ndarray]]:
    """Each chosen column with the results for the numbers present in it."""
    with console.progress("columns", len(data.numbers)) as step:
        for name, column in zip(data.names(), data.numbers.values(), strict=True):
            values = column.values[column.present]
            try:
                result = compute(values) if len(values) else values
            except (CommandError, ValueError) as error:
                raise CommandError(f"column {name!r}: {error}") from error
            settle(result, name, solver)
            yield column, result
            step()


def settle(result: np.ndarray, source: str, solver: Solver) -> None:
    """Refuse a result that is not a number: the solver did not converge."""
    import numpy as np

    bad = int((~np.isfinite(result)).sum())
    if bad:
        remedy = "choose a larger --epsilon"
        remedy += " or --precision 64" if solver.precision == "32" else ""
        raise CommandError(
            f"column {source!r}: the solver did not converge at epsilon "
            f"{solver.epsilon:g} ({bad} of {result.size} results); {remedy}"
        )


def check(writing: TableWriting) -> None:
    """Refuse outputs that cannot be written, before anything is read."""
    numbers.check_format(writing.float_format)
    files.check_output(writing.output, force=writing.force)
    formats.check_suffix(writing.output)


def result_names(
    data: chosen.Chosen, sources: Sequence[str], suffix: str, writing: Appending
) -> list[str]:
    """The names of the appended columns, if they are free."""
    names = [f"{name}_{suffix}" for name in sources]
    results.check_names(data.table, sources, names, writing.replace)
    return names


def write_appended(
    data: chosen.Chosen, columns: Mapping[str, np.ndarray], writing: Appending
) -> None:
    """Write the table with columns appended, in the format in which it came."""
    table, output = data.table, writing.output
    delimiter = formats.delimiter_for(output)
    if delimiter and delimiter != table.delimiter in formats.DELIMITERS.values():
        raise UsageError(
            f"-o {output}: the table is written as it came, separated by "
            f"{table.delimiter!r}; choose another extension"
        )
    texts = {
        name: numbers.as_text(values, writing.float_format, table.delimiter)
        for name, values in columns.items()
    }
    with files.open_output(output, force=writing.force) as stream:
        for part in results.append(table, texts, data.skipped):
            stream.write(part)


def write_table(
    table: tables.Table,
    names: Sequence[str],
    columns: Sequence[np.ndarray | list[str]],
    writing: TableWriting,
) -> None:
    """Write a table of results alone: by the extension of -o, else as `table` is."""
    import polars as pl

    delimiter = formats.delimiter_for(writing.output) or table.delimiter

    def text(values: np.ndarray | list[str]) -> pl.Series:
        if isinstance(values, list):
            return pl.Series([formats.quote(value, delimiter) for value in values])
        return numbers.as_text(values, writing.float_format, delimiter)

    body = results.table_of(
        table, names, [text(column) for column in columns], delimiter
    )
    with files.open_output(writing.output, force=writing.force) as stream:
        stream.write(body)
