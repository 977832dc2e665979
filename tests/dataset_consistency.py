"""Consistency check of every dataset that a test leaves behind.

Files are not hashed. Files that are not a catalogue of this version are ignored.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from gleanset.db.connection import CATALOGUE, SCHEMA, Connection
from gleanset.db.maintenance import Maintenance, find_contradictions
from gleanset.files.store import Store

# What a plan puts in one split, by its own names of groups, is in one split.
_STRADDLING = " UNION ALL ".join(
    f"""
    SELECT '{column} of '||min(key)||' is in '||min(split)||' and '||max(split)
    FROM sample
    WHERE {column} IS NOT NULL AND split IS NOT NULL AND status='labelled' AND kept
    GROUP BY {column}
    HAVING count(DISTINCT split)>1
    """
    for column in ("split_group", "image", "duplicate_set")
)


def catalogues_below(folder: Path) -> Iterator[Path]:
    """Yield the catalogues of all datasets in a folder."""
    for place, inner, files in os.walk(folder):
        if CATALOGUE in files:
            yield Path(place) / CATALOGUE
            inner[:] = [
                name for name in inner if name not in ("images", "crops", "cache")
            ]


def complaints(catalogue: Path) -> list[str]:
    """List inconsistencies of a dataset's rows and missing files."""
    if not _is_ours(catalogue):
        return []
    with closing(Connection(catalogue)) as db:
        wrong = [
            f"{name}: {line}"
            for name, finding in find_contradictions(db).items()
            for line in finding.examples
        ]
        wrong += db.fetch_column(_STRADDLING)
        wrong += [f"missing file: {path}" for path in _missing(db, catalogue.parent)]
    return [f"{catalogue.parent}: {line}" for line in wrong]


def _missing(db: Connection, root: Path) -> Iterator[Path]:
    """Yield images without a file; none where no files are stored."""
    store = Store(root / "images", root / "cache")
    if store.root.is_dir():
        stored = (
            store.path(image.sha256, image.format)
            for image in Maintenance(db).iter_images()
            if image.state == "ok"
        )
        yield from (path for path in stored if not path.exists())


def _is_ours(catalogue: Path) -> bool:
    with suppress(sqlite3.Error), closing(_opened(catalogue)) as file:
        (newest,) = file.execute("SELECT max(name) FROM migration").fetchone()
        return bool(newest == SCHEMA.newest)
    return False


def _opened(catalogue: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{catalogue.absolute().as_uri()}?mode=ro", uri=True)
