"""Losses over soft ranks and quantiles.

The classifier that shows them is in `learning.network`, `learning.training` and
`learning.data`; it needs the extra `learn`.
"""

from learning.losses import (
    soft_error_loss,
    soft_least_quantile_loss,
    soft_spearman_loss,
)

__all__ = [
    "soft_error_loss",
    "soft_least_quantile_loss",
    "soft_spearman_loss",
]
