"""Soft sorting operators: smooth, differentiable sort, rank, top-k and quantile."""

from softsort_core._errors import SoftSortError

__all__ = ["SoftSortError"]
