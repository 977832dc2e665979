"""Links and names on all pages and in scripts resolve; the site loads nothing from others."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from tools_for_tests import ROOT

DOCS = ROOT / "docs"
FOLDERS = ("docs", "benchmarks", "docker", "tests/harvest/answers")
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md")),
    ]
)
CODE = [ROOT / "bootstrap.py", *(path for path in ROOT.glob("[a-z]*/**/*.py"))]
_LINK = re.compile(
    r"\[[^][]*(?:\[[^][]*\][^][]*)*\]\(([^()\s]+)\)|<img src=\"([^\"]+)\""
)
_FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
_LOADED = re.compile(
    r"<(?:script|img|link|iframe)\b[^>]*(?:src|href)=\"(?:https?:)?//|url\([\"']?http"
)


def links(page: Path) -> list[str]:
    """Return the links and images of a page within the repository."""
    text = re.sub(r"`[^`\n]+`", "", _FENCED.sub("", page.read_text(encoding="utf-8")))
    targets = (shown or linked for linked, shown in _LINK.findall(text))
    return [target for target in targets if not re.match(r"\w+:", target)]


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as code hosts and the site make them."""
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in headings)
    return {word.replace(" ", "-") for word in words}


def is_broken(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return True
    return bool(anchor) and anchor not in anchors(target)


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_links_resolve(page: Path) -> None:
    assert [link for link in links(page) if is_broken(page, link)] == []


def test_menu_lists_every_page_once() -> None:
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    listed = [link for link in links(DOCS / "index.md") if link.endswith(".md")]
    assert sorted([*listed, "index.md"]) == sorted(pages)


def test_every_image_is_used() -> None:
    shown = {(page.parent / link).resolve() for page in PAGES for link in links(page)}
    pictures = [
        path for path in (DOCS / "images").iterdir() if path.suffix not in ("", ".py")
    ]
    assert [picture.name for picture in pictures if picture not in shown] == []


@pytest.mark.parametrize("page", ["architecture.md", "promises.md", "glossary.md"])
def test_referenced_modules_exist(page: str) -> None:
    named = re.findall(r"`([\w/-]+\.py)[`:]", (DOCS / page).read_text(encoding="utf-8"))
    files = [f"/{path.relative_to(ROOT).as_posix()}" for path in CODE]
    assert [
        name for name in named if not any(file.endswith(f"/{name}") for file in files)
    ] == []


def test_referenced_scripts_and_pages_exist() -> None:
    pattern = re.compile(r"\b(?:(?:benchmarks|tools)/[\w/]+\.py|docs/[\w/-]+\.md)\b")
    named = {
        (path.name, name)
        for path in (*PAGES, *CODE)
        for name in pattern.findall(path.read_text("utf-8"))
    }
    assert (
        sorted((page, name) for page, name in named if not (ROOT / name).is_file())
        == []
    )


def test_promised_tests_exist() -> None:
    tests = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for name in re.findall(
            r"^ *(?:async )?(?:def|class) (\w+)", path.read_text("utf-8"), re.M
        )
    }
    text = (ROOT / "docs/promises.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(test_\w+|Test[A-Z]\w+)(?!\w|\.py)", text))
    assert sorted(named - tests) == []


@pytest.mark.long
def test_site_builds_without_warnings(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="needs the extra [docs]")
    build = [sys.executable, "-m", "sphinx", "-W", "-q", "docs", str(tmp_path)]
    built = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    files = [path for path in tmp_path.rglob("*") if path.suffix in (".html", ".css")]
    assert len(files) > len(list(DOCS.rglob("*.md")))
    loaded = [
        path.name for path in files if _LOADED.search(path.read_text(encoding="utf-8"))
    ]
    assert loaded == []


SCRIPTS = sorted([*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "tools").rglob("*.py")])
# The path of scripts that use helpers of the tests, in this order.
SCRIPT_PATH = (
    ROOT,
    ROOT / "benchmarks",
    ROOT / "tests",
    ROOT / "tests/labeler",
    ROOT / "tools",
)


def module_file(name: str, script: Path) -> Path | None:
    """Return the file of a module in this repository; None for a library or a package."""
    for folder in (script.parent, *SCRIPT_PATH):
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


@pytest.mark.parametrize(
    "script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT))
)
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


def imported_files(script: Path) -> set[Path]:
    """Return the files in this repository that a script imports."""
    files: set[Path | None] = set()
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            files.update(module_file(alias.name, script) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
            files.update(module_file(name, script) for name in names)
    return {file for file in files if file is not None}


def test_every_script_is_used_by_a_test_or_a_page() -> None:
    texts = [*PAGES, *(ROOT / "tools").rglob("*.sh")]
    pages = "\n".join(text.read_text(encoding="utf-8") for text in texts)
    programs = [*(ROOT / "tests").rglob("*.py"), *DOCS.rglob("*.py")]
    named = [
        script
        for script in SCRIPTS
        if re.search(rf"(?<!\w){re.escape(script.stem)}(\.py|`)", pages)
        or ".".join(script.relative_to(ROOT).with_suffix("").parts) in pages
    ]
    used: set[Path] = set()
    pending = {*named, *programs}
    while pending:
        used |= pending
        imported = {file for script in pending for file in imported_files(script)}
        # No module of a package imports a script.
        pending = imported & set(SCRIPTS) - used
    unused = [script for script in SCRIPTS if script not in used]
    assert [path.name for path in unused if path.name != "__init__.py"] == []
