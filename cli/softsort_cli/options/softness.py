"""Options that say how soft an operator is, and where it is computed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import typer

from softsort_cli.errors import UsageError
from softsort_cli.options import completion
from softsort_cli.options.declare import option, positive

EPSILON = 0.01
EPSILON_HELP = "Softness: smaller is closer to the exact result, larger is smoother"


@dataclass(frozen=True)
class Softness:
    """How soft."""

    theme: ClassVar = "Softness"

    epsilon: Annotated[
        float, option("--epsilon", "-e", callback=positive, help=f"{EPSILON_HELP}.")
    ] = EPSILON
    squash: Annotated[
        Literal["sigmoid", "none"],
        option(
            "--squash",
            help="Map values into (0, 1) by a sigmoid after whitening, or take them "
            "as they are.",
        ),
    ] = "sigmoid"
    hard: Annotated[
        bool,
        option(
            "--hard",
            help="The exact operator, for comparison; epsilon, squash and device play "
            "no part.",
        ),
    ] = False

    def keywords(self) -> dict[str, Any]:
        """What soft operators are told."""
        return {"epsilon": self.epsilon, "squashing_fun": self.squashing_fun}

    @property
    def squashing_fun(self) -> Callable[[Any], Any] | None:
        """What values are squashed by; None for the default."""
        return None if self.squash == "sigmoid" else _as_they_are


def _as_they_are(values: Any) -> Any:
    return values


@dataclass(frozen=True)
class Place:
    """Where it is computed."""

    theme: ClassVar = "Computing"

    device: Annotated[
        Literal["auto", "cpu", "gpu", "tpu"],
        option("--device", help="Where to compute."),
    ] = "auto"


@dataclass(frozen=True)
class Device(Place):
    """Where it is computed, and how finely."""

    precision: Annotated[
        Literal["32", "64"] | None,
        option(
            "--precision",
            show_default="64 for tables, 32 for images",
            help="Bits of the floating-point numbers.",
        ),
    ] = None


@dataclass(frozen=True)
class Computing(Device, Softness):
    """How soft, and where it is computed, by whom."""

    cluster: Annotated[
        str | None,
        option(
            "--cluster",
            metavar="ADDRESS|FILE|local[:N]",
            show_default="this process",
            help="Compute on a cluster of Dask: the tcp:// or tls:// address of its "
            "scheduler, or its scheduler file, or N processes on this machine.",
        ),
    ] = None


def _epsilon_alone(context: typer.Context, value: float) -> float:
    """Refuse --epsilon beside --blur, whichever comes first."""
    if context.params.get("blur") is not None and _is_told(context, "epsilon"):
        raise typer.BadParameter(BOTH)
    return positive(value) or value


def _blur_alone(context: typer.Context, value: str | None) -> str | None:
    if value is not None and _is_told(context, "epsilon"):
        raise typer.BadParameter(BOTH)
    if value is not None:
        positive(_number(value))
    return value


def _is_told(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and not source.name.startswith("DEFAULT")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


BOTH = (
    "--epsilon and --blur both say how soft: give one; SOFTSORT_EPSILON and "
    "SOFTSORT_BLUR count, too"
)


@dataclass(frozen=True)
class Solver(Computing):
    """How soft operators on columns are, and where they are computed."""

    theme: ClassVar = "Softness"

    epsilon: Annotated[
        float,
        option("--epsilon", "-e", callback=_epsilon_alone, help=f"{EPSILON_HELP}."),
    ] = EPSILON
    blur: Annotated[
        str | None,
        option(
            "--blur",
            metavar="NUMBER|COLUMN",
            autocompletion=completion.columns,
            show_default="by --epsilon",
            callback=_blur_alone,
            help="Softness in the units of the column: values closer than about this "
            "share their ranks, as if measured with this standard error; of a column "
            "of standard errors the median counts. Of dates in days, of times in "
            "seconds.",
        ),
    ] = None

    def __post_init__(self) -> None:
        """Refuse what is exact and soft."""
        if self.blur is not None and self.hard:
            raise UsageError("--hard is exact, --blur says how soft: leave one out")

    @property
    def blur_number(self) -> float | None:
        """The blur, if it is a number."""
        return None if self.blur is None else _number(self.blur)

    @property
    def blur_column(self) -> str | None:
        """What chooses the column of standard errors, if the blur is one."""
        return self.blur if self.blur_number is None else None

    def at(self, epsilon: float) -> "Solver":
        """One for some values, whose epsilon is known."""
        return replace(self, epsilon=epsilon, blur=None)

    def told(self) -> str:
        """How soft, in words."""
        return f"epsilon {self.epsilon:g}" if self.blur is None else f"blur {self.blur}"

    def remedy(self) -> str:
        """What to do if that is not soft enough to be solved for."""
        return f"choose a larger --{'epsilon' if self.blur is None else 'blur'}"
