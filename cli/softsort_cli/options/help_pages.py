"""How --help looks: options by theme, as wide as the terminal, in colour on one.

Rich, which Typer would use, takes as long to import as all else that --help needs.
"""

import os
import re
import shutil
import sys
from typing import Any

WIDEST, NARROWEST = 100, 24
# Each kind of text, and what begins its colour; the first that fits counts.
STYLES = {
    "default": "2",  # dim
    "usage": "1",  # bold
    "heading": "1;33",  # bold yellow
    "option": "36",  # cyan
    "term": "36",
    "type": "33",
}
TEXTS = re.compile(
    r"(?P<default>\[(?:default|required)[^\]]*\])"
    r"|^(?P<usage>Usage:.*)$"
    r"|^(?P<heading> *[A-Z][a-z ]+:)$"
    r"|^(?: {2}){1,2}(?P<term>(?:-\S.*?|\w[\w.]*)(?= {2,}\S| <|\n {8,}))"
    r"|(?<![\w-])(?P<option>--?[a-zA-Z][\w-]*)"
    r"|(?P<type><[^<>\n]+>)",
    re.MULTILINE,
)


class HelpPage:
    """A command of Typer that shows its help so."""

    def get_help(self, ctx: Any) -> str:
        """The help, in colour if standard output is a terminal that has some."""
        columns = shutil.get_terminal_size().columns
        ctx.terminal_width = max(min(columns, WIDEST) - 2, NARROWEST)
        text = super().get_help(ctx)  # pyright: ignore
        return painted(text) if has_colours() else text

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, and the options under the theme of each."""
        themes: dict[str, list[tuple[str, str]]] = {}
        for each in self.get_params(ctx):  # pyright: ignore
            if record := each.get_help_record(ctx):
                theme = getattr(each, "rich_help_panel", None) or "Options"
                if each.param_type_name == "argument":
                    theme = "Arguments"
                themes.setdefault(theme, []).append(record)
        for theme, records in themes.items():
            write_list(formatter, theme, records)


def write_list(formatter: Any, theme: str, records: list[tuple[str, str]]) -> None:
    """Write what there is, each with what it does, under a heading."""
    with formatter.section(theme):
        formatter.write_dl(records, col_max=min(30, formatter.width // 3))


def has_colours() -> bool:
    """Whether standard output is a terminal that is to be written to in colour."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb":
        return False
    return sys.stdout is not None and sys.stdout.isatty()


def painted(text: str) -> str:
    """The text with the colours of its kinds."""

    def paint(match: re.Match[str]) -> str:
        kind = match.lastgroup or ""
        before = match[0].removesuffix(match[kind])
        return f"{before}\033[{STYLES[kind]}m{match[kind]}\033[0m"

    return TEXTS.sub(paint, text)
