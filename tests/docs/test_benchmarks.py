"""Names that benchmarks and tools import exist."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted([*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "tools").rglob("*.py")])
# The path of scripts that use helpers of the tests, in this order.
FOLDERS = (ROOT, ROOT / "benchmarks", ROOT / "tests", ROOT / "tests/labeler", ROOT / "tools")


def module_file(name: str, script: Path) -> Path | None:
    """Return the file of a module in this repository; None for a library or a package."""
    for folder in (script.parent, *FOLDERS):
        file = folder / f"{name.replace('.', '/')}.py"
        if file.is_file():
            return file
    return None


@cache
def defined_names(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
    return names


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_imported_names_exist(script: Path) -> None:
    missing = [
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module
        if (file := module_file(node.module, script))
        for alias in node.names
        if alias.name not in defined_names(file)
        and module_file(f"{node.module}.{alias.name}", script) is None
    ]
    assert missing == []
