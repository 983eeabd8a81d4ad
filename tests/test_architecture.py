"""Imports go one way, and only public names cross folders."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOMES = {
    "softsort_core": ROOT / "softsort_core",
    "softsort_filters": ROOT / "filters" / "softsort_filters",
    "softsort_cli": ROOT / "cli" / "softsort_cli",
}
ALLOWED = {
    "softsort_core": {"softsort_core"},
    "softsort_filters": {"softsort_filters", "softsort_core"},
    "softsort_cli": {"softsort_cli", "softsort_filters", "softsort_core"},
}
# What those above may import, beside the package itself.
PUBLIC = {"softsort_core": {"losses"}, "softsort_filters": set()}
FILES = [
    (home, path)
    for home, place in HOMES.items()
    for path in sorted(place.rglob("*.py"))
]
NAMES = [f"{home}/{path.relative_to(HOMES[home])}" for home, path in FILES]


def imported_names(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name


@pytest.mark.parametrize(("home", "path"), FILES, ids=NAMES)
def test_imports_of_packages_go_down(home, path):
    for name in imported_names(ast.parse(path.read_text())):
        top, *rest = name.split(".")
        if top in {"tests", *ALLOWED}:
            assert top in ALLOWED[home], f"{home} must not import {top}"
        if top in HOMES and top != home:
            modules = {each.stem for each in HOMES[top].iterdir()} - PUBLIC[top]
            assert not modules & set(rest[:1]), f"{name} is private to {top}"


# What other releases of these libraries may not have any more.
PRIVATE = "jax._src", "jaxlib._jax", "jaxlib.xla_client", "scipy._lib", "scipy.linalg._"


@pytest.mark.parametrize("path", [path for _, path in FILES], ids=NAMES)
def test_no_private_parts_of_libraries(path):
    text = path.read_text()
    for name in imported_names(ast.parse(text)):
        parts = name.split(".")
        assert not name.startswith(PRIVATE), name
        assert parts[0] in HOMES or not any(
            part.startswith("_") and not part.startswith("__") for part in parts
        ), f"{name} is private"
    assert "sys.modules[" not in text
