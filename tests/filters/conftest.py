import pytest


@pytest.fixture(autouse=True)
def _tiles_of_small_images(monkeypatch):
    """Cut tiles as large as the images here: most of a usual one would be beyond.

    By name, for what is imported at the top comes before the types that are checked.
    """
    monkeypatch.setattr("softsort_filters.tiles._SIDES", (64, 136))
    monkeypatch.setattr("softsort_filters.switching._AT_ONCE", 2**11)
