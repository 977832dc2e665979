"""The public names of docs/extending.md exist, with these fields and arguments."""

import re
from pathlib import Path, PurePath

import pytest
from drawn_dataset import fill
from public_names import NAMES, REFERENCE, public, reference
from tools_for_tests import ROOT

import gleanset
from gleanset import Dataset
from gleanset.errors import GleansetError

EXAMPLES = {
    "README.md": 4,
    "docs/dataset.md": 12,
    "docs/extending.md": 12,
}
"""Pages with one example of an open dataset, and the lines that it prints."""
OTHER_TESTS = {
    "docs/add-a-source.md": "harvest/test_add_a_source.py",
    "docs/detectors.md": "facecrop/test_detectors.py",
    "docs/export.md": "harvest/test_people.py",
    "docs/image-generators.md": "harvest/test_tags.py",
    "docs/python.md": "baseline/use/test_model.py",
    "docs/use.md": "baseline/use/test_model.py",
}
"""Other pages with examples in Python, and the tests that run them."""


def list_examples(page: Path) -> list[str]:
    """Return the examples in Python of a page."""
    text = page.read_text(encoding="utf-8")
    return re.findall(r"```python[^\n]*\n(.*?)```", text, re.DOTALL)


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


@pytest.mark.parametrize(("page", "lines"), EXAMPLES.items())
def test_documented_example_runs(
    page: str,
    lines: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with Dataset.create("my-dataset") as dataset:
        fill(dataset, 4)
    [example] = list_examples(ROOT / page)
    exec(example.replace('"hana"', '"disc"'), {})
    assert len(capsys.readouterr().out.splitlines()) == lines


def test_every_page_with_python_is_run() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    names = {page.relative_to(ROOT).as_posix() for page in pages if list_examples(page)}
    assert names == EXAMPLES.keys() | OTHER_TESTS.keys()
    for page, test in OTHER_TESTS.items():
        text = (ROOT / "tests" / test).read_text(encoding="utf-8")
        assert PurePath(page).name in text
