"""Values of options made from text without pydantic, as far as possible.

Typer has pydantic make them, prepared for every option of a command, given or not. To
import and prepare that takes longer than all else before a file is opened.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import typer
from typer.core import TyperCommand

from softsort_cli.options.help_pages import HelpPage


class Coercion:
    """What makes the values of one option or argument.

    `build` makes that of Typer, for what is not plain.
    """

    def __init__(self, build: Callable[[], Any]) -> None:
        self.build = build

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value of the type that is declared; a `BadParameter` if there is none."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        declared = param.type_descriptor.annotation
        words = [value] if isinstance(value, str) else value
        if declared in (Path, list[Path]) and "" in words:
            raise typer.BadParameter("it is empty: name a file.", ctx=ctx, param=param)
        if isinstance(value, str):
            if declared in (str, Path):
                return declared(value)
            if value in get_args(declared):  # of a Literal
                return value
        elif not isinstance(value, (list, tuple)):
            return value  # a default: what is given is text
        elif declared in (list[str], list[Path]):
            return list(map(*get_args(declared), value))
        return self.build().coerce(value, param=param, ctx=ctx)


class Plainly:
    """A command of Typer whose options take plain values as they are."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The options and arguments, with what makes their values."""
        params = super().get_params(ctx)  # pyright: ignore
        for each in params:
            made = partial(Coercion, each.get_runtime_param)
            vars(each).setdefault("get_runtime_param", made)
        return params


class Command(HelpPage, Plainly, TyperCommand):
    """A command."""
