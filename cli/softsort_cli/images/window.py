"""The window around each pixel, as the options describe it."""

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from softsort_cli.errors import CommandError, UsageError
from softsort_cli.images import image_file
from softsort_cli.io import files
from softsort_cli.options.declare import MOST, number_of
from softsort_cli.options.images import Shape

TEXT = (".txt", ".csv", ".tsv")


@dataclass(frozen=True)
class Window:
    """What the filter takes: its sides, and where given, which pixels and how much."""

    size: tuple[int, ...]  # rows, columns; before them pages, of a volume
    footprint: np.ndarray | None = None
    weights: np.ndarray | None = None


def read(shape: Shape) -> Window:
    """The window that the options ask for, 3x3 if they do not say; files are read."""
    footprint = None if shape.footprint is None else _footprint(shape.footprint)
    size = None if shape.size is None else size_of(shape.size)
    if size is None and footprint is not None:
        size = footprint.shape
    weights = None if shape.weights is None else _weights(shape.weights, size)
    if size is None:
        size = (3, 3) if weights is None else weights.shape
    for name, table in (("--footprint", footprint), ("--weights", weights)):
        if table is not None and table.shape != size:
            raise UsageError(
                f"{name} is a window of {_shown(table.shape)} pixels, not "
                f"{_shown(size)}: leave out --size, or make them the same"
            )
    return Window(size, footprint, weights)


def size_of(text: str) -> tuple[int, ...]:
    """The sides of a window N, WxH or WxHxPAGES, the last first."""
    match = re.fullmatch(r"\d+(x\d+){0,2}", text, re.ASCII)
    sides = [int(side) for side in text.split("x")] if match else [0]
    if not all(side % 2 for side in sides):
        raise UsageError(f"--size {text!r}: give odd numbers of pixels, as in 3 or 5x3")
    size = tuple(reversed(sides if len(sides) > 1 else 2 * sides))
    _check_sides(*size, name=f"--size {text!r}")
    return size


def _shown(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, reversed(shape)))


def _check_sides(*sides: float, name: str) -> None:
    """Refuse a window of more pixels than memory could hold, before it is made."""
    if math.prod(sides) > MOST:
        raise UsageError(
            f"{name}: the window has more than {MOST:,} pixels: name a smaller one"
        )


def _footprint(text: str) -> np.ndarray:
    if not text.startswith("disk:"):
        return _table(Path(text), "--footprint") > 0
    radius = _positive(text, "disk:", "--footprint disk:2")
    _check_sides(2 * radius, 2 * radius, name=f"--footprint {text!r}")
    reach = np.arange(-math.floor(radius), math.floor(radius) + 1)
    return reach[:, None] ** 2 + reach**2 <= radius**2


def _weights(text: str, size: tuple[int, ...] | None) -> np.ndarray:
    if not text.startswith("gaussian:"):
        return _table(Path(text), "--weights")
    sigma = _positive(text, "gaussian:", "--weights gaussian:1.0")
    if size is None:
        _check_sides(4 * sigma, 4 * sigma, name=f"--weights {text!r}")
    # Beyond two sigma there is a seventh of the weight, and most of the work.
    sides = (size or 2 * (2 * math.ceil(2 * sigma) + 1,))[-2:]
    down, across = (np.arange(side) - side // 2 for side in sides)
    return np.exp(-(down[:, None] ** 2 + across**2) / (2 * sigma**2))


def _positive(text: str, start: str, example: str) -> float:
    value = number_of(text.removeprefix(start))
    if not 0 < value < math.inf:
        raise UsageError(f"{text!r} has no positive number, as in {example}")
    return value


def _table(path: Path, name: str) -> np.ndarray:
    """A table of numbers in a text file, or the brightness of an image."""
    if path.suffix.lower() not in TEXT:
        table = image_file.read(path).frames[0]
        if table.ndim == 3:
            raise CommandError(f"{name} {path} is a colour image: give a grey one")
        table = table.astype(float)
    else:
        lines = re.sub(r"[,;\t]", " ", files.read_bytes(path).decode(errors="replace"))
        try:
            table = np.loadtxt(lines.splitlines(), ndmin=2)
        except ValueError as error:
            raise CommandError(
                f"{name} {path} is no table of numbers: {error}"
            ) from None
    if not all(side % 2 for side in table.shape):
        shown = _shown(table.shape)
        raise CommandError(f"{name} {path} has {shown} values: give odd sides")
    if not (np.isfinite(table).all() and table.min() >= 0 and table.max() > 0):
        raise CommandError(f"{name} {path} needs numbers from 0, and one above it")
    return table
