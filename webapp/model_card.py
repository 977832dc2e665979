"""What is known of the model in force: the JSON of its card.

The figures are those of the run's own report, as they stand there; nothing is measured anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from baseline.data.runs import METRICS, TRAINED_ON, find_run_dataset
from baseline.evaluation.decision_rule import DecisionRule, load_decision_rule
from baseline.evaluation.metrics import SplitMetrics
from baseline.evaluation.run_metrics import RunMetrics, read_metrics
from gleanset import Dataset
from gleanset.db.faces import WHOLE
from gleanset.db.statistics import Statistics
from gleanset.errors import GleansetError
from gleanset.records import SPLITS
from webapp.exports import FILE
from webapp.loaded_model import LoadedModel
from webapp.settings import ServeSettings

Told = dict[str, Any]


def model_cards(
    loaded: LoadedModel, requests: Sequence[None], settings: ServeSettings
) -> list[Told]:
    """Return the same card to each request."""
    return [model_card(settings, loaded) for _ in requests]


def model_card(settings: ServeSettings, loaded: LoadedModel) -> Told:
    """Return all that is known of a model; what is not known is null."""
    folder = _run_folder(loaded.file)
    metrics = _metrics(folder)
    detector, rule = loaded.model.cropping.read.detector, loaded.model.facts.answers
    return {
        "run": loaded.run,
        "title": settings.web.title or "",
        "languages": settings.web.languages,
        "detector": detector.name if detector else WHOLE,
        "classes": _classes(loaded.model.classes, metrics),
        "unknown_below": rule.unknown_below,
        "own_threshold": settings.web.unknown_below is not None,
        "tells_strangers": rule.unfamiliar_below is not None,
        "strangers": _strangers(folder, rule),
        "measured": _measured(metrics),
        **_history(folder),
        "contact": settings.web.contact,
        "description": settings.web.description,
        "takes_requests": settings.dataset is not None,
    }


def _run_folder(file: Path) -> Path | None:
    folder = file.parent
    return folder if file.name == FILE and (folder / METRICS).is_file() else None


def _metrics(folder: Path | None) -> RunMetrics | None:
    if folder is None:
        return None
    try:
        return read_metrics(folder)
    except GleansetError:
        return None


def _classes(names: tuple[str, ...], metrics: RunMetrics | None) -> list[Told]:
    support = {
        split: {one.name: one.support for one in figures.classes}
        for split, figures in (metrics.splits.items() if metrics else ())
    }
    return [{"name": name, **{s: support.get(s, {}).get(name) for s in SPLITS}} for name in names]


def _measured(metrics: RunMetrics | None) -> Told | None:
    for split in ("test", "val"):
        figures = metrics.splits.get(split) if metrics else None
        if figures is not None:
            clear = metrics is not None and metrics.has_no_copies
            return {"split": split, **_figures(figures), "clear_of_copies": clear}
    return None


def _strangers(folder: Path | None, rule: DecisionRule) -> Told | None:
    try:
        chosen = load_decision_rule(folder).chosen.unfamiliar if folder else None
    except GleansetError:
        return None
    # A figure of other thresholds would promise what is not so.
    same = chosen is not None and chosen.below == rule.unfamiliar_below
    return msgspec.to_builtins(chosen) if same else None


def _figures(figures: SplitMetrics) -> Told:
    return {
        "pictures": figures.count,
        "moments": figures.moments,
        "accuracy": figures.answer_accuracy,
        "unknown": figures.unknown_answers / figures.count,
        "accuracy_before_unknown": figures.accuracy,
        "interval": figures.answers.interval
        if figures.answers
        else figures.intervals.get("accuracy"),
        "commonest_class": figures.commonest_class,
        "few": bool(figures.few),
        "classes": [
            {
                "name": score.name,
                # Of a class without a picture there nothing was measured.
                "precision": score.precision if score.support else None,
                "recall": score.recall if score.support else None,
                "pictures": score.support,
            }
            for score in figures.answer_classes
        ],
    }


def _history(folder: Path | None) -> Told:
    unknown: Told = {"preset": None, "date": None, "learnt_from": None}
    root = find_run_dataset(folder) if folder else None
    if folder is None or root is None:
        return unknown
    try:
        with Dataset.open(root) as dataset:
            run = dataset.runs.get(folder.name)
            keys = _learnt_from(folder)
            origins = Statistics(dataset.db).get_provenance(keys) if keys is not None else None
    except GleansetError:
        return unknown
    return {
        "preset": run.settings.get("preset") if run else None,
        "date": (run.ended or run.started)[:10] if run else None,
        "learnt_from": origins._asdict() if origins else None,
    }


def _learnt_from(folder: Path) -> list[str] | None:
    """Return the samples that a run learnt from; None for one that did not record them."""
    try:
        return msgspec.convert(json.loads((folder / TRAINED_ON).read_bytes()), list[str])
    except (OSError, ValueError):
        return None
