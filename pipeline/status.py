"""`gleanset status`: how far a dataset has come, and the command that takes it further."""

from __future__ import annotations

import shlex
from collections import Counter
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from baseline.extras import can_transfer
from baseline.presort import MIN_ACCEPT_CONFIDENCE
from curation.labelling_command import PRESORT_COMMAND, has_window, labelling_command
from facecrop.request import whole_instead
from gleanset import Dataset
from gleanset.db.faces import WHOLE
from gleanset.db.journal import count_unseen_in_evaluation, get_unseen_labels
from gleanset.db.proposals import count_proposals_by_tenth
from gleanset.db.reports import REMOVAL, Reports, list_spooled_reports
from gleanset.db.samples import Hints
from gleanset.db.statistics import Statistics
from gleanset.errors import GleansetError, InputUnusable
from gleanset.named_files import rejections_of
from gleanset.records import Run
from labeler.acceptance import acceptance_obstacle, plan_acceptance
from labeler.duplicates.decisions import conflicting_label_summary
from labeler.importing.request import SOURCE as IMPORT

SERVE = "webapp serve"
REVIEW = "webapp serve --owner"
LIST_REPORTS = "gleanset list reports --where status=pending"
EXPORT = "labeler export"
MIN_SHARE_TO_LABEL = 10
"""With a model, less than one waiting sample in so many labelled ones is not the next step."""


def next_step(dataset: Dataset) -> str:
    """Return the command that takes a dataset further, such that it works as it is printed.

    Only DIR stands for something else: a folder of pictures that nobody but the person knows.
    """
    where = dataset.option
    if dataset.read_only:
        return f"gleanset list samples {where}"
    if Reports(dataset.db).count(kind=REMOVAL):
        # Somebody waits for an answer, and may have a right to it.
        return f"{LIST_REPORTS} {where}"
    counts = _Counts(dataset)
    if not counts.labelled or (counts.classes < 2 and dataset.runs.get_latest("baseline") is None):
        return _towards_labels(dataset, counts, where)
    return _towards_a_model(dataset, counts, where)


class _Counts:
    def __init__(self, dataset: Dataset) -> None:
        labels: Counter[str | None] = Counter()
        self.queue = 0
        rows = dataset.samples.count_by("status", "kept", "label")
        for (status, kept, label), number in rows.items():
            if kept == "kept" and status == "labelled":
                labels[label] += number
            elif kept == "kept" and status == "queue":
                self.queue += number
        self.classes = len(labels)
        self.labelled = labels.total()


def _towards_labels(dataset: Dataset, counts: _Counts, where: str) -> str:
    if (search := _search(dataset, where)) is not None:
        return search
    if not counts.labelled and (instead := whole_instead(dataset)) is not None:
        return instead[0]
    if any(acceptance_obstacle(sample) is None for sample in Hints(dataset.db).iter_waiting()):
        return f"labeler accept hints {where}"
    if counts.queue and (line := _by_hand(dataset)) is not None:
        return line
    return f"harvest folder DIR --hints-from-folders {where}"


def _towards_a_model(dataset: Dataset, counts: _Counts, where: str) -> str:
    settings = dataset.samples.get_split_settings()
    # The first split comes after the search; later ones before it, so that nothing waits unseen.
    if not settings and (search := _search(dataset, where)) is not None:
        return search
    if (line := _sure_proposals(dataset, counts, where)) is not None:
        return line
    if waiting_for_split(dataset):
        return f"{_split_command(settings)} {where}"
    if (search := _search(dataset, where)) is not None:
        return search
    newest = dataset.runs.get_latest("baseline")
    if (newest is None or _has_new_reports(dataset, newest)) and can_transfer():
        return f"baseline train --preset {_preset(newest)} {where}"
    if Reports(dataset.db).count():
        return f"{REVIEW if _can_serve(dataset) else LIST_REPORTS} {where}"
    many = counts.queue * MIN_SHARE_TO_LABEL >= counts.labelled or newest is None
    if counts.queue and many and (line := _by_hand(dataset)) is not None:
        return line
    return f"{SERVE if _can_serve(dataset) else EXPORT} {where}"


def _split_command(settings: str) -> str:
    words = [word.partition("=") for word in shlex.split(settings)]
    options = [part for key, sign, value in words if sign for part in (f"--{key}", value)]
    return shlex.join(["labeler", "split", *options])


def _sure_proposals(dataset: Dataset, counts: _Counts, where: str) -> str | None:
    tenths = count_proposals_by_tenth(dataset.db).values()
    if sum(each.get(9, 0) for each in tenths) * MIN_SHARE_TO_LABEL < counts.labelled:
        return None
    with suppress(InputUnusable):  # nothing is proposed, or a class has come since
        if plan_acceptance(dataset, MIN_ACCEPT_CONFIDENCE, ()).choices:
            return f"labeler {where}" if has_window() else f"labeler accept proposals {where}"
    return None


def _by_hand(dataset: Dataset) -> str | None:
    line = labelling_command(dataset)
    return None if line and line.startswith(PRESORT_COMMAND) and not can_transfer() else line


def _preset(newest: Run | None) -> str:
    return str((newest.settings if newest else {}).get("preset", "transfer"))


def other_steps(dataset: Dataset, besides: str) -> list[str]:
    """Return what a finished model and its dataset are good for beside the next step.

    PICTURE stands for one that only the person knows.
    """
    if dataset.read_only or dataset.runs.get_latest("baseline") is None:
        return []
    where = dataset.option
    fit = [*([SERVE] if _can_serve(dataset) else []), "baseline predict PICTURE", EXPORT]
    lines = [f"{command} {where}" for command in fit]
    if _Counts(dataset).queue and (line := _by_hand(dataset)) is not None:
        lines.append(line)
    return [line for line in lines if line != besides]


def _can_serve(dataset: Dataset) -> bool:
    return dataset.runs.get_latest("baseline") is not None and find_spec("fastapi") is not None


def _search(dataset: Dataset, where: str) -> str | None:
    refused = dataset.rejections.count_by_reason().get("facecrop", {})
    if dataset.images.count_unprocessed() <= sum(refused.values()):
        return None
    if (place := dataset.images.find_interrupted_import(IMPORT)) is not None and place.exists():
        # Faces searched in them would be samples beside those that the import makes.
        return f"labeler import {shlex.quote(str(place))} {where}"
    found = _detectors(dataset)
    # Whoever has whole pictures, or only looked for them, does not want faces.
    whole = f" --detector {WHOLE}" if found == {WHOLE} else ""
    return f"facecrop run{whole}{' --new' if found else ''} {where}"


def _detectors(dataset: Dataset) -> set[str | None]:
    counts = dataset.samples.count_by("status", "detector")
    present = {detector for status, detector in counts if status != "retired"}
    return present or {one.detector for one in Statistics(dataset.db).list_searches()}


def is_of_whole_pictures(dataset: Dataset) -> bool:
    """Return whether the samples are whole pictures, and no faces were found."""
    return _detectors(dataset) == {WHOLE}


def accepted_reports(dataset: Dataset) -> int:
    """Return how many reports from the web page were accepted that no run has learnt from."""
    newest = dataset.runs.get_latest("baseline")
    return Reports(dataset.db).count_accepted_since(newest.started if newest else "")


def _has_new_reports(dataset: Dataset, newest: Run) -> bool:
    if not accepted_reports(dataset):
        return False
    from baseline.evaluation.run_metrics import read_metrics

    try:
        trained_on = read_metrics(dataset.runs_folder / newest.id).data.get("splits")
    except GleansetError:
        return True
    return bool(trained_on != dataset.samples.hash_splits())


def waiting_for_split(dataset: Dataset) -> int:
    """Return how many labelled samples the next `labeler split` would place.

    They came after the last split, or are in val or test with a label that nobody has looked at.
    """
    return dataset.samples.count_unsplit() + count_unseen_in_evaluation(dataset.db)


SPOKEN = ("samples", "rejections")
"""Counts whose names are ours; those of classes, sources and queries are told as they are."""


def status(dataset: Dataset) -> dict[str, Any]:
    """Count everything, and say what could be done next."""
    samples = dataset.samples
    by_status = {str(key[0]): number for key, number in samples.count_by("status").items()}
    labelled = Statistics(dataset.db).count_labelled()
    kept = samples.count_by("status", "kept")
    aside = sum(n for key, n in kept.items() if key[1] == "set aside" and key[0] != "retired")
    also = {"set_aside": aside, "labels_nobody_looked_at": len(get_unseen_labels(dataset.db))}
    splits: dict[str, dict[str, int]] = {}
    for label, by_split in labelled.items():
        for split, number in by_split.items():
            splits.setdefault(split, {})[label] = number
    splits.pop("", None)
    return {
        "dataset": str(dataset.root.absolute()),
        "images": dataset.images.count(),
        "faces": dataset.faces.count(),
        "samples": by_status | {name: number for name, number in also.items() if number},
        "labels": {label: by_split.total() for label, by_split in labelled.items()},
        "splits": {split: splits[split] for split in sorted(splits)},
        "decisions": dataset.journal.count(),
        "origins": _origins(dataset),
        **({"waiting_for_split": waiting} if (waiting := waiting_for_split(dataset)) else {}),
        **_left_out(dataset),
        "runs": sum(1 for _ in dataset.runs.iterate()),
        "reports": {
            "waiting": Reports(dataset.db).count() + len(list_spooled_reports(dataset.root)),
            "of_them_removals": Reports(dataset.db).count(kind=REMOVAL),
            "accepted_since_training": accepted_reports(dataset),
        },
        "next": (then := next_step(dataset)),
        "also": other_steps(dataset, besides=then),
    }


def status_words(dataset: Dataset) -> dict[str, object]:
    """Return the same for a person: nothing that is none, and whole pictures by their name."""
    counts = status(dataset)
    reports = counts.pop("reports")
    if not reports["of_them_removals"]:
        del reports["of_them_removals"]
    if is_of_whole_pictures(dataset):
        counts = {("whole_pictures" if key == "faces" else key): n for key, n in counts.items()}
    if aside := counts["samples"].pop("set_aside", 0):
        counts["samples"]["of them copies that are set aside"] = aside
    told = {key: _spoken(value) if key in SPOKEN else value for key, value in counts.items()}
    return told | ({"reports": _spoken(reports)} if any(reports.values()) else {})


def _spoken(counts: Any) -> Any:
    if not isinstance(counts, dict):
        return counts
    return {str(name).replace("_", " "): _spoken(value) for name, value in counts.items()}


def _origins(dataset: Dataset) -> dict[str, dict[str, int]]:
    images: dict[str, dict[str, int]] = {}
    for row in dataset.fetches.list_yields():
        if row.images:
            images.setdefault(row.source, {})[row.asked or "(no hint)"] = row.images
    return images


def _left_out(dataset: Dataset) -> dict[str, object]:
    reasons = dataset.rejections.count_by_reason()
    see = {"rejections_are_listed_by": rejections_of(dataset)} if reasons else {}
    told: dict[str, object] = {"rejections": reasons, **see}
    return told | conflicting_label_summary(dataset)


def page_command(dataset: Dataset) -> dict[str, str]:
    """Return the command that serves the page of the model, as `serve`; nothing without a model."""
    if dataset.runs.get_latest("baseline") is None:
        return {}
    return {"serve": f"webapp serve -d {shlex.quote(str(dataset.root))}"}
