"""Soft sorting operators: smooth, differentiable sort, rank, top-k and quantile."""

from softsort_core.errors import SoftSortError
from softsort_core.multivariate import TransportMaps, multivariate_cdf_quantile_maps
from softsort_core.operators.groups import group_ranks, group_sort
from softsort_core.operators.soft import (
    quantile,
    quantile_normalization,
    quantize,
    ranks,
    sort,
    sort_with,
    topk_mask,
)
from softsort_core.report import Report, solve_report
from softsort_core.streaming.curves import (
    Curve,
    solve_quantile,
    solve_quantile_normalization,
    solve_quantize,
    solve_sort,
    solve_topk,
    solve_topk_mask,
)
from softsort_core.streaming.summaries import (
    Solution,
    Statistics,
    Summary,
    describe,
    merge,
    solve,
    summarise,
)

__all__ = [
    "Curve",
    "Report",
    "SoftSortError",
    "Solution",
    "Statistics",
    "Summary",
    "TransportMaps",
    "describe",
    "group_ranks",
    "group_sort",
    "merge",
    "multivariate_cdf_quantile_maps",
    "quantile",
    "quantile_normalization",
    "quantize",
    "ranks",
    "solve",
    "solve_quantile",
    "solve_quantile_normalization",
    "solve_quantize",
    "solve_report",
    "solve_sort",
    "solve_topk",
    "solve_topk_mask",
    "sort",
    "sort_with",
    "summarise",
    "topk_mask",
]
