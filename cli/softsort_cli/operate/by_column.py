"""Rows sorted by a column: the chosen columns move together."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from softsort_cli.operate import apply, exact, groups, target
from softsort_cli.operate.operator import Operator
from softsort_cli.options.softness import Solver
from softsort_cli.options.tables import Appending, Reading
from softsort_cli.tables import column_data, columnar


def append(
    paths: Sequence[Path] | None,
    criterion: str,
    solver: Solver,
    reading: Reading,
    writing: Appending,
    *,
    descends: bool = False,
) -> None:
    """Append the chosen columns as `{column}_sorted`, by the column `criterion`.

    In the order in which that ascends, or descends.
    """
    path = apply.only(paths)
    form = target.check(path, reading, writing)
    apply.start(solver)
    data = column_data.read(
        path, reading, criterion, again=True, errors=solver.blur_column
    )
    names = target.result_names(data, "sorted", writing)
    columnar.tell_changes(data.table, form)
    if writing.dry_run:
        target.tell(data, names, writing)
        return
    assert data.criterion is not None
    # The criterion goes first in the rows that belong together.
    keys = data.values[data.criterion]
    chosen = [data.values[column] for column in data.columns]
    rows = np.column_stack([-keys if descends else keys, *chosen])
    operator = Operator("sort_with", exact.sort_with)
    result = groups.result(data, rows, operator, solver, data.criterion)
    columns = {}
    for place, (name, column) in enumerate(zip(names, data.columns, strict=True)):
        sorted_values = groups.spread(data, result.column(place), from_top=True)
        columns[name] = operator.told(data, column, sorted_values)
    target.write_columns(data, columns, form, writing)
