"""What every command on the columns of a table does: read, compute, check, write.

A table that is read once, one whose numbers do not fit in memory, and one in many files
go three ways, which are chosen here.
"""

from collections.abc import Sequence
from pathlib import Path

from softsort_cli import jax_setup
from softsort_cli.errors import CommandError
from softsort_cli.operate import file_parts, groups, many_files, streaming, target
from softsort_cli.operate.operator import BITS, Operator
from softsort_cli.operate.result_table import ResultTable
from softsort_cli.operate.target import Naming
from softsort_cli.operate.views import View
from softsort_cli.options.softness import Solver
from softsort_cli.options.tables import PartsWriting, Reading, TableWriting
from softsort_cli.tables import column_data, columnar, write

MOST_RESULTS = 100_000_000  # of a table of their own


def append(
    paths: Sequence[Path] | None,
    suffix: str,
    operator: Operator,
    reading: Reading,
    writing: PartsWriting,
    *,
    views: Sequence[View] = (),
) -> None:
    """Append `{column}_{suffix}`: the results for the numbers present in each column.

    They go to the rows of those numbers, or in order to the first rows. Before they
    are written, views show them.
    """
    solver = operator.solver
    if file_parts.are_wanted(paths, solver, writing.out_dir):
        many_files.append(paths, suffix, operator, reading, writing, views=views)
        return
    path = paths[0] if paths else None
    form = target.check(path, reading, writing)
    start(solver)
    criterion = operator.criterion and operator.criterion[0]
    needs_all = any(view.show_solved is None for view in views)
    data = column_data.read(
        path,
        reading,
        criterion,
        again=True,
        errors=solver.blur_column,
        needs_all=needs_all,
    )
    names = target.result_names(data, suffix, form, writing)
    if not writing.only:
        columnar.tell_changes(data.table, form, names)
    target.end_dry_run(data, names, writing)
    if not data.fits:
        solutions = streaming.solutions(data, operator)
        streaming.show_solved(views, data, solutions)
        rows = streaming.evaluated(data, names, operator, solutions)
        write.write_appended(data.table, rows, form, writing)
        return
    columns = {}
    # Nothing else of a result is left in memory while the table is written.
    for name, column, result in zip(
        names, data.columns, groups.results(data, operator), strict=True
    ):
        for view in views:
            view.show(data, column, result)
        results = groups.spread(data, result, from_top=operator.are_in_order)
        columns[name] = operator.told(data, column, results)
    target.write_columns(data, columns, form, writing)


def tabulate(
    paths: Sequence[Path] | None,
    operator: Operator,
    reading: Reading,
    writing: TableWriting,
    naming: Naming,
) -> ResultTable:
    """The few results for each column."""
    solver = operator.solver
    if file_parts.are_wanted(paths, solver):
        return many_files.tabulate(paths, operator, reading, writing, naming)
    path = paths[0] if paths else None
    form = target.check(path, reading, writing)
    start(solver)
    data = column_data.read(path, reading, errors=solver.blur_column)
    names = naming(data)
    target.check_names_alone(data, names)
    count = max(1, data.groups.count) if data.groups else 1
    height = data.height if data.counts is None else int(data.counts.sum())
    total = operator.results(data.height, height // count) * count * len(names)
    if total > MOST_RESULTS:
        raise CommandError(
            f"{data.table.source}: {total:,} results in {count:,} groups and "
            f"{len(data.columns):,} columns are more than {MOST_RESULTS:,}: ask for "
            "fewer of each, or choose fewer columns"
        )
    target.end_dry_run(data, names, writing)
    if not data.fits:
        outputs = streaming.of_columns(data, streaming.solutions(data, operator))
    else:
        outputs = [each.outputs for each in groups.results(data, operator)]
    return ResultTable(data, form, names, operator, outputs)


def start(solver: Solver) -> None:
    """Have JAX started while the table is read, if it is needed."""
    if not solver.hard:
        jax_setup.start_in_background(solver, BITS)
