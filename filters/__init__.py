"""Operators over image neighbourhoods, and noise to try them on."""

from filters._median import soft_median, soft_quantile_filter
from filters._noise import salt_and_pepper

__all__ = ["salt_and_pepper", "soft_median", "soft_quantile_filter"]
