"""Files in a dataset that no row knows: left by a kill, or by a take-down that was stopped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from gleanset import Dataset
from gleanset.db.upkeep import Upkeep
from gleanset.files.store import EXTENSIONS

_FORMATS = {extension: name for name, extension in EXTENSIONS.items()}


def strays(dataset: Dataset, upkeep: Upkeep, older_than: float = 0.0) -> Iterator[Path]:
    """Files of `images/` and `crops/` without a row, last changed so many seconds ago.

    A harvest writes a file before its row, so young ones may be about to get theirs.
    """
    latest = time.time() - older_than
    for path in _files(dataset.root / "images"):
        kind = _FORMATS.get(path.suffix.lstrip("."), "")
        if not upkeep.has_image(path.stem, kind) and changed(path) <= latest:
            yield path
    for path in _files(dataset.root / "crops"):
        if not upkeep.has_sample(path.stem) and changed(path) <= latest:
            yield path


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("*/*") if path.is_file())


def changed(path: Path) -> float:
    """When a file was last changed; now, where nobody can say."""
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()
