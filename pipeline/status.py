"""`gleanset status`: how far a dataset has come."""

from __future__ import annotations

import shlex

from gleanset import Dataset


def status(dataset: Dataset) -> dict[str, object]:
    """Counts of everything, and what could be done next."""
    samples = dataset.samples
    by_status = {str(key[0]): number for key, number in samples.counts("status").items()}
    labels = {
        str(key[1]): number
        for key, number in samples.counts("status", "label").items()
        if key[0] == "labelled"
    }
    splits: dict[str, dict[str, int]] = {}
    for (split, label), number in samples.counts("split", "label").items():
        if split is not None and label is not None:
            splits.setdefault(split, {})[label] = number
    return {
        "dataset": str(dataset.root.absolute()),
        "images": dataset.images.count(),
        "faces": dataset.faces.count(),
        "samples": by_status,
        "labels": labels,
        "splits": splits,
        "decisions": dataset.journal.count(),
        "origins": dataset.images.by_source(),
        "rejections": dataset.rejections.by_reason(),
        "runs": sum(1 for _ in dataset.runs.each()),
        "next": next_step(dataset),
    }


def next_step(dataset: Dataset) -> str:
    """The command that would take this dataset further."""
    where = f"-d {shlex.quote(str(dataset.root))}"
    if not dataset.images.count():
        return f"harvest folder DIR --hints-from-folders {where}"
    if not dataset.faces.scanned():
        return f"facecrop run {where}"
    states = dataset.samples.counts("status")
    if not states.get(("labelled",)):
        return f"labeler accept-hints {where}"
    if not any(key[0] for key in dataset.samples.counts("split")):
        return f"labeler split {where}"
    return (
        f"baseline train {where}"
        if not dataset.runs.newest("baseline")
        else (f"labeler export OUT {where}")
    )
