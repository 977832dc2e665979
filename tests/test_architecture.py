"""The import boundaries of docs/architecture.md, enforced on the code."""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator, Set
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

from tools.code_measures import (
    MAX_TOKENS,
    count_tokens,
    measure_package,
    packed_assignments,
)

ROOT = Path(__file__).resolve().parent.parent

# Packages that each package may import.
PACKAGES: dict[str, set[str]] = {
    "gleanset": set(),
    "curation": {"gleanset"},
    "harvest": {"gleanset"},
    "facecrop": {"gleanset", "curation"},
    "labeler": {"gleanset", "curation"},
    "baseline": {"gleanset", "curation", "facecrop"},
    "webapp": {"gleanset", "curation", "facecrop", "baseline"},
    "pipeline": {
        "gleanset",
        "curation",
        "harvest",
        "facecrop",
        "labeler",
        "baseline",
        "webapp",
    },
}

# Modules that may use a library: by path prefix, or by a word in braces in the module name.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "sqlite3": ("gleanset/db/",),
    "PySide6": ("labeler/qt/",),
    "PySide6.QtCore.QProcess": ("labeler/qt/commands.py",),
    "torch": ("baseline/",),
    "torchvision": ("baseline/",),
    "timm": ("baseline/",),
    "starlette": ("webapp/",),
    "uvicorn": ("webapp/",),
    "urllib3": ("harvest/", "gleanset/files/fetch.py"),
    "requests": ("harvest/", "gleanset/files/fetch.py"),
    "httpx": ("harvest/", "gleanset/files/fetch.py"),
    "aiohttp": ("harvest/", "gleanset/files/fetch.py"),
    "http.client": ("harvest/", "gleanset/files/fetch.py"),
    "urllib.request": ("harvest/", "gleanset/files/fetch.py"),
    "huggingface_hub": ("gleanset/files/hub.py",),
    "pyarrow": ("gleanset/files/parquet.py",),
    "subprocess": ("{ffmpeg}", "{docker}", "{npm}"),
    "tools": (),
    "benchmarks": (),
    # Windows lacks these modules: imported where the system is known.
    "fcntl": ("gleanset/platform.py", "harvest/video/run_ffmpeg.py"),
    "resource": ("webapp/model_process.py",),
    "pwd": (),
    "grp": (),
    "termios": (),
    "pickle": (),
    "marshal": (),
    "shelve": (),
}
# Attributes that only some modules may use. Windows makes links for administrators only.
ATTRIBUTES = {
    "CascadeClassifier": "facecrop/detectors/",
    "QProcess": "labeler/qt/commands.py",
    "symlink": "nowhere",
    "symlink_to": "nowhere",
}
MAX_MODULE_TOKENS = 2_800


class Import(NamedTuple):
    module: str
    line: int


NODES = (ast.Attribute, ast.ClassDef, ast.Import, ast.ImportFrom)


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    """Return the nodes of a module that a rule is about."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, NODES)]


def modules(root: Path) -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((root / package).rglob("*.py"))


def imports(path: Path) -> Iterator[Import]:
    """Yield every import, also in functions and under TYPE_CHECKING."""
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield Import(node.module, node.lineno)
            for alias in node.names:
                yield Import(f"{node.module}.{alias.name}", node.lineno)


def violations(root: Path) -> list[str]:
    """List broken rules as `file:line: problem`."""
    result: list[str] = []
    for path in modules(root):
        name = path.relative_to(root).as_posix()
        result += [
            f"{name}:{item.line}: {problem}"
            for item in imports(path)
            if (problem := forbidden(name, item.module))
        ]
        result += [
            f"{name}:{node.lineno}: {node.attr} outside {place}"
            for node in nodes_of(path)
            if isinstance(node, ast.Attribute)
            and (place := ATTRIBUTES.get(node.attr)) is not None
            and not name.startswith(place)
        ]
    return sorted(set(result))


def forbidden(name: str, module: str) -> str | None:
    """Return why the file `name` may not import `module`, or None."""
    package, top = name.split("/")[0], module.split(".")[0]
    if top in PACKAGES and top != package and top not in PACKAGES[package]:
        return f"{package} may not import {top}"
    for library, places in LIBRARIES.items():
        is_library = module == library or module.startswith(f"{library}.")
        if is_library and not any(_allowed(name, place) for place in places):
            return f"{library} is not for {name}"
    return None


def _allowed(name: str, place: str) -> bool:
    if place.startswith("{"):
        return place.strip("{}") in name.rsplit("/", 1)[-1]
    return name.startswith(place)


def test_packages_respect_import_boundaries() -> None:
    assert violations(ROOT) == []


def test_modules_respect_max_length() -> None:
    sizes = {
        path.relative_to(ROOT).as_posix(): count_tokens(path.read_text("utf-8"))
        for path in modules(ROOT)
    }
    long = {
        name: tokens for name, tokens in sizes.items() if tokens > MAX_MODULE_TOKENS
    }
    assert long == {}


def test_one_assignment_a_line() -> None:
    packed = [
        f"{path.relative_to(ROOT).as_posix()}:{line}"
        for path in [*modules(ROOT), *sorted((ROOT / "tests").rglob("*.py"))]
        for line in packed_assignments(ast.parse(path.read_text("utf-8")))
    ]
    assert packed == []


def test_product_respects_token_limit() -> None:
    total = sum(measure_package(package).tokens for package in PACKAGES)
    assert total <= MAX_TOKENS, "remove something: python -m tools.code_measures"


def cycle(root: Path) -> list[str]:
    """Return one import cycle, also in functions and under TYPE_CHECKING, or nothing."""
    names = (
        ".".join(path.relative_to(root).with_suffix("").parts) for path in modules(root)
    )
    paths = dict(
        zip((n.removesuffix(".__init__") for n in names), modules(root), strict=True)
    )
    graph = {
        name: targets(path, paths.keys()) - {name, *packages_above(name)}
        for name, path in paths.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def packages_above(name: str) -> set[str]:
    """Return parent packages, whose import with a module is not a cycle."""
    parts = name.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts))}


def targets(path: Path, names: Set[str]) -> set[str]:
    """Return our modules that a file imports; of `from package import module` only the module."""
    result: set[str] = set()
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            result |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            result |= members & names if members <= names else {*members, node.module}
    return result & names


def test_imports_have_no_cycles() -> None:
    assert cycle(ROOT) == []


def test_public_class_names_are_unique() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in modules(ROOT):
        for node in nodes_of(path):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path.relative_to(ROOT).as_posix())
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_test_module_names_are_unique() -> None:
    """pytest imports test modules by name: of equal names only the first is imported."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py"))
    del names["conftest.py"]
    assert [name for name, count in names.items() if count > 1] == []
