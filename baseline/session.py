"""One training run over a dataset: `runs/<id>/` with weights, settings, metrics and a log."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from baseline.data import Examples, find_examples, load_arrays
from baseline.evaluation import Evaluation, evaluate
from baseline.presets import Settings
from baseline.storage import load_model, save_model
from baseline.training import EpochReport, Trained, train
from gleanset import Dataset
from gleanset.errors import GleansetError, InputUnusable
from gleanset.files.atomic import write_atomic
from gleanset.records import Run
from gleanset.work.progress import Progress

ROOM = "baseline"
METRICS = "metrics.json"
TRAINED_ON = "trained_on.json"
OnEpoch = Callable[[EpochReport], None]


def train_run(
    dataset: Dataset, settings: Settings, *, again: bool = False, on_epoch: OnEpoch | None = None,
    progress: Progress | None = None,
) -> dict[str, object]:  # fmt: skip
    """Train, judge on val, and once on test; the result of the run.

    A run that was stopped is begun anew under its own name. A finished run of the same data
    and settings, which would give the same figures, is given back unless `again`.
    """
    with dataset.stage(ROOM) as scratch:
        examples = find_examples(dataset)
        facts = {**settings.to_json(), "data": examples.fingerprint()}
        if not again and (done := dataset.runs.finished(ROOM, facts)) is not None:
            return {"run": done.id, **done.result}
        run = dataset.runs.begin(_new_id(dataset, settings), ROOM, facts)
        try:
            result = _carry_out(dataset, run, examples, settings, scratch, on_epoch, progress)
        except GleansetError as error:
            dataset.runs.end(run.id, "failed", {"error": error.what})
            raise
        except KeyboardInterrupt:
            dataset.runs.end(run.id, "interrupted", {})
            raise
        dataset.runs.end(run.id, "done", result)
    return {"run": run.id, **result}


def _carry_out(
    dataset: Dataset, run: Run, examples: Examples, settings: Settings, scratch: Path,
    on_epoch: OnEpoch | None, progress: Progress | None,
) -> dict[str, object]:  # fmt: skip
    started = time.monotonic()
    arrays = load_arrays(dataset, examples, settings, progress=progress)
    trained = train(
        arrays["train"],
        arrays["val"],
        examples.classes,
        settings,
        on_epoch or (lambda _: None),
        examples.weights,
    )
    read = {split: len(found) for split, found in arrays.items()}
    lost = sum(examples.counts().values()) - sum(read.values())
    judged = {
        split: evaluate(trained.model, arrays[split], examples.classes) if len(arrays[split])
        else None
        for split in ("val", "test")
    }  # fmt: skip
    folder = run_folder(dataset, run.id)
    learnt = json.dumps(arrays["train"].keys)
    write_atomic(folder / TRAINED_ON, learnt.encode(), scratch=scratch)
    save_model(folder, trained.model, settings, examples.classes, scratch=scratch)
    metrics = {
        "classes": list(examples.classes), "settings": settings.to_json(),
        "data": {**read, "unreadable": lost, "fingerprint": examples.fingerprint()},
        "epochs": [asdict(epoch) for epoch in trained.history],
        "best_epoch": trained.best_epoch, "seconds": round(time.monotonic() - started, 3),
        "device": trained.device, "precision": trained.precision,
        **{split: found and found.to_json() for split, found in judged.items()},
    }  # fmt: skip
    text = json.dumps(metrics, ensure_ascii=False, indent=1)
    write_atomic(folder / METRICS, text.encode(), scratch=scratch)
    return _summary(trained, examples, read, judged) | ({"unreadable": lost} if lost else {})


def _summary(
    trained: Trained, examples: Examples, read: dict[str, int],
    judged: dict[str, Evaluation | None],
) -> dict[str, object]:  # fmt: skip
    """What a run gave, without anything that differs from one machine's mood to another's."""
    return {
        "classes": len(examples.classes), "data": read,
        "epochs": len(trained.history), "best_epoch": trained.best_epoch,
        **{split: figures(found) for split, found in judged.items()},
    }  # fmt: skip


def figures(found: Evaluation | None) -> dict[str, object] | None:
    """The few figures of an evaluation that fit on a line."""
    if found is None:
        return None
    commonest = max(score.support for score in found.classes) / found.count
    return {"count": found.count, "accuracy": found.accuracy, "log_loss": found.log_loss,
            "macro_f1": found.macro_f1, "commonest_class": commonest}  # fmt: skip


def evaluate_run(
    dataset: Dataset, run_id: str | None, split: str, progress: Progress | None = None
) -> tuple[str, Evaluation]:
    """Judge a finished run on a split as it is now; (run id, evaluation).

    Raises `InputUnusable` when there is no such run, no picture in the split, when the classes
    are not those the run was trained on, or when it has learnt from some of these pictures.
    """
    run = dataset.runs.get(run_id) if run_id else dataset.runs.newest(ROOM)
    if run is None or run.status != "done":
        raise InputUnusable(
            f"there is no finished run {run_id}" if run_id else "there is no finished run yet",
            f"train one: baseline train -d {dataset.root}",
        )
    model, settings, classes = load_model(run_folder(dataset, run.id))
    examples = find_examples(dataset)
    if examples.classes != classes:
        changed = ", ".join(sorted(set(examples.classes) ^ set(classes)))
        raise InputUnusable(
            f"the classes have changed since run {run.id} was trained: {changed}",
            f"train again: baseline train -d {dataset.root}",
        )
    _check_unseen(dataset, run.id, examples, split)
    arrays = load_arrays(dataset, examples, settings, splits=[split], progress=progress)[split]
    if not len(arrays):
        raise InputUnusable(f"there is no picture in {split}", "give it a share: labeler split")
    return run.id, evaluate(model, arrays, classes)


def _check_unseen(dataset: Dataset, run_id: str, examples: Examples, split: str) -> None:
    """A split made anew may hold pictures that an older run has learnt from."""
    learnt = run_folder(dataset, run_id) / TRAINED_ON
    if split == "train" or not learnt.is_file():
        return
    keys = {sample.key for sample in examples.splits[split]}
    if seen := keys & set(json.loads(learnt.read_text())):
        raise InputUnusable(
            f"run {run_id} has learnt from {len(seen)} of the {len(keys)} pictures that are in "
            f"{split} now: its figures there would mean nothing",
            f"train again on this split: baseline train -d {dataset.root}",
        )


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
