"""A dataset as the last development version left it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest


@pytest.fixture
def oldest(tmp_path: Path) -> Path:
    """The oldest catalogue that can be opened, with rows in every table, in a folder of its own."""
    path = tmp_path / "old" / "catalog.sqlite"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as file:
        file.executescript(Path(__file__).with_name("catalogue_of_49a8f26.sql").read_text())
    return path
