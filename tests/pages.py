"""What pages show: their commands and their Python, block by block."""

import doctest
import re
import textwrap
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
# README first, then what the site shows beside it.
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(
    r"^( *)(?:<!-- (within|needs) (\S+) -->\n\1)?```(console|pycon)\n(.*?)^\1```$",
    re.DOTALL | re.MULTILINE,
)
NUMBER = re.compile(r"([-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?)")


class Block(NamedTuple):
    """A part of a page that is run: `console` or `pycon`.

    It may show numbers that are right `within` this, or need a library.
    """

    kind: str
    text: str
    line: int = 0
    within: float = 0.0
    needs: str = ""


def blocks(page: Path) -> list[Block]:
    """The blocks of a page that are run, in tabs or not, in their order."""
    text = page.read_text()
    return [
        Block(
            match[4],
            textwrap.dedent(match[5]),
            text.count("\n", 0, match.start(4)),
            float(match[3]) if match[2] == "within" else 0.0,
            match[3] if match[2] == "needs" else "",
        )
        for match in FENCE.finditer(text)
    ]


def steps(block: Block) -> list[tuple[str, str]]:
    """The commands of a `console` block, each with what it writes."""
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
    pairs = [part.partition("\n") for part in parts if part]
    return [(command, output) for command, _, output in pairs]


def is_shown(want: str, got: str, within: float = 0.0) -> bool:
    """Whether a text is what is shown, numbers to the digits that are shown.

    Those with a decimal point may be off by so much.
    """
    wanted, gotten = (NUMBER.split(" ".join(text.split())) for text in (want, got))
    if len(wanted) != len(gotten):
        return False
    pairs = zip(wanted, gotten, strict=True)
    return all(
        _agree(one, other, within) if place % 2 else one.strip() == other.strip()
        for place, (one, other) in enumerate(pairs)
    )


def _agree(want: str, got: str, within: float) -> bool:
    if want == got:
        return True
    mantissa, _, power = want.partition("e")
    digits = len(mantissa.partition(".")[2])
    unit = 10.0 ** (int(power or 0) - digits)
    return "." in want and abs(float(want) - float(got)) <= max(unit, within)


class Numbers(doctest.OutputChecker):
    """Takes what Python prints for what is shown if `is_shown` does."""

    def __init__(self, within: float) -> None:
        self.within = within

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        """Whether what was printed is what is shown."""
        return super().check_output(want, got, optionflags) or is_shown(
            want, got, self.within
        )


def python_failures(block: Block, names: dict[str, Any], page: str) -> str:
    """Run a `pycon` block where names have these values: what is not as shown."""
    test = doctest.DocTestParser().get_doctest(
        block.text, names, page, page, block.line
    )
    told: list[str] = []
    runner = doctest.DocTestRunner(Numbers(block.within))
    runner.run(test, out=told.append, clear_globs=False)
    names.update(test.globs)
    return "".join(told)
