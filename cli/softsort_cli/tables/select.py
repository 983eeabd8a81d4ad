"""Which columns of a table a command works on: the language of -c/--columns."""

import difflib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence

from softsort_cli.errors import UsageError

# A regex may contain commas; every other choice ends at one.
TOKEN = re.compile(r"(!?/(?:[^/\\]|\\.)*/|[^,]*)(?:,|$)")


def choose(
    choices: Sequence[str], names: Sequence[str]
) -> tuple[list[int] | None, set[int]]:
    """Positions that were chosen, in the order asked for, and those excluded.

    The first is None if nothing was chosen but only excluded, or no choice made at all:
    the caller then starts from every numeric column. NDJSON without objects, which has
    no names, has whatever columns are asked for.

    >>> choose(["b,1", "!c"], ["a", "b", "c"])
    ([1, 0], {2})
    """
    chosen: list[int] = []
    excluded: set[int] = set()
    choices, at = choices if names else (), _places(names)
    for choice in choices:
        for token in _tokens(choice, at):
            if token in at or not token.startswith("!"):
                chosen += _positions(token, names, at)
            else:
                excluded |= set(_positions(token[1:], names, at))
    if excluded and len(excluded) == len(names):
        raise UsageError("-c excludes every column")
    if not any(choices) or (not chosen and excluded):
        return None, excluded
    if not chosen:
        raise UsageError(f"-c {','.join(choices)!r} names no column")
    columns = [column for column in dict.fromkeys(chosen) if column not in excluded]
    if not columns:
        raise UsageError("-c excludes every column that it chooses")
    return columns, excluded


def choose_one(choice: str, names: Sequence[str], option: str) -> int:
    """The position of the one column that `choice` names."""
    places = _positions(choice, names, _places(names), option)
    if len(places) != 1:
        raise UsageError(
            f"{option} {choice!r} stands for {len(places)} columns, not one"
        )
    return places[0]


def choose_keys(choices: Sequence[str], names: Sequence[str]) -> list[int]:
    """The positions of the columns that --by names, each once.

    >>> choose_keys(["c,a", "1"], ["a", "b", "c"])
    [2, 0]
    """
    at = _places(names)
    columns = [
        place
        for choice in choices
        if names
        for token in _tokens(choice, at)
        for place in _positions(token, names, at, "--by")
    ]
    if choices and names and not columns:
        raise UsageError(f"--by {','.join(choices)!r} names no column")
    return list(dict.fromkeys(columns))


def _places(names: Sequence[str]) -> Mapping[str, list[int]]:
    """Where the columns of each name are: there may be many of both."""
    at = defaultdict[str, list[int]](list)
    for place, name in enumerate(names):
        at[name].append(place)
    return at


def _tokens(choice: str, at: Mapping[str, list[int]]) -> list[str]:
    if choice in at:
        return [choice]
    tokens = [match[1] for match in TOKEN.finditer(choice)]
    # The name of a column may begin or end with spaces.
    bare = [token if token in at else token.strip() for token in tokens]
    return [token for token in bare if token]


def _positions(
    token: str, names: Sequence[str], at: Mapping[str, list[int]], option: str = "-c"
) -> list[int]:
    if token in at:
        places = at[token]
        if len(places) > 1:
            numbers = " and ".join(str(place + 1) for place in places)
            raise UsageError(
                f"{option} {token!r} is the name of columns {numbers}: choose by number"
            )
        return places
    if len(token) > 1 and token[0] == token[-1] == "/":
        return _matching(token, names, option)
    if match := re.fullmatch(r"(\d+)(?:(-)(\d*))?", token, re.ASCII):
        first = int(match[1])
        last = first if match[2] is None else int(match[3] or len(names))
        if not 1 <= first <= last <= len(names):
            raise UsageError(
                f"{option} {token!r} is not among columns 1 to {len(names)}; "
                f"{_nearest(token, names)}"
            )
        return list(range(first - 1, last))
    raise UsageError(f"{option} {token!r}: no such column; {_nearest(token, names)}")


def _matching(token: str, names: Sequence[str], option: str) -> list[int]:
    try:
        pattern = re.compile(token[1:-1])
    except re.error as error:
        raise UsageError(
            f"{option} {token}: not a regular expression: {error}"
        ) from None
    places = [place for place, name in enumerate(names) if pattern.search(name)]
    if not places:
        raise UsageError(f"{option} {token}: matches no column; {_nearest('', names)}")
    return places


def _nearest(token: str, names: Sequence[str]) -> str:
    lowered = {name.lower(): name for name in names}
    near = difflib.get_close_matches(token.lower(), lowered, n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(repr(lowered[name]) for name in near) + "?"
    listed = ", ".join(repr(name) for name in names[:8])
    return f"the columns are {listed}" + (", ..." if len(names) > 8 else "")
