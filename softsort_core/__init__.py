"""Soft sorting operators: smooth, differentiable sort, rank, top-k and quantile."""

from softsort_core.axis import apply_on_axis
from softsort_core.blur import (
    blur_of_epsilon,
    epsilon_for_blur,
    group_epsilons_for_blur,
    least_epsilon_for_blur,
)
from softsort_core.errors import SoftSortError
from softsort_core.multivariate import TransportMaps, multivariate_cdf_quantile_maps
from softsort_core.operators.extremes import (
    argmax,
    argmin,
    argsort,
    max,
    median,
    min,
    top_k,
)
from softsort_core.operators.forms import Forms, Group, forms
from softsort_core.operators.padded_groups import WIDEST_GROUP, over_padded_groups
from softsort_core.operators.quantile import quantile, solve_quantile
from softsort_core.operators.quantile_normalization import (
    quantile_normalization,
    solve_quantile_normalization,
)
from softsort_core.operators.quantize import quantize, solve_quantize
from softsort_core.operators.ranks import group_ranks, ranks
from softsort_core.operators.segments import segment_ranks
from softsort_core.operators.sort import group_sort, solve_sort, solve_topk, sort
from softsort_core.operators.sort_with import sort_with
from softsort_core.operators.topk_mask import solve_topk_mask, topk_mask
from softsort_core.report import Report, solve_report
from softsort_core.straight_through import straight_through
from softsort_core.streaming.curves import Curve
from softsort_core.streaming.summaries import (
    Solution,
    Statistics,
    Summary,
    describe,
    merge,
    solve,
    summarise,
)
from softsort_core.transport_plan import TransportPlan, transport_plan

__all__ = [
    "WIDEST_GROUP",
    "Curve",
    "Forms",
    "Group",
    "Report",
    "SoftSortError",
    "Solution",
    "Statistics",
    "Summary",
    "TransportMaps",
    "TransportPlan",
    "apply_on_axis",
    "argmax",
    "argmin",
    "argsort",
    "blur_of_epsilon",
    "describe",
    "epsilon_for_blur",
    "forms",
    "group_epsilons_for_blur",
    "group_ranks",
    "group_sort",
    "least_epsilon_for_blur",
    "max",
    "median",
    "merge",
    "min",
    "multivariate_cdf_quantile_maps",
    "over_padded_groups",
    "quantile",
    "quantile_normalization",
    "quantize",
    "ranks",
    "segment_ranks",
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
    "straight_through",
    "summarise",
    "top_k",
    "topk_mask",
    "transport_plan",
]
