"""The house in order: who may import whom, what is public, how long a thing may be.

A check is a function of a file and of all files, and tells what is wrong in which line.
"""

import ast
import functools
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
HOMES = {
    "softsort_core": ROOT / "softsort_core",
    "softsort_filters": ROOT / "filters" / "softsort_filters",
    "softsort_cli": ROOT / "cli" / "softsort_cli",
}
# The rooms of each package, lowest first: folders, and files that are in none. A file
# imports from its own room and from those of lines above; rooms of one line know
# nothing of each other. `__init__` is that of the package itself.
ORDER = {
    "softsort_core": [
        "errors defaults",
        "arguments padding parallel solver_options",
        "numerics",
        "precision",
        "squash",
        "axis",
        "plans",
        "streaming",
        "operators",
        "blur multivariate report straight_through transport_plan",
        "__init__",
        "losses polars sklearn torch",
    ],
    "softsort_filters": [
        "arguments fused_math windows",
        "three_targets",
        "channels small_windows impulse_model tiles",
        "window_quantiles",
        "asking",
        "impulses median",
        "strips",
        "alike switching",
        "both_noises metrics noise tuning",
        "learning",
        "__init__",
    ],
    "softsort_cli": [
        "__init__",
        "errors",
        "interrupts",
        "console",
        "io",
        "images.formats tables.formats",
        "options",
        "compile_cache",
        "jax_setup",
        "work",
        "tables",
        "images operate training",
        "commands",
        "manual",
        "app",
        "__main__",
    ],
}
# The packages that each may import, and what of a package these are for.
BELOW = {
    "softsort_core": [],
    "softsort_filters": ["softsort_core"],
    "softsort_cli": ["softsort_core", "softsort_filters"],
}
PUBLIC = (
    "softsort_core",
    "softsort_core.losses",
    "softsort_core.polars",
    "softsort_core.sklearn",
    "softsort_core.torch",
    "softsort_filters",
)
# What other releases of these libraries may not have any more.
PRIVATE = "jax._src", "jaxlib._jax", "jaxlib.xla_client", "scipy._lib", "scipy.linalg._"
LONGEST_FILE, LONGEST_FUNCTION, MOST_PARAMETERS = 400, 60, 8
# These say nothing of what they stand for.
NO_NAMES = {"found", "given"}
FUNCTION = ast.FunctionDef, ast.AsyncFunctionDef


class Import(NamedTuple):
    line: int
    name: str  # with its dots
    alias: str


@dataclass(frozen=True)
class File:
    module: str
    text: str

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @functools.cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    @functools.cached_property
    def imports(self) -> list[Import]:
        """All of them, those in functions and for type checkers, too."""
        return [
            Import(
                node.lineno,
                f"{getattr(node, 'module', '')}.{each.name}".lstrip("."),
                each.asname or each.name,
            )
            for node in self.nodes
            if isinstance(node, (ast.Import, ast.ImportFrom))
            for each in node.names
        ]

    @functools.cached_property
    def public(self) -> set[str]:
        """What `__all__` says, or else what is defined here without an underscore."""
        names = set()
        for node in self.tree.body:
            if (
                isinstance(node, ast.Assign)
                and ast.unparse(node.targets[0]) == "__all__"
            ):
                return set(ast.literal_eval(node.value))
            if isinstance(node, (*FUNCTION, ast.ClassDef)) and node.name[0] != "_":
                names.add(node.name)
        return names


Files = Mapping[str, File]
Problems = Iterator[tuple[int, str]]


@functools.cache
def read_files() -> Files:
    files = {}
    for home in HOMES.values():
        for path in sorted(home.rglob("*.py")):
            parts = path.relative_to(home.parent).with_suffix("").parts
            module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            files[module] = File(module, path.read_text())
    return files


def module_of(name: str, files: Files) -> str:
    """The module of ours that an imported name is, or is in."""
    while name not in files and "." in name:
        name = name.rpartition(".")[0]
    return name


def room_of(name: str) -> tuple[int, str] | None:
    """The room that a module is in, after the line of the order that has it."""
    package, _, room = name.partition(".")
    room = room or "__init__"
    while room:
        for line, rooms in enumerate(ORDER[package]):
            if room in rooms.split():
                return line, room
        room = room.rpartition(".")[0]
    return None


def imports_go_down(file: File, files: Files) -> Problems:
    own = room_of(file.module)
    if own is None:
        yield 1, "is in no room of ORDER"
    for line, name, _ in file.imports:
        top = name.partition(".")[0]
        if top == "tests":
            yield line, f"{name} is a test"
        elif top in ORDER and top != file.package:
            if top not in BELOW[file.package]:
                yield line, f"{top} is above {file.package}"
        elif top in ORDER:
            room = room_of(name) or room_of(top)
            if own and room and room != own and room[0] >= own[0]:
                where = "above" if room[0] > own[0] else "beside"
                yield line, f"{name} is {where} {own[1]}"


def imports_are_absolute(file: File, files: Files) -> Problems:
    for node in file.nodes:
        if isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, ast.unparse(node)


def imports_make_no_circles(file: File, files: Files) -> Problems:
    """Tells the shortest way from a file back to it."""
    ways, seen = deque([[file.module]]), set()
    while ways:
        way = ways.popleft()
        modules = {module_of(each.name, files) for each in files[way[-1]].imports}
        for module in sorted(modules & files.keys() - seen):
            seen.add(module)
            ways.append([*way, module])
            if module == file.module:
                yield 1, " -> ".join([*way, module])


def only_public_names(file: File, files: Files) -> Problems:
    names = [(line, name) for line, name, _ in file.imports]
    modules = {each.alias: each.name for each in file.imports if each.name in files}
    for node in file.nodes:
        match node:
            case ast.Attribute(value=ast.Name(id=alias), attr=attribute):
                if alias in modules:
                    names.append((node.lineno, f"{modules[alias]}.{attribute}"))
    for line, name in names:
        top = name.partition(".")[0]
        module = module_of(name, files)
        if top not in ORDER or top == file.package or name in PUBLIC:
            continue
        if module not in PUBLIC or name[len(module) + 1 :] not in files[module].public:
            yield line, f"{name} is private to {top}"


def no_private_parts_of_libraries(file: File, files: Files) -> Problems:
    for line, name, _ in file.imports:
        top, *parts = name.split(".")
        hidden = any(part[0] == "_" != part[1:2] for part in parts)
        if name.startswith(PRIVATE) or (hidden and top not in ORDER):
            yield line, f"{name} is private"
    for node in file.nodes:
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "sys.modules":
            yield node.lineno, ast.unparse(node)


def files_are_short(file: File, files: Files) -> Problems:
    lines = len(file.text.splitlines())
    if lines > LONGEST_FILE:
        yield 1, f"{lines} lines"


def functions_are_short(file: File, files: Files) -> Problems:
    """Their docstrings do not count."""
    for node in file.nodes:
        if isinstance(node, FUNCTION):
            lines = length(node)
            if ast.get_docstring(node) is not None:
                lines -= length(node.body[0])
            if lines > LONGEST_FUNCTION:
                yield node.lineno, f"{node.name} has {lines} lines"


def length(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def parameters_are_few(file: File, files: Files) -> Problems:
    """Only commands, and the operators that users call, have as many as they need."""
    operators = {
        each.name
        for home in PUBLIC
        if home in files
        for each in files[home].imports
        if each.alias in files[home].public
    }
    for node in file.nodes:
        if not isinstance(node, (*FUNCTION, ast.Lambda)):
            continue
        name = getattr(node, "name", "lambda")
        decorators = map(ast.unparse, getattr(node, "decorator_list", []))
        if f"{file.module}.{name}" in operators or "command" in decorators:
            continue
        all_of = node.args
        parameters = [*all_of.posonlyargs, *all_of.args, *all_of.kwonlyargs]
        parameters += filter(None, [all_of.vararg, all_of.kwarg])
        count = sum(each.arg not in {"self", "cls"} for each in parameters)
        if count > MOST_PARAMETERS:
            yield node.lineno, f"{name} has {count} parameters"


def docstrings_stand_alone(file: File, files: Files) -> Problems:
    for node in file.nodes:
        if isinstance(node, (*FUNCTION, ast.ClassDef, ast.Module)):
            text = ast.get_docstring(node) or ""
            if text.startswith("The same"):
                yield node.body[0].lineno, text.splitlines()[0]


def names_mean_something(file: File, files: Files) -> Problems:
    for node in file.nodes:
        match node:
            case (
                ast.Name(id=name, ctx=ast.Store())
                | ast.Attribute(attr=name, ctx=ast.Store())
                | ast.arg(arg=name)
                | ast.alias(asname=str(name))
                | ast.alias(name=name)
                | ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
                | ast.ClassDef(name=name)
                | ast.ExceptHandler(name=str(name))
                | ast.MatchAs(name=str(name))
                | ast.MatchStar(name=str(name))
            ) if name.strip("_") in NO_NAMES:
                yield node.lineno, name


CHECKS = [
    imports_go_down,
    imports_are_absolute,
    imports_make_no_circles,
    only_public_names,
    no_private_parts_of_libraries,
    files_are_short,
    functions_are_short,
    parameters_are_few,
    docstrings_stand_alone,
    names_mean_something,
]


@pytest.mark.parametrize("check", CHECKS)
def test_packages(check):
    files = read_files()
    problems = [
        f"{file.module}:{line}: {what}"
        for file in files.values()
        for line, what in check(file, files)
    ]
    assert not problems, "\n".join(problems)


def test_every_room_has_files():
    named = {
        (package, line, room)
        for package, order in ORDER.items()
        for line, rooms in enumerate(order)
        for room in rooms.split()
    }
    files = read_files().values()
    assert named == {(file.package, *(room_of(file.module) or ())) for file in files}


# A house of a few lines, to which each of those below adds a file.
HOUSE = {
    "softsort_core": "from softsort_core.operators.a import sort\n__all__ = ['sort']",
    "softsort_core.losses": "def loss(): pass\ndef _part(): pass",
    "softsort_cli.io.b": "def f():\n    from softsort_cli.io.c import C",
    "softsort_cli.io.c": "if TYPE_CHECKING:\n    import softsort_cli.io.a",
}
NINE = "a, b, c, d, *, e, f, g, h, i"
LINES = "    pass\n" * (LONGEST_FUNCTION - 1)
REFUSED = [
    (imports_go_down, "softsort_cli.tables.csv", "import softsort_cli.operate.apply"),
    (imports_go_down, "softsort_cli.tables.csv", "from softsort_cli import commands"),
    (imports_go_down, "softsort_cli.options.a", "import softsort_cli.tables.csv"),
    (imports_go_down, "softsort_cli.images.png", "from softsort_cli import operate"),
    (
        imports_go_down,
        "softsort_cli.io.files",
        "def f():\n    from softsort_cli.tables import csv",
    ),
    (
        imports_go_down,
        "softsort_core.squash",
        "if TYPE_CHECKING:\n    from softsort_core.plans.dense import Plan",
    ),
    (imports_go_down, "softsort_core.axis", "from softsort_core import sort"),
    (imports_go_down, "softsort_core.axis", "import softsort_filters"),
    (imports_go_down, "softsort_filters.median", "import softsort_cli.console"),
    (imports_go_down, "softsort_core.axis", "from tests import samples"),
    (imports_go_down, "softsort_core.elsewhere", ""),
    (imports_are_absolute, "softsort_core.axis", "from . import errors"),
    (imports_are_absolute, "softsort_core.plans.a", "from ..errors import Error"),
    (imports_make_no_circles, "softsort_cli.io.a", "from softsort_cli.io import b"),
    (only_public_names, "softsort_cli.app", "from softsort_core import fast"),
    (only_public_names, "softsort_cli.app", "import softsort_core as s\ns.fast()"),
    (only_public_names, "softsort_cli.app", "from softsort_core.losses import _part"),
    (only_public_names, "softsort_cli.app", "from softsort_core.axis import slices"),
    (only_public_names, "softsort_cli.app", "import softsort_core.operators.a"),
    (only_public_names, "softsort_cli.app", "from softsort_core import *"),
    (no_private_parts_of_libraries, "softsort_core.a", "from jax._src import core"),
    (no_private_parts_of_libraries, "softsort_core.a", "from numpy import _core"),
    (no_private_parts_of_libraries, "softsort_core.a", "sys.modules['jax'].x()"),
    (files_are_short, "softsort_core.a", "\n" * (LONGEST_FILE + 1)),
    (functions_are_short, "softsort_core.a", f"def f():\n{LINES}    pass"),
    (
        functions_are_short,
        "softsort_core.a",
        f"class A:\n  async def f():\n    'Text'\n{LINES}    pass",
    ),
    (parameters_are_few, "softsort_core.a", f"def f({NINE}): pass"),
    (parameters_are_few, "softsort_core.a", f"def sort({NINE}): pass"),
    (parameters_are_few, "softsort_core.a", f"g = lambda {NINE}: 0"),
    (parameters_are_few, "softsort_core.a", "def f(a, b, c, d, e, f, g, *h, **i): 0"),
    (docstrings_stand_alone, "softsort_core.a", "def f():\n    '''The same as g.'''"),
    (docstrings_stand_alone, "softsort_core.a", "'''\nThe same\n\nas another.'''"),
    (names_mean_something, "softsort_core.a", "found, x = 1, 2"),
    (names_mean_something, "softsort_core.a", "for self._found in x: pass"),
    (names_mean_something, "softsort_core.a", "if given := f(): pass"),
    (names_mean_something, "softsort_core.a", "def f(*, given): pass"),
    (names_mean_something, "softsort_core.a", "def found(): pass"),
    (names_mean_something, "softsort_core.a", "from a import b as found"),
    (names_mean_something, "softsort_core.a", "from a import found"),
    (names_mean_something, "softsort_core.a", "class A:\n    found: int"),
    (names_mean_something, "softsort_core.a", "match x:\n  case A(given): pass"),
]
LET_THROUGH = [
    (
        imports_go_down,
        "softsort_cli.operate.apply",
        "from softsort_cli.operate import groups\nfrom softsort_cli import console\n"
        "from softsort_core import sort\nimport numpy.linalg",
    ),
    (imports_go_down, "softsort_cli.tables.csv", "import softsort_cli.tables.formats"),
    (imports_go_down, "softsort_core.losses", "import softsort_core"),
    (imports_are_absolute, "softsort_core.axis", "from softsort_core import errors"),
    (imports_make_no_circles, "softsort_cli.io.d", "from softsort_cli.io import b"),
    (
        only_public_names,
        "softsort_cli.app",
        "import softsort_core as s\nfrom softsort_core.losses import loss\ns.sort()\n"
        "from softsort_core import losses\nlosses.loss()\n"
        "from softsort_cli.io import b\nb.f()",
    ),
    (no_private_parts_of_libraries, "softsort_core.a", "from a import __version__"),
    (files_are_short, "softsort_core.a", "\n" * LONGEST_FILE),
    (
        functions_are_short,
        "softsort_core.a",
        f"@a\ndef f():\n    '''Text\n.'''\n{LINES}",
    ),
    (parameters_are_few, "softsort_core.operators.a", f"def sort({NINE}): pass"),
    (parameters_are_few, "softsort_cli.commands.a", f"@command\ndef a({NINE}): pass"),
    (parameters_are_few, "softsort_core.a", "def f(self, a, b, c, d, e, f, g, h): 0"),
    (docstrings_stand_alone, "softsort_core.a", "def f():\n    '''Do the same.'''"),
    (names_mean_something, "softsort_core.a", "x = found.given\nf(found=1)"),
]


def problems(check, module, text):
    files = {name: File(name, lines) for name, lines in {**HOUSE, module: text}.items()}
    return list(check(files[module], files))


@pytest.mark.parametrize(("check", "module", "text"), REFUSED)
def test_refused(check, module, text):
    assert problems(check, module, text)


@pytest.mark.parametrize(("check", "module", "text"), LET_THROUGH)
def test_let_through(check, module, text):
    assert not problems(check, module, text)


def test_checks_are_tested():
    assert {check for check, *_ in REFUSED} == set(CHECKS)
    assert {check for check, *_ in LET_THROUGH} == set(CHECKS)
