"""Options that say where a result goes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from softsort_cli.options.declare import option


def to_file(**settings: Any) -> Any:
    """Declare --output."""
    return option(
        "--output",
        "-o",
        metavar="FILE",
        help="Write to this file; it is whole or not there.",
        **settings,
    )


def to_folder(what: str) -> Any:
    """Declare --out-dir, and say what goes there."""
    return option("--out-dir", metavar="FOLDER", help=what)


@dataclass(frozen=True)
class Writing:
    """Where a result goes."""

    theme: ClassVar = "Writing"

    output: Annotated[Path | None, to_file()] = None
    force: Annotated[bool, option("--force", help="Replace an existing file.")] = False
