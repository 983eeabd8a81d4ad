"""What shows results before they are written."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from softsort_cli.operate.groups import Result
from softsort_cli.tables.column_data import Chosen


class View(Protocol):
    """Shows the results of a command, column by column."""

    @property
    def show_solved(self) -> Callable[[Chosen, Mapping[int, Any]], None] | None:
        """What shows columns by what was solved for them; None if it needs values."""
        ...

    def show(self, data: Chosen, column: int, result: Result) -> None:
        """Show a column: those of `data`, in turn."""
        ...
