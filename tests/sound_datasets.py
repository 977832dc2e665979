"""Every dataset that a test leaves behind is looked over: its catalogue contradicts nothing.

Files are not hashed. What is no catalogue of this version is left alone.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from gleanset.db.connection import CATALOGUE, Connection
from gleanset.db.maintenance import Maintenance, find_contradictions
from gleanset.db.schema import SCHEMA
from gleanset.files.store import Store


def catalogues_below(folder: Path) -> Iterator[Path]:
    """The catalogues of all datasets in a folder."""
    for place, inner, files in os.walk(folder):
        if CATALOGUE in files:
            yield Path(place) / CATALOGUE
            inner[:] = [name for name in inner if name not in ("images", "crops", "cache")]


def complaints(catalogue: Path) -> list[str]:
    """What is wrong with a dataset, by the rows of its catalogue and the names of its files."""
    if not _is_ours(catalogue):
        return []
    with closing(Connection(catalogue)) as db:
        wrong = [
            f"{name}: {line}"
            for name, finding in find_contradictions(db).items()
            for line in finding.examples
        ]
        wrong += [f"missing file: {path}" for path in _missing(db, catalogue.parent)]
    return [f"{catalogue.parent}: {line}" for line in wrong]


def _missing(db: Connection, root: Path) -> Iterator[Path]:
    """The pictures that should be there. Tests of rows alone make none."""
    store = Store(root / "images", root / "cache")
    if store.root.is_dir():
        stored = (
            store.path(one.sha256, one.format)
            for one in Maintenance(db).iter_images()
            if one.state == "ok"
        )
        yield from (path for path in stored if not path.exists())


def _is_ours(catalogue: Path) -> bool:
    with suppress(sqlite3.Error), closing(_opened(catalogue)) as file:
        (newest,) = file.execute("SELECT max(name) FROM migration").fetchone()
        return bool(newest == SCHEMA.newest)
    return False


def _opened(catalogue: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{catalogue.absolute().as_uri()}?mode=ro", uri=True)
