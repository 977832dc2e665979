"""What each format of export adds to its tree of pictures: tables, annotations."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from labeler.export.card import SPLITS, no_formula
from labeler.export.options import Format
from labeler.export.plan import ExportItem

Finish = Callable[[Path, Sequence[ExportItem]], None]


def nothing_more(folder: Path, items: Sequence[ExportItem]) -> None:
    """An ImageFolder is its tree, `train|val|test/<class>/…`."""


def write_metadata(folder: Path, items: Sequence[ExportItem]) -> None:
    """Hugging Face: one `metadata.jsonl` a split, whose paths begin in its folder."""
    told = _row_maker(items)
    for split, chosen in by_split(items):
        lines = [
            json.dumps(
                {"file_name": item.path.removeprefix(f"{split}/"), **told(item)},
                ensure_ascii=False,
            )
            for item in chosen
        ]
        (folder / split / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_table(folder: Path, items: Sequence[ExportItem]) -> None:
    """CSV: `samples.csv` beside the tree, one row a picture."""
    out = io.StringIO()
    told = _row_maker(items)
    columns = ("path", "split", *told(items[0]))
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(columns)
    for item in items:
        cells = (
            value if isinstance(value, int | float) else no_formula(value)
            for value in told(item).values()
        )
        rows.writerow([item.path, item.sample.split, *cells])
    (folder / "samples.csv").write_text(out.getvalue(), encoding="utf-8")


def write_coco(folder: Path, items: Sequence[ExportItem]) -> None:
    """COCO: `annotations/<split>.json`, boxes of faces in pixels of the whole pictures."""
    labels = sorted({str(item.sample.label) for item in items})
    number = {label: index for index, label in enumerate(labels, start=1)}
    (folder / "annotations").mkdir()
    for split, chosen in by_split(items):
        pictures = sorted({item.path: item for item in chosen}.items())
        place = {path: index for index, (path, _) in enumerate(pictures, start=1)}
        told = {
            "images": [
                {
                    "id": place[path],
                    "file_name": path,
                    "width": item.image.width,
                    "height": item.image.height,
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
            "categories": [{"id": number[label], "name": label} for label in labels],
        }
        text = json.dumps(told, ensure_ascii=False)
        (folder / "annotations" / f"{split}.json").write_text(text, encoding="utf-8")


def by_split(items: Sequence[ExportItem]) -> Iterator[tuple[str, list[ExportItem]]]:
    """Yield the splits that have pictures, each with its items by path and sample."""
    for split in SPLITS:
        chosen = [item for item in items if item.sample.split == split]
        if chosen:
            yield split, sorted(chosen, key=lambda item: (item.path, item.sample.key))


def _row_maker(items: Sequence[ExportItem]) -> Callable[[ExportItem], dict[str, str | float]]:
    """`described`, with the fold where the split was one into folds."""
    folds = any(item.sample.fold for item in items)
    return lambda item: described(item, folds)


def described(item: ExportItem, folds: bool) -> dict[str, str | float]:
    """Return what a row says of a picture; with `folds` its fold from 1 on (0: in none)."""
    return {**_row(item), "fold": item.sample.fold or 0} if folds else _row(item)


def _row(item: ExportItem) -> dict[str, str | float]:
    """Return what a row says of a picture, besides its place.

    Nothing is null: readers take a column of nulls alone for one of another type.
    """
    origin, box = item.origin, item.sample.box
    return {
        "label": str(item.sample.label),
        "sample": item.sample.key,
        "image_sha256": item.image.sha256,
        "x": box.x,
        "y": box.y,
        "width": box.width,
        "height": box.height,
        "moment": item.sample.moment or "",
        "source": origin.source,
        "page": origin.page_url or origin.url or "",
        "author": origin.author or "",
        "licence": origin.licence or "",
        "weight": item.weight,
    }


FINISH: dict[Format, Finish] = {
    "imagefolder": nothing_more,
    "huggingface": write_metadata,
    "csv": write_table,
    "coco": write_coco,
}
