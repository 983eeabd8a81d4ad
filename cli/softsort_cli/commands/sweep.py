"""`softsort sweep`."""

from pathlib import Path
from typing import Annotated

from softsort_cli.errors import UsageError
from softsort_cli.options.declare import MOST, command, option
from softsort_cli.options.softness import Computing, Solver
from softsort_cli.options.tables import Reading, Table, TableWriting


@command
def sweep(
    file: Table = None,
    *,
    epsilons: Annotated[
        str,
        option(
            "--epsilons",
            metavar="FROM:TO:COUNT",
            help="So many epsilons, evenly spaced in their logarithms.",
        ),
    ] = "1e-3:10:100",
    plot: Annotated[
        Path | None,
        option(
            "--plot", metavar="FILE", help="Draw the results too: .png, .svg, .pdf."
        ),
    ] = None,
    computing: Computing,
    reading: Reading,
    writing: TableWriting,
) -> None:
    """Sort and rank each column at many epsilons.

    The result is a table with the columns column, epsilon, place, sorted, value, rank:
    at each epsilon, the soft sorted value of each place from 0, and each value of the
    column with its soft rank. As epsilon goes to 0 these are the exact ones, as it
    grows the mean and the middle rank. --epsilon and --hard play no part.

    Example:
      softsort sweep prices.csv -c price --plot sweep.png > sweep.csv
    """
    from softsort_cli.operate import sweeping

    solver = Solver(**vars(computing))
    sweeping.sweep(file, _levels(epsilons), plot, solver, reading, writing)


def _levels(epsilons: str) -> list[float]:
    import math

    import numpy as np

    try:
        first, last, count = epsilons.split(":")
        ends, size = (float(first), float(last)), int(count)
    except ValueError:
        ends, size = (0.0, 0.0), 0
    if size < 1 or not all(0 < end < math.inf for end in ends):
        raise UsageError(
            f"--epsilons {epsilons!r}: give two positive numbers and how many, as in "
            "1e-3:10:100"
        )
    if size > MOST:
        raise UsageError(f"--epsilons {epsilons!r}: more than {MOST:,}, ask for fewer")
    return np.geomspace(*ends, size).tolist()
