"""The formats of exports: each is a file here, its import and a line below.

Those of other packages are asked for by their names.
"""

from __future__ import annotations

import re
from typing import Any, get_args

from gleanset.config import did_you_mean
from gleanset.errors import UsageError
from gleanset.plugins import load_plugin
from labeler.export.formats.base import ENDING, ExportFormat, Pictures
from labeler.export.formats.class_folders import CSV, IMAGEFOLDER
from labeler.export.formats.coco import COCO
from labeler.export.formats.huggingface import HUGGINGFACE, PARQUET
from labeler.export.formats.ultralytics import YOLO_CLASSIFY, YOLO_DETECT
from labeler.export.formats.webdataset import WEBDATASET

FORMS: dict[str, ExportFormat] = {
    "imagefolder": IMAGEFOLDER,
    "csv": CSV,
    "huggingface": HUGGINGFACE,
    "parquet": PARQUET,
    "webdataset": WEBDATASET,
    "coco": COCO,
    "yolo-detect": YOLO_DETECT,
    "yolo-classify": YOLO_CLASSIFY,
}


def format_named(name: str) -> ExportFormat:
    """Return the format of that name, ours or another package's. Raises `UsageError`."""
    if form := FORMS.get(name) or load_plugin("exports", name, checked_format):
        return form
    hint = did_you_mean(name, FORMS, "Did you mean {}? ")
    raise UsageError(f"there is no format called {name!r}", f"{hint}Known: {', '.join(FORMS)}")


def format_of_marker(name: object) -> ExportFormat | None:
    """Return the format that an export says it has; None where it is not there, or left out."""
    try:
        return format_named(str(name))
    except UsageError:
        return None


def checked_format(name: str, found: Any) -> ExportFormat:
    """Return what another package calls a format. Raises `TypeError` where it is none."""
    if not isinstance(found, ExportFormat):
        raise TypeError("it is no labeler.export.formats.ExportFormat")
    if found.pictures not in get_args(Pictures):
        raise TypeError(f"its pictures are {found.pictures!r}, not {get_args(Pictures)}")
    sharded = found.pictures == "shards"
    if sharded != (found.open_shard is not None) or (sharded and found.write is not None):
        raise TypeError("open_shard is for shards, and write for all else")
    if sharded and not re.fullmatch(ENDING, found.ending):
        raise TypeError(f"its shards end in {found.ending!r}, not in something like '.tar'")
    found.reading.format("train", "train")
    re.compile(found.left_by_reader)
    return found
