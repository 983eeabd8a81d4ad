"""The reference shows all that is public; `make docs` checks what it says."""

import re
from pathlib import Path

import softsort_filters

import softsort_core
from softsort_core import losses

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"
# What these have is shown, too, whether they can be imported or not.
FRAMEWORKS = "softsort_core.polars.", "softsort_core.sklearn.", "softsort_core.torch."
PUBLIC = {
    f"{package.__name__}.{name}": getattr(package, name)
    for package in (softsort_core, softsort_filters, losses)
    for name in package.__all__
}


def test_reference_has_all_that_is_public():
    pages = "".join(path.read_text() for path in REFERENCE.glob("*.md"))
    names = re.findall(r"^::: (\S+)$", pages, re.MULTILINE)
    others = {name for name in names if name.startswith(FRAMEWORKS)}
    assert all(any(name.startswith(each) for name in others) for each in FRAMEWORKS)
    assert sorted({*names} - others) == sorted(PUBLIC)
    assert len(names) == len({*names})


def test_examples_are_shown_as_code():
    # Under a heading `Example` they would be read as Markdown.
    wrong = [
        name
        for name, thing in PUBLIC.items()
        if "\n    Example:\n" in f"{thing.__doc__}"
    ]
    assert not wrong
