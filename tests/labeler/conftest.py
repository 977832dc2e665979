"""Fixtures of this room's tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tools_for_tests import run_here

from gleanset import Dataset

ROOT = Path(__file__).parents[2]
Labeler = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Dataset]:
    """An empty dataset."""
    with Dataset.create(tmp_path / "dataset") as made:
        yield made


@pytest.fixture
def labeler(tmp_path: Path) -> Labeler:
    """Runs the command in this process."""

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        done = run_here("labeler.cli", *words, cwd=tmp_path)
        return subprocess.CompletedProcess(words, done.code, done.stdout, done.stderr)

    return run


@pytest.fixture
def labeler_process(tmp_path: Path) -> Labeler:
    """Runs the real command in a process of its own, away from the user's settings."""

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from labeler.cli import main; main()", *map(str, words)],
            env=os.environ | {"PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(tmp_path / "none")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
