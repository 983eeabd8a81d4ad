"""The epsilon that a blur, in the units of a column, stands for: of each group."""

import math

import numpy as np

from softsort_cli import jax_setup
from softsort_cli.errors import CommandError
from softsort_cli.operate import exact
from softsort_cli.options.softness import Solver
from softsort_cli.tables.group_keys import Grouped

ASKED = 200  # groups, of more


def epsilons(
    inputs: Grouped, errors: np.ndarray | None, solver: Solver, per_unit: int = 1
) -> np.ndarray:
    """The epsilon for each group; errors are the standard errors of its values.

    A value that counts several times is as many values, and standard errors. What is a
    row is placed by its first number. Numbers are so many per unit that a blur counts.
    """
    if solver.blur is None:
        return np.full(len(inputs.sizes), solver.epsilon)
    blurs = solver.blur_number
    if blurs is None:
        assert errors is not None
        blurs = _medians(Grouped(errors, inputs.sizes, inputs.counts), solver)
    jax_setup.wait_until_started()
    import softsort_core as soft

    values = inputs.together
    return soft.group_epsilons_for_blur(
        values if values.ndim == 1 else values[:, 0],
        inputs.sizes,
        np.multiply(blurs, per_unit),
        weights=inputs.counts,
        squashes=solver.squash == "sigmoid",
    )


def _medians(errors: Grouped, solver: Solver) -> np.ndarray:
    """The median standard error of each group; 1 of one without values."""
    medians = np.ones(len(errors.sizes))
    for place, (some, counts) in enumerate(errors.each()):
        if not len(some):
            continue
        known = ~np.isnan(some)
        there, often = some[known], None if counts is None else counts[known]
        median = exact.quantile(there, often, q=(0.5,))[0] if len(there) else 0
        if median <= 0 or there.min() < 0:
            raise CommandError(
                f"--blur {solver.blur}: standard errors are not negative, and the "
                f"median of {len(there)} is not 0: correct the column, or give a number"
            )
        medians[place] = median
    return medians


def typical(
    inputs: Grouped, epsilons: np.ndarray, solver: Solver
) -> tuple[float, float | None]:
    """The median epsilon of groups, a sample if they are many, and of their blurs.

    None if all values are equal, or alone.
    """
    if solver.hard:
        return solver.epsilon, None
    import softsort_core as soft

    places = np.flatnonzero(inputs.numbers() > 1)
    groups = list(inputs.each())
    blurs = [
        soft.blur_of_epsilon(
            values,
            float(epsilons[place]),
            input_weights=counts,
            squashing_fun=solver.squashing_fun,
        )
        for place in places[:: -(-len(places) // ASKED) or 1].tolist()
        for values, counts in [groups[place]]
    ]
    blurs = [blur for blur in blurs if blur < math.inf]
    epsilon = float(np.median(epsilons[places])) if len(places) else float(epsilons[0])
    return epsilon, float(np.median(blurs)) if blurs else None
