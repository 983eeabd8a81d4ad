"""Options that only ott's operators have: what is in their place here."""

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from softsort_core.errors import SoftSortError

_P = ParamSpec("_P")
_R = TypeVar("_R")
_SOLVED = (
    "plans are solved by Newton's method until only rounding is left, and `tolerance` "
    "says how certain results are to be"
)
_DERIVED = "derivatives, of any order, are always those of the solved plan"
_WHY = {
    **dict.fromkeys(
        (
            "anderson",
            "initializer",
            "inner_iterations",
            "lse_mode",
            "max_iterations",
            "min_iterations",
            "momentum",
            "norm_error",
            "parallel_dual_updates",
            "progress_fn",
            "recenter_potentials",
            "threshold",
        ),
        _SOLVED,
    ),
    **dict.fromkeys(("implicit_diff", "use_danskin"), _DERIVED),
    "cost_fn": "costs are squared differences; squashing_fun says between what",
}


def explains_solver_options(operator: Callable[_P, _R]) -> Callable[_P, _R]:
    """Have an operator tell why options of ott's solver are not needed.

    An import may be swapped; what is left of its options should not be a riddle.
    """
    refused = _WHY.keys() - inspect.signature(operator).parameters

    @functools.wraps(operator)
    def called(*arguments: _P.args, **settings: _P.kwargs) -> _R:
        for name in settings:
            if name in refused:
                raise SoftSortError(
                    f"{name} is an option of ott's solver: leave it out; {_WHY[name]}"
                )
        return operator(*arguments, **settings)

    return called
