"""The steps of docs/add-a-source.md, followed word for word in a copy of the package."""

import re
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from tools_for_tests import ROOT, Ran, run_to_its_end

PAGE = ROOT / "docs" / "add-a-source.md"
COPIED = (
    "pyproject.toml",
    "gleanset",
    "harvest",
    "tests/conftest.py",
    "tests/publisher.py",
    "tests/dataset_consistency.py",
    "tests/stalls.py",
    "tests/tools_for_tests.py",
    "tests/harvest",
)
_BLOCK = re.compile(
    r"^```(?P<kind>\w+) ?(?P<file>\S*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)


class Block(NamedTuple):
    """A code block of the page; `file` is where it belongs."""

    kind: str
    file: str
    text: str


@pytest.fixture
def blocks() -> list[Block]:
    page = PAGE.read_text(encoding="utf-8")
    return [Block(*result.groups()) for result in _BLOCK.finditer(page)]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Copy the parts of the checkout that the contract test needs."""
    folder = tmp_path / "gleanset"
    for name in COPIED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            # Includes compiled files, which stay valid because times are copied too.
            shutil.copytree(ROOT / name, folder / name)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def write(folder: Path, block: Block) -> None:
    file = folder / block.file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(block.text, encoding="utf-8")


def change(folder: Path, block: Block) -> None:
    """Apply a diff without line numbers; blank lines separate its hunks."""
    file = folder / block.file
    text = file.read_text(encoding="utf-8")
    for place in block.text.strip("\n").split("\n\n"):
        lines = place.splitlines()
        old, new = (
            "\n".join(x[1:] for x in lines if x[0] in signs) for signs in (" -", " +")
        )
        assert text.count(old) == 1, (
            f"{PAGE.name} is stale: {block.file} has no such lines\n{old}"
        )
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")


def contract(folder: Path, line: str) -> Ran:
    """Run the page's command in the copy."""
    program, *arguments = line.split()
    return run_to_its_end(
        [sys.executable, "-m", program, *arguments, "-p", "no:cacheprovider", "-q"],
        folder,
        {"PYTHONPATH": str(folder)},
        timeout=240,
    )


@pytest.mark.slow
def test_documented_source_passes_contract_tests(
    copy: Path, blocks: list[Block]
) -> None:
    [source] = [block for block in blocks if block.kind == "python"]
    [registry] = [block for block in blocks if block.kind == "diff"]
    [line] = [
        block.text.removeprefix("$ ") for block in blocks if block.kind == "console"
    ]
    answers = [block for block in blocks if block.kind == "json"]

    write(copy, source)
    change(copy, registry)
    for answer in answers:
        write(copy, answer)
    done = contract(copy, line)
    assert done.code == 0, done.stdout + done.stderr
    # Passed: six states, candidates, options. Skipped: a state that does not apply.
    assert re.search(r"8 passed, 1 skipped", done.stdout), done.stdout
