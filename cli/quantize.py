"""`softsort quantize`."""

from typing import Annotated

from cli.options import (
    MOST,
    PartsWriting,
    Reading,
    Solver,
    Tables,
    command,
    option,
)


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
    from cli import columnwise, inparts, parted, runtime

    settings, options = {"num_levels": levels}, {"levels": levels}
    whole = inparts.Parted("solve_quantize", settings, inparts.along, options)
    if parted.wanted(tables, solver, writing.out_dir):
        parted.append(tables, "quantized", whole, solver, reading, writing)
        return
    quantize = runtime.operator("quantize", solver, columnwise.BITS)

    def padded(row):
        soft = runtime.traced("quantize", solver)
        return soft(row.values, levels, input_weights=row.weights, epsilon=row.epsilon)

    operator = columnwise.Operator(
        lambda values: quantize(values, num_levels=levels),
        None if solver.hard else padded,
        parted=whole,
    )
    file = parted.only(tables)
    columnwise.append(file, "quantized", operator, solver, reading, writing)
