"""Pictures of results: hard against soft, and what epsilon does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softsort_cli.errors import UsageError
from softsort_cli.io import files

if TYPE_CHECKING:
    import numpy as np

POINTS = 2000  # of a line; more would not be seen
SIZE = 6.0, 4.0  # inches of a column


def check(plot: Path | None, *, force: bool) -> None:
    """Refuse a picture that cannot be written, before anything is computed."""
    if plot is None:
        return
    if plot.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise UsageError(f"--plot {plot}: name a .png, .svg or .pdf file")
    files.check_output(plot, force=force)


def hard_against_soft(
    plot: Path,
    columns: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    labels: tuple[str, str],
    *,
    force: bool,
) -> None:
    """Draw places, hard and soft results of each column over one another."""
    figure, axes = _figure(len(columns), 1)
    for axis, (name, lines) in zip(axes[:, 0], columns.items(), strict=True):
        places, hard, soft = (each[_sample(len(each))] for each in lines)
        axis.plot(places, hard, color="0.6", label="hard")
        axis.plot(places, soft, color="C0", label="soft")
        axis.set(xlabel=labels[0].format(name), ylabel=labels[1].format(name))
        axis.legend()
    _write(figure, plot, force=force)


def over_epsilon(
    plot: Path,
    epsilons: Sequence[float],
    columns: Mapping[str, tuple[np.ndarray, np.ndarray]],
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
