"""An operator with its settings, for values that come in any way.

Values come alone, as an array; as a group among many, padded to a width that others
have; as many groups, one after another; or in parts that are never together, of which
a `Summary` is known. Each operator's module has a function `forms` that says what it
does in each case.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Squashing = Callable[[Array], Array] | None


class Group(NamedTuple):
    """The values of a group, padded: what is more than `size` has no weight.

    Attributes:
        values: of shape (width,), or (width, d) for rows that belong together.
        size: how many of them there are.
        epsilon: regularisation.
        squashing_fun: see `softsort_core.sort`.
    """

    values: Float[Array, "width *d"]
    size: Array
    epsilon: Array
    squashing_fun: Squashing

    @property
    def weights(self) -> Float[Array, " width"]:
        """1 for the values that are there, 0 for the padding."""
        places = jnp.arange(self.values.shape[0])
        return (places < self.size).astype(self.values.dtype)

    @property
    def softness(self) -> dict[str, Any]:
        """Keywords of a soft operator whose targets are not padded."""
        return {
            "input_weights": self.weights,
            "epsilon": self.epsilon,
            "squashing_fun": self.squashing_fun,
        }

    @property
    def padded_softness(self) -> dict[str, Any]:
        """Keywords of a soft operator with a target for each value, padded likewise.

        Padding takes a factor from the spacing of the other targets. For the same plan
        epsilon has to be smaller by it, too: in a cost of squares only the product of
        inputs and targets, over epsilon, matters.
        """
        width = self.values.shape[0]
        factor = jnp.maximum(self.size - 1, 1) / max(width - 1, 1)
        return self.softness | {"epsilon": self.epsilon * factor}


@dataclass(frozen=True)
class Forms:
    """What an operator does.

    Attributes:
        alone: from values to results; takes epsilon and squashing_fun by keyword.
        group: from a `Group` to results, of which those for padding are not used.
        fewest: values of a group that `group` can do with.
        groups: from values of many groups, one after another, and their sizes to a
            result for each value, NaN in groups that are left to `group` or `alone`;
            takes epsilon and squashes by keyword. None if nothing is faster for many.
        solve: from a `Summary` of all values to what is solved; takes epsilon by
            keyword. None if the operator needs all values together.
        at_values: from what is solved, and some values, to their results.
        at_places: from what is solved, a first place and the place after the last to
            the results there. Without both, what is solved are the results.
    """

    alone: Callable[..., Array]
    group: Callable[[Group], Array]
    fewest: int = 1
    groups: Callable[..., np.ndarray] | None = None
    solve: Callable[..., Any] | None = None
    at_values: Callable[[Any, np.ndarray], Array] | None = None
    at_places: Callable[[Any, int, int], Array] | None = None

    @property
    def are_few(self) -> bool:
        """Whether what is solved are the results themselves."""
        return self.at_values is None and self.at_places is None


def forms(operator: str, **settings: Any) -> Forms:
    """Return the forms of an operator, by the name of its module, with its settings.

    Examples:
        >>> import softsort_core as soft
        >>> soft.forms("ranks", start=1).alone([1.0, 5.0, 4.0], epsilon=1e-3).tolist()
        [1.0, 3.0, 2.0]
    """
    module = importlib.import_module(f"softsort_core.operators.{operator}")
    return module.forms(**settings)
