"""Soft sorting operators: smooth, differentiable sort, rank, top-k and quantile."""

from softsort_core._errors import SoftSortError
from softsort_core._multivariate import TransportMaps, multivariate_cdf_quantile_maps
from softsort_core._operators import (
    quantile,
    quantile_normalization,
    quantize,
    ranks,
    sort,
    sort_with,
    topk_mask,
)

__all__ = [
    "SoftSortError",
    "TransportMaps",
    "multivariate_cdf_quantile_maps",
    "quantile",
    "quantile_normalization",
    "quantize",
    "ranks",
    "sort",
    "sort_with",
    "topk_mask",
]
