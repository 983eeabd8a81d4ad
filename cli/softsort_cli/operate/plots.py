"""Pictures of results: hard against soft, and what epsilon does."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from softsort_cli.errors import UsageError
from softsort_cli.io import files
from softsort_cli.operate import streaming
from softsort_cli.operate.few_values import Known
from softsort_cli.operate.groups import Result
from softsort_cli.operate.operator import Operator
from softsort_cli.tables.column_data import Chosen
from softsort_cli.tables.counted import Counts

POINTS = 2000  # of a line; more would not be seen
GROUPS = 10  # that are drawn; more could not be told apart
HARD = {"color": "0.6", "label": "hard"}
SIZE = 6.0, 4.0  # inches of a column


def check(plot: Path | None, *, force: bool) -> None:
    """Refuse a picture that cannot be written, before anything is computed."""
    if plot is None:
        return
    if plot.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise UsageError(f"--plot {plot}: name a .png, .svg or .pdf file")
    files.check_output(plot, force=force)


@dataclass(frozen=True)
class Curve:
    """Results of a column, or of a group of one, over places or values."""

    name: str  # that of the group
    places: np.ndarray
    soft: np.ndarray
    hard: np.ndarray | None  # not known of what was only solved for


class HardAgainstSoft:
    """Draws exact and soft results of each column over one another, once all are known.

    Those of the largest groups, if there are some, and only the soft ones of values
    that are not together.
    """

    def __init__(self, plot: Path, operator: Operator, *, force: bool) -> None:
        check(plot, force=force)
        self.plot, self.operator, self.force = plot, operator, force
        self.over_values = not operator.are_in_order
        self.show_solved = self._show_solved if self.over_values else None
        self.columns: list[tuple[str, str, list[Curve]]] = []

    def show(self, data: Chosen, column: int, result: Result) -> None:
        """Take note of a column, and draw when it is the last."""
        name, sizes = data.table.names[column], result.inputs.sizes
        largest = sorted((-sizes).argsort(kind="stable")[:GROUPS].tolist())
        groups = zip(result.inputs.each(), result.outputs, strict=True)
        curves = [
            self._curve(data, column, _key(data, place), values, soft)
            for place, (values, soft) in enumerate(groups)
            if place in largest and len(soft)
        ]
        more = len(sizes) > len(largest)
        title = f"the {len(largest)} largest of {len(sizes):,} groups" if more else ""
        self.columns.append((name, title, curves))
        if len(self.columns) == len(data.columns):
            self._draw()

    def _show_solved(self, data: Chosen, solved: Mapping[int, Any]) -> None:
        """Draw the soft results of values from the smallest to the largest."""
        forms = self.operator.forms()
        for column, solution in solved.items():
            if isinstance(solution, Known):
                places, soft = solution
            else:
                known = solution.statistics
                places = np.linspace(known.minimum, known.maximum, POINTS)
                places = -places if forms.descends else places
                soft = streaming.at_values(forms, solution, places)
            curve = Curve("", data.drawn(column, places), soft, None)
            self.columns.append((data.table.names[column], "", [curve]))
        self._draw()

    def _curve(
        self,
        data: Chosen,
        column: int,
        name: str,
        inputs: tuple[np.ndarray, Counts],
        soft: np.ndarray,
    ) -> Curve:
        hard = self.operator.exact(*inputs, **self.operator.settings)
        if not self.over_values:
            soft, hard = (data.drawn(column, each) for each in (soft, hard))
            return Curve(name, np.arange(len(soft)), soft, hard)
        order = inputs[0].argsort()
        places = data.drawn(column, inputs[0][order])
        return Curve(name, places, soft[order], hard[order])

    def _draw(self) -> None:
        figure, axes = _figure(max(1, len(self.columns)), 1)
        for axis, column in zip(axes[:, 0], self.columns, strict=False):
            name, title, curves = column
            shown = _plain(name)
            for place, curve in enumerate(curves):
                some = _sample(len(curve.places))
                color, is_group = f"C{place}", bool(curve.name)
                if curve.hard is not None:
                    style = {"color": color, "alpha": 0.4} if is_group else HARD
                    axis.plot(curve.places[some], curve.hard[some], **style)
                label = _plain(curve.name) or "soft"
                axis.plot(curve.places[some], curve.soft[some], color, label=label)
            across, up = "place", f"{shown}, sorted"
            if self.over_values:
                across, up = shown, f"rank of {shown}"
            axis.set(xlabel=across, ylabel=up, title=title)
            axis.legend()
        _write(figure, self.plot, force=self.force)


def _key(data: Chosen, place: int) -> str:
    """What a group is called; nothing if it is all rows."""
    if data.groups is None:
        return ""
    cells = data.groups.keys.row(place)
    return ", ".join("" if cell is None else str(cell) for cell in cells) or "(empty)"


def _plain(name: str) -> str:
    """A name that matplotlib takes as it is: no formula, and not hidden."""
    text = name.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def over_epsilon(
    plot: Path,
    epsilons: Sequence[float],
    columns: Sequence[tuple[str, np.ndarray, np.ndarray]],
    *,
    force: bool,
) -> None:
    """Draw sorted values and ranks over epsilon: a line for each."""
    figure, axes = _figure(len(columns), 2)
    for row, (name, *pair) in zip(axes, columns, strict=True):
        shown = _plain(name)
        for axis, lines, label in zip(
            row, pair, (f"{shown}, sorted", f"rank of {shown}"), strict=True
        ):
            axis.plot(epsilons, lines[:, _sample(lines.shape[1], 100)], linewidth=1)
            axis.set(xscale="log", xlabel="epsilon", ylabel=label)
    _write(figure, plot, force=force)


def _sample(count: int, most: int = POINTS) -> np.ndarray:
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
