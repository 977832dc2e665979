"""Near copies among what is to be split, looked for before it is: they stay on one side."""

from __future__ import annotations

from gleanset import Dataset
from gleanset.db.samples import SplitGroups
from gleanset.work.progress import Progress
from labeler.duplicates.finder import DuplicateFinder, SearchCounts


def look_for_copies(dataset: Dataset, progress: Progress | None = None) -> SearchCounts | None:
    """Compare the labelled samples that never were, and keep what is found; None for no such.

    Nobody is set aside. Raises `DatasetBusy` when another program is at it.
    """
    if dataset.read_only or not SplitGroups(dataset.db).not_searched():
        return None
    return DuplicateFinder(dataset, progress=progress).search(labelled=True)


def copies_told(found: SearchCounts | None) -> dict[str, object]:
    """Return what a search found as a command does."""
    if found is None:
        return {}
    told = {"compared": found.described, "copies": found.same, "unreadable": found.failed}
    return {"looked_for_copies": {name: number for name, number in told.items() if number}}
