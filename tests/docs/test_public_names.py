"""What docs/extending.md calls public is there, with these fields and arguments, in this order."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields, is_dataclass
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from drawn_dataset import fill
from tools_for_tests import ROOT

import gleanset
from gleanset import Dataset
from gleanset.errors import GleansetError
from harvest.http import Client
from harvest.sources import Source

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
PUBLIC = PAGE.partition("## What is public")[2]
NAMES, SHAPES = re.findall(r"```text\n(.*?)```", PUBLIC, re.DOTALL)
[EXAMPLE] = re.findall(r"```python\n(.*?)```", PUBLIC, re.DOTALL)
MEMBERS = {
    "Dataset": (
        *("open", "create", "close", "name", "root", "read_only", "image_path", "crop_path"),
        *("images.count", "images.each", "images.get"),
        *("samples.count", "samples.by_key", "samples.get", "samples.in_splits"),
    ),
    "Source": ("pages", "read", "refuse"),
    "Client": ("page",),
}


def public() -> dict[str, Any]:
    """Return all that the page names, by module and name."""
    found = {}
    for line in NAMES.splitlines():
        module, _, names = line.partition(": ")
        for name in names.split():
            found[f"{module}.{name}"] = getattr(import_module(module), name)
    return found


def shapes(dataset: Dataset) -> list[str]:
    """Return the fields of every public class, and the arguments of every function."""
    named = {name.rpartition(".")[2]: thing for name, thing in public().items()}
    lines = [f"{name}{shape}" for name, thing in sorted(named.items()) if (shape := _shape(thing))]
    owners = {"Dataset": dataset, "Source": Source, "Client": Client}
    for name, owner in owners.items():
        members = [f"{path}{_shape(attrgetter(path)(owner))}" for path in MEMBERS[name]]
        lines.append(f"{name}: {' '.join(members)}")
    return lines


def _shape(thing: Any) -> str:
    if is_dataclass(thing) and isinstance(thing, type):
        return ": " + " ".join(field.name for field in fields(thing))
    if isinstance(thing, type) and hasattr(thing, "_fields"):
        return ": " + " ".join(thing._fields)
    if inspect.isfunction(thing) or inspect.ismethod(thing):
        names = [name for name in inspect.signature(thing).parameters if name != "self"]
        return f"({', '.join(names)})"
    return ""


def test_the_package_names_what_the_page_names() -> None:
    [line] = [line for line in NAMES.splitlines() if line.startswith("gleanset: ")]
    assert line.partition(": ")[2].split() == gleanset.__all__
    assert {name: thing for name, thing in public().items() if thing is None} == {}


def test_fields_and_arguments_are_those_of_the_page(tmp_path: Path) -> None:
    with Dataset.create(tmp_path / "data") as dataset:
        assert "\n".join(shapes(dataset)) == SHAPES.strip(), "a change here is told in CHANGELOG.md"


def test_public_errors_are_errors_with_a_mend() -> None:
    errors = [thing for name, thing in public().items() if name.startswith("gleanset.errors")]
    others = [error.__name__ for error in errors if not issubclass(error, GleansetError)]
    assert others == ["Unreadable"]


def test_the_example_of_the_page_reads_a_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with Dataset.create("my-dataset") as dataset:
        fill(dataset, 4)
    exec(EXAMPLE, {})
    assert len(capsys.readouterr().out.splitlines()) == 12
