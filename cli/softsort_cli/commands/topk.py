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
    import numpy as np

    from softsort_cli import jax_setup
    from softsort_cli.operate import apply, groups, many_files, streaming

    whole, named = streaming.Parted("solve_topk", {"k": k}), apply.suffixed("topk")
    if mask:
        options = {"k": k}
        whole = streaming.Parted("solve_topk_mask", options, streaming.along, options)
    elif writing.out_dir is not None:
        raise UsageError(
            "--out-dir is for --mask: the K largest are a table of its own"
        )
    if many_files.wanted(tables, solver, writing.out_dir):
        if mask:
            many_files.append(tables, "topk", whole, solver, reading, writing)
        else:
            found = many_files.few(tables, whole, solver, reading, writing, named)
            apply.write_few(found, writing, from_last=True)
        return
    file = many_files.only(tables)
    name = "topk_mask" if mask else "sort"
    operator = jax_setup.operator(name, solver, apply.BITS)

    def compute(values):
        if k > len(values) and not reading.by:
            raise CommandError(f"-k {k} is more than its {len(values)} values")
        most = min(k, len(values))
        return operator(values, k=most) if mask else operator(values, topk=most)

    def padded(row):
        import jax.numpy as jnp

        soft = jax_setup.traced("quantile_normalization", solver)
        most = jnp.minimum(k, row.size)
        given = {"input_weights": row.weights, "epsilon": row.epsilon}
        shares = jnp.stack([row.size - most, most]) / row.size
        return soft(row.values, np.array([0.0, 1.0]), shares, **given)

    def largest(row):
        import jax.numpy as jnp

        soft = jax_setup.traced("quantile_normalization", solver)
        targets = jnp.ones(k + 1).at[0].set(row.size - k)
        values, epsilon = row.values, row.epsilon
        return groups.sorted_values(soft, row, targets, values, epsilon)[1:]

    if mask:
        of_mask = apply.Operator(compute, None if solver.hard else padded, parted=whole)
        apply.append(file, "topk", of_mask, solver, reading, writing)
        return
    of_values = apply.Operator(
        compute, None if solver.hard else largest, lambda n: min(k, n), k + 1, whole
    )
    found = apply.few(file, of_values, solver, reading, writing, named)
    apply.write_few(found, writing, from_last=True)
