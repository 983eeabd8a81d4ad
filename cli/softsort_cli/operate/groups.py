"""Groups of rows: each on its own, many at a time.

Groups of like size are solved together, as the rows of an array of one of few widths.
What pads a row has no weight. The operators take evenly spaced targets, of which the
last ones, that pad likewise, have no weight either; with them the spacing of the
others is smaller by a factor, and for the same plan epsilon has to be, too: only the
product of inputs and targets, over epsilon, matters in a cost of squares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from softsort_cli import console, jax_setup

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from softsort_cli.tables import opening

AT_ONCE = 1 << 22  # entries of the plans that are solved together
ROWS_AT_ONCE = 1 << 18  # whose keys are found together, at least
FEWEST = 16  # rows of an array
# Columns of an array. Up to 12 targets are solved for in another, quicker way.
WIDTHS = 8, 12, 16, 32, 64, 128, 256, 512
MANY = 64  # groups for which it is worth compiling more
FEW = 12  # values of groups for which there is no more to be compiled

# From the values of a group, one after another, to its results.
One: TypeAlias = "Callable[[np.ndarray], np.ndarray]"
# The same for a padded row; it is traced by jax.
Padded: TypeAlias = "Callable[[Row], Any]"
# From the values of many groups, one after another, and the sizes of these, to results,
# one for each value; NaN in groups that are left to others.
Together: TypeAlias = "Callable[[np.ndarray, np.ndarray], np.ndarray]"


@dataclass(frozen=True)
class Grouped:
    """Values, or rows of them, of groups, one after another."""

    together: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(cls, parts: Sequence[np.ndarray]) -> Grouped:
        """The groups of these values."""
        import numpy as np

        sizes = np.array([len(each) for each in parts])
        return cls(np.concatenate(parts), sizes)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (
            self.together[start : start + size]
            for start, size in zip(
                self.starts().tolist(), self.sizes.tolist(), strict=True
            )
        )

    def starts(self) -> np.ndarray:
        """Where each group begins."""
        import numpy as np

        return np.cumsum(self.sizes) - self.sizes


@dataclass(frozen=True)
class Groups:
    """Which group each row belongs to."""

    columns: list[int]  # those of the keys
    codes: np.ndarray  # one a row
    keys: pl.DataFrame  # one row a group, in the order of their first rows

    @property
    def count(self) -> int:
        """The number of groups."""
        return self.keys.height

    def order(self) -> np.ndarray:
        """The rows, group by group."""
        import numpy as np

        # numpy sorts numbers several times as fast as it finds their order.
        order = self.codes.astype(np.int64) << 32
        order |= np.arange(len(order))
        order.sort()
        order &= (1 << 32) - 1
        return order


class Keys:
    """The keys of groups, collected part by part."""

    def __init__(self, columns: Sequence[int]) -> None:
        self.columns = list(columns)
        self._codes: list[np.ndarray] = []
        self._known: pl.DataFrame | None = None
        self._added: list[pl.DataFrame] = []

    def said(self, part: opening.Part) -> pl.DataFrame | None:
        """The keys of the rows of a part, for `add`; None if it has none."""
        import polars as pl

        if not self.columns or not part.height:
            return None
        cells = part.said(self.columns)
        names = [str(place) for place in range(len(cells))]
        return pl.DataFrame(dict(zip(names, cells, strict=True)))

    def add(self, said: pl.DataFrame | None) -> None:
        """Find the groups of more rows."""
        if said is None:
            return
        self._added.append(said)
        # All keys that are known are looked at each time: it is worth it for as many.
        known = 0 if self._known is None else self._known.height
        if sum(frame.height for frame in self._added) >= max(ROWS_AT_ONCE, known):
            self._find()

    def _find(self) -> None:
        import numpy as np
        import polars as pl

        known = [] if self._known is None else [self._known]
        frame = pl.concat([*known, *self._added])
        self._added.clear()
        # For each row the first one that has the same key.
        first = pl.first("row").over(frame.columns)
        firsts = frame.with_row_index("row").select(first).to_series().to_numpy()
        are_first = firsts == np.arange(len(firsts))
        codes = (np.cumsum(are_first, dtype=np.uint32) - 1)[firsts]
        self._codes.append(codes[sum(each.height for each in known) :])
        self._known = frame.filter(pl.Series(are_first))

    def groups(self) -> Groups:
        """The groups of all rows."""
        import numpy as np

        if self._added:
            self._find()
        assert self._known is not None
        return Groups(self.columns, np.concatenate(self._codes), self._known)


@dataclass(frozen=True)
class Row:
    """A padded group, as jax traces it."""

    values: Any  # or rows of values that belong together
    size: Any  # how many there are
    weights: Any  # 1 for those, 0 for the padding
    epsilon: Any
    spread: Any  # factor that padding takes from the spacing of targets

    @property
    def narrowed(self) -> Any:
        """The epsilon for targets that are padded like the values."""
        return self.epsilon * self.spread


def over(
    padded: Padded, groups: Grouped, places: np.ndarray, epsilon: float
) -> Iterator[tuple[int, np.ndarray]]:
    """The results of the groups at some places, as rows that may be padded.

    Groups are vectors, or arrays whose rows belong to their values.
    """
    if places.size == 0:
        return
    jax_setup.wait_until_started()
    import jax
    import jax.numpy as jnp
    import numpy as np

    def on_row(values: Any, size: Any, epsilon: Any) -> Any:
        width = values.shape[0]
        weights = (jnp.arange(width) < size).astype(values.dtype)
        spread = jnp.maximum(size - 1, 1) / max(width - 1, 1)
        return padded(Row(values, size, weights, epsilon, spread))

    def on_rows(values: Any, sizes: Any, epsilon: Any) -> Any:
        return jax.vmap(on_row, (0, 0, None))(values, sizes, epsilon)

    batch = jax.jit(on_rows)
    sizes, starts = groups.sizes, groups.starts()
    widths = np.array(WIDTHS)[np.searchsorted(WIDTHS, sizes[places])]
    with console.progress("groups", len(places)) as step:
        for width in np.unique(widths).tolist():
            same = places[widths == width]
            # One height for all, for another would have to be compiled.
            height = _height(width, len(same))
            for some in np.split(same, range(height, len(same), height)):
                filled = np.resize(some, height)
                within = np.arange(width)
                # What pads a group is its first value again: a number like the others,
                # wherever they are.
                within = np.where(within < sizes[filled, None], within, 0)
                values = groups.together[starts[filled, None] + within]
                results = np.asarray(batch(values, sizes[filled], epsilon))
                for place, result in zip(some.tolist(), results, strict=False):
                    yield place, result
                    step()


def _height(width: int, count: int) -> int:
    """How many rows an array has: a power of 4, for few shapes are to be compiled."""
    most = max(1, AT_ONCE // width**2)
    height = FEWEST
    # The last array is filled up: little, if there are some.
    while 4 * height < min(count, most):
        height *= 4
    return min(height, most)


def sorted_values(
    normalization: Any, row: Row, targets: Any, values: Any, epsilon: Any
) -> Any:
    """The means of the values that are transported to targets of these weights.

    How much arrives where is how the means of levels at the inputs depend on them.
    """
    import jax
    import jax.numpy as jnp

    key = row.values if row.values.ndim == 1 else row.values[:, 0]

    def levels(of_targets: Any) -> Any:
        return normalization(
            key, of_targets, targets, input_weights=row.weights, epsilon=epsilon
        )

    used = row.weights > 0
    low = jnp.min(values, where=used, initial=jnp.inf)
    high = jnp.max(values, where=used, initial=-jnp.inf)
    middle = low / 2 + high / 2
    zeros = jnp.zeros_like(targets)
    sums = jax.vjp(levels, zeros)[1](row.weights * (values - middle))[0]
    masses = jax.vjp(levels, zeros)[1](row.weights)[0]
    means = middle + sums / jnp.where(targets > 0, masses, 1)
    return jnp.clip(means, low, high)
