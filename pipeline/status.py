"""`gleanset status`: how far a dataset has come."""

from __future__ import annotations

import shlex

from facecrop.request import whole_instead
from gleanset import Dataset
from gleanset.db.connection import copy_told
from gleanset.db.hints import Hints
from gleanset.db.reports import Reports
from gleanset.db.take_downs import TakeDownRequests
from gleanset.places import in_bucket
from labeler.hints import why_left

FEW_LEFT_OUT = 10
"""One in so many: what ties two splits, or is over the most of a source, gets none."""


def status(dataset: Dataset) -> dict[str, object]:
    """Counts of everything, and what could be done next."""
    samples = dataset.samples
    by_status = {str(key[0]): number for key, number in samples.counts("status").items()}
    labels = {
        str(key[1]): number
        for key, number in samples.counts("status", "label").items()
        if key[0] == "labelled"
    }
    kept = samples.counts("status", "kept")
    aside = sum(n for key, n in kept.items() if key[1] == "set aside" and key[0] != "retired")
    splits: dict[str, dict[str, int]] = {}
    for (split, label), number in samples.counts("split", "label").items():
        if split is not None and label is not None:
            splits.setdefault(split, {})[label] = number
    return {
        "dataset": str(dataset.root.absolute()),
        **_elsewhere(dataset),
        "images": dataset.images.count(),
        "faces": dataset.faces.count(),
        "samples": by_status | ({"set_aside": aside} if aside else {}),
        "labels": labels,
        "splits": splits,
        "decisions": dataset.journal.count(),
        "origins": dataset.images.by_source(),
        "rejections": dataset.rejections.by_reason(),
        "runs": sum(1 for _ in dataset.runs.each()),
        "reports": {
            "waiting": Reports(dataset.db).count(),
            "accepted_since_training": _accepted(dataset),
        },
        "takedowns": {"waiting": TakeDownRequests(dataset.db).count()},
        "next": next_step(dataset),
    }


def _elsewhere(dataset: Dataset) -> dict[str, str]:
    """Return where the images are, and whose copy the catalogue is, where they are not here."""
    images, told = dataset.settings.store.images, copy_told(dataset.db.path)
    found = {"images_in": images} if in_bucket(images) else {}
    return found | ({"copy_of": told["of"], "published": told["published"]} if told else {})


def next_step(dataset: Dataset) -> str:
    """Return the command that would take this dataset further."""
    where = f"-d {shlex.quote(str(dataset.root))}"
    if TakeDownRequests(dataset.db).count():
        # Somebody waits for an answer, and may have a right to it.
        return f"webapp takedowns list {where}"
    return _towards_a_model(dataset, where)


def _towards_a_model(dataset: Dataset, where: str) -> str:
    samples = dataset.samples
    states = {str(key[0]): number for key, number in samples.counts("status").items()}
    if not dataset.images.count():
        return f"harvest folder DIR --hints-from-folders {where}"
    if not states.get("labelled"):
        if not dataset.faces.scanned():
            return f"facecrop run {where}"
        if (instead := whole_instead(dataset)) is not None:
            return instead[0]
        clear = any(why_left(one) is None for one in Hints(dataset.db).waiting())
        return f"labeler accept-hints {where}" if clear else f"labeler {where}"
    if _waits_for_split(dataset):
        return f"labeler split {where}"
    if not dataset.runs.newest("baseline") or _accepted(dataset):
        return f"baseline train {where}"
    if Reports(dataset.db).count():
        return f"labeler --view reports {where}"
    return f"labeler {where}" if states.get("queue") else f"labeler export OUT {where}"


def page_command(dataset: Dataset) -> dict[str, str]:
    """Return the command that serves the page of the model, as `serve`; nothing without a model."""
    if dataset.runs.newest("baseline") is None:
        return {}
    return {"serve": f"webapp serve -d {shlex.quote(str(dataset.root))}"}


def _accepted(dataset: Dataset) -> int:
    """Return how many reports from the web page were accepted that no run has learnt from."""
    newest = dataset.runs.newest("baseline")
    return Reports(dataset.db).accepted_since(newest.started if newest else "")


def _waits_for_split(dataset: Dataset) -> bool:
    """Return whether many labelled samples have no split; a few may be left out on purpose."""
    counts = dataset.samples.counts("status", "kept", "split")
    used = {key[2]: number for key, number in counts.items() if key[:2] == ("labelled", "kept")}
    return used.pop(None, 0) > sum(used.values()) // FEW_LEFT_OUT
