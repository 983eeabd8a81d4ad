"""The image formats: an entry is a module, and texts follow from the entries."""

from importlib import import_module
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from softsort_cli.images import formats
from softsort_cli.images.picture import Picture


@pytest.mark.parametrize("form", formats.FORMATS.values(), ids=lambda form: form.name)
def test_each_format_writes_what_it_reads(form):
    module = import_module(f"softsort_cli.images.{form.name.lower()}")
    frame = np.full((9, 7), 200, np.uint8)
    data = module.encode(Picture("a", form.name, [frame]))
    assert formats.by_start(data[:16]) == form
    with PIL.Image.open(BytesIO(data)) as image:
        assert image.format == form.name
    picture = module.read(data, "a")
    assert picture.format == form.name
    assert np.abs(picture.frames[0].astype(int) - 200).max() <= 1
    assert picture.metadata.keys() <= form.metadata


def test_suffixes_belong_to_one_format_each():
    suffixes = [each for form in formats.FORMATS.values() for each in form.suffixes]
    assert len(suffixes) == len(formats.BY_SUFFIX)
    assert formats.by_suffix(Path("a.JPE")) == formats.FORMATS["JPEG"]
    assert formats.by_suffix(Path("a.bmp")) is None


def test_texts_name_all_formats():
    assert formats.LISTED == "PNG, JPEG, GIF, WebP or TIFF"
    assert formats.READ == "PNG, JPEG, GIF, WebP and TIFF"
    assert formats.SUFFIXES == ".png, .jpg, .gif, .webp or .tif"
