"""How a picture was held, as EXIF says it."""

import numpy as np

from softsort_cli.images.picture import Picture

TAG = 274


def of(picture: Picture) -> int:
    """How EXIF says that a picture was held, from 1 to 8; 1 if nothing can be read."""
    import PIL.Image

    exif = PIL.Image.Exif()
    try:
        exif.load(picture.metadata.get("exif", b""))
        held = exif.get(TAG, 1)
    except Exception:  # broken EXIF can break Pillow anywhere, and matters little here
        return 1
    return held if held in range(1, 9) else 1


def upright(pixels: np.ndarray, held: int) -> np.ndarray:
    """Pixels as they are to be seen, of a picture that was held so."""
    if held >= 5:
        pixels = pixels.swapaxes(0, 1)
    if held in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels[:, ::-1] if held in (2, 3, 6, 7) else pixels
