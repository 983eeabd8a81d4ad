"""Operators over image neighbourhoods, noise to try them on, and image metrics."""

from softsort_filters.median import soft_median, soft_quantile_filter
from softsort_filters.metrics import psnr, ssim
from softsort_filters.noise import gaussian_noise, salt_and_pepper, speckle_noise
from softsort_filters.strips import soft_quantile_strips
from softsort_filters.tuning import Choice, choose

__all__ = [
    "Choice",
    "choose",
    "gaussian_noise",
    "psnr",
    "salt_and_pepper",
    "soft_median",
    "soft_quantile_filter",
    "soft_quantile_strips",
    "speckle_noise",
    "ssim",
]
