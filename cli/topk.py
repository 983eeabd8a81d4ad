"""`softsort topk`."""

from typing import Annotated

from cli.errors import CommandError
from cli.options import Appending, Reading, Solver, Table, command, option


@command
def topk(
    file: Table = None,
    *,
    k: Annotated[int, option("-k", min=1, help="How many of the largest values.")],
    mask: Annotated[
        bool, option("--mask", help="Append how far each value belongs to them.")
    ] = False,
    solver: Solver,
    reading: Reading,
    writing: Appending,
) -> None:
    """Write the K largest soft values of each column.

    The result is a table of K rows with the columns {column}_topk alone, largest first.
    With --mask it is the table itself with {column}_topk appended: how far each value
    belongs to the K largest, from 0 to 1.

    Examples:
      softsort topk prices.csv -k 3 -c price
      softsort topk prices.csv -k 3 -c price --mask
    """
    from cli import columnwise, runtime

    operator = runtime.operator(
        "topk_mask" if mask else "sort", solver, columnwise.BITS
    )

    def compute(values):
        if k > len(values):
            raise CommandError(f"-k {k} is more than its {len(values)} values")
        return operator(values, k=k) if mask else operator(values, topk=k)[::-1]

    run = columnwise.append if mask else columnwise.summarise
    run(file, "topk", compute, solver, reading, writing)
