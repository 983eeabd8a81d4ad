"""Pixels of a TIFF page <-> pixels that can be filtered."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from softsort_cli.images import palette
from softsort_cli.images.tiff_checks import (
    CIELAB,
    PALETTE,
    RGB,
    SEPARATE,
    WHITE_IS_ZERO,
    YCBCR,
    extra_samples,
    is_packed,
)

# None, LZW, Deflate, PackBits, LZMA, Zstandard: no loss. Others become Deflate.
COMPRESSIONS = (1, 5, DEFLATE := 8, 32773, 34925, 50000)
# Differences of numbers, and of the bytes of floats.
HORIZONTAL, FLOATING = 2, 3


def frame(page: Any) -> np.ndarray:
    """The pixels of a page: channels last, white high, whole bytes, no palette."""
    pixels = page.asarray()
    if page.axes == "SYX":
        pixels = np.moveaxis(pixels, 0, -1)
    if page.photometric == PALETTE:
        return _colours(np.asarray(page.colormap))[pixels.astype(np.intp)]
    if is_packed(page):
        pixels = _scaled(pixels, 2**page.bitspersample - 1, _most(pixels.dtype))
    return _upright(pixels, page.photometric)


def _colours(colormap: np.ndarray) -> np.ndarray:
    """The colours of a palette, of 8 bits if these say all."""
    colours = colormap.T
    if len(colours) <= 2**8:  # whose colours may be of 8 bits in one of two ways
        if not (colours & 255).any():
            return (colours >> 8).astype(np.uint8)
        if not (colours % 257).any():
            return (colours // 257).astype(np.uint8)
    return colours


def colormap(page: Any) -> np.ndarray | None:
    """The palette of a page, of shape (3, n)."""
    return np.asarray(page.colormap) if page.photometric == PALETTE else None


def in_palette(frame: np.ndarray, colormap: np.ndarray | None) -> dict[str, Any] | None:
    """A frame whose colours are all in a palette, in tifffile's words for `write`."""
    if colormap is None:
        return None
    places = palette.places(frame, _colours(colormap))
    if places is None:
        return None
    bits = colormap.shape[1].bit_length() - 1
    pixels = places.astype("uint8" if bits <= 8 else "uint16")
    page: dict[str, Any] = {"data": pixels, "photometric": PALETTE}
    return page if bits in (8, 16) else page | _packed(bits)


def _packed(bits: int) -> dict[str, Any]:
    """How pixels of other than whole bytes are stored: they can only be so."""
    return {"bitspersample": bits, "compression": 1, "predictor": None}


def stored(frame: np.ndarray, layout: Mapping[str, Any]) -> np.ndarray:
    """Pixels as a page of this layout holds them."""
    pixels = _upright(frame, layout["photometric"])
    if bits := layout.get("bitspersample"):
        pixels = _scaled(pixels, _most(pixels.dtype), 2**bits - 1)
    if layout.get("planarconfig") == SEPARATE:
        pixels = np.moveaxis(pixels, -1, 0)
    return pixels


def _upright(pixels: np.ndarray, photometric: int) -> np.ndarray:
    """Pixels with white high, and no colour below zero; and back."""
    if pixels.dtype.kind == "f":
        return pixels
    if photometric == WHITE_IS_ZERO:
        return ~pixels  # also of signed numbers
    if photometric == CIELAB and pixels.dtype.kind == "u":
        # Its a and b are signed, whatever the page says of its numbers.
        pixels = pixels.copy()
        pixels[..., 1:3] ^= pixels.dtype.type(1 << 8 * pixels.dtype.itemsize - 1)
    return pixels


def _scaled(pixels: np.ndarray, most: int, wanted: int) -> np.ndarray:
    """Whole numbers up to `most` as such up to `wanted`, rounded."""
    wide = pixels.astype(np.uint64) * np.uint64(wanted) + np.uint64(most // 2)
    return (wide // np.uint64(most)).astype(pixels.dtype)


def _most(dtype: np.dtype) -> int:
    return 2 ** (8 * dtype.itemsize) - 1


def layout(page: Any) -> dict[str, Any]:
    """How a page is stored, in tifffile's words for `write`."""
    lossless = page.compression in COMPRESSIONS
    compression = int(page.compression) if lossless else DEFLATE
    predictor = int(page.predictor) if lossless and compression > 1 else None
    if predictor == HORIZONTAL and page.dtype.kind == "f":
        predictor = FLOATING  # tifffile reads the other, as GDAL writes it, only
    colours = RGB if page.photometric in (PALETTE, YCBCR) else int(page.photometric)
    stored: dict[str, Any] = {
        "photometric": colours,
        "planarconfig": int(page.planarconfig) if page.ndim == 3 else None,
        "compression": compression,
        "predictor": predictor,
        "subfiletype": int(page.subfiletype),
        "extrasamples": [int(sample) for sample in extra_samples(page)] or None,
    }
    if is_packed(page) and page.photometric != PALETTE:
        stored |= _packed(page.bitspersample)
    if page.is_tiled:
        stored["tile"] = (page.tilelength, page.tilewidth)
    elif page.rowsperstrip:
        stored["rowsperstrip"] = min(page.rowsperstrip, page.imagelength)
    return stored
