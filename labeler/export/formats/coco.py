"""COCO: whole pictures, and their boxes in a JSON file for each split."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from labeler.export.formats.base import ExportFormat
from labeler.export.item import ExportItem
from labeler.export.rows import by_split, class_numbers, write_text


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
