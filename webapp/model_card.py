"""The model card: what a run recorded about its training and evaluation, as JSON.

The figures are those of the run's report; nothing is evaluated here.
"""

from contextlib import suppress
from pathlib import Path

import msgspec

from baseline.data.runs import TRAINED_ON, find_run_dataset
from baseline.evaluation.decision_rule import DecisionRule, load_decision_rule
from baseline.evaluation.metrics import RunMetrics, SplitMetrics, read_metrics
from gleanset import Dataset
from gleanset.command_result import JsonDict
from gleanset.db.faces import WHOLE
from gleanset.db.statistics import Statistics
from gleanset.errors import GleansetError
from gleanset.records import SPLITS
from webapp.exports import FILE
from webapp.loaded_model import LoadedModel
from webapp.settings import ServeSettings


def model_card(model: LoadedModel, _: None, settings: ServeSettings) -> JsonDict:
    """Return the model card; unknown values are None.

    A computation of `webapp/computations.py`, whose request is None.
    """
    folder = model.file.parent if model.file.name == FILE else None
    metrics = _read_metrics(folder, model.names)
    detector = model.predictor.cropping.reader.detector
    rule = model.predictor.facts.rule
    return {
        "run": model.run,
        "title": settings.web.title or "",
        "languages": settings.web.languages,
        "detector": detector.name if detector else WHOLE,
        "classes": _count_images_by_class(model.predictor.classes, metrics),
        "unknown_below": rule.unknown_below,
        "own_threshold": settings.web.unknown_below is not None,
        "has_unknown_rule": rule.unfamiliar_below is not None,
        "unknown_rule": _describe_unknown_rule(folder, rule),
        "measured": _describe_evaluation(metrics),
        **_describe_training(folder),
        "contact": settings.web.contact,
        "description": settings.web.description,
        "takes_requests": settings.dataset is not None,
    }


def _read_metrics(folder: Path | None, names: dict[str, str]) -> RunMetrics | None:
    try:
        return read_metrics(folder).with_names(names) if folder else None
    except GleansetError:
        return None


def _count_images_by_class(
    names: tuple[str, ...], metrics: RunMetrics | None
) -> list[JsonDict]:
    """Return the number of images of each class in each split."""
    rows: dict[str, JsonDict] = {
        name: {"name": name, **dict.fromkeys(SPLITS)} for name in names
    }
    if metrics is not None:
        for split, figures in metrics.splits.items():
            for score in figures.classes:
                if score.name in rows:
                    rows[score.name][split] = score.support
    return list(rows.values())


def _describe_evaluation(metrics: RunMetrics | None) -> JsonDict | None:
    if metrics is None:
        return None
    for split in ("test", "val"):
        figures = metrics.splits.get(split)
        if figures is not None:
            return {
                "split": split,
                **_split_to_json(figures),
                "clear_of_copies": metrics.has_no_copies,
            }
    return None


def _describe_unknown_rule(folder: Path | None, rule: DecisionRule) -> JsonDict | None:
    try:
        threshold = load_decision_rule(folder).effects.unfamiliar if folder else None
    except GleansetError:
        return None
    # The figures only hold for the threshold they were measured with.
    is_same = threshold is not None and threshold.below == rule.unfamiliar_below
    return msgspec.to_builtins(threshold) if is_same else None


def _split_to_json(figures: SplitMetrics) -> JsonDict:
    return {
        "images": figures.count,
        "groups": figures.groups,
        "accuracy": figures.answer_accuracy,
        "unknown": figures.answer_metrics.unknown / figures.count,
        "unsure": figures.answer_metrics.unsure,
        "unsure_right": figures.answer_metrics.unsure_right,
        "accuracy_before_unknown": figures.accuracy,
        "interval": figures.answer_metrics.interval,
        "commonest_class": figures.commonest_class,
        "untested": figures.empty_classes,
        "small_sample": bool(figures.size_warning),
        "classes": [
            {
                "name": score.name,
                # Without images of a class, nothing was measured.
                "precision": score.precision if score.support else None,
                "recall": score.recall if score.support else None,
                "images": score.support,
            }
            for score in figures.answer_metrics.classes
        ],
    }


def _describe_training(folder: Path | None) -> JsonDict:
    """Return the date of a run and the sources of its training images."""
    run = None
    origins = None
    root = find_run_dataset(folder) if folder else None
    # The folder of a run may be outside of a dataset.
    if folder and root:
        with (
            suppress(GleansetError, OSError, msgspec.MsgspecError),
            Dataset.open(root) as dataset,
        ):
            run = dataset.runs.get(folder.name)
            keys = msgspec.json.decode(
                (folder / TRAINED_ON).read_bytes(), type=list[str]
            )
            origins = Statistics(dataset.db).get_provenance(keys)

    return {
        "date": (run.ended or run.started)[:10] if run else None,
        "learnt_from": origins._asdict() if origins else None,
    }
