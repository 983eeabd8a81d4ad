"""Soft sorting operators: smooth, differentiable sort, rank, top-k and quantile."""

from typing import TYPE_CHECKING, Any

from softsort_core._errors import SoftSortError as SoftSortError
from softsort_core._recordings import Recordings as Recordings

if TYPE_CHECKING:
    from softsort_core._public import *  # noqa: F403


def __getattr__(name: str) -> Any:
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from softsort_core import _public

    return getattr(_public, name)


def __dir__() -> list[str]:
    from softsort_core import _public

    return sorted({*globals(), *_public.__all__})
