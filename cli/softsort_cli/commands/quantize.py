"""`softsort quantize`."""

from typing import Annotated

from softsort_cli.options.declare import MOST, command, option
from softsort_cli.options.softness import Solver
from softsort_cli.options.tables import PartsWriting, Reading, Tables


@command
def quantize(
    tables: Tables = None,
    *,
    levels: Annotated[
        int,
        option(
            "--levels", min=1, max=MOST, help="How many different values to draw to."
        ),
    ] = 10,
    solver: Solver,
    reading: Reading,
    writing: PartsWriting,
) -> None:
    """Draw the values of each column to a few levels.

    Appends {column}_quantized. Each level stands for an equal share of the values.

    Example:
      softsort quantize prices.csv --levels 4 -c price
    """
    from softsort_cli.operate import apply, exact
    from softsort_cli.operate.operator import Operator

    operator = Operator("quantize", exact.quantize, solver, {"num_levels": levels})
    apply.append(tables, "quantized", operator, reading, writing)
