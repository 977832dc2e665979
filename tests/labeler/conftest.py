"""Fixtures of the labeler tests."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tools_for_tests import run_here

from gleanset import Dataset

Labeler = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def empty(tmp_path: Path, _new_dataset: Path) -> Iterator[Dataset]:
    """Yield an empty dataset, even where a module overrides `dataset`."""
    with Dataset.open(shutil.copytree(_new_dataset, tmp_path / "dataset")) as copied:
        yield copied


@pytest.fixture
def labeler(tmp_path: Path) -> Labeler:
    """Return a function that runs the command in this process."""

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        done = run_here("labeler.cli", *words, cwd=tmp_path)
        return subprocess.CompletedProcess(words, done.code, done.stdout, done.stderr)

    return run
