"""The files of a table in many parts, and those that are made of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from softsort_cli.errors import CommandError, UsageError
from softsort_cli.io import files
from softsort_cli.operate import target
from softsort_cli.options.softness import Solver
from softsort_cli.options.tables import PartsWriting, Reading
from softsort_cli.tables import formats, opening
from softsort_cli.work import manifest


@dataclass(frozen=True)
class Part:
    """A file that holds a part of a table, and the one that is made of it."""

    path: Path
    stamp: tuple[int, int]  # size and time of change
    output: Path = Path()  # if one is written

    @property
    def name(self) -> str:
        """Its name among the outputs."""
        return self.output.name

    def forms(self, reading: Reading) -> tuple[formats.Form, formats.Form]:
        """The forms of the input and the output."""
        came = formats.form_in(self.path, reading.form, reading.delimiter)
        return came, formats.form_out(self.output, reading.form, came)

    def open(self, reading: Reading) -> opening.Table:
        """The part as a table, if it has not changed."""
        table = opening.open_table(self.path, reading)
        if table.input.stamp != self.stamp:
            raise CommandError(f"{self.path} has changed: run the command again")
        return table


def are_wanted(
    paths: Sequence[Path] | None, solver: Solver, out_dir: Path | None = None
) -> bool:
    """Whether a table is in parts, or its only part is for a cluster."""
    several = len(paths or []) > 1 or any(map(_is_pattern, paths or []))
    return several or solver.cluster is not None or out_dir is not None


def parts_of(paths: Sequence[Path] | None, solver: Solver) -> list[Part]:
    """The parts of a table by their names, which is the order of its rows."""
    parts = []
    for path in sorted(_matching(paths), key=lambda path: path.name):
        size, modified = manifest.stamp(path)
        # Workers are in other folders.
        place = path if solver.cluster is None else path.absolute()
        parts.append(Part(place, (size, modified)))
    return parts


def with_outputs(
    parts: Sequence[Part], solver: Solver, reading: Reading, writing: PartsWriting
) -> list[Part]:
    """The parts with the files that are made of them."""
    names = [part.path.name for part in parts]
    if writing.output is not None and (len(parts) > 1 or writing.out_dir is not None):
        raise UsageError("-o names one file: use --out-dir for several, not both")
    if writing.output is None and writing.out_dir is None:
        raise UsageError("a table in parts, or from a cluster: give --out-dir FOLDER")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"several parts would be written under one name, {twice}")
    if writing.out_dir is not None and not writing.dry_run:
        files.make_folder(writing.out_dir)
    results = []
    for part in parts:
        output = writing.output or Path(writing.out_dir or "", part.path.name)
        if solver.cluster is not None:
            output = output.absolute()
        if output.resolve() == part.path.resolve():
            raise UsageError(f"{output} is a part itself: name another --out-dir")
        results.append(replace(part, output=output))
        came, form = results[-1].forms(reading)
        target.check_form(came, form, reading, writing)
    return results


def _matching(paths: Sequence[Path] | None) -> Iterator[Path]:
    for path in paths or [None]:
        if path is None or files.is_stream(path):
            raise UsageError(
                "standard input is no part of a table, and no worker sees it: name "
                "files"
            )
        if _is_pattern(path):
            yield from (match for match, _ in files.matches(path))
        else:
            yield path


def _is_pattern(path: Path) -> bool:
    return files.is_pattern(path) and not path.exists()
