"""OME-XML, the description of a TIFF by which readers find the files of its pixels."""

import html
import re
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

from softsort_cli.errors import CommandError
from softsort_cli.images.tiff_tags import DESCRIPTION, Tag, Tags

NAMES = re.compile(rb"""(\b(?:FileName|MetadataFile)\s*=\s*)("[^"]*"|'[^']*')""")


def renamed(tags: Sequence[Tags], source: Path, output: Path | None) -> list[Tags]:
    """Tags of the pages of a file, telling where the pixels will be.

    A file that is one of a set has to keep its name, and so have the others: readers
    would take the pixels of the original.
    """
    return [
        each._replace(others=[_renamed(tag, source, output) for tag in each.others])
        for each in tags
    ]


def _renamed(tag: Tag, source: Path, output: Path | None) -> Tag:
    code, kind, _, text, first = tag
    if code != DESCRIPTION or b"<OME" not in text:
        return tag
    names = {html.unescape(name.decode()[1:-1]) for _, name in NAMES.findall(text)}
    if not names or (output is not None and output.name == source.name):
        return tag
    if names != {source.name} or output is None:
        raise CommandError(
            f"cannot write {output or 'standard output'}: by its OME-XML the pixels of "
            f"{source} are in {', '.join(sorted(names)[:3])}; keep the names, with "
            "--out-dir and all files of the set, or leave it out with --strip"
        )
    name = quoteattr(output.name).encode()
    text = NAMES.sub(lambda match: match[1] + name, text)
    return code, kind, len(text), text, first
