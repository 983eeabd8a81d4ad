"""Imports go one way, and only public names cross folders."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "softsort_core": {"softsort_core"},
    "filters": {"filters", "softsort_core"},
    "learning": {"learning", "softsort_core"},
    "cli": {"cli", "filters", "learning", "softsort_core"},
}
FILES = [path for folder in ALLOWED for path in sorted((ROOT / folder).rglob("*.py"))]


def imported_names(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name


@pytest.mark.parametrize(
    "path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_imports(path):
    home = path.relative_to(ROOT).parts[0]
    for name in imported_names(ast.parse(path.read_text())):
        top, *rest = name.split(".")
        if top in {"tests", *ALLOWED}:
            assert top in ALLOWED[home], f"{home} must not import {top}"
        if top in ALLOWED and top != home:
            private = [part for part in rest if part.startswith("_")]
            assert not private, f"{name} is private to {top}"


# What other releases of these libraries may not have any more.
PRIVATE = "jax._src", "jaxlib._jax", "jaxlib.xla_client", "scipy._lib", "scipy.linalg._"


@pytest.mark.parametrize(
    "path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_no_private_parts_of_libraries(path):
    text = path.read_text()
    for name in imported_names(ast.parse(text)):
        parts = name.split(".")
        assert not name.startswith(PRIVATE), name
        assert parts[0] in ALLOWED or not any(
            part.startswith("_") and not part.startswith("__") for part in parts
        ), f"{name} is private"
    assert "sys.modules[" not in text
