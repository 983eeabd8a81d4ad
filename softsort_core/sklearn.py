"""Transformers for scikit-learn: columns become soft ranks, or soft quantiles.

Needs scikit-learn 1.6 or later, which nothing else here imports.
"""

from typing import Any, Literal

import jax
import numpy as np
import scipy.special
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from softsort_core import SoftSortError, quantile_normalization, ranks
from softsort_core.defaults import EPSILON


class SoftRankTransformer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Give each value of a column its soft rank among the samples that were fitted.

    As epsilon -> 0, tends to ranks from 0 to n - 1 of n samples, ties having their
    average. Other values are ranked among the samples without influencing them.

    Args:
        epsilon: regularisation, as in `softsort_core.ranks`.

    Attributes:
        samples_: those that were fitted, of shape (n, d).

    Examples:
        >>> import numpy as np
        >>> from softsort_core.sklearn import SoftRankTransformer
        >>> x = np.array([[1.0], [5.0], [4.0], [8.0], [12.0]])
        >>> transformer = SoftRankTransformer().fit(x)
        >>> transformer.transform(x)[:, 0].round(3).tolist()
        [0.016, 1.841, 1.15, 3.0, 3.994]
        >>> transformer.transform([[4.5]]).round(2).tolist()
        [[1.49]]
    """

    def __init__(self, epsilon: float = EPSILON) -> None:
        self.epsilon = epsilon

    def fit(self, X: Any, y: Any = None) -> "SoftRankTransformer":
        """Take the samples, numbers of shape (n, d)."""
        del y
        kinds = [np.float64, np.float32]
        self.samples_ = validate_data(self, X, dtype=kinds, copy=True)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return what values of shape (m, d) become among the samples.

        Raises:
            SoftSortError: epsilon is out of its range, or results are not certain.
        """
        check_is_fitted(self)
        checked = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        values = np.asarray(checked)
        both = np.concatenate([self.samples_, values])
        weights = np.repeat([1.0, 0.0], [len(self.samples_), len(values)])
        with jax.enable_x64(both.dtype == np.float64):
            columns = [self._of_column(column, weights) for column in both.T]
        results = np.stack(columns, axis=1)[len(self.samples_) :]
        if not np.isfinite(results).all():
            raise SoftSortError(
                f"results at epsilon {self.epsilon} are not certain: choose a larger "
                "one"
            )
        return results.astype(values.dtype)

    def _of_column(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        n = len(self.samples_)
        among_all = ranks(
            values, num_targets=n, epsilon=self.epsilon, input_weights=weights
        )
        return np.asarray(among_all) * ((n - 1) / (len(values) - 1))


class SoftQuantileTransformer(SoftRankTransformer):
    """Give each column another distribution, softly, and keep the order of values.

    As epsilon -> 0, each value of n samples becomes the quantile of level (k + 1/2) / n
    of the distribution, where k is its rank from 0 on.

    Args:
        output_distribution: "uniform" on [0, 1], or "normal".
        epsilon: regularisation, as in `softsort_core.quantile_normalization`.

    Attributes:
        samples_: those that were fitted, of shape (n, d).

    Examples:
        >>> import numpy as np
        >>> from softsort_core.sklearn import SoftQuantileTransformer
        >>> x = np.array([[1.0], [5.0], [4.0], [8.0], [12.0]])
        >>> SoftQuantileTransformer("normal").fit_transform(x)[:, 0].round(2).tolist()
        [-1.27, -0.08, -0.45, 0.53, 1.28]
    """

    def __init__(
        self,
        output_distribution: Literal["uniform", "normal"] = "uniform",
        epsilon: float = EPSILON,
    ) -> None:
        super().__init__(epsilon)
        self.output_distribution = output_distribution

    def _of_column(self, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        n = len(self.samples_)
        levels = (np.arange(n) + 0.5) / n
        if self.output_distribution == "normal":
            levels = scipy.special.ndtri(levels)
        elif self.output_distribution != "uniform":
            raise SoftSortError(
                f"output_distribution is {self.output_distribution!r}: give 'uniform' "
                "or 'normal'"
            )
        results = quantile_normalization(
            values, levels, epsilon=self.epsilon, input_weights=weights
        )
        return np.asarray(results)
