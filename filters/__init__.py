"""Operators over image neighbourhoods, noise to try them on, and image metrics."""

from filters._choice import Choice, choose
from filters._median import soft_median, soft_quantile_filter
from filters._metrics import psnr, ssim
from filters._noise import gaussian_noise, salt_and_pepper, speckle_noise
from filters._strips import soft_quantile_strips

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
