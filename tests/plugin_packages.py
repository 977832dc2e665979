"""Plugin packages, installed as pip does it: a module and its dist-info on the path."""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools_for_tests import ROOT, python_path

from gleanset import plugins

TEMPLATES = ROOT / "docs" / "templates"
CACHES = (plugins.find_plugins, plugins._load)


class PluginPackages:
    """A folder on the import path of this and of child processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def add(
        self, name: str, entries: str, module: str = "", version: str = "1.0"
    ) -> str:
        """Install a package of one module with entry points; return its name."""
        called = name.replace("-", "_")
        info = self.folder / f"{called}-{version}.dist-info"
        info.mkdir()
        about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (info / "METADATA").write_text(about, encoding="utf-8")
        (info / "entry_points.txt").write_text(entries, encoding="utf-8")
        (self.folder / f"{called}.py").write_text(module, encoding="utf-8")
        forget()
        return called

    def add_template(self, kind: str) -> str:
        """Install a template of the docs; return its plugin's name."""
        folder = TEMPLATES / kind
        about = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))[
            "project"
        ]
        [(group, entries_by_name)] = about["entry-points"].items()
        [(name, place)] = entries_by_name.items()
        module = (folder / f"{place.partition(':')[0]}.py").read_text(encoding="utf-8")
        entries = f"[{group}]\n{name} = {place}\n"
        assert (
            self.add(about["name"], entries, module, about["version"])
            == place.partition(":")[0]
        )
        return str(name)


def forget() -> None:
    """Clear the caches, so that the next lookup is a new one."""
    for cache in CACHES:
        cache.cache_clear()
    plugins._loaded.clear()


@pytest.fixture
def packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PluginPackages]:
    """Yield an empty folder of packages, which are unloaded after the test."""
    packages_folder = PluginPackages(tmp_path / "site-packages")
    monkeypatch.syspath_prepend(str(packages_folder.folder))
    monkeypatch.setenv("PYTHONPATH", python_path(packages_folder.folder))
    before = set(sys.modules)
    yield packages_folder
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) in map(
            str, packages_folder.folder.glob("*.py")
        ):
            del sys.modules[name]
    forget()
