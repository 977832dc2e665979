"""Imports of benchmarks and tools exist, and portraits are drawn."""

from __future__ import annotations

import ast
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
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


def test_portraits_draws_only_missing_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools/drawn_faces"))
    portraits = import_module("portraits")
    monkeypatch.setattr(portraits, "PART", 2)
    part = tmp_path / "part-0000.npy"
    messages = [portraits.draw_part((part, 0, 1, 1)) for _ in range(2)]
    assert np.load(part).shape == (2, 1, 80, 80, 3)
    assert "ms an image" in messages[0]
    assert messages[1] == "part-0000.npy exists"
