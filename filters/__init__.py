"""Operators over image neighbourhoods, noise to try them on, and image metrics."""

from filters._median import soft_median, soft_quantile_filter
from filters._metrics import psnr, ssim
from filters._noise import gaussian_noise, salt_and_pepper, speckle_noise

__all__ = [
    "gaussian_noise",
    "psnr",
    "salt_and_pepper",
    "soft_median",
    "soft_quantile_filter",
    "speckle_noise",
    "ssim",
]
