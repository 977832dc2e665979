"""Where videos of the web lie while they are sampled: in the cache, a folder for each address.

What a killed run had of one is still there for the next, which goes on with it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from gleanset import Dataset

# How unfinished files of a download end.
_PART = "*.part*"


def downloads(dataset: Dataset) -> Path:
    """The folder for all of a dataset. It need not be there."""
    return dataset.cache / "downloads"


def has_parts(folder: Path) -> bool:
    """Whether a download there can go on."""
    return any(folder.glob(_PART))


def tidy(dataset: Dataset) -> None:
    """At the end of a run: remove all but what another run could go on with."""
    place = downloads(dataset)
    if not place.is_dir():
        return
    for one in place.iterdir():
        if one.is_dir() and not has_parts(one):
            shutil.rmtree(one, ignore_errors=True)
    if not any(place.iterdir()):
        place.rmdir()
