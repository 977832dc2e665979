"""Whole pictures with boxes, as the trainers of detectors read them: COCO, YOLO."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from gleanset.records import Box, Image
from labeler.export.plan import ExportItem
from labeler.export.rows import by_split, class_numbers

DATA = "data.yaml"


def write_coco(folder: Path, items: Sequence[ExportItem]) -> None:
    """COCO: `annotations/<split>.json`, boxes of faces in pixels of the upright pictures."""
    number = class_numbers(items, first=1)
    licences = sorted({item.origin.licence for item in items if item.origin.licence})
    licence = {name: index for index, name in enumerate(licences, start=1)}
    (folder / "annotations").mkdir()
    for split, chosen in by_split(items):
        pictures = sorted({item.path: item for item in chosen}.items())
        place = {path: index for index, (path, _) in enumerate(pictures, start=1)}
        dataset = {
            "licenses": [{"id": index, "name": name} for name, index in licence.items()],
            "images": [
                {
                    "id": place[path],
                    "file_name": path,
                    "width": item.image.width,
                    "height": item.image.height,
                    **({"license": licence[name]} if (name := item.origin.licence) else {}),
                    "author": item.origin.author or "",
                    "original_path": item.original_path,
                    "changes": item.changes,
                }
                for path, item in pictures
            ],
            "annotations": [
                {
                    "id": index,
                    "image_id": place[item.path],
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
        (folder / "annotations" / f"{split}.json").write_text(text, encoding="utf-8")


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
            (folder / "labels" / f"{stem}.txt").write_text("".join(lines), encoding="utf-8")
    # JSON texts are YAML, whatever a class is called.
    names = [f"  {index}: {json.dumps(name)}" for name, index in number.items()]
    told = [*(f"{split}: images/{split}" for split in splits), "names:", *names]
    (folder / DATA).write_text("\n".join(told) + "\n", encoding="utf-8")


def _yolo_box(box: Box, image: Image) -> str:
    parts = (
        (box.x + box.width / 2) / image.width,
        (box.y + box.height / 2) / image.height,
        box.width / image.width,
        box.height / image.height,
    )
    return " ".join(f"{part:.8f}" for part in parts)
