"""The import boundaries of docs/architecture.md, enforced on the code."""

import ast
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Set
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement

from tools.code_measures import (
    MAX_NODES_PER_LINE,
    MAX_TOKENS,
    MIN_BLANK_SHARE,
    MIN_COMMENT_SHARE,
    count_tokens,
    measure_product,
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
    "starlette": ("webapp/", "gleanset/web/", "labeler/web/"),
    "uvicorn": ("gleanset/web/",),
    "urllib3": ("harvest/", "gleanset/files/fetch.py"),
    "requests": ("harvest/", "gleanset/files/fetch.py"),
    "httpx": ("harvest/", "gleanset/files/fetch.py"),
    "aiohttp": ("harvest/", "gleanset/files/fetch.py"),
    "http.client": ("harvest/", "gleanset/files/fetch.py"),
    "urllib.request": ("harvest/", "gleanset/files/fetch.py"),
    "huggingface_hub": ("gleanset/files/hub.py",),
    "pyarrow": ("gleanset/files/parquet.py",),
    "subprocess": ("{ffmpeg}", "{docker}"),
    "tools": (),
    "benchmarks": (),
    # Windows lacks these modules: imported where the system is known.
    "fcntl": ("gleanset/platform.py", "gleanset/video/run_ffmpeg.py"),
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

# Names with a leading underscore that their libraries document.
DOCUMENTED_NAMES = {
    "_asdict",
    "_exit",
    "_field_defaults",
    "_fields",
    "_make",
    "_replace",
}
# Private methods of libraries that a class overrides, because the library has no public way.
# pyproject.toml limits the library to the versions that were tested.
OVERRIDDEN_METHODS = {("harvest/http/connections.py", "_new_conn"): "urllib3"}
# Functions that take the name of an attribute, or of a module.
LOOK_UPS = {
    "attrgetter",
    "delattr",
    "getattr",
    "hasattr",
    "import_module",
    "methodcaller",
    "resolve_name",
    "setattr",
}


class Import(NamedTuple):
    module: str
    line: int


NODES = (
    ast.AsyncFunctionDef,
    ast.Attribute,
    ast.Call,
    ast.ClassDef,
    ast.FunctionDef,
    ast.Import,
    ast.ImportFrom,
    ast.Name,
)


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
    package = name.split("/")[0]
    top = module.split(".")[0]
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


@pytest.fixture(scope="module")
def token_counts() -> dict[str, int]:
    """Return the tokens of each module."""
    return {
        path.relative_to(ROOT).as_posix(): count_tokens(path.read_text("utf-8"))
        for path in modules(ROOT)
    }


def test_modules_respect_max_length(token_counts: dict[str, int]) -> None:
    long = {
        name: tokens
        for name, tokens in token_counts.items()
        if tokens > MAX_MODULE_TOKENS
    }
    assert long == {}


def test_one_assignment_a_line() -> None:
    packed = [
        f"{path.relative_to(ROOT).as_posix()}:{line}"
        for path in [*modules(ROOT), *sorted((ROOT / "tests").rglob("*.py"))]
        for line in packed_assignments(ast.parse(path.read_text("utf-8")))
    ]
    assert packed == []


def test_product_respects_token_limit(token_counts: dict[str, int]) -> None:
    total = sum(token_counts.values())
    assert total <= MAX_TOKENS, "remove something: python -m tools.code_measures"


def test_lines_respect_max_density() -> None:
    measures = measure_product()["all"]
    assert measures.nodes_per_line <= MAX_NODES_PER_LINE, (
        "give steps and arguments lines"
    )
    assert measures.blank_share >= MIN_BLANK_SHARE, "part the steps of functions"
    assert measures.comment_share >= MIN_COMMENT_SHARE, "say why"


def is_private(name: str) -> bool:
    """Return whether a name, or a part of a dotted one, belongs to another module."""
    return any(
        re.match(r"_[^_]", part) and not part.endswith("_")
        for part in re.split(r"[.:]", name)
        if part not in DOCUMENTED_NAMES
    )


def definitions(path: Path) -> set[str]:
    """Return the names that a module defines: functions, classes, variables, attributes."""
    names: set[str] = set()
    for node in nodes_of(path):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(node.name)
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case ast.Attribute(ctx=ast.Store(), value=ast.Name("self" | "cls")):
                names.add(node.attr)
    return names


def private_names(path: Path) -> Iterator[Import]:
    """Yield private names that a module takes from another module, or looks up by a text."""
    for node in nodes_of(path):
        match node:
            case ast.Attribute(value=ast.Name("self" | "cls")):
                pass  # may be inherited, which needs the definitions of the package
            case ast.Attribute() if is_private(node.attr):
                yield Import(node.attr, node.lineno)
            case ast.Call(func=ast.Name(name) | ast.Attribute(attr=name)):
                texts = [text for text in node.args if isinstance(text, ast.Constant)]
                for text in texts if name in LOOK_UPS else ():
                    if is_private(str(text.value)):
                        yield Import(str(text.value), node.lineno)


def inherited_names(path: Path) -> Iterator[Import]:
    """Yield private attributes of `self` and `cls`."""
    for node in nodes_of(path):
        match node:
            case ast.Attribute(value=ast.Name("self" | "cls")):
                if is_private(node.attr):
                    yield Import(node.attr, node.lineno)


def test_private_names_are_used_only_in_their_package() -> None:
    """A private name of a library may change in any release, ours in any commit."""
    of_package: dict[str, set[str]] = defaultdict(set)
    for path in modules(ROOT):
        of_package[path.relative_to(ROOT).parts[0]] |= definitions(path)

    problems: list[str] = []
    for path in modules(ROOT):
        file = path.relative_to(ROOT)
        own = definitions(path)
        names = [name for name in imports(path) if is_private(name.module)]
        names += [name for name in private_names(path) if name.module not in own]
        names += [
            name
            for name in inherited_names(path)
            if name.module not in of_package[file.parts[0]]
        ]
        problems += [f"{file.as_posix()}:{line}: {name}" for name, line in names]
    assert problems == []


def private_overrides(path: Path) -> Iterator[str]:
    """Yield private methods of a module's classes that a library's base class has, too."""
    private_methods = {
        (node.name, method.name)
        for node in nodes_of(path)
        if isinstance(node, ast.ClassDef) and node.bases
        for method in node.body
        if isinstance(method, ast.FunctionDef) and is_private(method.name)
    }
    if not private_methods:
        return
    module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for class_name, method in sorted(private_methods):
        bases = getattr(module, class_name).__mro__[1:]
        for base in bases:
            is_ours = base.__module__.partition(".")[0] in PACKAGES
            if not is_ours and method in vars(base):
                yield method


def test_private_methods_of_libraries_are_overridden_in_tested_versions() -> None:
    overrides = {
        (path.relative_to(ROOT).as_posix(), method)
        for path in modules(ROOT)
        for method in private_overrides(path)
    }
    assert overrides == OVERRIDDEN_METHODS.keys()

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = map(Requirement, project["dependencies"])
    by_name = {requirement.name: requirement for requirement in requirements}
    for library in OVERRIDDEN_METHODS.values():
        versions = by_name[library].specifier
        assert any(bound.operator == "<" for bound in versions), library
        assert version(library) in versions, library


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
