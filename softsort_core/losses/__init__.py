"""Losses over soft ranks and quantiles, to be minimised by gradients."""

from softsort_core.losses.classification import soft_conformal_loss, soft_error_loss
from softsort_core.losses.quantiles import soft_least_quantile_loss, soft_pinball_loss
from softsort_core.losses.ranking import (
    soft_listwise_loss,
    soft_ndcg_loss,
    soft_spearman_loss,
)

__all__ = [
    "soft_conformal_loss",
    "soft_error_loss",
    "soft_least_quantile_loss",
    "soft_listwise_loss",
    "soft_ndcg_loss",
    "soft_pinball_loss",
    "soft_spearman_loss",
]
