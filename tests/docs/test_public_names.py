"""The public names of docs/extending.md exist, with these fields and arguments."""

import re
from pathlib import Path

import pytest
from drawn_dataset import fill
from public_names import NAMES, PUBLIC, REFERENCE, public, reference

import gleanset
from gleanset import Dataset
from gleanset.errors import GleansetError

[EXAMPLE] = re.findall(r"```python\n(.*?)```", PUBLIC, re.DOTALL)


def test_package_exports_documented_names() -> None:
    [line] = [line for line in NAMES.splitlines() if line.startswith("gleanset: ")]
    assert line.partition(": ")[2].split() == gleanset.__all__
    assert {name: thing for name, thing in public().items() if thing is None} == {}


def test_documented_reference_is_current() -> None:
    assert reference() == REFERENCE.strip(), (
        "a change here is told in CHANGELOG.md; the page is made by tests/docs/public_names.py"
    )


def test_public_errors_have_hints() -> None:
    errors = [
        thing for name, thing in public().items() if name.startswith("gleanset.errors")
    ]
    others = [
        error.__name__ for error in errors if not issubclass(error, GleansetError)
    ]
    assert others == ["Unreadable"]


def test_documented_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with Dataset.create("my-dataset") as dataset:
        fill(dataset, 4)
    exec(EXAMPLE, {})
    assert len(capsys.readouterr().out.splitlines()) == 12
