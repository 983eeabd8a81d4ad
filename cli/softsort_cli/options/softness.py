"""Options that say how soft an operator is, and where it is computed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from softsort_cli.options.declare import option, positive

EPSILON_HELP = "Softness: smaller is closer to the exact result, larger is smoother"


@dataclass(frozen=True)
class Softness:
    """How soft."""

    epsilon: Annotated[
        float, option("--epsilon", "-e", callback=positive, help=f"{EPSILON_HELP}.")
    ] = 0.01
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
class Solver(Device, Softness):
    """How soft, and where it is computed."""

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
