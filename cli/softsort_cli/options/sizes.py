"""Sizes of memory, as 256MiB or 2G."""

import math
import re
from typing import Any

import typer

from softsort_cli.options.declare import option

SIZE = re.compile(r"(\d+\.?\d*|\.\d+)\s*(?:([kmgt])(i?))?b?", re.ASCII | re.IGNORECASE)


def bytes_of(size: str) -> int:
    """How many bytes 256MiB, 2G and the like are: without the i, by thousands."""
    match = SIZE.fullmatch(size.strip())
    count = 0.0
    if match:
        base = 1024 if match[3] else 1000
        count = float(match[1]) * base ** " kmgt".index((match[2] or " ").lower())
    if not 1 <= count < math.inf:
        raise typer.BadParameter(
            f"{size!r} is not a size, such as 256MiB, 2GB, 1.5G or 1000000."
        )
    return round(count)


def _checked(size: str | None) -> str | None:
    if size is not None:
        bytes_of(size)
    return size


def memory(what: str, **settings: Any) -> Any:
    """Declare --max-memory, and say what of it."""
    units = "k, M, G, T stand for 1000 and its powers, Ki, Mi, Gi, Ti for those of 1024"
    return option(
        "--max-memory",
        metavar="SIZE",
        callback=_checked,
        help=f"{what} As in 256MiB or 2G: {units}.",
        **settings,
    )
