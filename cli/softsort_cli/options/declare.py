"""How options are declared, and how a function becomes a command.

A command takes whole groups of options, as in `def rank(solver: Solver)`; `command`
shows Typer the fields of each group as single options.
"""

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import Annotated, Any, ClassVar, get_type_hints

import typer

from softsort_cli import console

MOST = 10_000_000  # values, or pixels of a window, that an option can ask for


def option(*names: str, **settings: Any) -> Any:
    """Declare an option that can also come from SOFTSORT_<ITS LONG NAME>."""
    long = next((name for name in names if name.startswith("--")), names[0])
    envvar = "SOFTSORT_" + long.strip("-").replace("-", "_").upper()
    return typer.Option(*names, envvar=envvar, show_envvar=False, **settings)


def number_of(text: str) -> float:
    """The number that a text says; NaN if it says none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def positive(value: float | None) -> float | None:
    """Refuse an option that has a value which is not a positive number."""
    if value is not None and not 0 < value < math.inf:
        raise typer.BadParameter(f"{value} is not a positive number, such as 0.01.")
    return value


def _switch(name: str, *short: str, text: str) -> Any:
    """Declare an option that sets what the console does, whatever else is wrong."""

    def note(value: bool) -> bool:
        setattr(console, name, value)
        return value

    return option(f"--{name}", *short, callback=note, is_eager=True, help=text)


QUIET_HELP = "Say nothing on stderr but errors."


@dataclass(frozen=True)
class Talk:
    """How much the command says on stderr."""

    theme: ClassVar = "Messages"

    quiet: Annotated[bool, _switch("quiet", "-q", text=QUIET_HELP)] = False
    verbose: Annotated[
        bool,
        _switch(
            "verbose",
            "-v",
            text="Show warnings of libraries, and tracebacks of errors.",
        ),
    ] = False


@dataclass(frozen=True)
class TalkWithoutQ(Talk):
    """How much a command says for which -q means something else."""

    quiet: Annotated[bool, _switch("quiet", text=QUIET_HELP)] = False


def command(function: Callable[..., None], talk: type = Talk) -> Callable[..., None]:
    """Show Typer the fields of the option groups that `function` takes, and of `talk`.

    Examples in its docstring keep their lines in the help.
    """
    hints: dict[str, Any] = get_type_hints(function, include_extras=True)
    groups = {
        name: _options(hint) for name, hint in hints.items() if is_dataclass(hint)
    }
    noted = _options(talk)
    options = []
    for name, parameter in inspect.signature(function).parameters.items():
        single = parameter.replace(
            kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name]
        )
        options += groups.get(name, [single])

    def flat(**values: Any) -> None:
        for each in noted:
            del values[each.name]  # its callback has taken note of it
        for name, group in groups.items():
            taken = {each.name: values.pop(each.name) for each in group}
            values[name] = hints[name](**taken)
        with console.libraries_silenced():
            function(**values)

    flat.__signature__ = inspect.Signature([*options, *noted])  # pyright: ignore
    flat.__annotations__ = {each.name: each.annotation for each in [*options, *noted]}
    flat.__name__ = function.__name__
    flat.__doc__ = re.sub(
        r"(?m)^ *(?=Examples?:$)", "\b\n", inspect.getdoc(function) or ""
    )
    return flat


def _options(group: Any) -> list[inspect.Parameter]:
    """The fields of a group as options, under the theme of who declares them first."""
    hints = get_type_hints(group, include_extras=True)
    for base in filter(is_dataclass, group.__mro__):
        for field in fields(base):
            settings: Any = hints[field.name].__metadata__[0]
            settings.rich_help_panel = getattr(base, "theme", None)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]
