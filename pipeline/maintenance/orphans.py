"""Files in a dataset that no row knows: left by a kill, or by a take-down that was stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from gleanset import Dataset
from gleanset.db.maintenance import Maintenance
from gleanset.db.reports import Reports
from gleanset.files.store import EXTENSIONS

_FORMATS = {extension: name for name, extension in EXTENSIONS.items()}


def orphan_files(dataset: Dataset, upkeep: Maintenance, older_than: float = 0.0) -> Iterator[Path]:
    """Files of `images/` and `crops/` without a row, last changed so many seconds ago, and pictures
    of reports from the web that wait no longer.

    A crop is written before its row, so young ones may be about to get theirs.
    """
    latest = time.time() - older_than
    reports = dataset.root / "web" / "reports"
    for folder in (dataset.root / "images", dataset.root / "crops", reports):
        for path in _files(folder):
            if not _has_row(dataset, upkeep, path) and last_changed(path) <= latest:
                yield path


def remove_orphan(dataset: Dataset, upkeep: Maintenance, path: Path) -> bool:
    """Remove a file that still has no row, while nobody can write one; whether it was so."""
    with dataset.db.write():
        if _has_row(dataset, upkeep, path):
            return False
        path.unlink(missing_ok=True)
    return True


def _has_row(dataset: Dataset, upkeep: Maintenance, path: Path) -> bool:
    if (dataset.root / "crops") in path.parents:
        return upkeep.has_sample(path.stem)
    if (dataset.root / "web") in path.parents:
        return Reports(dataset.db).uses(path.stem)
    return upkeep.has_image(path.stem, _FORMATS.get(path.suffix.lstrip("."), ""))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("*/*") if path.is_file())


def last_changed(path: Path) -> float:
    """When a file was last changed; now, where nobody can say."""
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()
