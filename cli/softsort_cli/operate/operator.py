"""An operator that a command asks for, by its name, exact or soft."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from softsort_cli import jax_setup
from softsort_cli.options.softness import Solver
from softsort_cli.tables.column_data import Chosen

if TYPE_CHECKING:
    from softsort_core import Forms

BITS = "64"  # the numbers of a table are decimals that float32 cannot hold


VALUED = {"sort", "sort_with", "topk", "quantile", "quantize"}


@dataclass(frozen=True)
class Operator:
    """What a command does to the values of a column, or of a group of one."""

    name: str  # of its module in softsort_core.operators
    exact: Callable[..., np.ndarray]  # what it tends to, for --hard
    solver: Solver
    settings: Mapping[str, Any] = field(default_factory=dict)
    # How many results so many values have, by how often they count: one for each value,
    # however often, if not said.
    count: Callable[[int], int] | None = None
    # Refuses a column of so many values.
    check: Callable[[int], None] | None = None
    # The column that rows are sorted by, and whether it descends.
    criterion: tuple[str, bool] | None = None

    @property
    def are_values(self) -> bool:
        """Whether results are values: that they are twice as large if these are."""
        return self.name in VALUED

    @property
    def are_in_order(self) -> bool:
        """Whether results are for places, from the first row on, and not for values."""
        return self.name in ("sort", "sort_with")

    def told(self, data: Chosen, column: int, results: np.ndarray) -> Any:
        """Results for a column as cells have them: times are times again."""
        return data.cells(column, results) if self.are_values else results

    def forms(self) -> Forms:
        """The soft operator, for values that come in any way."""
        jax_setup.wait_until_started()
        import softsort_core

        return softsort_core.forms(self.name, **self.settings)

    def results(self, size: int, number: int) -> int:
        """How many results values have that stand for a number of them."""
        return size if self.count is None else self.count(number)

    def alone(self, epsilon: float) -> Callable[..., np.ndarray]:
        """The operator on the values of a column, and how often each counts."""
        if self.solver.hard:
            return partial(self.exact, **self.settings)
        soft, options = self.forms().alone, self.solver.at(epsilon).keywords()
        return lambda *values: np.asarray(soft(*values, **options))
