"""One training run over a dataset: `runs/<id>/` with weights, settings, figures, log and report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from baseline.crops import save_crops
from baseline.curves import draw_curves
from baseline.data import SPLITS, find_examples, prior_shift
from baseline.evaluation.report_metrics import RunMetrics, evaluate_run, reuse_warning
from baseline.grouped_split import with_val
from baseline.inference import split_outputs
from baseline.layers import layers_of, save_layers
from baseline.loop.callbacks import TrainingResult
from baseline.loop.checkpoint import forget_checkpoint
from baseline.methods.gallery import save_gallery
from baseline.methods.registry import fit_method
from baseline.methods.training_data import TrainingData
from baseline.networks import GalleryHead, Net
from baseline.reevaluate import ROOM, TRAINED_ON, straddle_warning
from baseline.report import write_report
from baseline.run_logger import RunLogger
from baseline.settings import Settings
from baseline.storage import save_model
from gleanset import Dataset
from gleanset.binomial import few
from gleanset.db.faces import crop_methods
from gleanset.errors import GleansetError
from gleanset.files.atomic import write_atomic
from gleanset.records import Run
from gleanset.work.progress import Progress

METRICS = "metrics.json"
CHECKPOINT = "checkpoint"
Hear = Callable[[str], None]


def train_run(
    dataset: Dataset,
    settings: Settings,
    *,
    again: bool = False,
    progress: Progress | None = None,
    hear: Hear = lambda line: None,
) -> dict[str, object]:
    """Train, judge on val, and once on test; the result of the run.

    A run that was stopped is taken up under its own name, where it was last saved. A finished
    run of the same data and settings, which would give the same figures, is given back unless
    `again`. `hear` gets what a person should know at once.
    """
    with dataset.stage(ROOM) as scratch:
        examples = find_examples(dataset)
        facts = {**settings.to_json(), "data": examples.fingerprint()}
        if not again and (done := dataset.runs.finished(ROOM, facts)) is not None:
            hear(f"known already, nothing was trained: run {done.id} (--again trains anew)")
            return {"run": done.id, **done.result}
        for split in ("val", "test"):
            if warning := straddle_warning(examples, split):
                hear(warning)
        examples, told = with_val(examples, settings.seed)
        run = dataset.runs.begin(_new_id(dataset, settings), ROOM, facts)
        place = run_folder(dataset, run.id) / CHECKPOINT
        material = TrainingData(dataset, examples, settings, progress or Progress(), place)
        try:
            result = _carry_out(material, run, scratch, told, hear)
        except GleansetError as error:
            dataset.runs.end(run.id, "failed", {"error": error.what})
            raise
        except KeyboardInterrupt:
            dataset.runs.end(run.id, "interrupted", {})
            raise
        dataset.runs.end(run.id, "done", result)
        forget_checkpoint(place)
        write_report(dataset, run.id, scratch=scratch)
    return {"run": run.id, **result}


def _carry_out(
    material: TrainingData, run: Run, scratch: Path, told: str | None, hear: Hear
) -> dict[str, object]:
    started = time.monotonic()
    settings, folder = material.settings, run_folder(material.dataset, run.id)
    with RunLogger(folder, material.progress, hear) as watch:
        if told is not None:
            watch.say(told)
        fitted = fit_method(material, settings, watch)
        if fitted.history:
            draw_curves(folder, fitted.history, fitted.best_epoch, watch.test, scratch=scratch)
    _keep(material, fitted.net, folder, scratch)
    outputs = {split: split_outputs(fitted.net, material, split) for split in SPLITS}
    judged = evaluate_run(
        material.dataset,
        run.id,
        folder,
        material.examples,
        outputs,
        shift=prior_shift(material.examples, settings),
        scratch=scratch,
    )
    if judged.looks is not None and (words := reuse_warning(judged.looks)):
        hear(words)
    for split in ("val", "test"):
        found: Any = judged.metrics.get(split)
        if found and (words := few(found["moments"])):
            hear(f"{split} has {words}")
    read = {split: len(found) for split, found in outputs.items()}
    lost = sum(material.examples.counts().values()) - sum(read.values())
    metrics = {
        "classes": list(material.classes),
        "settings": settings.to_json(),
        "data": {
            **read,
            "unreadable": lost,
            "fingerprint": material.examples.fingerprint(),
            "splits": material.dataset.samples.fingerprint_of_splits(),
            "told": told,
        },
        "epochs": [asdict(epoch) for epoch in fitted.history],
        "best_epoch": fitted.best_epoch,
        "seconds": round(time.monotonic() - started, 3),
        "device": fitted.device,
        "precision": fitted.precision,
        "training": fitted.facts,
        "val": None,
        "test": None,
        **judged.metrics,
    }
    text = json.dumps(metrics, ensure_ascii=False, indent=1)
    write_atomic(folder / METRICS, text.encode(), scratch=scratch)
    return _summary(material, fitted, read, judged) | ({"unreadable": lost} if lost else {})


def _keep(material: TrainingData, net: Net, folder: Path, scratch: Path) -> None:
    """The network, what it has learnt from, and what it is made of."""
    learnt = json.dumps(sorted({sample.key for sample in material.examples.splits["train"]}))
    write_atomic(folder / TRAINED_ON, learnt.encode(), scratch=scratch)
    train = (sample.key for sample in material.examples.splits["train"])
    save_crops(folder, crop_methods(material.dataset.db, train), scratch=scratch)
    save_layers(
        folder, layers_of(net, material.settings.channels, material.settings.size), scratch=scratch
    )
    save_model(folder, net, material.settings, material.classes, scratch=scratch)
    if isinstance(net.head, GalleryHead):
        save_gallery(folder, net, scratch=scratch)


def _summary(
    material: TrainingData, fitted: TrainingResult[Net], read: Mapping[str, int], judged: RunMetrics
) -> dict[str, object]:
    """What a run gave, without anything that differs from one machine's mood to another's."""
    # What was solved at once has no epochs.
    course = {"epochs": len(fitted.history), "best_epoch": fitted.best_epoch}
    return {
        "classes": len(material.classes),
        "data": dict(read),
        **(course if fitted.history else {}),
        **{split: _figures(judged.metrics.get(split)) for split in ("val", "test")},
        "calibration": judged.calibration.describe(),
    }


def _figures(found: Any) -> dict[str, object] | None:
    """The few figures of a split that fit on a line; the accuracy's 95 % interval among them."""
    if found is None:
        return None
    commonest = max(score["support"] for score in found["classes"]) / found["count"]
    low, high = found["intervals"].get("accuracy", (None, None))
    return {
        "count": found["count"],
        "accuracy": found["accuracy"],
        "at_least": low,
        "at_most": high,
        "log_loss": found["log_loss"],
        "macro_f1": found["macro_f1"],
        "commonest_class": commonest,
    }


def run_folder(dataset: Dataset, run_id: str) -> Path:
    """Where the files of a run lie."""
    return dataset.root / "runs" / run_id


def _new_id(dataset: Dataset, settings: Settings) -> str:
    """`<time>-<preset>`, with a number behind it when that is taken."""
    name = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-{settings.preset}"
    number = 1
    while dataset.runs.get(name if number == 1 else f"{name}-{number}") is not None:
        number += 1
    return name if number == 1 else f"{name}-{number}"
