"""Which run is meant: its id, its folder, or the newest."""

from __future__ import annotations

from pathlib import Path

from baseline.storage import SETTINGS
from gleanset import Dataset
from gleanset.errors import InputUnusable

ROOM = "baseline"


def run_folder_of(root: Path, run: str | None) -> Path:
    """The folder of a run: `run` is a folder or the id of a run of the dataset in `root`.

    None is the newest that ended well. Raises `InputUnusable` or `DatasetMissing`.
    """
    if run is not None and (Path(run) / SETTINGS).is_file():
        return Path(run)
    with Dataset.open(root) as dataset:
        found = dataset.runs.get(run) if run else dataset.runs.newest(ROOM)
        if found is None or found.status != "done":
            raise InputUnusable(
                f"there is no finished run {run}" if run else "there is no finished run yet",
                f"train one: baseline train -d {root}",
            )
        return dataset.root / "runs" / found.id
