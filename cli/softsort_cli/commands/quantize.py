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
    from softsort_cli import jax_setup
    from softsort_cli.operate import apply, many_files, streaming

    settings, options = {"num_levels": levels}, {"levels": levels}
    whole = streaming.Parted("solve_quantize", settings, streaming.along, options)
    if many_files.wanted(tables, solver, writing.out_dir):
        many_files.append(tables, "quantized", whole, solver, reading, writing)
        return
    quantize = jax_setup.operator("quantize", solver, apply.BITS)

    def padded(row):
        soft = jax_setup.traced("quantize", solver)
        return soft(row.values, levels, input_weights=row.weights, epsilon=row.epsilon)

    operator = apply.Operator(
        lambda values: quantize(values, num_levels=levels),
        None if solver.hard else padded,
        parted=whole,
    )
    file = many_files.only(tables)
    apply.append(file, "quantized", operator, solver, reading, writing)
