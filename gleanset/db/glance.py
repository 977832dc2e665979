"""Names in a catalogue, read without opening the dataset.

Nothing is migrated, waited for or made: who presses TAB only looks.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from gleanset.db.connection import CATALOGUE, mode_for_reading

MOST = 2000
_PATIENCE = 0.1

NAMES = {
    "classes": "SELECT name FROM class WHERE merged_into IS NULL ORDER BY name",
    "hints": "SELECT DISTINCT hint FROM origin WHERE hint IS NOT NULL ORDER BY hint",
    "detectors": "SELECT DISTINCT detector FROM sample ORDER BY detector",
    "runs": "SELECT id FROM run WHERE room='baseline' AND status='done' ORDER BY started DESC",
    "snapshots": "SELECT name FROM snapshot ORDER BY id DESC",
}


def names_at_a_glance(root: Path, kind: str) -> list[str]:
    """Return names of a kind in `NAMES`; none where there is no dataset that can be read."""
    path = root.absolute() / CATALOGUE
    if not path.is_file():
        return []
    address = f"{path.as_uri()}?mode={mode_for_reading(path)}"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE)) as db:
            return [row[0] for row in db.execute(f"{NAMES[kind]} LIMIT {MOST}")]
    except (sqlite3.Error, OSError):
        return []
