"""Class folders, and whole images with boxes for COCO and Ultralytics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from gleanset.records import Box, Image
from labeler.export.formats.base import ExportFormat
from labeler.export.item import ExportItem
from labeler.export.rows import (
    items_by_split,
    number_classes,
    sample_row,
    write_rows,
    write_text,
)


def write_csv(folder: Path, items: Sequence[ExportItem]) -> None:
    """Write `samples.csv` with a row for each image."""
    rows = [{"path": item.path, "split": item.sample.split, **sample_row(item)} for item in items]
    write_rows(folder / "samples.csv", list(rows[0]), rows)


IMAGEFOLDER = ExportFormat(
    layout="class folders",
    about="train|val|test/<class>/*",
    reading='from torchvision.datasets import ImageFolder\n\n{0} = ImageFolder("{2}")',
    split_optional=True,
)
CSV = ExportFormat(
    layout="class folders",
    about="the same with a table",
    reading='import pandas\n\nrows = pandas.read_csv("samples.csv")\n'
    '{0} = rows[rows["split"] == "{0}"]',
    write=write_csv,
    split_optional=True,
)


def write_coco(folder: Path, items: Sequence[ExportItem]) -> None:
    """Write `annotations/<split>.json` with boxes in pixels of the upright images."""
    class_ids = number_classes(items, first=1)
    licences = sorted({item.origin.licence for item in items if item.origin.licence})
    licence_ids = {name: index for index, name in enumerate(licences, start=1)}
    (folder / "annotations").mkdir()
    for split, members in items_by_split(items):
        images = sorted({item.path: item for item in members}.items())
        image_ids = {path: index for index, (path, _) in enumerate(images, start=1)}
        dataset = {
            "licenses": [{"id": index, "name": name} for name, index in licence_ids.items()],
            "images": [
                {
                    "id": image_ids[path],
                    "file_name": path,
                    "width": item.image.width,
                    "height": item.image.height,
                    **({"license": licence_ids[name]} if (name := item.origin.licence) else {}),
                    "author": item.origin.author or "",
                    "page": item.origin.page_url or item.origin.url or "",
                    "title": item.origin.title or "",
                    "original_path": item.original_path,
                    "changes": item.changes,
                }
                for path, item in images
            ],
            "annotations": [
                {
                    "id": index,
                    "image_id": image_ids[item.path],
                    "category_id": class_ids[str(item.sample.label)],
                    "bbox": list(item.face),
                    "area": item.face.width * item.face.height,
                    "iscrowd": 0,
                    "sample": item.sample.key,
                }
                for index, item in enumerate(members, start=1)
            ],
            "categories": [{"id": index, "name": label} for label, index in class_ids.items()],
        }
        text = json.dumps(dataset, ensure_ascii=False)
        write_text(folder / "annotations" / f"{split}.json", text)


COCO = ExportFormat(
    layout="whole",
    about="whole images with boxes",
    reading="from pycocotools.coco import COCO\n\n"
    '{0} = COCO("annotations/{0}.json")  # its file_name: from this folder on',
    write=write_coco,
)


TRAINS_ON = ("train", "val")
CACHES = r"(labels/)?(train|val|test)\.cache"
"""Cache files that Ultralytics writes next to labels."""


def write_yolo(folder: Path, items: Sequence[ExportItem]) -> None:
    """Write `labels/<split>/name.txt` for `images/<split>/name.*`, and `data.yaml`.

    A line has the class number, and the center, width and height of the box as fractions of the
    image.
    """
    class_ids = number_classes(items)
    splits = []
    for split, members in items_by_split(items):
        splits.append(split)
        (folder / "labels" / split).mkdir(parents=True)
        for path, boxes in groupby(members, key=lambda item: item.path):
            lines = [
                f"{class_ids[str(item.sample.label)]} {_yolo_box(item.face, item.image)}\n"
                for item in boxes
            ]
            stem = path.removeprefix("images/").rpartition(".")[0]
            write_text(folder / "labels" / f"{stem}.txt", "".join(lines))
    # JSON strings are valid YAML for any class name.
    names = [f"  {index}: {json.dumps(name)}" for name, index in class_ids.items()]
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
    """Create all class folders in each split, because Ultralytics numbers classes by folders."""
    paths = [item.path.split("/") for item in items]
    for split in {path[0] for path in paths}:
        for name in {path[1] for path in paths}:
            (folder / split / name).mkdir(exist_ok=True)


YOLO_DETECT = ExportFormat(
    layout="whole",
    about="the same for Ultralytics",
    reading='from ultralytics import YOLO\n\nYOLO("yolo11n.pt").train(data="data.yaml")',
    write=write_yolo,
    required_splits=TRAINS_ON,
    reader_file_pattern=CACHES,
    has_unique_stems=True,
)
YOLO_CLASSIFY = ExportFormat(
    layout="class folders",
    about="class folders for Ultralytics",
    reading='from ultralytics import YOLO\n\nYOLO("yolo11n-cls.pt").train(data=".")',
    write=add_empty_classes,
    required_splits=TRAINS_ON,
    reader_file_pattern=CACHES,
)
