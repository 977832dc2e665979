"""What each format of export adds to its tree of pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from labeler.export.boxes import (
    write_coco,
    write_fiftyone_boxes,
    write_fiftyone_classes,
    write_yolo,
)
from labeler.export.options import Format
from labeler.export.plan import ExportItem
from labeler.export.tables import write_csv, write_paths, write_split_tables

Finish = Callable[[Path, Sequence[ExportItem]], None]


def nothing_more(folder: Path, items: Sequence[ExportItem]) -> None:
    """An ImageFolder is its tree, `train|val|test/<class>/…`."""


def add_empty_classes(folder: Path, items: Sequence[ExportItem]) -> None:
    """YOLO numbers classes by the folders of each split: one has all of them in each."""
    paths = [item.path.split("/") for item in items]
    for split in {path[0] for path in paths}:
        for name in {path[1] for path in paths}:
            (folder / split / name).mkdir(exist_ok=True)


FINISH: dict[Format, Finish] = {
    "imagefolder": nothing_more,
    "csv": write_csv,
    "huggingface": write_split_tables,
    "parquet-paths": write_paths,
    "coco": write_coco,
    "yolo-detect": write_yolo,
    "yolo-classify": add_empty_classes,
    "fiftyone-detect": write_fiftyone_boxes,
    "fiftyone-classify": write_fiftyone_classes,
}
