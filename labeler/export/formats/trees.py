"""Trees of pictures: class folders, and whole pictures with boxes for COCO and Ultralytics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from gleanset.records import Box, Image
from labeler.export.formats.base import ExportFormat
from labeler.export.item import ExportItem
from labeler.export.rows import (
    by_split,
    class_numbers,
    described,
    with_folds,
    write_sheet,
    write_text,
)


def write_csv(folder: Path, items: Sequence[ExportItem]) -> None:
    """CSV: `samples.csv` beside the tree, one row a picture."""
    folds = with_folds(items)
    rows = [
        {"path": item.path, "split": item.sample.split, **described(item, folds)} for item in items
    ]
    write_sheet(folder / "samples.csv", list(rows[0]), rows)


IMAGEFOLDER = ExportFormat(
    pictures="class folders",
    about="train|val|test/<class>/*",
    reading='from torchvision.datasets import ImageFolder\n\n{0} = ImageFolder("{2}")',
    may_have_no_split=True,
)
CSV = ExportFormat(
    pictures="class folders",
    about="the same with a table",
    reading='import pandas\n\nrows = pandas.read_csv("samples.csv")\n'
    '{0} = rows[rows["split"] == "{0}"]',
    says_paths="`samples.csv`",
    write=write_csv,
    may_have_no_split=True,
)


def write_coco(folder: Path, items: Sequence[ExportItem]) -> None:
    """COCO: `annotations/<split>.json`, boxes of faces in pixels of the upright pictures."""
    number = class_numbers(items, first=1)
    licences = sorted({item.origin.licence for item in items if item.origin.licence})
    licence = {name: index for index, name in enumerate(licences, start=1)}
    (folder / "annotations").mkdir()
    for split, chosen in by_split(items):
        pictures = sorted({item.path: item for item in chosen}.items())
        numbers = {path: index for index, (path, _) in enumerate(pictures, start=1)}
        dataset = {
            "licenses": [{"id": index, "name": name} for name, index in licence.items()],
            "images": [
                {
                    "id": numbers[path],
                    "file_name": path,
                    "width": item.image.width,
                    "height": item.image.height,
                    **({"license": licence[name]} if (name := item.origin.licence) else {}),
                    "author": item.origin.author or "",
                    "page": item.origin.page_url or item.origin.url or "",
                    "title": item.origin.title or "",
                    "original_path": item.original_path,
                    "changes": item.changes,
                }
                for path, item in pictures
            ],
            "annotations": [
                {
                    "id": index,
                    "image_id": numbers[item.path],
                    "category_id": number[str(item.sample.label)],
                    "bbox": list(item.face),
                    "area": item.face.width * item.face.height,
                    "iscrowd": 0,
                    "sample": item.sample.key,
                }
                for index, item in enumerate(chosen, start=1)
            ],
            "categories": [{"id": index, "name": label} for label, index in number.items()],
        }
        text = json.dumps(dataset, ensure_ascii=False)
        write_text(folder / "annotations" / f"{split}.json", text)


COCO = ExportFormat(
    pictures="whole",
    about="whole pictures with boxes",
    reading="from pycocotools.coco import COCO\n\n"
    '{0} = COCO("annotations/{0}.json")  # its file_name: from this folder on',
    says_paths="`images` of `annotations/*.json`",
    write=write_coco,
)


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
