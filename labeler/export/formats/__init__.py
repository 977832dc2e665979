"""The formats of exports: each is a file here, its import and a line below.

Those of other packages are asked for by their names.
"""

from __future__ import annotations

from typing import Any, get_args

from gleanset.config import did_you_mean
from gleanset.errors import UsageError
from gleanset.plugins import load_plugin, plugin_names
from labeler.export.formats.base import ExportFormat, Pictures
from labeler.export.formats.captions import CAPTIONS, CAPTIONS_WHOLE
from labeler.export.formats.tables import HUGGINGFACE, PARQUET, WEBDATASET
from labeler.export.formats.trees import COCO, CSV, IMAGEFOLDER, YOLO_CLASSIFY, YOLO_DETECT

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
    sharded = brought.pictures == "shards"
    if sharded != (brought.open_shard is not None) or (sharded and brought.write is not None):
        raise TypeError("open_shard is for shards, and write for all else")
    return brought
