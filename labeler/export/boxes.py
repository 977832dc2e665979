"""Whole pictures with boxes, as the trainers of detectors read them: COCO, YOLO, FiftyOne."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
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
        told = {
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
        _write_json(folder / "annotations" / f"{split}.json", told)


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
        for path, boxes in _by_path(chosen):
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


def write_fiftyone_boxes(folder: Path, items: Sequence[ExportItem]) -> None:
    """FiftyOne: a FiftyOneImageDetectionDataset a split; boxes as parts of the picture."""
    labels = list(class_numbers(items))
    for split, chosen in by_split(items):
        told = {
            _known_as(path, split): [_detection(item) for item in boxes]
            for path, boxes in _by_path(chosen)
        }
        _write_json(folder / split / "labels.json", {"classes": labels, "labels": told})


def _detection(item: ExportItem) -> dict[str, object]:
    box, image = item.face, item.image
    place = (
        box.x / image.width,
        box.y / image.height,
        box.width / image.width,
        box.height / image.height,
    )
    return {
        "label": item.sample.label,
        "bounding_box": list(place),
        "attributes": _attributes(item),
    }


def write_fiftyone_classes(folder: Path, items: Sequence[ExportItem]) -> None:
    """FiftyOne: a FiftyOneImageClassificationDataset a split."""
    labels = list(class_numbers(items))
    for split, chosen in by_split(items):
        told = {
            _known_as(item.path, split): {
                "label": item.sample.label,
                "attributes": _attributes(item),
            }
            for item in chosen
        }
        _write_json(folder / split / "labels.json", {"classes": labels, "labels": told})


def _known_as(path: str, split: str) -> str:
    return path.removeprefix(f"{split}/data/").rpartition(".")[0]


def _attributes(item: ExportItem) -> dict[str, object]:
    origin = item.origin
    return {
        "sample": item.sample.key,
        "original_path": item.original_path,
        "source": origin.source,
        "page": origin.page_url or origin.url or "",
        "author": origin.author or "",
        "licence": origin.licence or "",
        "changes": item.changes,
    }


def _by_path(items: Sequence[ExportItem]) -> Iterator[tuple[str, list[ExportItem]]]:
    for path, boxes in groupby(items, key=lambda item: item.path):
        yield path, list(boxes)


def _write_json(path: Path, told: object) -> None:
    path.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
