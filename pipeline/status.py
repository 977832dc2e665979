"""`gleanset status`: how far a dataset has come."""

from __future__ import annotations

import shlex
from typing import Any

from gleanset import Dataset
from gleanset.db.connection import copy_told
from gleanset.db.journal import unseen_labels
from gleanset.db.statistics import Statistics
from gleanset.db.visitors import Reports, TakeDownRequests
from gleanset.named_files import rejections_of
from gleanset.places import in_bucket, spooled_reports
from labeler.duplicates.conflict_files import conflicting_labels
from pipeline.next_step import accepted_reports, is_of_whole_pictures, next_step, other_steps

SPOKEN = ("samples", "rejections")
"""Counts whose names are ours; those of classes, sources and queries are told as they are."""


def status(dataset: Dataset) -> dict[str, Any]:
    """Count everything, and say what could be done next."""
    samples = dataset.samples
    by_status = {str(key[0]): number for key, number in samples.counts("status").items()}
    labelled = Statistics(dataset.db).labelled()
    kept = samples.counts("status", "kept")
    aside = sum(n for key, n in kept.items() if key[1] == "set aside" and key[0] != "retired")
    also = {"set_aside": aside, "labels_nobody_looked_at": len(unseen_labels(dataset.db))}
    splits: dict[str, dict[str, int]] = {}
    for label, by_split in labelled.items():
        for split, number in by_split.items():
            splits.setdefault(split, {})[label] = number
    splits.pop("", None)
    return {
        "dataset": str(dataset.root.absolute()),
        **_elsewhere(dataset),
        "images": dataset.images.count(),
        "faces": dataset.faces.count(),
        "samples": by_status | {name: number for name, number in also.items() if number},
        "labels": {label: by_split.total() for label, by_split in labelled.items()},
        "splits": {split: splits[split] for split in sorted(splits)},
        "decisions": dataset.journal.count(),
        "origins": _origins(dataset),
        **_left_out(dataset),
        "runs": sum(1 for _ in dataset.runs.each()),
        "reports": {
            "waiting": Reports(dataset.db).count() + len(spooled_reports(dataset.root)),
            "accepted_since_training": accepted_reports(dataset),
        },
        "takedowns": {"waiting": TakeDownRequests(dataset.db).count()},
        "next": (then := next_step(dataset)),
        "also": other_steps(dataset, besides=then),
    }


def status_words(dataset: Dataset) -> dict[str, object]:
    """Return the same for a person: nothing that is none, and whole pictures by their name."""
    counts = status(dataset)
    reports, requests = counts.pop("reports"), counts.pop("takedowns")
    if is_of_whole_pictures(dataset):
        counts = {("whole_pictures" if key == "faces" else key): n for key, n in counts.items()}
    if aside := counts["samples"].pop("set_aside", 0):
        counts["samples"]["of them copies that are set aside"] = aside
    told = {key: _spoken(value) if key in SPOKEN else value for key, value in counts.items()}
    waiting = {"reports": reports, "requests to take pictures down": requests}
    return told | {key: _spoken(each) for key, each in waiting.items() if any(each.values())}


def _spoken(counts: Any) -> Any:
    """Return counts with their names in words, not as they are in `--json`."""
    if not isinstance(counts, dict):
        return counts
    return {str(name).replace("_", " "): _spoken(value) for name, value in counts.items()}


def _origins(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Return how many images each source gave for each query, hint or title of a video."""
    images: dict[str, dict[str, int]] = {}
    for row in dataset.fetches.yields():
        if row.images:
            images.setdefault(row.source, {})[row.asked or "(no hint)"] = row.images
    return images


def _left_out(dataset: Dataset) -> dict[str, object]:
    """Return what was not used and what waits for a person, with the commands that list it."""
    reasons = dataset.rejections.by_reason()
    see = {"rejections_are_listed_by": rejections_of(dataset)} if reasons else {}
    told: dict[str, object] = {"rejections": reasons, **see}
    return told | conflicting_labels(dataset)


def _elsewhere(dataset: Dataset) -> dict[str, str]:
    """Return where the images are, and whose copy the catalogue is, where they are not here."""
    images, told = dataset.settings.store.images, copy_told(dataset.db.path)
    found = {"images_in": images} if in_bucket(images) else {}
    return found | ({"copy_of": told["of"], "published": told["published"]} if told else {})


def page_command(dataset: Dataset) -> dict[str, str]:
    """Return the command that serves the page of the model, as `serve`; nothing without a model."""
    if dataset.runs.newest("baseline") is None:
        return {}
    return {"serve": f"webapp serve -d {shlex.quote(str(dataset.root))}"}
