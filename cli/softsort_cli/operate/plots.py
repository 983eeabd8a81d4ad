"""Pictures of results: hard against soft, and what epsilon does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from softsort_cli.errors import UsageError
from softsort_cli.io import files
from softsort_cli.operate.groups import Result
from softsort_cli.operate.operator import Operator
from softsort_cli.tables.column_data import Chosen

if TYPE_CHECKING:
    import numpy as np

Lines: TypeAlias = (
    "Callable[[np.ndarray, np.ndarray, np.ndarray], Sequence[np.ndarray]]"
)

POINTS = 2000  # of a line; more would not be seen
SIZE = 6.0, 4.0  # inches of a column


def check(plot: Path | None, *, force: bool) -> None:
    """Refuse a picture that cannot be written, before anything is computed."""
    if plot is None:
        return
    if plot.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise UsageError(f"--plot {plot}: name a .png, .svg or .pdf file")
    files.check_output(plot, force=force)


def ranks(plot: Path, operator: Operator, *, force: bool) -> HardAgainstSoft:
    """A picture of ranks over values."""

    def lines(
        values: np.ndarray, hard: np.ndarray, soft: np.ndarray
    ) -> Sequence[np.ndarray]:
        order = values.argsort()
        return values[order], hard[order], soft[order]

    return HardAgainstSoft(plot, operator, lines, ("{}", "rank of {}"), force=force)


def sorted_values(plot: Path, operator: Operator, *, force: bool) -> HardAgainstSoft:
    """A picture of sorted values over their places."""

    def lines(
        values: np.ndarray, hard: np.ndarray, soft: np.ndarray
    ) -> Sequence[np.ndarray]:
        import numpy as np

        return np.arange(len(values)), hard, soft

    return HardAgainstSoft(plot, operator, lines, ("place", "{}, sorted"), force=force)


class HardAgainstSoft:
    """Draws exact and soft results of each column over one another, once all are known.

    `lines` makes of the values of a column, their exact and soft results what is drawn:
    places, exact and soft results. In labels, for places and results, {} is the column.
    """

    def __init__(
        self,
        plot: Path,
        operator: Operator,
        lines: Lines,
        labels: tuple[str, str],
        *,
        force: bool,
    ) -> None:
        check(plot, force=force)
        self.plot, self.force = plot, force
        self.operator, self.lines, self.labels = operator, lines, labels
        self.columns: dict[str, Sequence[np.ndarray]] = {}

    def __call__(self, data: Chosen, name: str, result: Result) -> None:
        """Take note of a column, and draw when it is the last."""
        ((values, counts),), (soft,) = result.inputs.each(), result.outputs
        hard = self.operator.exact(values, counts, **self.operator.settings)
        self.columns[name] = self.lines(values, hard, soft)
        if len(self.columns) == len(data.columns):
            self._draw()

    def _draw(self) -> None:
        figure, axes = _figure(len(self.columns), 1)
        for axis, (name, lines) in zip(axes[:, 0], self.columns.items(), strict=True):
            places, hard, soft = (each[_sample(len(each))] for each in lines)
            axis.plot(places, hard, color="0.6", label="hard")
            axis.plot(places, soft, color="C0", label="soft")
            across, up = (label.format(name) for label in self.labels)
            axis.set(xlabel=across, ylabel=up)
            axis.legend()
        _write(figure, self.plot, force=self.force)


def over_epsilon(
    plot: Path,
    epsilons: Sequence[float],
    columns: Mapping[str, Sequence[np.ndarray]],
    *,
    force: bool,
) -> None:
    """Draw sorted values and ranks over epsilon: a line for each."""
    figure, axes = _figure(len(columns), 2)
    for row, (name, pair) in zip(axes, columns.items(), strict=True):
        for axis, lines, label in zip(
            row, pair, (f"{name}, sorted", f"rank of {name}"), strict=True
        ):
            axis.plot(epsilons, lines[:, _sample(lines.shape[1], 100)], linewidth=1)
            axis.set(xscale="log", xlabel="epsilon", ylabel=label)
    _write(figure, plot, force=force)


def _sample(count: int, most: int = POINTS) -> np.ndarray:
    import numpy as np

    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def _figure(rows: int, columns: int) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    width, height = SIZE
    figure = Figure((width * columns, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def _write(figure: Any, plot: Path, *, force: bool) -> None:
    buffer = BytesIO()
    figure.savefig(buffer, format=plot.suffix[1:].lower(), dpi=120)
    with files.open_output(plot, force=force) as stream:
        stream.write(buffer.getvalue())
