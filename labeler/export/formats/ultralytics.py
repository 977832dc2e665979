"""YOLO, as Ultralytics reads it: whole pictures with boxes, or pictures in class folders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from gleanset.records import Box, Image
from labeler.export.formats.base import ExportFormat
from labeler.export.item import ExportItem
from labeler.export.rows import by_split, class_numbers, write_text

TRAINS_ON = ("train", "val")
CACHES = r"(labels/)?(train|val|test)\.cache"
"""What it writes into a folder that it reads, and makes again."""


def write_yolo(folder: Path, items: Sequence[ExportItem]) -> None:
    """YOLO: `labels/<split>/name.txt` for `images/<split>/name.*`, and `data.yaml`.

    A line is the number of a class, the middle of a box and its width and height, as parts of
    those of the picture. Ultralytics looks for pictures from where `data.yaml` lies.
    """
    number = class_numbers(items)
    splits = []
    for split, chosen in by_split(items):
        splits.append(split)
        (folder / "labels" / split).mkdir(parents=True)
        for path, boxes in groupby(chosen, key=lambda item: item.path):
            lines = [
                f"{number[str(item.sample.label)]} {_yolo_box(item.face, item.image)}\n"
                for item in boxes
            ]
            stem = path.removeprefix("images/").rpartition(".")[0]
            write_text(folder / "labels" / f"{stem}.txt", "".join(lines))
    # JSON texts are YAML, whatever a class is called.
    names = [f"  {index}: {json.dumps(name)}" for name, index in number.items()]
    lines = [*(f"{split}: images/{split}" for split in splits), "names:", *names]
    write_text(folder / "data.yaml", "\n".join(lines) + "\n")


def _yolo_box(box: Box, image: Image) -> str:
    parts = (
        (box.x + box.width / 2) / image.width,
        (box.y + box.height / 2) / image.height,
        box.width / image.width,
        box.height / image.height,
    )
    return " ".join(f"{part:.8f}" for part in parts)


def add_empty_classes(folder: Path, items: Sequence[ExportItem]) -> None:
    """YOLO numbers classes by the folders of each split: one has all of them in each."""
    paths = [item.path.split("/") for item in items]
    for split in {path[0] for path in paths}:
        for name in {path[1] for path in paths}:
            (folder / split / name).mkdir(exist_ok=True)


YOLO_DETECT = ExportFormat(
    pictures="whole",
    about="the same for Ultralytics",
    reading='from ultralytics import YOLO\n\nYOLO("yolo11n.pt").train(data="data.yaml")',
    write=write_yolo,
    cannot_do_without=TRAINS_ON,
    left_by_reader=CACHES,
    names_by_stem=True,
)
YOLO_CLASSIFY = ExportFormat(
    pictures="class folders",
    about="pictures with classes for Ultralytics",
    reading='from ultralytics import YOLO\n\nYOLO("yolo11n-cls.pt").train(data=".")',
    write=add_empty_classes,
    cannot_do_without=TRAINS_ON,
    left_by_reader=CACHES,
)
