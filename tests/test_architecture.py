"""The table of rooms and doors of docs/architecture.md, enforced on the code as it stands."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Which of our rooms each room may import.
ROOMS: dict[str, set[str]] = {
    "gleanset": set(),
    "harvest": {"gleanset"},
    "facecrop": {"gleanset"},
    "labeler": {"gleanset"},
    "baseline": {"gleanset", "facecrop"},
    "webapp": {"gleanset", "facecrop", "baseline"},
    "pipeline": {"gleanset", "harvest", "facecrop", "labeler", "baseline", "webapp"},
}

# Which modules may use a library: a path begins with one of the prefixes, or one of the words
# in braces stands in the module's name.
DOORS: dict[str, tuple[str, ...]] = {
    "sqlite3": ("gleanset/db/",),
    "PySide6": ("labeler/qt/",),
    "torch": ("baseline/",),
    "torchvision": ("baseline/",),
    "timm": ("baseline/",),
    "urllib3": ("harvest/", "gleanset/files/fetch.py"),
    "requests": ("harvest/", "gleanset/files/fetch.py"),
    "httpx": ("harvest/", "gleanset/files/fetch.py"),
    "aiohttp": ("harvest/", "gleanset/files/fetch.py"),
    "http.client": ("harvest/", "gleanset/files/fetch.py"),
    "urllib.request": ("harvest/", "gleanset/files/fetch.py"),
    "subprocess": ("{ffmpeg}", "{docker}"),
    "pickle": (),
    "marshal": (),
    "shelve": (),
}
CASCADE = "facecrop/detectors/"
LONGEST_MODULE = 400


class Import(NamedTuple):
    module: str
    line: int


def modules(root: Path) -> Iterator[Path]:
    for room in ROOMS:
        yield from sorted((root / room).rglob("*.py"))


def imports(tree: ast.AST) -> Iterator[Import]:
    """Every import, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield Import(node.module, node.lineno)
            for alias in node.names:
                yield Import(f"{node.module}.{alias.name}", node.lineno)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield Import("(relative)", node.lineno)


def violations(root: Path) -> list[str]:
    """Every broken rule as `file:line: what`."""
    found: list[str] = []
    for path in modules(root):
        name = path.relative_to(root).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [
            f"{name}:{made.line}: {why}"
            for made in imports(tree)
            if (why := forbidden(name, made.module))
        ]
        found += [
            f"{name}:{node.lineno}: CascadeClassifier outside {CASCADE}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and node.attr == "CascadeClassifier"
            and not name.startswith(CASCADE)
        ]
    return sorted(set(found))


def forbidden(name: str, module: str) -> str | None:
    """Why the file `name` may not import `module`, or None."""
    room, top = name.split("/")[0], module.split(".")[0]
    if module == "(relative)":
        return "relative import: rooms are named in full"
    if top in ROOMS and top != room and top not in ROOMS[room]:
        return f"{room} may not import {top}"
    for library, places in DOORS.items():
        meant = module == library or module.startswith(f"{library}.")
        if meant and not any(_allowed(name, place) for place in places):
            return f"{library} is not for {name}"
    return None


def _allowed(name: str, place: str) -> bool:
    if place.startswith("{"):
        return place.strip("{}") in name.rsplit("/", 1)[-1]
    return name.startswith(place)


def test_rooms_and_doors() -> None:
    assert violations(ROOT) == []


def test_modules_stay_readable() -> None:
    long = {
        path.relative_to(ROOT).as_posix(): lines
        for path in modules(ROOT)
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LONGEST_MODULE
    }
    assert long == {}


def test_no_two_test_modules_share_a_name() -> None:
    """pytest imports them side by side: of two with one name only the first would be there."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py"))
    del names["conftest.py"]
    assert [name for name, count in names.items() if count > 1] == []


def test_datasets_is_no_package() -> None:
    assert list((ROOT / "datasets").rglob("*.py")) == []


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        ("gleanset/a.py", "import harvest.folder", "gleanset may not import harvest"),
        (
            "harvest/a.py",
            "from labeler.splits.plan import plan_split",
            "harvest may not import labeler",
        ),
        ("labeler/a.py", "def f():\n    import baseline", "labeler may not import baseline"),
        ("pipeline/a.py", "import sqlite3", "sqlite3 is not for"),
        ("gleanset/files/a.py", "from sqlite3 import connect", "sqlite3 is not for"),
        ("labeler/a.py", "from PySide6.QtCore import Qt", "PySide6 is not for"),
        ("pipeline/a.py", "import torch.nn", "torch is not for"),
        ("labeler/a.py", "import urllib3", "urllib3 is not for"),
        ("facecrop/a.py", "from urllib.request import urlopen", "urllib.request is not for"),
        ("facecrop/a.py", "from urllib import request", "urllib.request is not for"),
        ("harvest/a.py", "import subprocess", "subprocess is not for"),
        ("harvest/a.py", "import cv2\ncv2.CascadeClassifier()", "CascadeClassifier outside"),
        ("baseline/a.py", "import pickle", "pickle is not for"),
        ("harvest/a.py", "from . import b", "relative import"),
    ],
)
def test_breaking_a_rule_is_noticed(tmp_path: Path, name: str, code: str, expected: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(code)
    assert [line for line in violations(tmp_path) if expected in line]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("gleanset/db/a.py", "import sqlite3"),
        ("harvest/video/run_ffmpeg.py", "import subprocess"),
        ("facecrop/docker_client.py", "import subprocess"),
        ("facecrop/detectors/a.py", "import cv2\ncv2.CascadeClassifier()"),
        ("baseline/a.py", "import torch\nfrom facecrop.search import find_faces"),
        ("pipeline/a.py", "import harvest.folder"),
    ],
)
def test_what_is_allowed_passes(tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(code)
    assert violations(tmp_path) == []
