"""A catalogue of the oldest version that can be opened."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest


@pytest.fixture
def oldest(tmp_path: Path) -> Path:
    """Make the oldest supported catalogue, with rows in every table."""
    path = tmp_path / "old" / "catalog.sqlite"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as file:
        file.executescript(
            Path(__file__).with_name("catalogue_of_4fea4a6a.sql").read_text()
        )
    return path
