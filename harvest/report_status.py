"""`harvest status`: what every source gave for every keyword, and what it did not."""

from __future__ import annotations

from typing import Any

from gleanset import Dataset

NO_HINT = "(no hint)"


def yields(dataset: Dataset) -> dict[str, object]:
    """Numbers by source and by keyword, hint or video, and all rejections of the harvest.

    Rejections that are known to belong to a keyword stand there as well as in the sum.
    """
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for given in dataset.fetches.given():
        row = _row(rows, given.source, given.asked)
        row["added"], row["duplicate"] = given.added, given.duplicate
    for refused in dataset.fetches.refused():
        row = _row(rows, refused.source, refused.asked)
        row["rejected"] += refused.items
        row.setdefault("reasons", {})[refused.reason] = refused.items
    rejections = {
        stage: reasons
        for stage, reasons in dataset.rejections.by_reason().items()
        if stage.startswith("harvest-")
    }
    return {"images": dataset.images.count(), "sources": rows, "rejections": rejections}


def _row(rows: dict[str, dict[str, dict[str, Any]]], source: str, asked: str) -> dict[str, Any]:
    empty = {"added": 0, "duplicate": 0, "rejected": 0}
    return rows.setdefault(source, {}).setdefault(asked or NO_HINT, empty)
