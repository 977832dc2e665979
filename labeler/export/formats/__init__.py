"""The formats of exports: each is a file here, its import and a line below.

Those of other packages are asked for by their names.
"""

from __future__ import annotations

import re
from typing import Any, get_args

from gleanset.config import did_you_mean
from gleanset.errors import UsageError
from gleanset.plugins import load_plugin, plugin_names
from gleanset.records import SPLITS
from labeler.export.formats.base import ENDING, ExportFormat, Pictures
from labeler.export.formats.captions import CAPTIONS, CAPTIONS_WHOLE
from labeler.export.formats.class_folders import CSV, IMAGEFOLDER
from labeler.export.formats.coco import COCO
from labeler.export.formats.huggingface import HUGGINGFACE, PARQUET
from labeler.export.formats.ultralytics import YOLO_CLASSIFY, YOLO_DETECT
from labeler.export.formats.webdataset import WEBDATASET

FORMS: dict[str, ExportFormat] = {
    "imagefolder": IMAGEFOLDER,
    "csv": CSV,
    "captions": CAPTIONS,
    "captions-whole": CAPTIONS_WHOLE,
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
    names = format_names()
    hint = did_you_mean(name, names, "Did you mean {}? ")
    raise UsageError(f"there is no format called {name!r}", f"{hint}Known: {', '.join(names)}")


def format_names() -> list[str]:
    """Return the formats of Gleanset, and those of other packages."""
    return [*FORMS, *plugin_names("exports", FORMS)]


def format_of_marker(name: object) -> ExportFormat | None:
    """Return the format that an export says it has; None where it is not there, or left out."""
    try:
        return format_named(str(name))
    except UsageError:
        return None


def checked_format(name: str, brought: Any) -> ExportFormat:
    """Return what another package calls a format. Raises `TypeError` where it is none."""
    if not isinstance(brought, ExportFormat):
        raise TypeError("it is no labeler.export.formats.ExportFormat")
    if brought.pictures not in get_args(Pictures):
        raise TypeError(f"its pictures are {brought.pictures!r}, not {get_args(Pictures)}")
    _check_types(brought)
    sharded = brought.pictures == "shards"
    if sharded != (brought.open_shard is not None) or (sharded and brought.write is not None):
        raise TypeError("open_shard is for shards, and write for all else")
    if sharded and not re.fullmatch(ENDING, brought.ending):
        raise TypeError(f"its shards end in {brought.ending!r}, not in something like '.tar'")
    try:
        brought.reading.format("train", "train")
    except (ValueError, LookupError) as error:
        raise ValueError(f"its reading is no text for str.format: {error}") from error
    re.compile(brought.left_by_reader)
    return brought


_TEXTS = ("about", "reading", "says_paths", "ending", "data_files", "left_by_reader")
_CALLED = ("write", "open_shard", "check")


def _check_types(brought: ExportFormat) -> None:
    for field in _TEXTS:
        if not isinstance(getattr(brought, field), str):
            raise TypeError(f"its {field} is no text")
    for field in _CALLED:
        if not (getattr(brought, field) is None or callable(getattr(brought, field))):
            raise TypeError(f"its {field} cannot be called")
    if not set(brought.cannot_do_without) <= set(SPLITS):
        raise TypeError(f"its cannot_do_without names other splits than {', '.join(SPLITS)}")
