"""Operators over image neighbourhoods, noise to try them on, and image metrics."""

from softsort_filters.alike import gaussian_deviation, soft_nonlocal_mean
from softsort_filters.both_noises import (
    Noise,
    denoise,
    denoise_strips,
    estimate_noise,
)
from softsort_filters.impulse_model import ImpulseNoise
from softsort_filters.impulses import impulse_noise
from softsort_filters.learning import (
    LearnedFilter,
    Learning,
    beginning,
    learn_filter,
)
from softsort_filters.median import soft_median, soft_quantile_filter
from softsort_filters.metrics import psnr, ssim
from softsort_filters.noise import gaussian_noise, salt_and_pepper, speckle_noise
from softsort_filters.strips import soft_quantile_strips
from softsort_filters.switching import soft_switching_median
from softsort_filters.tuning import Choice, choose

__all__ = [
    "Choice",
    "ImpulseNoise",
    "LearnedFilter",
    "Learning",
    "Noise",
    "beginning",
    "choose",
    "denoise",
    "denoise_strips",
    "estimate_noise",
    "gaussian_deviation",
    "gaussian_noise",
    "impulse_noise",
    "learn_filter",
    "psnr",
    "salt_and_pepper",
    "soft_median",
    "soft_nonlocal_mean",
    "soft_quantile_filter",
    "soft_quantile_strips",
    "soft_switching_median",
    "speckle_noise",
    "ssim",
]
