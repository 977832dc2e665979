"""Files in a dataset that no row knows: left by a kill, or by a take-down that was stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from gleanset import Dataset
from gleanset.db.connection import Connection
from gleanset.db.maintenance import Maintenance
from gleanset.db.snapshots import Snapshots
from gleanset.db.visitors import Reports
from gleanset.files.store import EXTENSIONS, Store

_FORMATS = {extension: name for name, extension in EXTENSIONS.items()}


class Stray(NamedTuple):
    """A file without a row. `awaits_row`: it may be about to get one."""

    file: Path
    bytes: int
    awaits_row: bool
    has_row: Callable[[Path], bool]


def orphan_files(dataset: Dataset, older_than: float = 0.0) -> Iterator[Stray]:
    """Originals and crops without a row, last changed so many seconds ago, and pictures of reports
    from the web that wait no longer. A row of a snapshot counts.

    A crop is written before its row: young ones may be about to get theirs.
    """
    reports = Store(dataset.root / "web" / "reports", dataset.cache)
    originals = dataset.originals(dataset.cache)
    crops = dataset.crops(dataset.cache)
    with Snapshots(dataset.root).all_opened() as opened:
        catalogues = [dataset.db, *opened]
        yield from _of(originals, partial(_is_image, catalogues), older_than, False)
        yield from _of(crops, partial(_is_crop, catalogues), older_than, True)
        yield from _of(reports, partial(_is_reported, catalogues), older_than, False)


def _of(
    store: Store, has_row: Callable[[Path], bool], older_than: float, awaits_row: bool
) -> Iterator[Stray]:
    for file, size, changed in store.each():
        if changed <= time.time() - older_than and not has_row(file):
            yield Stray(file, size, awaits_row, has_row)


def _is_crop(catalogues: list[Connection], file: Path) -> bool:
    return any(Maintenance(db).has_sample(file.stem) for db in catalogues)


def _is_image(catalogues: list[Connection], file: Path) -> bool:
    format_ = _FORMATS.get(file.suffix.lstrip("."), "")
    return any(Maintenance(db).has_image(file.stem, format_) for db in catalogues)


def _is_reported(catalogues: list[Connection], file: Path) -> bool:
    return any(Reports(db).uses(file.stem) for db in catalogues)


def remove_orphan(dataset: Dataset, stray: Stray) -> bool:
    """Remove a file that still has no row, while nobody can write one; whether it was so."""
    with dataset.db.write():
        if stray.has_row(stray.file):
            return False
        stray.file.unlink(missing_ok=True)
    return True


def last_changed(path: Path) -> float:
    """When a file was last changed; now, where nobody can say."""
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()
