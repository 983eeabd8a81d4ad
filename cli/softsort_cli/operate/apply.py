"""What every command on the columns of a table does: read, compute, check, write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from softsort_cli import console
from softsort_cli.errors import CommandError, UsageError
from softsort_cli.io import files
from softsort_cli.operate import groups, streaming
from softsort_cli.options.softness import Solver
from softsort_cli.options.tables import Appending, PartsWriting, Reading, TableWriting
from softsort_cli.tables import column_data, columnar, formats, numbers
from softsort_cli.tables import write as results
from softsort_cli.tables.group_keys import Grouped

if TYPE_CHECKING:
    import numpy as np

BITS = "64"  # the numbers of a table are decimals that float32 cannot hold
PADDED = 512  # values of a group; larger ones are not worth it
MOST = 100_000_000  # results of a table of few for each group


@dataclass(frozen=True)
class Operator:
    """What a command does to values."""

    one: groups.One
    # The same for a padded group, if it is a soft operator.
    padded: groups.Padded | None = None
    # How many results a group of so many values has; as many, if not said.
    count: Callable[[int], int] = lambda size: size
    fewest: int = 1  # values of a group that can be padded
    # The same for values that are never together, if that is possible.
    parted: streaming.Parted | None = None
    # The same for many groups at once, if there is something faster for most of them.
    together: groups.Together | None = None


def append(
    path: Path | None,
    suffix: str,
    operator: Operator,
    solver: Solver,
    reading: Reading,
    writing: Appending,
    *,
    from_top: bool = False,
    look: Look | None = None,
) -> None:
    """Append `{column}_{suffix}`: the results for the numbers present in each column.

    They go to the rows of those numbers, or `from_top` to the first rows. Before they
    are written, `look` sees them.
    """
    form = check(path, reading, writing)
    whole = reading.by or look or not operator.parted
    data = (column_data.read if whole else column_data.survey)(
        path, reading, again=True
    )
    names = result_names(data, data.names(), suffix, writing)
    if writing.dry_run:
        say_plan(data, names, writing)
        return
    if not data.fits:
        assert operator.parted is not None
        rows = streaming.rows(data, names, operator.parted, solver)
        results.write_appended(data.table, rows, form, writing)
    else:

        def column(name: str, result: Result) -> np.ndarray:
            if look is not None:
                look(data, name, result)
            return spread(data, result, from_top)

        # Nothing else of a result is left in memory while the table is written.
        columns = {
            name: column(source, result)
            for name, source, result in zip(
                names, data.names(), computed(data, operator, solver), strict=True
            )
        }
        write(data, columns, form, writing)


def check(path: Path | None, reading: Reading, writing: TableWriting) -> formats.Form:
    """The form of the output, if it can be written, before anything is read."""
    if path is not None and files.is_pattern(path) and not path.exists():
        raise UsageError(f"{path}: this command takes no table in many parts")
    files.check_output(writing.output, force=writing.force)
    formats.check_kind(reading.form, path, writing.output)
    came = formats.form_in(path, reading.form, reading.delimiter)
    form = formats.form_out(writing.output, reading.form, came)
    check_spec(form, writing)
    return form


def check_spec(form: formats.Form, writing: TableWriting) -> None:
    """Refuse a --float-format that is wrong, or that the form has no use for."""
    numbers.check_format(writing.float_format)
    if form.is_binary and writing.float_format:
        raise UsageError(f"--float-format is for text, not for {form.kind}")


def result_names(
    data: column_data.Chosen, sources: Sequence[str], suffix: str, writing: Appending
) -> list[str]:
    """The names of the appended columns, if they are free."""
    names = [f"{name}_{suffix}" for name in sources]
    results.check_names(data.table, sources, names, writing.replace)
    return names


def say_plan(
    data: column_data.Chosen, names: Sequence[str], writing: TableWriting
) -> None:
    """Tell what would be done."""
    place = writing.output
    if isinstance(writing, PartsWriting):
        place = place or writing.out_dir
    grouped = f" in {data.groups.count:,} groups" if data.groups else ""
    console.note(
        f"dry run: {data.table.source}: {data.height:,} rows{grouped}; would write "
        f"{', '.join(names)} to {place or 'standard output'}"
    )


# Some rows; a slice for all, of which nothing is copied then.
Places: TypeAlias = "np.ndarray | slice"


@dataclass(frozen=True)
class Result:
    """The results for a column, group by group."""

    present: Places  # the rows that have a number, group by group
    given: Grouped  # these numbers
    values: Grouped

    def column(self, place: int) -> Result:
        """One column of results that are rows."""
        found = Grouped(self.values.together[:, place], self.values.sizes)
        return Result(self.present, self.given, found)


# What else is done with the results for a column, by its name.
Look: TypeAlias = "Callable[[column_data.Chosen, str, Result], None]"


def computed(
    data: column_data.Chosen, operator: Operator, solver: Solver
) -> Iterator[Result]:
    """The results for each chosen column."""
    with console.progress("columns", len(data.columns)) as step:
        for name, column in zip(data.names(), data.columns, strict=True):
            yield rowwise(data, data.values.pop(column), operator, solver, name)
            step()


def rowwise(
    data: column_data.Chosen,
    values: np.ndarray,
    operator: Operator,
    solver: Solver,
    name: str,
) -> Result:
    """The results for values, or rows of values, one a row of the table."""
    import numpy as np

    absent = np.isnan(values)
    there = ~(absent if values.ndim == 1 else absent.any(axis=1))
    present, sizes = _present(data, there)
    # For so many places np.take is faster than an index.
    is_slice = isinstance(present, slice)
    grouped = values[present] if is_slice else np.take(values, present, axis=0)
    given = Grouped(grouped, sizes)
    try:
        found = apply(operator, given, solver, data)
    except (CommandError, ValueError) as error:
        raise CommandError(f"column {name!r}: {error}") from error
    settle(found.together, name, solver)
    return Result(present, given, found)


def apply(
    operator: Operator, given: Grouped, solver: Solver, data: column_data.Chosen
) -> Grouped:
    """The results for each group, or for all values if there are no groups."""
    import numpy as np

    sizes, starts = given.sizes, given.starts()
    left = sizes > 0
    if data.groups is None and left.all():
        result = operator.one(given.together)
        return Grouped(result, np.array([len(result)]))
    together = None
    is_worth = left.sum() >= groups.MANY or 0 < sizes.max(initial=0) <= groups.FEW
    if operator.padded and operator.together and is_worth:
        together = operator.together(given.together, sizes)
        left[left] = np.isnan(together[starts[left]])
    found: dict[int, np.ndarray] = {}
    if operator.padded is not None:
        small = np.flatnonzero(left & (sizes >= operator.fewest) & (sizes <= PADDED))
        left[small] = False
        for place, result in groups.over(operator.padded, given, small, solver.epsilon):
            found[place] = result[: operator.count(int(sizes[place]))]
    for place in np.flatnonzero(left).tolist():
        start = starts[place]
        found[place] = operator.one(given.together[start : start + sizes[place]])
    if together is not None:
        for place, result in found.items():
            together[starts[place] :][: len(result)] = result
        return Grouped(together, sizes)
    none = next(iter(found.values()), given.together)[:0]
    return Grouped.of([found.get(i, none) for i in range(len(sizes))])


def _present(data: column_data.Chosen, there: Any) -> tuple[Places, np.ndarray]:
    """The rows that have a number, group by group, and how many each group has."""
    import numpy as np

    if data.groups is None:
        rows = slice(None) if there.all() else np.flatnonzero(there)
        return rows, np.array([np.count_nonzero(there)])
    order, codes = data.groups.order(), data.groups.codes
    if not there.all():
        order, codes = order[there[order]], codes[there]
    return order, np.bincount(codes, minlength=data.groups.count)


def spread(data: column_data.Chosen, result: Result, from_top: bool) -> np.ndarray:
    """The results at the rows of their values, or in the first rows of each group."""
    import numpy as np

    together = result.values.together
    if isinstance(result.present, slice) and not from_top:
        return together
    values = np.full(data.height, np.nan, together.dtype)
    if from_top:
        kept = data.kept()
        there = np.ones(data.height, bool) if kept is None else kept
        places, sizes = _present(data, there)
        rows = np.arange(data.height)[places]
        starts, counts = np.cumsum(sizes) - sizes, result.values.sizes
        within = np.arange(counts.sum()) - np.repeat(result.values.starts(), counts)
        values[rows[np.repeat(starts, counts) + within]] = together
    else:
        values[result.present] = together
    return values


def settle(found: np.ndarray, source: str, solver: Solver) -> None:
    """Refuse a result that is not a number: the solver did not converge."""
    import numpy as np

    bad = found.size - np.count_nonzero(np.isfinite(found))
    if bad:
        remedy = "choose a larger --epsilon"
        remedy += " or --precision 64" if solver.precision == "32" else ""
        raise CommandError(
            f"column {source!r}: the solver did not converge at epsilon "
            f"{solver.epsilon:g} ({bad} of {found.size} results); {remedy}"
        )


def write(
    data: column_data.Chosen,
    columns: dict[str, np.ndarray],
    form: formats.Form,
    writing: TableWriting,
) -> None:
    """Write the table with whole columns of results."""
    if form.is_binary and isinstance(data.table, columnar.Frames):
        results.write_beside(data.table, columns, data.kept(), form, writing)
    else:
        results.write_appended(data.table, _parts(data, columns), form, writing)


def _parts(
    data: column_data.Chosen, columns: dict[str, np.ndarray]
) -> Iterator[results.Rows]:
    """The table part by part, with its part of the results."""
    start, kept = 0, data.kept()
    for part in data.table.parts():
        rows = slice(start, start + part.height)
        start = rows.stop
        if start > data.height:
            data.table.input.check_unchanged()
        some = {name: values[rows] for name, values in columns.items()}
        yield part, some, None if kept is None else kept[rows]


# The names of the columns of a table of results.
Named: TypeAlias = "Callable[[column_data.Chosen], Sequence[str]]"


@dataclass(frozen=True)
class Few:
    """Few results for each column, group by group, and the form to write them in."""

    data: column_data.Chosen
    form: formats.Form
    names: Sequence[str]  # of the columns of the table of results
    values: Sequence[Iterable[np.ndarray]]


def suffixed(suffix: str) -> Named:
    """A column of results for each column."""
    return lambda data: [f"{name}_{suffix}" for name in data.names()]


def few(
    path: Path | None,
    operator: Operator,
    solver: Solver,
    reading: Reading,
    writing: TableWriting,
    named: Named,
) -> Few | None:
    """The few results for each column; None for a dry run, which tells their names."""
    form = check(path, reading, writing)
    whole = reading.by or not operator.parted
    data = (column_data.read if whole else column_data.survey)(path, reading)
    names = named(data)
    count = data.groups.count if data.groups else 1
    results = operator.count(data.height // count) * count * len(names)
    if results > MOST:
        raise CommandError(
            f"{data.table.source}: {results:,} results in {count:,} groups and "
            f"{len(data.columns):,} columns are more than {MOST:,}: ask for fewer of "
            "each, or choose fewer columns"
        )
    if writing.dry_run:
        say_plan(data, names, writing)
        return None
    if not data.fits:
        assert operator.parted is not None
        return Few(data, form, names, streaming.few(data, operator.parted, solver))
    found = [result.values for result in computed(data, operator, solver)]
    return Few(data, form, names, found)


def write_few(
    few: Few | None, writing: TableWriting, *, from_last: bool = False
) -> None:
    """Write a table of a column of results for each column, group keys first."""
    import numpy as np

    if few is None:
        return
    step = -1 if from_last else 1
    found = [[group[::step] for group in column] for column in few.values]
    counts = np.max([[len(group) for group in column] for column in found], axis=0)
    filled = [_filled(column, counts) for column in found]
    table = key_columns(few.data, counts)
    table |= dict(zip(few.names, filled, strict=True))
    results.write_table(few.data.table, table, few.form, writing)


def key_columns(data: column_data.Chosen, counts: Any) -> dict[str, Any]:
    """The keys of the groups as columns, each so many times."""
    import numpy as np

    if data.groups is None:
        return {}
    places = np.repeat(np.arange(data.groups.count), counts)
    columns = data.groups.keys[places]
    names = [data.table.names[column] for column in data.groups.columns]
    return dict(zip(names, columns.get_columns(), strict=True))


def _filled(column: list[np.ndarray], counts: np.ndarray) -> np.ndarray:
    """The results of groups that have fewer than others, filled with NaN."""
    import numpy as np

    filled = [
        np.concatenate([each, np.full(count - len(each), np.nan)])
        for each, count in zip(column, counts, strict=True)
    ]
    return np.concatenate(filled)
