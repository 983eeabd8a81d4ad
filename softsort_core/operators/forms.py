"""An operator with its settings, for values that come in any way.

Values come alone, as an array; as a group among many, padded to a width that others
have; as many groups, one after another; or in parts that are never together, of which
a `Summary` is known. Each operator's module has a function `forms` that says what it
does in each case.

Values may have counts: a value that counts c times is c values. Results are those of
values repeated as often: the places, ranks and targets of n values, where n is the sum
of the counts. Counts need not be whole numbers; then n is their sum rounded to one, and
each value has its share of that.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from softsort_core.arguments import Values

Squashing = Callable[[Array], Array] | None


class Group(NamedTuple):
    """The values of a group, padded: what is more than `size` has no weight.

    Attributes:
        values: of shape (width,), or (width, d) for rows that belong together.
        size: how many of them there are.
        epsilon: regularisation.
        squashing_fun: see `softsort_core.sort`.
        number: how many values they stand for, by their counts.
        counts: how often each counts, 0 for the padding; None for once.
    """

    values: Float[Array, "width *d"]
    size: Array
    epsilon: Array
    squashing_fun: Squashing
    number: Array
    counts: Float[Array, " width"] | None = None

    @property
    def weights(self) -> Float[Array, " width"]:
        """How often each value counts: the padding not at all."""
        return self.even(self.size) if self.counts is None else self.counts

    def even(self, number: Array) -> Float[Array, " width"]:
        """1 for so many targets, 0 for what pads them to the width."""
        places = jnp.arange(self.values.shape[0])
        return (places < number).astype(self.values.dtype)

    @property
    def softness(self) -> dict[str, Any]:
        """Keywords of a soft operator whose targets are not padded."""
        return {
            "input_weights": self.weights,
            "epsilon": self.epsilon,
            "squashing_fun": self.squashing_fun,
        }

    def padded_softness(self, number: Array) -> dict[str, Any]:
        """Keywords of a soft operator with so many even targets, padded to the width.

        Padding takes a factor from the spacing of the other targets. For the same plan
        epsilon has to be smaller by it, too: in a cost of squares only the product of
        inputs and targets, over epsilon, matters.
        """
        width = self.values.shape[0]
        factor = jnp.maximum(number - 1, 1) / max(width - 1, 1)
        return self.softness | {"epsilon": self.epsilon * factor}


@dataclass(frozen=True)
class Forms:
    """What an operator does.

    Attributes:
        alone: from values, and their counts or None, to results; takes epsilon and
            squashing_fun by keyword.
        group: from a `Group` to results, of which those for padding are not used.
        fewest: values of a group, by their counts, that `group` can do with.
        has_all_targets: whether `group` needs a width of as many.
        groups: from values of many groups, one after another, their sizes, and how
            often each value counts or None, to a result for each value, NaN in groups
            that are left to `group` or `alone`; takes epsilon and squashes by keyword.
            None if nothing is faster for many.
        solve: from a `Summary` of all values to what is solved; takes epsilon by
            keyword. None if the operator needs all values together. The count of its
            statistics is that of the values by their counts.
        at_values: from what is solved, and some values, to their results.
        at_places: from what is solved, a first place and the place after the last to
            the results there. Without both, what is solved are the results.
        descends: whether a summary has to be of the values negated; see `descending`.
    """

    alone: Callable[..., Array]
    group: Callable[[Group], Array]
    fewest: int = 1
    has_all_targets: bool = False
    groups: Callable[..., np.ndarray] | None = None
    solve: Callable[..., Any] | None = None
    at_values: Callable[[Any, np.ndarray], Array] | None = None
    at_places: Callable[[Any, int, int], Array] | None = None
    descends: bool = False

    @property
    def are_few(self) -> bool:
        """Whether what is solved are the results themselves."""
        return self.at_values is None and self.at_places is None

    def widths(self, sizes: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Return how wide groups are of so many values, by their counts `numbers`."""
        return np.maximum(sizes, numbers) if self.has_all_targets else sizes


def descending(forms: Forms, *, are_values: bool) -> Forms:
    """Return the forms of an operator of the values negated.

    Results that are values are negated again.
    """

    def back(form: Callable[..., Any] | None, place: int | None = None) -> Any:
        """Return a form of which the argument at this place is negated."""
        if form is None:
            return None

        def of_negated(*arguments: Any, **named: Any) -> Any:
            some = [-x if i == place else x for i, x in enumerate(arguments)]
            results = form(*some, **named)
            return 0.0 - results if are_values else results  # no result is -0

        return of_negated

    def group(group: Group) -> Array:
        return forms.group(group._replace(values=-group.values))

    return replace(
        forms,
        alone=back(forms.alone, 0),
        group=back(group),
        groups=back(forms.groups, 0),
        solve=back(forms.solve) if forms.are_few else forms.solve,
        at_values=back(forms.at_values, 1),
        at_places=back(forms.at_places),
        descends=True,
    )


def counted(operator: Callable[..., Array]) -> Callable[..., Array]:
    """Return the form `alone` of an operator that does not depend on how many they are.

    Counts are but weights to it.
    """

    def alone(values: Values, counts: Values | None = None, **softness: Any) -> Array:
        return operator(values, input_weights=counts, **softness)

    return alone


def number_of(values: Values, counts: Values | None) -> int:
    """Return how many values there are, a value that counts c times being c."""
    return np.shape(values)[0] if counts is None else max(1, round(np.sum(counts)))


def group_numbers(sizes: np.ndarray, counts: Values | None) -> np.ndarray:
    """Return how many values there are in each group."""
    if counts is None:
        return sizes
    groups = np.repeat(np.arange(len(sizes)), sizes)
    sums = np.bincount(groups, counts, len(sizes))
    return np.maximum(1, np.rint(sums)).astype(np.int64)


def forms(operator: str, **settings: Any) -> Forms:
    """Return the forms of an operator, by the name of its module, with its settings.

    Examples:
        >>> import softsort_core as soft
        >>> soft.forms("ranks", start=1).alone([1.0, 5.0, 4.0], epsilon=1e-3).tolist()
        [1.0, 3.0, 2.0]

        Ranks of 1, 5, 5, 5, 4:

        >>> soft.forms("ranks").alone([1.0, 5.0, 4.0], [1, 3, 1], epsilon=1e-3).tolist()
        [0.0, 3.0, 1.0]
    """
    module = importlib.import_module(f"softsort_core.operators.{operator}")
    return module.forms(**settings)
