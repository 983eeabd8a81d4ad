"""`softsort topk`."""

from typing import Annotated

from softsort_cli.errors import CommandError, UsageError
from softsort_cli.options.declare import command, option
from softsort_cli.options.softness import Solver
from softsort_cli.options.tables import PartsWriting, Reading, Tables


@command
def topk(
    tables: Tables = None,
    *,
    k: Annotated[int, option("-k", min=1, help="How many of the largest values.")],
    mask: Annotated[
        bool, option("--mask", help="Append how far each value belongs to them.")
    ] = False,
    solver: Solver,
    reading: Reading,
    writing: PartsWriting,
) -> None:
    """Write the K largest soft values of each column.

    The result is a table of K rows with the columns {column}_topk alone, largest first.
    With --mask it is the table itself with {column}_topk appended: how far each value
    belongs to the K largest, from 0 to 1.

    Examples:
      softsort topk prices.csv -k 3 -c price
      softsort topk prices.csv -k 3 -c price --mask
    """
    from functools import partial

    from softsort_cli.operate import apply, exact
    from softsort_cli.operate.operator import Operator
    from softsort_cli.operate.result_table import suffixed, write_results

    def check(count: int) -> None:
        if k > count:
            weighted = ", by their weights" if reading.weights else ""
            raise CommandError(f"-k {k} is more than its {count} values{weighted}")

    if mask:
        operator = Operator("topk_mask", exact.topk_mask, solver, {"k": k}, check=check)
        apply.append(tables, "topk", operator, reading, writing)
        return
    if writing.out_dir is not None:
        raise UsageError(
            "--out-dir is for --mask: the K largest are a table of its own"
        )
    operator = Operator("topk", exact.topk, solver, {"k": k}, partial(min, k), check)
    columns = suffixed("topk", writing)
    table = apply.tabulate(tables, operator, reading, writing, columns)
    write_results(table, writing, from_last=True)
