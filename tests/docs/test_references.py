"""Modules, scripts and tests that the pages reference exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (
    "gleanset",
    "curation",
    "harvest",
    "facecrop",
    "labeler",
    "baseline",
    "webapp",
    "pipeline",
    "tests",
    "docs",
)


@pytest.fixture(scope="module")
def files() -> list[str]:
    """Return every Python file, as a path from the root that begins with `/`."""
    result = (path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    return [f"/{path.relative_to(ROOT).as_posix()}" for path in result]


@pytest.mark.parametrize("page", ["architecture.md", "promises.md", "glossary.md"])
def test_referenced_modules_exist(page: str, files: list[str]) -> None:
    named = re.findall(r"`([\w/-]+\.py)[`:]", (ROOT / "docs" / page).read_text(encoding="utf-8"))
    assert [name for name in named if not any(file.endswith(f"/{name}") for file in files)] == []


def test_referenced_scripts_exist() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("benchmarks/*.md")]
    code = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    named = {
        (path.name, script)
        for path in (*pages, *code)
        for script in re.findall(r"\b(?:benchmarks|tools)/[\w/]+\.py", path.read_text("utf-8"))
    }
    assert sorted((page, name) for page, name in named if not (ROOT / name).is_file()) == []


def test_promised_tests_exist() -> None:
    tests = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for name in re.findall(r"^ *(?:async )?(?:def|class) (\w+)", path.read_text("utf-8"), re.M)
    }
    text = (ROOT / "docs/promises.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(test_\w+|Test[A-Z]\w+)(?!\w|\.py)", text))
    assert sorted(named - tests) == []
