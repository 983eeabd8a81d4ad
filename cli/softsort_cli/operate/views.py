"""What shows results before they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from softsort_cli.operate.groups import Result
from softsort_cli.operate.operator import Operator
from softsort_cli.tables.column_data import Chosen


class View(Protocol):
    """Shows the results of a command, column by column."""

    needs_all: bool  # values and results, not only what was solved for

    def show(self, data: Chosen, name: str, result: Result) -> None:
        """Show a column: those of `data`, in turn."""
        ...

    def show_solved(self, operator: Operator, solved: Mapping[str, Any]) -> None:
        """Show what was solved for columns whose values are not together."""
        ...
