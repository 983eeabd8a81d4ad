"""The figures of the tutorial: what its commands draw.

Run as `python docs/figures.py [PAGE...]`, with matplotlib, Pillow and the extra `learn`
installed. Pages of `docs/tutorial` are worked through in folders of their own.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.cbook
import PIL.Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests import pages

TUTORIAL = Path(__file__).parent / "tutorial"
WIDEST = 1200  # pixels
# What commands write whose pictures have other names on the page.
MADE = {"digits.png": "digits/metrics.png"}


def draw(page: Path) -> None:
    """Run the commands of a page, and keep the pictures that it shows."""
    pictures: list[str] = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", page.read_text())
    if not pictures:
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in ("Stocks.csv", "grace_hopper.jpg"):
            sample = matplotlib.cbook.get_sample_data(name, asfileobj=False)
            shutil.copy(sample, folder)
        for block in pages.blocks(page):
            for command, _ in pages.steps(block) if block.kind == "console" else ():
                subprocess.run(["bash", "-c", command], cwd=folder, check=True)
        for name in pictures:
            keep(Path(folder) / MADE.get(name, name), page.parent / name)


def keep(drawn: Path, target: Path) -> None:
    """Copy a picture, no larger than a page needs; drawings with few colours."""
    with PIL.Image.open(drawn) as image:
        image = image.convert("RGB")
        image.thumbnail((WIDEST, WIDEST))
        if target.suffix == ".png":
            image = image.quantize(64)
        image.save(target, optimize=True, quality=80)


if __name__ == "__main__":
    names = sys.argv[1:] or [path.stem for path in sorted(TUTORIAL.glob("*.md"))]
    for name in names:
        draw(TUTORIAL / f"{name}.md")
