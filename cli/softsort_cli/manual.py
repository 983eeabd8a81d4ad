"""The manual page, from what --help shows."""

import re
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any


def page(command: Any, context: Any) -> str:
    """The manual of a group of commands, in roff."""
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    release = version("softsort-cli")
    lines = [
        f'.TH SOFTSORT 1 "{day}" "softsort {release}" "User Commands"',
        ".SH NAME",
        "softsort \\- soft sorting of tables and soft median filtering of images",
        ".SH SYNOPSIS",
        ".B softsort",
        "COMMAND [OPTIONS] [FILE]",
        ".SH DESCRIPTION",
        *_paragraphs(command.help),
        ".SH COMMANDS",
    ]
    for name in command.list_commands(context):
        each = command.get_command(context, name)
        with type(context)(each, info_name=name, parent=context) as inner:
            usage = " ".join([name, *each.collect_usage_pieces(inner)])
            lines += [f".SS {_escaped(usage)}", *_paragraphs(each.help)]
            for parameter in each.get_params(inner):
                if record := parameter.get_help_record(inner):
                    lines += [".TP", f".B {_escaped(record[0])}", _escaped(record[1])]
    return "\n".join(lines)


def _paragraphs(text: str) -> list[str]:
    """Paragraphs, of which those that keep their lines begin with a backspace."""
    lines = []
    for paragraph in text.strip().split("\n\n"):
        is_verbatim = paragraph.lstrip().startswith("\b")
        body = _escaped(paragraph.replace("\b\n", "").replace("\b", ""))
        lines += [".PP", *([".nf", body, ".fi"] if is_verbatim else [body])]
    return lines


def _escaped(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"(?m)^(['.])", r"\\&\1", text)
