"""Fixtures of the labeler tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gleanset import Dataset


@pytest.fixture
def empty(tmp_path: Path, _new_dataset: Path) -> Iterator[Dataset]:
    """Yield an empty dataset, even where a module overrides `dataset`."""
    with Dataset.open(shutil.copytree(_new_dataset, tmp_path / "dataset")) as copied:
        yield copied
