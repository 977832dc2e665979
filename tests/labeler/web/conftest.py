"""Fixtures of the tests of `labeler serve`; `original` is the dataset of a test module."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from served_labeler import Server, running_labeler


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "d"))


@pytest.fixture
def server(root: Path) -> Iterator[Server]:
    with running_labeler(root) as server:
        yield server
