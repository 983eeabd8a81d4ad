"""Shows files of the root as pages of the site, where `mkdocs.yml` names them."""

from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = {"index.md": "README.md"}
PAGES |= {f"{name.lower()}.md": f"{name}.md" for name in ("CHANGELOG", "CONTRIBUTING")}


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Read the file that a page stands for, and have its links start from the page."""
    if page.file.src_uri not in PAGES:
        return markdown
    text = (ROOT / PAGES[page.file.src_uri]).read_text()
    for name, path in PAGES.items():
        text = text.replace(f"]({path})", f"]({name})")
    return text.replace("](docs/", "](")
