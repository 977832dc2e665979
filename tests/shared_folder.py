"""Test data that is slow to make: one process makes it, all tests of a run share it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def find_shared_folder(factory: pytest.TempPathFactory) -> Path:
    """Return the folder for temporary files of all processes of the run."""
    basetemp = factory.getbasetemp()
    return basetemp.parent if "PYTEST_XDIST_WORKER" in os.environ else basetemp


def make_shared_folder(
    factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> Path:
    """Return the folder that the first call filled with `make`.

    Tests of the run share it: they read or copy it, and must not change it.
    """
    parent = find_shared_folder(factory)
    folder = parent / f"made-{name}"
    unfinished = parent / f"begun-{name}"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(folder)
    return folder
