"""Measure softsort beside its contestants, and write docs/benchmarks.md and .png."""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tests.benchmarks import plot
from tests.benchmarks.contestants import SkippedError
from tests.benchmarks.lines import LINES, Line
from tests.benchmarks.memory import ROOT
from tests.benchmarks.report import Row, Skipped, is_on_gpu, report
from tests.benchmarks.text import ratio_text


def main() -> None:
    arguments = _arguments()
    lines = [line for line in LINES if _is_chosen(_name(line), arguments.only)]
    is_plotted = _is_chosen(plot.NAME, arguments.only)
    if not (lines or is_plotted):
        sys.exit("benchmarks: error: no line has such a name; --list shows all")
    if arguments.list:
        print(*map(_name, lines), *[plot.NAME] * is_plotted, sep="\n")
        return

    is_whole = not (arguments.only or arguments.quick)
    folder = arguments.output or (ROOT / "docs" if is_whole else None)
    stem = "benchmarks-gpu" if is_on_gpu() else "benchmarks"
    results, curves = _measured(lines, is_plotted, quick=arguments.quick)
    picture = f"{stem}.png" if folder and is_plotted else None
    page = report(results, picture, quick=arguments.quick)
    print(page, end="")
    if folder is None:
        print("Part of the lines, or quick: kept with --output only.", file=sys.stderr)
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.md").write_text(page, encoding="utf-8")
    if picture:
        plot.draw(curves, folder / picture)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="only lines with NAME in their name; may be given several times",
    )
    parser.add_argument("--quick", action="store_true", help="few values: a smoke test")
    parser.add_argument("--list", action="store_true", help="list the lines and leave")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where to write; docs by default, if all is measured",
    )
    return parser.parse_args()


def _is_chosen(name: str, only: list[str] | None) -> bool:
    return only is None or any(part in name for part in only)


def _name(line: Line) -> str:
    return f"{line.what} / {line.beside}"


def _measured(
    lines: list[Line], is_plotted: bool, *, quick: bool
) -> tuple[list[Row | Skipped], list[plot.Points]]:
    """Measure line by line and then the curves, and tell of it on stderr."""
    columns = SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}")
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    results: list[Row | Skipped] = []
    with progress:
        task = progress.add_task("")
        for line in [line.quick() if quick else line for line in lines]:
            progress.update(task, description=_name(line))
            try:
                result = line.measure()
                text = f"{result.ours} / {result.theirs} = {ratio_text(result.ratio)}"
            except SkippedError as error:
                result = Skipped(line.what, line.beside, text := str(error))
            results += [result]
            progress.console.print(
                f"{_name(line)}: {text}", highlight=False, soft_wrap=True
            )
        if not is_plotted:
            return results, []
        progress.update(task, description=plot.NAME)
        sizes, budget = (plot.QUICK_SIZES, 0.1) if quick else (plot.SIZES, 2.0)
        curves, skipped = plot.measured_curves(sizes, budget)
    return [*results, *skipped], curves


if __name__ == "__main__":
    main()
